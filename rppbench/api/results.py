"""Records as rows: one for each metric of each cell, with options as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, overload

from rppbench.commands.leaderboard import load
from rppbench.errors import UsageError
from rppbench.records.cell import Option, recipe_name
from rppbench.records.record import Record

if TYPE_CHECKING:
    import pandas as pd

    from rppbench.comparison.compare import Comparison
    from rppbench.stats.two_level import Difference


@dataclass(frozen=True)
class Row:
    """One metric of one cell."""

    key: str
    """The cell's key, with which `rppbench records show` and `export` find it."""
    method: str
    task: str
    dataset: str
    backbone: str
    seed: int
    metric: str
    """Name of the metric; the cell's main metric for a cell that failed."""
    value: float | None
    """Percent; losses are in nats. None for a cell that failed."""
    main: bool
    """Whether it is the metric that tables show."""
    status: str
    """'ok' or 'failed'."""
    error: str
    """Why the cell failed; '' otherwise."""
    shots: int | None
    """Training images of each class; None if nothing is learned."""
    source: str
    """Data set that was learned on; '' if nothing is learned."""
    recipe: str
    train_seconds: float
    eval_seconds: float
    method_options: Mapping[str, Option] = field(default_factory=dict)
    task_options: Mapping[str, Option] = field(default_factory=dict)


class Rows(Sequence[Row]):
    """Rows of records, in their order; a slice is `Rows` too."""

    def __init__(self, rows: Iterable[Row], records: Iterable[Record] = ()) -> None:
        self._rows = tuple(rows)
        self.records = tuple(records)
        """The records that the rows are from."""

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> Row | Rows:
        chosen = self._rows[index]
        return chosen if isinstance(chosen, Row) else Rows(chosen, self.records)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<{len(self)} rows of {len(self.records)} records>"

    @property
    def failed(self) -> Rows:
        """The rows of cells that failed."""
        return Rows((row for row in self if row.status == "failed"), self.records)

    def to_pandas(self) -> pd.DataFrame:
        """A tidy data frame: a row for each metric of each cell.

        Options are columns, 'method.length' and 'task.shots', empty where a cell has none of that
        name. UsageError if pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UsageError("to_pandas needs the package pandas: pip install pandas") from error
        return pandas.DataFrame.from_records(list(map(_flat, self)))


def load_records(folder: str | PathLike[str] = "runs") -> Rows:
    """All records below the folder of a run. UsageError if there are none."""
    records, _ = load(Path(folder))
    return rows_of(records)


def rows_of(records: Iterable[Record]) -> Rows:
    """The rows of records, in their order."""
    kept = list(records)
    return Rows((row for record in kept for row in _rows(record)), kept)


def _rows(record: Record) -> Iterator[Row]:
    cell, training = record.cell, record.cell.training
    common: dict[str, Any] = {
        "key": record.key,
        "method": cell.method.name,
        "task": cell.task.name,
        "dataset": cell.dataset,
        "backbone": cell.backbone,
        "seed": cell.seed,
        "status": record.status,
        "error": record.failure.message if record.failure else "",
        "shots": training.shots if training else None,
        "source": training.source if training else "",
        "recipe": recipe_name(training) if training else "",
        "train_seconds": record.cost.train_seconds,
        "eval_seconds": record.cost.eval_seconds,
        "method_options": dict(cell.method.options),
        "task_options": dict(cell.task.options),
    }
    if record.status != "ok":
        yield Row(metric=record.metric, value=None, main=True, **common)
    for score in record.scores:
        main = score.metric == record.metric
        yield Row(metric=score.metric, value=score.value, main=main, **common)


def _flat(row: Row) -> dict[str, object]:
    """The row's fields by name, with each option under a name of its own."""
    plain = {one.name: getattr(row, one.name) for one in fields(row)}
    options = {kind: plain.pop(f"{kind}_options") for kind in ("method", "task")}
    return plain | {
        f"{kind}.{name}": value
        for kind, values in options.items()
        for name, value in values.items()
    }


@dataclass(frozen=True)
class PairedDifference:
    """How much better the second row is on one data set, or on average, in percentage points."""

    table: str
    """Title of the table that has both rows, with what distinguishes it."""
    dataset: str
    """'average' for the mean over data sets."""
    metric: str
    first: float
    second: float
    difference: float
    low: float | None
    """Ends of the 95 % interval; None where one seed shows no spread."""
    high: float | None
    p: float | None
    """Of no difference, corrected for the number of data sets (Holm); the average's is not."""
    seeds: tuple[int, ...]


def compare(
    first: str,
    second: str,
    folder: str | PathLike[str] = "runs",
    *,
    task: str | None = None,
    metric: str | None = None,
) -> list[PairedDifference]:
    """The differences `second - first` of two rows, as `rppbench compare` prints them.

    A row is named by its label in the leaderboard or as `rpp:kd=off`. UsageError for a name that
    matches no row, and if nothing can be compared.
    """
    from rppbench.comparison import compare as comparison

    records, _ = load(Path(folder))
    tables, _ = comparison.compare(records, first, second, task, metric)
    return [row for one in tables for row in _differences(one)]


def _differences(comparison: Comparison) -> Iterator[PairedDifference]:
    table = comparison.table
    title = ", ".join([table.title, *(f"{name}: {value}" for name, value in table.differences)])
    for pair, p in zip(comparison.pairs, comparison.corrected, strict=True):
        means = 100 * float(pair.first.mean()), 100 * float(pair.second.mean())
        column, gap = pair.column, pair.difference
        yield _of(title, column.dataset, column.metric, means, gap, p, pair.seeds)
    if mean := comparison.overall:
        metric, gap = comparison.pairs[0].column.metric, mean.difference
        yield _of(title, "average", metric, (mean.first, mean.second), gap, gap.p, mean.seeds)
    for (column, scores), corrected in zip(
        comparison.by_seed, comparison.corrected_by_seed, strict=True
    ):
        means = fmean(scores.first), fmean(scores.second)
        by_seed = scores.difference
        yield _of(title, column.dataset, column.metric, means, by_seed, corrected, scores.seeds)


def _of(
    table: str,
    dataset: str,
    metric: str,
    means: tuple[float, float],
    gap: Difference | None,
    p: float | None,
    seeds: tuple[int, ...],
) -> PairedDifference:
    return PairedDifference(
        table,
        dataset,
        metric,
        first=means[0],
        second=means[1],
        difference=means[1] - means[0] if gap is None else gap.mean,
        low=gap.low if gap else None,
        high=gap.high if gap else None,
        p=p,
        seeds=seeds,
    )
