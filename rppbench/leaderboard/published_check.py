"""Do published numbers add up? Averages, harmonic means and differences, worked out again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rppbench.leaderboard.published import Figure, Line


@dataclass(frozen=True)
class Discrepancy:
    """A printed number that is not what the numbers beside it say."""

    where: str
    """File, place, row and column."""
    told: str
    rounded: bool
    """Whether the rounding of what is printed can explain it."""
    sic: str
    """What the file says of it; '' if nothing."""

    def __str__(self) -> str:
        cause = "rounding may explain it" if self.rounded else "no rounding explains it"
        return f"{self.where}: {self.told}; {cause}" + (f" ({self.sic})" if self.sic else "")


def check(lines: Sequence[Line]) -> list[Discrepancy]:
    """All that does not add up, and every quotation that is none, in the order of the lines."""
    known = [figure for line in lines for figure in line.figures.values()]
    return [found for line in lines for found in (*_sums(line), *_quotations(line, known))]


def _sums(line: Line) -> Iterable[Discrepancy]:
    for kind, column, names in line.sums:
        printed = line.figures.get(column)
        parts = [line.figures[name].value for name in names if name in line.figures]
        if printed is None or len(parts) < len(names):
            continue  # the source leaves one out
        title, compute = KINDS[kind]
        value = compute(parts)
        if abs(value - printed.value) <= unit(printed.value) / 2:
            continue
        low, high = compute(_shifted(parts, -1, kind)), compute(_shifted(parts, 1, kind))
        slack = unit(printed.value) / 2
        rounded = low - slack <= printed.value <= high + slack
        shown = ", ".join(map(str, parts))
        digits = value.quantize(unit(printed.value))
        told = f"{printed.value} is printed, but the {title} of {shown} is {digits}"
        yield Discrepancy(f"{line.where}: {column}", told, rounded, line.sic)


def _quotations(line: Line, known: Sequence[Figure]) -> Iterable[Discrepancy]:
    for column, figure in line.figures.items():
        if not figure.quotes:
            continue
        for first in known:
            same = first.source == figure.quotes and first.identity == figure.identity
            if same and abs(first.value - figure.value) > unit(figure.value) / 2:
                told = f"{figure.value} is no quotation of {first.source}'s {first.value}"
                yield Discrepancy(f"{line.where}: {column}", told, False, line.sic)


def unit(value: Decimal) -> Decimal:
    """The last printed digit: 0.1 of 57.2."""
    return Decimal(1).scaleb(int(value.as_tuple().exponent))


def _shifted(parts: Sequence[Decimal], sign: int, kind: str) -> list[Decimal]:
    """As far down or up as the rounding of what is printed allows the result to be."""
    signs = [sign, -sign] if kind == "difference" else [sign] * len(parts)
    return [part + s * unit(part) / 2 for part, s in zip(parts, signs, strict=True)]


def _mean(parts: Sequence[Decimal]) -> Decimal:
    return sum(parts, Decimal(0)) / len(parts)


def _harmonic(parts: Sequence[Decimal]) -> Decimal:
    if not all(parts):
        return Decimal(0)
    return len(parts) / sum((1 / part for part in parts), Decimal(0))


def _difference(parts: Sequence[Decimal]) -> Decimal:
    first, second = parts
    return first - second


KINDS: dict[str, tuple[str, Callable[[Sequence[Decimal]], Decimal]]] = {
    "mean": ("mean", _mean),
    "harmonic_mean": ("harmonic mean", _harmonic),
    "difference": ("difference", _difference),
}
