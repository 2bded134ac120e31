"""Details of a report row, as tables of text: options, cells, cost, training log, environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rppbench.leaderboard.number_format import duration_text
from rppbench.leaderboard.variants import Variant
from rppbench.records.record import Record


@dataclass(frozen=True)
class DetailTable:
    """A table of text with a title; the site holds it as JSON, field by field."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def row_details(variant: Variant) -> list[DetailTable]:
    """The contents of the variant's records except outcomes of images; no empty tables."""
    order = {r.key: int(r.labels.get("dataset_order") or 0) for r in variant.records}
    records = sorted(
        variant.records,
        key=lambda r: (order[r.key], r.cell.dataset, r.cell.seed, r.finished),
    )
    tables = [_options(variant), _cells(records), *_trainings(records), _environment(records)]
    return [table for table in tables if table.rows]


def _options(variant: Variant) -> DetailTable:
    paper = variant.newest.labels.get("paper", "")
    rows = (*variant.attributes, *([("paper", paper)] if paper else []))
    return DetailTable("Options", ("Option", "Value"), rows)


def _cells(records: Sequence[Record]) -> DetailTable:
    metrics = tuple(dict.fromkeys(score.metric for r in records for score in r.scores))
    rows = []
    for record in records:
        scores = {score.metric: score for score in record.scores}
        counted = next((s for s in record.scores if s.correct is not None), None)
        failure = record.failure
        rows.append(
            (
                record.labels.get("dataset") or record.cell.dataset,
                str(record.cell.seed),
                *(f"{scores[name].value:.2f}" if name in scores else "" for name in metrics),
                f"{counted.correct}/{counted.total}" if counted else "",
                duration_text(record.cost.eval_seconds) if not failure else "",
                f"{failure.kind}: {record.reason}" if failure else "ok",
                record.finished,
                record.key,
            )
        )
    heads = ("Data set", "Seed", *metrics, "Correct", "Scoring time", "Status", "Finished", "Cell")
    return DetailTable("Cells", heads, tuple(rows))


def _trainings(records: Sequence[Record]) -> list[DetailTable]:
    """Cost and log of the trainings: each once, though several cells share it."""
    costs, log = [], []
    several = len({r.cell.training.source for r in records if r.cell.training}) > 1
    seen: set[str] = set()
    # The cell that ran the training comes first: only its peak memory includes the training.
    for record in sorted(records, key=lambda r: (r.cell.seed, r.cost.training_reused)):
        training = record.cell.training
        if training is None or record.failure or record.cell.imported or training.key in seen:
            continue
        seen.add(training.key)
        identity = (str(training.seed), *([training.source] if several else []))
        cost = record.cost
        costs.append(
            (
                *identity,
                duration_text(cost.train_seconds),
                f"{cost.steps:,}",
                f"{cost.parameters:,}",
                f"{cost.peak_bytes / 2**30:.2f} GiB",
                training.key,
            )
        )
        for entry in record.training_log:
            values = {name: f"{value:.4g}" for name, value in entry.items() if name != "epoch"}
            log.append((identity, f"{entry['epoch']:g}", values))
    names = tuple(dict.fromkeys(name for *_, values in log for name in values))
    identity_heads = ("Seed", *(["Source"] if several else []))
    heads = (*identity_heads, "Time", "Steps", "Parameters", "Peak memory", "Training")
    lines = tuple(
        (*identity, epoch, *(values.get(name, "") for name in names))
        for identity, epoch, values in log
    )
    return [
        DetailTable("Cost", heads, tuple(costs)),
        DetailTable("Training log", (*identity_heads, "epoch", *names), lines),
    ]


def _environment(records: Sequence[Record]) -> DetailTable:
    values: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in record.environment.items():
            values.setdefault(name, {})[value] = None
    rows = tuple((name, " or ".join(different)) for name, different in values.items())
    return DetailTable("Environment", ("Item", "Value"), rows)
