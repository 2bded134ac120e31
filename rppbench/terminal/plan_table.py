"""The cells of a plan as a table, its totals, and why some cells cannot run or are stale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from rppbench.leaderboard.number_format import duration_text
from rppbench.terminal.console import print_table

if TYPE_CHECKING:  # a plan needs torch
    from rppbench.planning.status import Planned
    from rppbench.plugins.registry import Registry


def print_cells(
    out: Console,
    registry: Registry,
    planned: Sequence[Planned],
    names: Mapping[str, str] | None = None,
) -> None:
    """Print a row for each cell; `names` distinguishes the cells of one method, by key.

    The backbone has a column if there are several.
    """
    from rppbench.planning.plan import changed_options

    several = len({entry.cell.backbone for entry in planned}) > 1
    rows = []
    for entry in planned:
        cell = entry.cell
        changed = names[cell.key] if names else changed_options(registry, cell)
        rows.append(
            [
                *([cell.backbone] if several else []),
                cell.method.name + (f" ({changed})" if changed else ""),
                cell.task.name,
                cell.dataset,
                str(cell.seed),
                entry.state,
                entry.training,
                "–" if entry.seconds is None else duration_text(entry.seconds),
            ]
        )
    heads = ["Method", "Task", "Data set", "Seed", "State", "Training", "Estimate"]
    print_table(out, ["Backbone", *heads] if several else heads, rows)


def refused_lines(planned: Sequence[Planned]) -> list[str]:
    """A line for each reason why cells cannot run on their backbone, with their number."""
    counts = Counter((entry.cell.method.name, entry.reason) for entry in planned if entry.reason)
    return [
        f"refused ({counted(count, 'cell')}): {method}: " + "; ".join(reason.splitlines())
        for (method, reason), count in counts.items()
    ]


def stale_lines(planned: Sequence[Planned]) -> list[str]:
    """A line for each reason why records are stale, with the number of cells that have it."""
    counts = Counter(reason for entry in planned for reason in entry.why)
    return [f"stale ({counted(count, 'cell')}): {reason}" for reason, count in counts.items()]


def totals(planned: Sequence[Planned], due: Sequence[Planned], always: bool) -> str:
    """The numbers of cells by state, of trainings, and the estimate of the cells that are due.

    `always` runs all trainings anew.
    """
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
    rest = len([entry for entry in due if entry.state != "refused"]) - len(known)
    more = f" and {counted(rest, 'cell')} without an estimate" if rest else ""
    return f"{text}; about {duration_text(sum(known))}{more}"


def counted(count: int, what: str) -> str:
    """'1 cell', '2 cells'."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
