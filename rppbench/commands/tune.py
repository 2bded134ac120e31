"""`rppbench tune`: choose settings of a method on validation images alone."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rppbench.commands import run, run_flags
from rppbench.commands.ablate import given
from rppbench.commands.conclusion import conclude
from rppbench.commands.requests import loaded, plugins_named, requests
from rppbench.commands.torchrun import help_on, helps
from rppbench.comparison.tuning import Trial, against, best_so_far, trials
from rppbench.errors import UsageError
from rppbench.leaderboard.number_format import signed_text
from rppbench.planning.config_files import load
from rppbench.planning.settings import TUNE_NAMES, VALIDATION, TuneSettings, tune_settings
from rppbench.plugins.containment import debugging
from rppbench.records.names import file_name
from rppbench.records.store import Store
from rppbench.reporting.layout import NO_NUMBER
from rppbench.reporting.markdown import escape, interval_text, markdown_table
from rppbench.terminal.confirm import confirmed
from rppbench.terminal.console import console, note
from rppbench.terminal.plan_table import counted
from rppbench.terminal.tables import print_page

if TYPE_CHECKING:
    from rppbench.planning.grids import Design
    from rppbench.planning.input_digests import InputDigests
    from rppbench.records.grid import Grid

WORDS = {
    "few-shot": "at most four validation images of each class",
    "held-out-shot": "the last shot of each class, which the trials do not learn from",
    "full": "the complete validation split",
    "targets": "the complete validation splits of the data sets that the task scores",
}
"""What each kind of validation is, for a reader of the page."""
SEARCHED = ("method", "task", "dataset", "model")
"""Settings that say what a search is for: a folder holds one search."""

KEPT = (
    *(
        "data",
        "pretrained",
        "seed",
        "shots",
        "draw",
        "partial",
        "quick",
        "precision",
        "teacher",
        "recipe",
    ),
    "limit",
)
"""Settings that the chosen configuration repeats, beside method, task, data sets and models."""
BAR = 30
"""Longest bar of the chart in characters."""


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `run`, and those that say what to vary and what to choose on."""
    run_flags.flags(parser)
    parser.add_argument(
        "--vary",
        action="append",
        metavar="KEY=V,V,...",
        help="values of an option of the method or recipe (recipe.lr=...), or of teacher",
    )
    parser.add_argument(
        "--budget",
        type=int,
        metavar="N",
        help="combinations to try: all, or the first of each and others drawn at random [20]",
    )
    parser.add_argument(
        "--validation",
        metavar="|".join(VALIDATION),
        help="images to choose on [few-shot: at most four a class]",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="folder OUTPUT/tune/NAME [the method and the options]"
    )


def tune(arguments: argparse.Namespace) -> int:
    """Run the due trials, print them and write the chosen settings; 1 if a trial failed."""
    chosen = _settings(arguments)
    if helps():
        return help_on(chosen)
    from rppbench.planning.input_digests import InputDigests

    with debugging(chosen.debug):
        digests = InputDigests(loaded(chosen))
        design = _designed(digests, chosen, arguments.yes)
    registry, grid = digests.registry, design.grid
    store = Store(Path(chosen.output) / "tune" / file_name(grid.name))
    _refuse_other_search(store.root, chosen)
    planned, problems = run.survey_in(
        store, design.cells, digests, chosen, estimates=chosen.dry_run
    )
    if chosen.dry_run:
        return run.print_plan(registry, planned, chosen, problems, design.names)
    with debugging(chosen.debug):
        due = run.execute(registry, planned, store, replace(chosen, output=str(store.root)))
    if due and chosen.detach:
        return 0
    records, _ = run.records_and_pages(store)
    tried = trials(grid, records)
    text = "".join(f"{line}\n" for line in _page(grid, tried, chosen))
    best = best_so_far(tried)[-1]
    place = store.root / "chosen.yaml"
    try:
        (store.root / "tune.md").write_text(text, encoding="utf-8")
        if best:
            place.write_text(_configuration(best, len(tried), chosen), encoding="utf-8")
        else:
            place.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {store.root}: {error.strerror}") from error
    print_page(text)
    notes = console(stderr=True)
    for line in _chart(tried, best):
        notes.print(line, soft_wrap=True)
    status = conclude(planned, due, records, store)
    if best:
        note(f"test the chosen settings: rppbench run --config {place}")
    return status


def _designed(digests: InputDigests, chosen: TuneSettings, yes: bool) -> Design:
    """The trials with their cells, which score validation images."""
    from rppbench.planning.grids import design  # needs torch

    notes: dict[str, None] = {}
    with plugins_named(digests.registry):
        asked = requests(digests.registry, chosen)
        if len(asked) != 1:
            raise UsageError(f"settings are tuned for one backbone at a time, not {len(asked)}")
        request = replace(asked[0], validation=chosen.validation)
        planned = confirmed(
            yes,
            lambda most: design(
                digests.registry,
                request,
                chosen.vary,
                {},
                budget=chosen.budget,
                name=chosen.name,
                input_digests=digests,
                warn=notes.setdefault,
                most=most,
            ),
        )
    for line in notes:
        note(line)
    return planned


