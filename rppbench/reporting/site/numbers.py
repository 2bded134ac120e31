"""Numbers as the pages print them, and the scale on which they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from statistics import median

from rppbench.leaderboard.number_format import signed_text
from rppbench.stats.intervals import Interval

NARROW = 0.15
"""Half width of an interval, in percent, below which two decimals are printed."""
FAR = 7
"""Median deviations from the median from which a value lies off the scale."""
MINUS = "−"


def digits(half_width: float | None, decimals: int) -> int:
    """Number of decimals of a number: two where its interval is too narrow for one."""
    return 2 if decimals == 1 and half_width is not None and 0 < half_width < NARROW else decimals


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals and a proper minus."""
    text = f"{value:.{decimals}f}".replace("-", MINUS)
    return text.lstrip(MINUS) if not text.strip(f"{MINUS}0.") else text


def signed(value: float, decimals: int) -> str:
    """A difference: '+1.3', '−0.2', '0.0'."""
    return signed_text(value, decimals).replace("-", MINUS)


def span(low: float, high: float, decimals: int) -> str:
    """An interval of a difference: '+0.3 to +2.3'."""
    return f"{signed(low, decimals)} to {signed(high, decimals)}"


@dataclass(frozen=True)
class Scale:
    """The axis that the averages of a table share."""

    low: float
    high: float

    def place(self, value: float) -> str:
        """Distance from the left end in percent of the axis, at most at either end: '43.8%'."""
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * min(1.0, max(0.0, share)):.1f}%"

    def whisker(self, value: Interval) -> str:
        """The custom properties that place a dot and its interval."""
        half = value.half_width or 0.0
        ends = (value.mean - half, value.mean + half, value.mean)
        return ";".join(f"--{n}:{self.place(v)}" for n, v in zip("abm", ends, strict=True))

    def holds(self, value: float) -> bool:
        """Whether a value lies on the axis."""
        return self.low <= value <= self.high

    @property
    def ticks(self) -> list[tuple[str, str]]:
        """(place, text) of a few round values, at least two."""
        values = next(few for n in (3, 4, 6, 9) if len(few := ticks(self.low, self.high, n)) > 1)
        return [(self.place(value), text) for value, text in values]


def scale_of(values: Sequence[Interval]) -> Scale:
    """The axis of these values, without those that lie far from all others."""
    means = [value.mean for value in values]
    middle = median(means)
    deviation = median(abs(mean - middle) for mean in means) or 0.3
    near = [value for value in values if abs(value.mean - middle) <= FAR * deviation + 1]
    low = min(value.mean - (value.half_width or 0.0) for value in near)
    high = max(value.mean + (value.half_width or 0.0) for value in near)
    margin = 0.06 * (high - low) or 0.5
    return Scale(low - margin, high + margin)


def ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """About `count` round values from low to high, and their texts."""
    raw = (high - low) / count
    size = 10 ** floor(log10(raw))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= raw * 0.999)
    decimals = max(0, -floor(log10(step) + 1e-9))
    values = (number * step for number in range(ceil(low / step), floor(high / step) + 1))
    return [(value, fixed(value, decimals)) for value in values]
