"""Reports on ablation grids as Markdown and JSON, and their files beside the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from json import JSONDecodeError, dumps, loads
from pathlib import Path
from typing import Any

from rppbench.comparison.ablation import NOT_RUN, Ablation, Result, ablation
from rppbench.errors import UsageError
from rppbench.files.atomic import write_whole
from rppbench.leaderboard.tables import decimals, points
from rppbench.leaderboard.variants import grouped
from rppbench.records.grid import Grid
from rppbench.records.record import Record, lower_is_better
from rppbench.records.store import file_name
from rppbench.reporting.layout import COSTS, NOTHING, conditions, costs, whole
from rppbench.reporting.leaderboard_markdown import cell
from rppbench.reporting.markdown import difference, grid, safe


def page(report: Ablation) -> str:
    """The report for people."""
    table = report.table
    labels = report.results[0].combination.label
    lines = [
        f"# Ablation {safe(report.grid.title)}: {safe(_method(report))}, {safe(table.title)}",
        "",
        "; ".join(
            [
                *map(safe, conditions(table, learned=True)),
                "mean over data sets ± half width of the 95 % t-interval over seeds.",
            ]
        ),
        "",
        f"Differences are from the baseline ({safe(labels)}) on the same images under the same "
        f"seeds, in {points(table.metric)}; bold where p < 0.05."
        + (" Less is better." if lower_is_better(table.metric) else ""),
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
            f"![Differences, and pairs of options together]({stem(report.grid)}.svg)",
            "",
            "The figure has differences from the baseline's value (the diamond), and for pairs of "
            "options means with t-intervals over seeds, all others as in the baseline. Also as "
            f"[PNG]({stem(report.grid)}.png).",
        ]
    lines += ["", *(f"- {note}" for note in _notes(report))]
    return "\n".join(lines).rstrip("\n") + "\n"


def json(report: Ablation) -> str:
    """The report with all digits, and the grid that `written` reads again."""
    content = {
        "grid": asdict(report.grid),
        "task": report.table.task,
        "metric": report.table.metric,
        "setting": dict(report.table.setting),
        "combinations": [_plain(report, result) for result in report.results],
        "effects": [
            {**asdict(effect), "p_corrected": p}
            for effect, p in zip(report.effects, report.corrected_effects, strict=True)
        ],
    }
    return dumps(content, indent=1, ensure_ascii=False) + "\n"


def write(report: Ablation, folder: Path) -> list[Path]:
    """Write ablation-NAME.md, .json and, where there is something to see, .svg and .png; where."""
    from rppbench.reporting.ablation_plots import figure  # matplotlib takes longer than a page
    from rppbench.reporting.figure_style import png, svg

    written = []
    drawn = figure(report)
    files: list[tuple[str, str | bytes]] = [("md", page(report)), ("json", json(report))]
    files += [("svg", svg(drawn)), ("png", png(drawn))] if drawn else []
    for ending, content in files:
        written.append(Path(folder) / f"{stem(report.grid)}.{ending}")
        write_whole(written[-1], content)
    return written


def stem(grid: Grid) -> str:
    """What the files of a report are called: ablation-NAME, or ablation-NAME-METRIC."""
    return f"ablation-{file_name('-'.join(filter(None, (grid.name, grid.metric))))}"


def written(folder: Path) -> list[Grid]:
    """The grids whose reports stand in a folder. UsageError for a file that holds none."""
    return [_read(path) for path in sorted(Path(folder).glob("ablation-*.json"))]


def rewrite(records: Sequence[Record], folder: Path, into: Path) -> list[Path]:
    """Make the reports of `folder` again, from its grids and these records."""
    return [path for report in reports(records, folder) for path in write(report, into)]


def reports(records: Sequence[Record], folder: Path) -> list[Ablation]:
    """The reports on the grids of a folder that some of these records answer."""
    found = [ablation(known, records) for known in written(folder)]
    return [report for report in found if report]


def _read(path: Path) -> Grid:
    try:
        return Grid.from_json(loads(path.read_text(encoding="utf-8"))["grid"])
    except (JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} does not hold a grid ({type(error).__name__}: {error}); "
            "remove it, and the `rppbench ablate` that made it writes it again"
        ) from error


def _method(report: Ablation) -> str:
    names = [row.method for row in report.table.rows]
    return names[0]


def _combinations(report: Ablation) -> list[str]:
    factors = [factor for factor, _ in report.grid.baseline.levels]
    heads = [*map(safe, factors), "Mean", "Difference", "95 % interval", "p"]
    heads += COSTS
    body = []
    for index, result in enumerate(report.results):
        shown = [NOTHING] * 3
        if index == 0:
            shown[0] = "baseline"
        elif result.against:
            p = report.corrected[result.combination.label]
            shown = difference(result.against.difference, p, decimals(report.table.metric))
        levels = [safe(level) for _, level in result.combination.levels]
        body.append([*levels, _mean(result), *shown, *costs(result.row)])
    return grid(heads, body, left=len(factors))


def _mean(result: Result) -> str:
    mark = "" if result.whole else f"({result.done}/{len(result.combination.cells)})"
    if result.row is None:
        return f"{NOTHING} {mark}"
    return cell(replace(whole(result.row), mark=mark))


def _effects(report: Ablation) -> list[str]:
    heads = ["Option", "Value", "Against", "Mean", "Mean against", "Difference"]
    heads += ["95 % interval", "p", "Settings"]
    digits = decimals(report.table.metric)
    body = [
        [
            safe(effect.factor),
            safe(effect.level),
            safe(effect.reference),
            f"{effect.second:.{digits}f}",
            f"{effect.first:.{digits}f}",
            *difference(effect.difference, p, digits),
            f"{effect.settings}/{effect.expected}",
        ]
        for effect, p in zip(report.effects, report.corrected_effects, strict=True)
    ]
    return grid(heads, body, left=3)


def _notes(report: Ablation) -> Iterator[str]:
    results, grid = report.results, report.grid
    compared, effects = len(report.corrected), len(report.effects)
    if any(not result.whole for result in results):
        yield (
            "A mean marked (n/m) has only n of its m cells. It is not comparable with a complete "
            "one; its difference is over what it has in common with the baseline."
        )
    never = [r for r in results if not r.done and all(why == NOT_RUN for _, why in r.gaps)]
    if never:
        yield safe(f"Not run at all: {'; '.join(r.combination.label for r in never)}.")
    for result in results:
        if not result.whole and result not in never:
            gaps = grouped(result.gaps, lambda gap: gap[1]).items()
            told = "; ".join(f"{_few([where for where, _ in of])} ({why})" for why, of in gaps)
            yield safe(f"{result.combination.label} is incomplete: {told}.")
    if results[0].row is None:
        yield "The baseline has no record, so there are no differences."
    if any(result.against for result in results):
        yield (
            f"p is corrected for the {compared} combinations (Holm)"
            + (f", and of main effects for these {effects}" if effects else "")
            + "; intervals are not."
        )
    seeds = {seed for result in results if result.against for seed in result.against.seeds}
    trained = any(not row.deterministic for row in report.table.rows)
    if trained and len(seeds) == 1:
        yield "One seed: intervals are over images; another seed may say something else."
    elif any(result.against and result.against.by_seed for result in results):
        yield (
            f"{report.table.metric} is not kept image by image: paired t-test over seeds, which "
            "sees nothing of the choice of images; there are no main effects without outcomes."
        )
    elif trained and seeds:
        yield "Paired bootstrap over images, Student's t over seeds."
    if effects:
        yield (
            "A main effect is the mean difference between two values of an option at equal values "
            "of all others; n/m: the values of the others where both are complete."
        )
    for why, of_one in grouped(
        [(why, r.combination.label) for r in results for why in r.unpaired if r.whole],
        lambda gap: gap[0],
    ).items():
        yield safe(f"Not in the difference: {why}, of {_few([label for _, label in of_one])}.")
    for kept, of_one in grouped(grid.same, lambda pair: pair[1]).items():
        yield safe(f"The same as {kept}, so not run: {'; '.join(label for label, _ in of_one)}.")
    if report.table.devices:
        yield safe(f"Train time is that of one training, on {', '.join(report.table.devices)}.")


def _few(names: Sequence[str]) -> str:
    return (
        "; ".join(names) if len(names) <= 6 else f"{'; '.join(names[:6])} and {len(names) - 6} more"
    )


def _plain(report: Ablation, result: Result) -> dict[str, Any]:
    row, against = result.row, result.against
    shown = (row.average or row.entries[0]) if row else None
    spread = shown.interval if shown else None
    return {
        "levels": dict(result.combination.levels),
        "done": result.done,
        "expected": len(result.combination.cells),
        "mean": shown.mean if shown else None,
        "half_width": spread.half_width if spread else None,
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
