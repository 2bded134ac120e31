"""Leaderboard tables as plain data: a table, its rows, columns, cells and published numbers.

The JSON files hold these classes field by field, so a field's name is part of their format.
Values are in the unit of their metric (`rppbench.leaderboard.number_format.unit`), mostly percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from rppbench.leaderboard.number_format import DECIMALS
from rppbench.records.cell import shots_text
from rppbench.records.stand_in import is_stand_in
from rppbench.stats.intervals import Interval, interval
from rppbench.stats.ranks import Rank, Ranking

NamedValues = tuple[tuple[str, str], ...]
"""(name, value) pairs."""
TASK_OPTION = "task option "
"""Start of the names of a setting's task options."""
SHOTS_OPTION = TASK_OPTION + "shots"
"""Name of the entry of `Table.setting` that holds the requested number of shots."""


@dataclass(frozen=True)
class Column:
    """A column of a table: one data set, or one metric of the only data set."""

    dataset: str
    dataset_title: str
    metric: str


@dataclass(frozen=True)
class Spread:
    """The half width of a 95 % interval, and what the interval accounts for."""

    half_width: float
    """In the unit of the metric."""
    over: tuple[str, ...]
    """'seed', 'image', or what groups of images are ('drawing'), each in the singular."""


@dataclass(frozen=True)
class PairTest:
    """The difference of two rows of a table: second minus first, in percentage points."""

    first: str
    second: str
    mean: float
    half_width: float
    """Of the 95 % interval, which is not corrected."""
    p: float
    corrected: float
    """The p-value, corrected for several pairs (Holm)."""
    seeds: int = 0
    """Number of seeds that both rows have; 0 where nothing is random. Under one seed, interval and
    p are those of the choice of images alone."""


@dataclass(frozen=True)
class Missing:
    """A seed whose cell failed, and the failure."""

    seed: int
    kind: str
    message: str


@dataclass(frozen=True)
class TableCell:
    """Values of one row in one column, one value per seed."""

    values: tuple[tuple[int, float], ...]
    """(seed, value)"""
    expected: int
    """Number of seeds that the row has in any column."""
    missing: tuple[Missing, ...] = ()
    best: bool = False
    decimals: int = DECIMALS
    spread: Spread | None = None
    """From outcomes of images; None where there are none, or the table was built without."""

    @cached_property
    def interval(self) -> Interval | None:
        """Mean over seeds with its 95 % interval: `spread`, else the t-interval over seeds; None
        without a value."""
        return _interval([value for _, value in self.values], self.spread)

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None without a value."""
        return self.interval.mean if self.interval else None

    @property
    def is_complete(self) -> bool:
        """Whether every seed of the row has a value."""
        return len(self.values) == self.expected

    @property
    def printed(self) -> str | None:
        """The mean rounded as on a page; None without a value."""
        return None if self.mean is None else f"{self.mean:.{self.decimals}f}"


@dataclass(frozen=True)
class Average:
    """Average of one row over the data sets of its table."""

    values: tuple[tuple[int, float], ...]
    """(seed, mean over data sets); () unless every data set has every seed."""
    complete: int
    """Number of data sets that have every seed."""
    expected: int
    """Number of data sets of the table."""
    partial: float | None = None
    """Mean over the values that exist, where some are missing; None without any, and where other
    rows of the table have numbers on other data sets."""
    best: bool = False
    decimals: int = DECIMALS
    spread: Spread | None = None
    """As in `TableCell`."""

    @cached_property
    def interval(self) -> Interval | None:
        """As in `TableCell`; None unless the average is complete."""
        return _interval([value for _, value in self.values], self.spread)

    @property
    def mean(self) -> float | None:
        """Mean over seeds; `partial` where values are missing."""
        return fmean(value for _, value in self.values) if self.values else self.partial

    @property
    def is_complete(self) -> bool:
        """Whether every data set has every seed."""
        return self.complete == self.expected

    @property
    def printed(self) -> str | None:
        """The mean rounded as on a page; None without a value."""
        return None if self.mean is None else f"{self.mean:.{self.decimals}f}"


def _interval(values: Sequence[float], spread: Spread | None) -> Interval | None:
    if not values or spread is None:
        return interval(values) if values else None
    return Interval(fmean(values), spread.half_width, len(values))


@dataclass(frozen=True)
class Inference:
    """Cost of live predictions, mean over the data sets of a row and their seeds."""

    flops_per_image: float
    flops_per_class_set: float
    """Of the classes of one data set, once for all its images."""
    images_per_second: float


@dataclass(frozen=True)
class Row:
    """One variant (a method with its options and its training) and its numbers."""

    label: str
    method: str
    options: NamedValues
    facts: NamedValues
    """Every property that can differ between rows of one method."""
    recipe: str
    """Name of the training recipe; '' where nothing is trained, as for `source` and `teacher`."""
    source: str
    """Title of the data set that it was trained on."""
    shots: int | None
    """Training images per class; None where nothing is trained."""
    teacher: str
    paper: str
    """Citation of the method; '' if unknown."""
    seeds: tuple[int, ...]
    deterministic: bool
    """Whether nothing is trained, so that there is one number without spread."""
    entries: tuple[TableCell, ...]
    """One for each column."""
    average: Average | None
    """None where the columns are metrics."""
    rank: Rank | None
    """None unless the table has a ranking and the row is complete."""
    parameters: int | None
    """Number of trained parameters, the largest over the data sets; None unless a cell was run here
    and succeeded."""
    train_seconds: float | None
    """Seconds of one training, mean over the distinct trainings; None without any."""
    validation: str = ""
    """The images that values were chosen on: 'few-shot', 'none', 'full, tuned: full'; '' if nothing
    is learned, and in records that do not say it."""
    inference: Inference | None = None
    """None where it was not measured."""
    seen_names: tuple[tuple[str, int, int], ...] = ()
    """(data set, names, all names) of the class names that were learned on another data set; ()
    where nothing was, and where records are from before they held it."""
    others: tuple[tuple[str, Average], ...] = ()
    """(metric, average over the data sets) of the metrics that are not the table's own."""
    fewest_parameters: int | None = None
    """The smallest number of trained parameters of any data set; None where all are the same."""
    without: float | None = None
    """The average without the table's `dominating` data set; None without one."""
    against: PairTest | None = None
    """The row against the table's `reference`, corrected for the number of rows; None for the
    reference, and where nothing says how certain a difference is."""

    @property
    def learned_on(self) -> str:
        """Source and shots as printed: 'ImageNet, 16 shots'; '' where nothing is trained."""
        return f"{self.source}, {shots_text(self.shots or 0)}" if self.source else ""

    @property
    def headline(self) -> Average | TableCell:
        """The numbers that rows are sorted by: the average, or the only data set's first metric."""
        return self.average or self.entries[0]


