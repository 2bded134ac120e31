"""A folder of made-up records: a finished grid of as many cells as wanted, without any training.

The cells are planned as `rppbench plan` plans them, so that a command with the same words finds the
grid finished. All else of a record is that of a committed one, with other outcomes of its images.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rppbench.planning.input_digests import InputDigests
from rppbench.planning.plan import cells
from rppbench.planning.request import Request
from rppbench.plugins.registry import Registry
from rppbench.records.codec import encode
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Score
from rppbench.records.store import Store

COMMITTED = Path(__file__).parent.parent / "leaderboards"
TASK, SETS = "cross-dataset", 11
ROWS = [f"{name}:length={n}" for name in ("coop", "kgcoop", "pomp", "rpp") for n in range(1, 26)]
"""Rows of the table: more than the alphabet has letters."""


def seeds(count: int) -> list[int]:
    """Seeds of a grid of about `count` cells: each gives one for each row and data set."""
    return list(range(1, max(1, round(count / (len(ROWS) * SETS))) + 1))


def words(seeds: Sequence[int]) -> list[str]:
    """Words of the command that asks for the grid with these seeds."""
    return ["--method", *ROWS, "--task", TASK, "--seed", *map(str, seeds), "--yes"]


def write_records(folder: Path, seeds: Sequence[int], lines: bool) -> int:
    """Write the records of the grid, as JSON Lines or one file per cell; returns their number."""
    registry = Registry.load()
    planned = cells(
        registry, Request(tuple(ROWS), (TASK,), seeds=tuple(seeds)), InputDigests(registry)
    )
    templates = {
        (r.cell.method.name, r.cell.dataset): r
        for r in Store(COMMITTED).all()[0]
        if r.cell.task.name == TASK and r.status == "ok"
    }
    store, drawn = Store(folder), random.Random(0)
    content: dict[Path, list[bytes]] = {}
    for cell in planned:
        template = templates[cell.method.name, cell.dataset]
        options = ", ".join(f"{k}={v}" for k, v in cell.method.options if k == "length")
        record = replace(
            template,
            cell=cell,
            scores=tuple(_score(score, drawn) for score in template.scores),
            labels={**template.labels, "method_options": options},
        )
        path = store.lines_path(cell) if lines else store.record_path(cell)
        content.setdefault(path, []).append(encode(record) + b"\n")
    for path, of_path in content.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(of_path))  # without fsync, which `Store.write` waits for
    return len(planned)


def _score(score: Score, drawn: random.Random) -> Score:
    """The score with outcomes drawn anew where it keeps them."""
    if score.per_image is None or not score.total:
        return score
    share = score.value / 100
    right = [drawn.random() < share for _ in range(score.total)]
    correct = sum(right)
    return Score(
        score.metric, 100 * correct / score.total, correct, score.total, PerImage.of(right)
    )
