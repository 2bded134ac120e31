"""Ablation reports: the Markdown page and JSON of a grid's results, written beside the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from json import JSONDecodeError, dumps, loads
from pathlib import Path
from typing import Any

from rppbench.comparison.ablation import NOT_RUN, Ablation, Result, ablation
from rppbench.errors import UsageError
from rppbench.files.atomic import write_atomically
from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.number_format import decimals, difference_unit
from rppbench.records.grid import Grid
from rppbench.records.names import file_name
from rppbench.records.record import Record, lower_is_better
from rppbench.reporting.layout import (
    NO_NUMBER,
    conditions,
    cost_columns,
    headline_text,
)
from rppbench.reporting.markdown import (
    cell_text,
    difference_cells,
    escape,
    markdown_table,
    stand_in_note,
)


def page(report: Ablation) -> str:
    """The report as a Markdown page."""
    table = report.table
    baseline = report.results[0].combination.label
    of = f"{escape(method_of(report))}, {escape(table.title)}"
    lines = [
        f"# Ablation {escape(report.grid.title)}: {of}",
        "",
        *([f"**{escape(report.grid.question)}**", ""] if report.grid.question else []),
        *stand_in_note([table]),
        "; ".join(
            [
                *map(escape, conditions(table, learned=True)),
                "mean over data sets ± half width of the 95 % t-interval over seeds.",
            ]
        ),
        "",
        f"Differences are from the baseline ({escape(baseline)}) on the same images under the same "
        f"seeds, in {difference_unit(table.metric)}; bold where p < 0.05."
        + (" Lower is better." if lower_is_better(table.metric) else ""),
        "",
        "## Combinations",
        "",
        *_combinations(report),
    ]
    if report.effects:
        lines += ["", "## Main effects", "", *_effects(report)]
    if any(result.against for result in report.results):
        lines += [
            "",
            f"![Differences, and pairs of options together]({file_stem(report.grid)}.svg)",
            "",
            "The figure shows the difference of each value from the baseline's (the diamond) and, "
            "for pairs of options, means with t-intervals over seeds, the other options being "
            "those of the baseline. Also as "
            f"[PNG]({file_stem(report.grid)}.png).",
        ]
    lines += ["", *(f"- {escape(note)}" for note in notes(report))]
    return "\n".join(lines).rstrip("\n") + "\n"


def json(report: Ablation) -> str:
    """The report as JSON with all digits, and its grid, which `stored_grids` reads."""
    content = {
        "grid": asdict(report.grid),
        "task": report.table.task,
        "metric": report.table.metric,
        "setting": dict(report.table.setting),
        "combinations": [_result_fields(report, result) for result in report.results],
        "effects": [
            {**asdict(effect), "p_corrected": p}
            for effect, p in zip(report.effects, report.corrected_effects, strict=True)
        ],
    }
    return dumps(content, indent=1, ensure_ascii=False) + "\n"


def write(report: Ablation, folder: Path) -> list[Path]:
    """Write ablation-NAME.md, .json and, if there is a figure, .svg and .png; returns their paths.

    Raises OSError if a file cannot be written.
    """
    from rppbench.reporting.ablation_plots import ablation_figure  # matplotlib loads slowly
    from rppbench.reporting.figure_style import png, svg

    paths = []
    figure = ablation_figure(report)
    files: list[tuple[str, str | bytes]] = [("md", page(report)), ("json", json(report))]
    files += [("svg", svg(figure)), ("png", png(figure))] if figure else []
    for suffix, content in files:
        paths.append(Path(folder) / f"{file_stem(report.grid)}.{suffix}")
        write_atomically(paths[-1], content)
    return paths


def file_stem(grid: Grid) -> str:
    """Name of a report's files without suffix: ablation-NAME, or ablation-NAME-METRIC."""
    return f"ablation-{file_name('-'.join(filter(None, (grid.name, grid.metric))))}"


def stored_grids(folder: Path) -> list[Grid]:
    """The grids of the reports in a folder. Raises UsageError for a file without a valid grid."""
    return [_read(path) for path in sorted(Path(folder).glob("ablation-*.json"))]


def rewrite(records: Sequence[Record], folder: Path, into: Path) -> list[Path]:
    """Write the reports of `folder` again, from its grids and these records; returns the paths."""
    return [path for report in reports(records, folder) for path in write(report, into)]


def reports(records: Sequence[Record], folder: Path) -> list[Ablation]:
    """The results of the grids of a folder that have any of these records."""
    results = [ablation(grid, records) for grid in stored_grids(folder)]
    return [report for report in results if report]


def _read(path: Path) -> Grid:
    try:
        return Grid.from_json(loads(path.read_text(encoding="utf-8"))["grid"])
    except (JSONDecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} does not hold a grid ({type(error).__name__}: {error}); "
            "delete it and repeat the `rppbench ablate` that wrote it"
        ) from error


def method_of(report: Ablation) -> str:
    """The name of the method whose options vary."""
    return report.table.rows[0].method


