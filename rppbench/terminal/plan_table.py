"""The cells of a plan as a table, its totals, and why some cells cannot run or are stale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from rppbench.leaderboard.number_format import duration_text
from rppbench.records.cell import EVERY_IMAGE, Cell
from rppbench.reporting.layout import NO_NUMBER
from rppbench.terminal.tables import print_table

if TYPE_CHECKING:  # a plan needs torch
    from rppbench.planning.status import Planned
    from rppbench.plugins.registry import Registry

MODELLED = "~ from a model of the cost, not from records: within a factor of four or so"


def print_cells(
    out: Console,
    registry: Registry,
    planned: Sequence[Planned],
    names: Mapping[str, str] | None = None,
) -> None:
    """Print a row for each cell; `names` distinguishes the cells of one method, by key.

    Backbone and shots have a column each if there are several. '~' marks an estimate that is not
    from records.
    """
    from rppbench.plugins.descriptions import changed_options

    several = len({entry.cell.backbone for entry in planned}) > 1
    shots = [_shots(entry.cell) for entry in planned]
    several_shots = len(set(shots) - {None}) > 1
    rows = []
    for entry, count in zip(planned, shots, strict=True):
        cell = entry.cell
        changed = names[cell.key] if names else changed_options(registry, cell)
        rows.append(
            [
                *([cell.backbone] if several else []),
                cell.method.name + (f" ({changed})" if changed else ""),
                cell.task.name,
                cell.dataset,
                *([_shots_text(count)] if several_shots else []),
                str(cell.seed),
                entry.state,
                entry.training,
                _estimate(entry),
            ]
        )
    heads = [
        *(["Backbone"] if several else []),
        *("Method", "Task", "Data set"),
        *(["Shots"] if several_shots else []),
        *("Seed", "State", "Training", "Estimate"),
    ]
    print_table(out, heads, rows)


def _shots(cell: Cell) -> int | None:
    """The training images per class: those of the task, which zero-shot has too, or as learned."""
    asked = dict(cell.task.options).get("shots")
    if cell.training is not None:
        return cell.training.shots
    return asked if isinstance(asked, int) and asked else None


def _shots_text(shots: int | None) -> str:
    if shots is None:
        return NO_NUMBER
    return "all" if shots >= EVERY_IMAGE else str(shots)


def _estimate(entry: Planned) -> str:
    if entry.seconds is None:
        return NO_NUMBER
    return f"{'~' if entry.modelled else ''}{duration_text(entry.seconds)}"


def obstacle_lines(planned: Sequence[Planned]) -> list[str]:
    """A line for each reason why cells are refused or blocked, with their number."""
    counts = Counter(
        (entry.state, entry.cell.method.name if entry.state == "refused" else "", entry.reason)
        for entry in planned
        if entry.reason
    )
    return [
        f"{state} ({counted(count, 'cell')}): {f'{method}: ' if method else ''}"
        + "; ".join(reason.splitlines())
        for (state, method, reason), count in counts.items()
    ]


def stale_lines(planned: Sequence[Planned]) -> list[str]:
    """A line for each reason why records are stale, with the number of cells that have it."""
    counts = Counter(reason for entry in planned for reason in entry.why)
    return [f"stale ({counted(count, 'cell')}): {reason}" for reason, count in counts.items()]


def totals(planned: Sequence[Planned], due: Sequence[Planned], always: bool) -> str:
    """The numbers of cells by state, of trainings, and the estimate of the cells that are due.

    `always` runs all trainings anew. A refused cell is due at every run, and never runs.
    """
    due = [entry for entry in due if entry.state != "refused"]
    states = [entry.state for entry in planned]
    parts = [f"{len(due)} to run"]
    for name in ("done", "stale", "failed", "crashed", "blocked", "refused"):
        parts += [f"{states.count(name)} {name}"] if name in states else []
    text = f"{counted(len(planned), 'cell')}: {', '.join(parts)}"
    if always:  # neither stored prompts nor old estimates count then
        trainings = {entry.cell.training for entry in due if entry.cell.training}
        trainings |= {training.start for training in trainings if training.start}
        return f"{text}; {counted(len(trainings), 'training')}"
    text += f"; {counted(sum(entry.trainings for entry in due), 'training')}"
    known = [entry.seconds for entry in due if entry.seconds is not None]
    if not known:
        return text
    rest = len(due) - len(known)
    more = f" and {counted(rest, 'cell')} without an estimate" if rest else ""
    modelled = any(entry.modelled for entry in due)
    how = f" ({MODELLED})" if modelled else ""
    return f"{text}; about {duration_text(sum(known))}{how}{more}"


def counted(count: int, what: str) -> str:
    """'1 cell', '2 cells'."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
