"""Consistency check of published numbers: derived ones are computed again, quoted ones compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rppbench.leaderboard.published import PublishedNumber, PublishedRow


@dataclass(frozen=True)
class Discrepancy:
    """A published number that contradicts other published numbers."""

    where: str
    """File, place, row and column."""
    message: str
    rounded: bool
    """Whether the rounding of the printed numbers can explain it."""
    sic: str
    """The file's own explanation; '' if it has none."""

    def __str__(self) -> str:
        cause = "rounding may explain it" if self.rounded else "no rounding explains it"
        return f"{self.where}: {self.message}; {cause}" + (f" ({self.sic})" if self.sic else "")


def check(rows: Sequence[PublishedRow]) -> list[Discrepancy]:
    """All derived numbers that do not add up and all wrong quotations, in the order of the rows."""
    numbers = [number for row in rows for number in row.numbers.values()]
    return [wrong for row in rows for wrong in (*_derived(row), *_quotations(row, numbers))]


def _derived(row: PublishedRow) -> Iterable[Discrepancy]:
    for kind, column, names in row.derived:
        printed = row.numbers.get(column)
        operands = [row.numbers[name].value for name in names if name in row.numbers]
        if printed is None or len(operands) < len(names):
            continue  # the source does not print all of them
        title, compute = OPERATIONS[kind]
        value = compute(operands)
        if abs(value - printed.value) <= last_digit(printed.value) / 2:
            continue
        low, high = compute(_shifted(operands, -1, kind)), compute(_shifted(operands, 1, kind))
        slack = last_digit(printed.value) / 2
        rounded = low - slack <= printed.value <= high + slack
        listed = ", ".join(map(str, operands))
        digits = value.quantize(last_digit(printed.value))
        message = f"{printed.value} is printed, but the {title} of {listed} is {digits}"
        yield Discrepancy(f"{row.where}: {column}", message, rounded, row.sic)


def _quotations(row: PublishedRow, numbers: Sequence[PublishedNumber]) -> Iterable[Discrepancy]:
    for column, number in row.numbers.items():
        if not number.quotes:
            continue
        for first in numbers:
            same = first.source == number.quotes and first.identity == number.identity
            if same and abs(first.value - number.value) > last_digit(number.value) / 2:
                message = f"{number.value} is not a quotation of {first.source}'s {first.value}"
                yield Discrepancy(f"{row.where}: {column}", message, False, row.sic)


def last_digit(value: Decimal) -> Decimal:
    """The place value of the last printed digit: 0.1 for 57.2."""
    return Decimal(1).scaleb(int(value.as_tuple().exponent))


def _shifted(operands: Sequence[Decimal], sign: int, kind: str) -> list[Decimal]:
    """Unrounded operands with the smallest (sign -1) or largest (sign 1) possible result."""
    signs = [sign, -sign] if kind == "difference" else [sign] * len(operands)
    return [value + s * last_digit(value) / 2 for value, s in zip(operands, signs, strict=True)]


def _mean(operands: Sequence[Decimal]) -> Decimal:
    return sum(operands, Decimal(0)) / len(operands)


def _harmonic_mean(operands: Sequence[Decimal]) -> Decimal:
    if not all(operands):
        return Decimal(0)
    return len(operands) / sum((1 / value for value in operands), Decimal(0))


def _difference(operands: Sequence[Decimal]) -> Decimal:
    first, second = operands
    return first - second


OPERATIONS: dict[str, tuple[str, Callable[[Sequence[Decimal]], Decimal]]] = {
    "mean": ("mean", _mean),
    "harmonic_mean": ("harmonic mean", _harmonic_mean),
    "difference": ("difference", _difference),
}
"""(name in messages, function) of each kind in `published.DERIVED_KINDS`."""
