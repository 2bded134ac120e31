"""How numbers are printed: units and decimals of metrics, p-values, durations, failures."""

from __future__ import annotations

DECIMALS = 1
"""Decimals of printed percentages. CSV and JSON keep all digits."""
FAILURE_TEXTS = {"missing-data": "no data", "refused": "refused", "oom": "oom", "nan": "nan"}
"""How a table spells the kind of a failure; any other kind is printed as 'failed'."""


LONGEST_REASON = 2000
"""Most characters of a failure's reason on a page."""


def on_one_line(message: str) -> str:
    """All lines of the message of a failure: the later ones say what to do about it."""
    text = "; ".join(line.strip() for line in message.splitlines() if line.strip())
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def unit(metric: str) -> str:
    """Unit of a metric: 'percent', or 'nats' for a loss."""
    return "nats" if metric.endswith(("_loss", "loss_gap")) else "percent"


def difference_unit(metric: str) -> str:
    """Unit of a difference between two values of a metric: 'percentage points' or 'nats'."""
    return "percentage points" if unit(metric) == "percent" else unit(metric)


def decimals(metric: str) -> int:
    """Number of printed decimals: a loss in nats needs more than a percentage."""
    return 3 if unit(metric) == "nats" else DECIMALS


def signed_text(difference: float, digits: int = DECIMALS) -> str:
    """A difference with its sign: '+1.2', '-0.3', and '0.0' for what rounds to zero."""
    text = f"{difference:+.{digits}f}"
    return text if any(digit in text for digit in "123456789") else text[1:]


def p_value_text(p: float) -> str:
    """A p-value with three decimals: '0.012', '<0.001'."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def large_text(number: float) -> str:
    """A count with three digits and a prefix: '950', '33.7 G', '1.20 T'."""
    for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            scaled = number / size
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f} {prefix}"
    return f"{number:.0f}"


def duration_text(seconds: float) -> str:
    """A duration in seconds as text for people: '9.5 s', '3 min 05 s', '2 h 10 min'."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    rounded = round(seconds)
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