def _refuse_other_search(folder: Path, chosen: TuneSettings) -> None:
    """UsageError if the folder holds what was chosen for something else: it would be replaced.

    Also if that cannot be read.
    """
    place = folder / "chosen.yaml"
    before = load(place, note) if place.is_file() else {}
    for key in SEARCHED if before else ():
        now, then = list(getattr(chosen, key)), before.get(key, [])
        if now != then:
            raise UsageError(
                f"{folder} holds a search with {key} {_words(then)}, not {_words(now)}; "
                "--name gives this one a folder of its own"
            )


def _words(values: Any) -> str:
    return ", ".join(map(str, values)) or "(all)" if isinstance(values, list) else repr(values)


def _page(grid: Grid, tried: Sequence[Trial], chosen: TuneSettings) -> Iterator[str]:
    """The trials in their order, and what they were compared on."""
    factors = [factor for factor, _ in grid.baseline.levels]
    best = best_so_far(tried)
    yield f"# Tuning of {escape(chosen.method[0])} on {escape(chosen.task[0])}"
    yield ""
    cells = grid.baseline.cells
    one_seed = len({place.seed for place in cells}) == 1
    yield (
        f"Chosen on validation images alone: {WORDS[chosen.validation]}, {tried[0].images:,} in "
        f"the {counted(len(cells), 'cell')} of a trial. No test image was read. Top1 in percent, "
        "mean over data sets and seeds. Differences from the chosen trial are paired over images "
        f"and seeds; their 95 % intervals leave out the choice{' and other seeds' * one_seed}, and "
        "the best of many trials looks better than it is."
    )
    yield ""
    body = []
    for number, (trial, until) in enumerate(zip(tried, best, strict=True), 1):
        levels = [escape(level) for _, level in trial.combination.levels]
        mark = f"({len(trial.values)}/{len(trial.combination.cells)})"
        mean = f"{NO_NUMBER} {mark}" if trial.mean is None else f"{trial.mean:.1f}"
        so_far = NO_NUMBER if until is None else f"{until.mean:.1f}"
        body.append([*levels, str(number), mean, so_far, _against(best[-1], trial)])
    heads = [*map(escape, factors), "Trial", "Validation top1", "Best so far", "Against the chosen"]
    yield from markdown_table(heads, body, left=len(factors))


def _against(best: Trial | None, trial: Trial) -> str:
    """'chosen', or how much higher the trial is, with interval; without where none can be given."""
    if trial is best:
        return "chosen"
    if best is None or best.mean is None or trial.mean is None:
        return ""
    difference = against(best, trial)
    if difference is None:
        return signed_text(trial.mean - best.mean)
    return f"{signed_text(difference.mean)} ({interval_text(difference)})"


def _chart(tried: Sequence[Trial], best: Trial | None) -> Iterator[str]:
    """A bar for each complete trial, from the lowest mean to the highest."""
    means = [trial.mean for trial in tried if trial.mean is not None]
    if not means:
        return
    low, high = min(means), max(means)
    width = max(len(trial.combination.label) for trial in tried)
    yield f"validation top1 of the trials, bars from {low:.1f} to {high:.1f}:"
    for trial in tried:
        if trial.mean is not None:
            length = 1 + round((BAR - 1) * (trial.mean - low) / ((high - low) or 1.0))
            chosen = "  chosen" if trial is best else ""
            label = trial.combination.label
            yield f"  {label:<{width}}  {trial.mean:5.1f}  {'█' * length}{chosen}"


def _configuration(best: Trial, tried: int, chosen: TuneSettings) -> str:
    """A config file that `run` takes: the settings of this search with the chosen values."""
    import yaml

    from rppbench.planning.grids import TEACHER  # needs torch

    levels = dict(best.combination.levels)
    values: dict[str, Any] = {
        **{name: list(getattr(chosen, name)) for name in SEARCHED},
        **{name: getattr(chosen, name) for name in KEPT},
    }
    values |= {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
    values[TEACHER] = levels.pop(TEACHER, "") or values[TEACHER]
    values["set"] = {**chosen.set, **levels, "recipe.tuned": chosen.validation}
    kept = {name: value for name, value in values.items() if value not in (None, [], False)}
    head = (
        f"# Chosen by `rppbench tune` among {counted(tried, 'trial')}, on "
        f"{WORDS[chosen.validation]}.\n"
    )
    return head + yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)


def _settings(arguments: argparse.Namespace) -> TuneSettings:
    return tune_settings(given(arguments, TUNE_NAMES), arguments.config, note)