@dataclass(frozen=True)
class PublishedMatch:
    """A published number beside the number that a row measured under the same conditions."""

    row: str
    """Label of the row."""
    what: str
    """Title of the data set, or 'Average of 10'."""
    metric: str
    measured: Interval
    expected: int
    """Number of seeds that the row has in any column."""
    printed: str
    """The published number, with the digits of its source."""
    difference: float
    """Measured minus published, in percentage points."""
    inside: bool | None
    """Whether the published number lies inside the measured interval; None without an interval."""
    kind: str
    """'original' or 're-implemented'."""
    source: str
    """Paper or repository, and the place in it."""


@dataclass(frozen=True)
class Table:
    """Rows whose numbers can be compared within each column."""

    task: str
    title: str
    """Title of the task."""
    metric: str
    setting: NamedValues
    """Conditions that all numbers share: backbone, precision, test images, options, inputs."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    devices: tuple[str, ...]
    """Devices that the records were measured on."""
    ranking: Ranking | None
    """None where data sets or complete rows are too few."""
    differences: NamedValues = ()
    """The part of the setting in which this table differs from others of its task."""
    few_images: tuple[str, ...] = ()
    """A line for each training source of which some classes have fewer images than shots."""
    reported: tuple[PublishedMatch, ...] = ()
    """Published numbers that match numbers of its rows."""
    mixed: tuple[str, ...] = ()
    """Names of the conditions that differ between rows; () unless mixing was requested."""
    units: tuple[str, ...] = ()
    """What is independent, in the singular: 'image', 'drawing'; () without outcomes."""
    reference: str = ""
    """Label of the row that `Row.against` compares with: one that learns nothing; '' if none."""
    dominating: str = ""
    """Title of the data set that carries most of the spread between rows; '' if none does."""
    dominance: float = 0.0
    """Its share of the variance of the averages, in 0..1."""

    @property
    def by_metric(self) -> bool:
        """Whether columns are metrics of one data set instead of data sets."""
        return len(self.datasets) == 1

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets that have a column."""
        return tuple(dict.fromkeys(column.dataset for column in self.columns))

    @property
    def stand_in(self) -> bool:
        """Whether its numbers come from the embedded world."""
        return is_stand_in(dict(self.setting).get("backbone", ""), self.datasets)

    @property
    def requested_shots(self) -> int:
        """The number of shots that the task requested; 0 where each recipe has its own."""
        shots = dict(self.setting).get(SHOTS_OPTION, "")
        return int(shots) if shots.isdecimal() else 0

    @property
    def chooses(self) -> bool:
        """Whether values of a row were chosen on validation images."""
        return any(row.validation not in ("", "none") for row in self.rows)

    def heading(self, column: Column) -> str:
        """The head of a column: the metric's name or the data set's title."""
        return column.metric if self.by_metric else column.dataset_title
