"""The engine of a run: made from its options, run or detached from, and its lines in a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rppbench.errors import LostError, UsageError
from rppbench.planning.settings import Settings
from rppbench.plugins.containment import contained, line_of, uncontained

if TYPE_CHECKING:  # all of these need torch
    from rppbench.contracts.engine import CellGroup, Engine, Report
    from rppbench.execution.runner import Runner
    from rppbench.planning.status import Planned
    from rppbench.plugins.registry import Registry


def engine_of(registry: Registry, text: str) -> Engine:
    """The engine that the text names, with its options."""
    from rppbench.plugins.options import resolve

    name, explicit = registry.choose("engines", text)
    component = registry.get("engines", name)
    with _code_of(name, "cannot be made"):
        engine: Engine = component(**dict(resolve(component, explicit).options))
    return engine


def run_engine(engine: Engine, runner: Runner, groups: Sequence[CellGroup], report: Report) -> None:
    """Run the groups. UsageError if the code of the engine fails: no cell says so."""
    with _code_of(engine.name, "failed"):
        engine.run(runner, groups, report)


def submit(engine: Engine, runner: Runner, groups: Sequence[CellGroup]) -> list[str]:
    """Start the groups and return lines that say so (`--detach`). UsageError as `run_engine`."""
    with _code_of(engine.name, "failed"):
        return engine.submit(runner, groups)


@contextmanager
def _code_of(name: str, what: str) -> Iterator[None]:
    """Run code of an engine, which may be a plugin's. UsageError, with `what`, if it fails."""
    try:
        with contained():
            yield
    except Exception as error:
        if isinstance(error, UsageError | LostError) or uncontained():
            raise
        raise UsageError(f"engine {name!r} {what}: {line_of(error)}") from error


def engine_lines(registry: Registry, chosen: Settings, due: Sequence[Planned]) -> list[str]:
    """What an engine of other machines says to a plan: its workers, the time, its obstacle."""
    from rppbench.planning.plan import cell_groups

    engine = engine_of(registry, chosen.engine)
    if engine.local:
        return []
    seconds = {entry.cell.key: entry.seconds for entry in due}
    groups = cell_groups([entry.cell for entry in due])
    estimates = [_sum([seconds[cell.key] for cell in group]) for group in groups]
    lines = [f"engine {engine.name}: {line}" for line in engine.outlook(groups, estimates)]
    if problem := engine.obstacle():
        lines.append(f"engine {engine.name} cannot run here: {problem}")
    return lines


def _sum(seconds: Sequence[float | None]) -> float | None:
    known = [one for one in seconds if one is not None]
    return sum(known) if len(known) == len(seconds) else None