def _combinations(report: Ablation) -> list[str]:
    factors = [factor for factor, _ in report.grid.baseline.levels]
    heads = [*map(escape, factors), "Mean", "Difference", "95 % interval", "p"]
    costs = cost_columns(result.row for result in report.results)
    heads += [column.head for column in costs]
    body = []
    for index, result in enumerate(report.results):
        difference = [NO_NUMBER] * 3
        if index == 0:
            difference[0] = "baseline"
        elif result.against:
            p = report.corrected[result.combination.label]
            digits = decimals(report.table.metric)
            difference = difference_cells(result.against.difference, p, digits)
        levels = [escape(level) for _, level in result.combination.levels]
        body.append([*levels, _mean(result), *difference, *(c.text(result.row) for c in costs)])
    return markdown_table(heads, body, left=len(factors))


def _mean(result: Result) -> str:
    mark = "" if result.is_complete else f"({result.done}/{len(result.combination.cells)})"
    if result.row is None:
        return f"{NO_NUMBER} {mark}"
    return cell_text(replace(headline_text(result.row), mark=mark))


def _effects(report: Ablation) -> list[str]:
    heads = ["Option", "Value", "Against", "Mean", "Mean against", "Difference"]
    heads += ["95 % interval", "p", "Settings"]
    digits = decimals(report.table.metric)
    body = [
        [
            escape(effect.factor),
            escape(effect.level),
            escape(effect.reference),
            f"{effect.second:.{digits}f}",
            f"{effect.first:.{digits}f}",
            *difference_cells(effect.difference, p, digits),
            f"{effect.settings}/{effect.expected}",
        ]
        for effect, p in zip(report.effects, report.corrected_effects, strict=True)
    ]
    return markdown_table(heads, body, left=3)


def notes(report: Ablation) -> Iterator[str]:
    """Notes below the tables of a report, as plain text."""
    results, grid = report.results, report.grid
    compared, effects = len(report.corrected), len(report.effects)
    if any(not result.is_complete for result in results):
        yield (
            "A mean marked (n/m) has only n of its m cells. It is not comparable with a complete "
            "one; its difference is over what it has in common with the baseline."
        )
    not_run = [r for r in results if not r.done and all(why == NOT_RUN for _, why in r.gaps)]
    if not_run:
        yield f"Not run at all: {'; '.join(r.combination.label for r in not_run)}."
    for result in results:
        if not result.is_complete and result not in not_run:
            gaps = group_by(result.gaps, lambda gap: gap[1]).items()
            listed = "; ".join(f"{_few([where for where, _ in of])} ({why})" for why, of in gaps)
            yield f"{result.combination.label} is incomplete: {listed}."
    if results[0].row is None:
        yield "The baseline has no record, so there are no differences."
    if compared > 1:
        yield (
            f"p is corrected for the {compared} combinations (Holm)"
            + (f", and that of main effects for these {effects}" if effects else "")
            + "; intervals are not."
        )
    seeds = {seed for result in results if result.against for seed in result.against.seeds}
    trained = any(not row.deterministic for row in report.table.rows)
    if trained and len(seeds) == 1:
        yield "One seed: intervals are over images alone; another seed may give another answer."
    elif any(result.against and result.against.by_seed for result in results):
        yield (
            f"{report.table.metric} is not kept image by image: paired t-test over seeds, which "
            "does not account for the choice of images. Main effects need outcomes of images."
        )
    elif trained and seeds:
        yield "Intervals and p of differences cover the choice of seeds and of test images."
    if effects:
        yield (
            "A main effect is the mean difference between two values of an option at equal values "
            "of all others; n/m counts the combinations of the others in which both are complete."
        )
    for why, of_one in group_by(
        [(why, r.combination.label) for r in results for why in r.unpaired if r.is_complete],
        lambda gap: gap[0],
    ).items():
        yield (f"Left out of the difference: {why}, for {_few([label for _, label in of_one])}.")
    for kept, of_one in group_by(grid.same, lambda pair: pair[1]).items():
        yield f"The same as {kept}, so not run: {'; '.join(label for label, _ in of_one)}."
    if report.table.devices:
        yield escape(f"Train time is that of one training, on {', '.join(report.table.devices)}.")


def _few(names: Sequence[str]) -> str:
    """The names, or the first six and the number of the others."""
    if len(names) <= 6:
        return "; ".join(names)
    return f"{'; '.join(names[:6])} and {len(names) - 6} more"


def _result_fields(report: Ablation, result: Result) -> dict[str, Any]:
    row, against = result.row, result.against
    headline = row.headline if row else None
    interval = headline.interval if headline else None
    return {
        "levels": dict(result.combination.levels),
        "done": result.done,
        "expected": len(result.combination.cells),
        "mean": headline.mean if headline else None,
        "half_width": interval.half_width if interval else None,
        "datasets": {
            column.dataset: {str(seed): value for seed, value in entry.values}
            for column, entry in zip(report.table.columns, row.entries, strict=True)
        }
        if row
        else {},
        "difference": asdict(against.difference) if against else None,
        "p_corrected": report.corrected.get(result.combination.label),
        "seeds": against.seeds if against else (),
        "gaps": [{"where": where, "why": why} for where, why in result.gaps],
    }
