"""What a row of a report opens to: its options, cells, trainings, their log, its environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rppbench.leaderboard.tables import duration
from rppbench.leaderboard.variants import Variant
from rppbench.records.record import Record


@dataclass(frozen=True)
class Block:
    """A small table of texts."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def opened(variant: Variant) -> list[Block]:
    """Everything that the records of a row say, but the outcome of each image."""
    order = {r.key: int(r.labels.get("dataset_order") or 0) for r in variant.records}
    records = sorted(
        variant.records,
        key=lambda r: (order[r.key], r.cell.dataset, r.cell.seed, r.finished),
    )
    found = [_options(variant), _cells(records), *_trainings(records), _environment(records)]
    return [block for block in found if block.rows]


def _options(variant: Variant) -> Block:
    paper = variant.newest.labels.get("paper", "")
    facts = (*variant.facts, *([("paper", paper)] if paper else []))
    return Block("Options", ("Option", "Value"), facts)


def _cells(records: Sequence[Record]) -> Block:
    metrics = tuple(dict.fromkeys(score.metric for r in records for score in r.scores))
    rows = []
    for record in records:
        found = {score.metric: score for score in record.scores}
        counted = next((s for s in record.scores if s.correct is not None), None)
        failure = record.failure
        rows.append(
            (
                record.labels.get("dataset") or record.cell.dataset,
                str(record.cell.seed),
                *(f"{found[name].value:.2f}" if name in found else "" for name in metrics),
                f"{counted.correct}/{counted.total}" if counted else "",
                duration(record.cost.eval_seconds) if not failure else "",
                f"{failure.kind}: {failure.message}" if failure else "ok",
                record.finished,
                record.key,
            )
        )
    heads = ("Data set", "Seed", *metrics, "Right", "Scored in", "Status", "Finished", "Cell")
    return Block("Cells", heads, tuple(rows))


def _trainings(records: Sequence[Record]) -> list[Block]:
    """What the trainings took, and how they went: each once, though many cells share it."""
    costs, log = [], []
    several = len({r.cell.training.source for r in records if r.cell.training}) > 1
    met: set[str] = set()
    # The cell that learned comes first: its memory is the training's.
    for record in sorted(records, key=lambda r: (r.cell.seed, r.cost.training_reused)):
        training = record.cell.training
        if training is None or record.failure or record.cell.imported or training.key in met:
            continue
        met.add(training.key)
        who = (str(training.seed), *([training.source] if several else []))
        cost = record.cost
        costs.append(
            (
                *who,
                duration(cost.train_seconds),
                f"{cost.steps:,}",
                f"{cost.parameters:,}",
                f"{cost.peak_bytes / 2**30:.2f} GiB",
                training.key,
            )
        )
        for entry in record.training_log:
            rest = {name: f"{value:.4g}" for name, value in entry.items() if name != "epoch"}
            log.append((who, f"{entry['epoch']:g}", rest))
    names = tuple(dict.fromkeys(name for *_, rest in log for name in rest))
    who_heads = ("Seed", *(["SourceFile"] if several else []))
    heads = (*who_heads, "Time", "Steps", "Parameters", "Peak memory", "Training")
    lines = tuple(
        (*who, epoch, *(rest.get(name, "") for name in names)) for who, epoch, rest in log
    )
    return [
        Block("Cost", heads, tuple(costs)),
        Block("Training log", (*who_heads, "epoch", *names), lines),
    ]


def _environment(records: Sequence[Record]) -> Block:
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in record.environment.items():
            found.setdefault(name, {})[value] = None
    rows = tuple((name, " or ".join(values)) for name, values in found.items())
    return Block("Environment", ("What", "Value"), rows)
