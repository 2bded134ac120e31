"""Tables as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from rppbench.stats.intervals import Interval, interval
from rppbench.stats.ranks import Rank, Ranking

NamedValues = tuple[tuple[str, str], ...]
DECIMALS = 1
"""Of printed percentages. CSV and JSON keep all digits."""


def unit(metric: str) -> str:
    """'percent', or 'nats' of a loss."""
    return "nats" if metric.endswith(("_loss", "loss_gap")) else "percent"


def points(metric: str) -> str:
    """The unit of a difference."""
    return "percentage points" if unit(metric) == "percent" else unit(metric)


def decimals(metric: str) -> int:
    """Digits behind the point: a loss in nats needs more than a percentage."""
    return 3 if unit(metric) == "nats" else DECIMALS


KINDS = {"missing-data": "no data", "oom": "oom", "nan": "nan"}
"""How a table spells kinds of failure; any other is 'failed'."""


@dataclass(frozen=True)
class Column:
    """One data set, or one metric of the only data set."""

    dataset: str
    dataset_title: str
    metric: str


@dataclass(frozen=True)
class Missing:
    """A seed without a number, and why."""

    seed: int
    kind: str
    message: str


@dataclass(frozen=True)
class TableCell:
    """A method on one column."""

    values: tuple[tuple[int, float], ...]
    """(seed, value)"""
    expected: int
    """Number of seeds that the row has anywhere."""
    missing: tuple[Missing, ...] = ()
    best: bool = False
    decimals: int = DECIMALS

    @cached_property
    def interval(self) -> Interval | None:
        return interval([value for _, value in self.values]) if self.values else None

    @property
    def mean(self) -> float | None:
        return self.interval.mean if self.interval else None

    @property
    def whole(self) -> bool:
        """True when no seed is missing."""
        return len(self.values) == self.expected

    @property
    def printed(self) -> str | None:
        return None if self.mean is None else f"{self.mean:.{self.decimals}f}"


@dataclass(frozen=True)
class Average:
    """A method over all columns."""

    values: tuple[tuple[int, float], ...]
    """(seed, mean over data sets); () unless every data set has every seed."""
    complete: int
    """Data sets with all seeds."""
    expected: int
    """Data sets of the table."""
    partial: float | None = None
    """Mean over what there is, where something is missing."""
    best: bool = False
    decimals: int = DECIMALS

    @cached_property
    def interval(self) -> Interval | None:
        return interval([value for _, value in self.values]) if self.values else None

    @property
    def mean(self) -> float | None:
        return fmean(value for _, value in self.values) if self.values else self.partial

    @property
    def whole(self) -> bool:
        return self.complete == self.expected

    @property
    def printed(self) -> str | None:
        return None if self.mean is None else f"{self.mean:.{self.decimals}f}"


@dataclass(frozen=True)
class Row:
    """A method with its options and the way it was learned."""

    label: str
    method: str
    options: NamedValues
    facts: NamedValues
    """All that may tell it from another row of the same method."""
    recipe: str
    source: str
    shots: int | None
    teacher: str
    paper: str
    seeds: tuple[int, ...]
    deterministic: bool
    """Learns nothing: one number, without spread."""
    entries: tuple[TableCell, ...]
    """One for each column."""
    average: Average | None
    """None where the columns are metrics."""
    rank: Rank | None
    """None unless the table has a ranking and the row is complete."""
    parameters: int | None
    train_seconds: float | None
    """Mean over distinct trainings."""
    others: tuple[tuple[str, Average], ...] = ()
    """(metric, average over the data sets) of what was measured beside the table's own metric."""

    @property
    def learned_on(self) -> str:
        return f"{self.source}, {self.shots} shots" if self.source else ""


@dataclass(frozen=True)
class Reported:
    """A published number beside what a row measured of the same."""

    row: str
    what: str
    """Data set, or 'Average of 10'."""
    metric: str
    measured: Interval
    expected: int
    """Number of seeds that the row has."""
    printed: str
    """With the digits of the source."""
    difference: float
    """Measured minus published."""
    inside: bool | None
    """Whether the published value lies inside the interval; None without one."""
    kind: str
    """'original' or 're-implemented'."""
    source: str


@dataclass(frozen=True)
class Table:
    """Rows whose numbers can be compared within each column."""

    task: str
    title: str
    metric: str
    setting: NamedValues
    """What all numbers have in common."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    devices: tuple[str, ...]
    ranking: Ranking | None
    """None where there are too few data sets or complete rows."""
    differences: NamedValues = ()
    """The part of the setting in which this table differs from others of its task."""
    reported: tuple[Reported, ...] = ()
    """Published numbers of what its rows measured."""
    mixed: tuple[str, ...] = ()
    """What differs among the rows although it must not, in a table that was asked for."""

    @property
    def by_metric(self) -> bool:
        """Columns are metrics, not data sets."""
        return len({column.dataset for column in self.columns}) == 1

    def heading(self, column: Column) -> str:
        return column.metric if self.by_metric else column.dataset_title


def probability(p: float) -> str:
    """A p-value to three digits: '0.012', '<0.001'."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """Seconds as people say them: '9.5 s', '3 min 05 s', '2 h 10 min'."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


OPTION = "task option shots"


def asked(table: Table) -> int:
    """The number of shots that was asked for; 0 where each recipe had its own."""
    said = dict(table.setting).get(OPTION, "")
    return int(said) if said.isdecimal() else 0
