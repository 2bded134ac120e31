"""Running and planning from Python, as `rppbench run` and `plan` do it."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeAlias

from rppbench.api.results import Rows, rows_of
from rppbench.commands.run import execute, records_and_pages, survey_cells
from rppbench.errors import UsageError, unknown
from rppbench.planning.settings import NAMES, Settings, settings
from rppbench.plugins.containment import debugging
from rppbench.terminal.console import note

if TYPE_CHECKING:  # needs torch
    from rppbench.planning.status import Planned

Words: TypeAlias = str | Iterable[str]
Numbers: TypeAlias = int | Iterable[int]
Path: TypeAlias = str | PathLike[str]

FIXED = frozenset(("method", "task", "dataset", "model", "seed", "shots", "output", "data"))
"""Settings with a parameter of their own."""
NO_CALL = frozenset(("dry_run", "debug"))
"""Settings that only a command has."""


def run(
    methods: Words = (),
    tasks: Words = (),
    datasets: Words = (),
    *,
    models: Words = (),
    seeds: Numbers = (),
    shots: Numbers = (),
    output: Path | None = None,
    data: Path | None = None,
    config: Path | None = None,
    **others: Any,
) -> Rows:
    """Run the cells that have no record yet, write the leaderboards, return all asked-for rows.

        rppbench.run(["zeroshot", "rpp:kd=off"], seeds=[1, 2, 3])

    Each parameter is the flag of that name of `rppbench run`, `others` are its further flags with
    underscores (`recipe=`, `device=`, `limit=`, `set={"recipe.lr": "0.01"}`, ...). What is left
    out is as in the file `config`, and else as in `rppbench run`: task cross-dataset, seed 1,
    folder 'runs'. A cell that fails does not stop the others: see `Rows.failed`. UsageError for a
    mistake in the request.
    """
    chosen = _settings(methods, tasks, datasets, models, seeds, shots, output, data, config, others)
    with debugging(False):
        registry, planned, store, _, faults = survey_cells(chosen, yes=True, estimates=False)
        execute(registry, planned, store, chosen)
    for line in faults:
        note(line)
    records, _ = records_and_pages(store)
    by_key = {record.key: record for record in records}
    return rows_of(by_key[one.cell.key] for one in planned if one.cell.key in by_key)


def plan(
    methods: Words = (),
    tasks: Words = (),
    datasets: Words = (),
    *,
    models: Words = (),
    seeds: Numbers = (),
    shots: Numbers = (),
    output: Path | None = None,
    data: Path | None = None,
    config: Path | None = None,
    **others: Any,
) -> list[Planned]:
    """The cells that `run` with the same arguments would look at, each with its state.

    `[one.state for one in rppbench.plan("rpp")]` has 'done' for cells with a record, 'todo' for
    those to run, 'blocked' and 'refused' (with `reason`) for those that cannot run.
    """
    chosen = _settings(methods, tasks, datasets, models, seeds, shots, output, data, config, others)
    return survey_cells(chosen, yes=True, estimates=True)[1]


def _settings(
    methods: Words,
    tasks: Words,
    datasets: Words,
    models: Words,
    seeds: Numbers,
    shots: Numbers,
    output: Path | None,
    data: Path | None,
    config: Path | None,
    others: dict[str, Any],
) -> Settings:
    """The settings of a call. UsageError for a keyword that is no flag."""
    known = sorted(set(NAMES) - FIXED - NO_CALL)
    for name in others:
        if name not in known:
            raise unknown("setting is named", name, known, "settings")
    flags = {
        **others,
        "method": _all(methods) or None,
        "task": _all(tasks) or None,
        "dataset": _all(datasets) or None,
        "model": _all(models) or None,
        "seed": _integers(seeds) or None,
        "shots": _integers(shots) or None,
        "output": None if output is None else fspath(output),
        "data": None if data is None else fspath(data),
    }
    return settings(flags, None if config is None else fspath(config), note)


def _integers(numbers: Numbers) -> tuple[int, ...]:
    return (numbers,) if isinstance(numbers, int) else tuple(numbers)


def _all(words: Words) -> tuple[str, ...]:
    texts = (words,) if isinstance(words, str) else tuple(words)
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"names are texts, not {type(text).__name__}: {text!r}")
    return texts
