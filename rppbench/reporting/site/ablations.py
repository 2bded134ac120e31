"""The page of an ablation: all combinations against the baseline, and the effects of options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rppbench.comparison.ablation import Ablation, Result
from rppbench.leaderboard.number_format import decimals, difference_unit, p_value_text
from rppbench.records.record import lower_is_better
from rppbench.reporting.ablation_page import file_stem, method_of, notes
from rppbench.reporting.layout import NO_NUMBER, CellText, conditions, headline_text
from rppbench.reporting.site.answers import counted, joined
from rppbench.reporting.site.numbers import Scale, digits, signed, span
from rppbench.stats.intervals import Interval
from rppbench.stats.ranks import LEVEL
from rppbench.stats.two_level import Difference


@dataclass(frozen=True)
class ForestRow:
    """A difference as a line of a forest plot."""

    cells: tuple[tuple[str, bool], ...]
    """(text, whether it differs from the baseline) of each option."""
    mean: CellText | None
    whisker: str
    """Custom properties; '' without a difference."""
    sure: bool
    kind: str
    """'up', 'dn' or 'no': whether it is shown to be better or worse."""
    difference: str
    interval: str
    p: str


@dataclass(frozen=True)
class AblationPage:
    """An ablation, ready to be printed."""

    report: Ablation
    file: str
    heads: tuple[str, ...]
    scale: Scale
    rows: tuple[ForestRow, ...]
    effects: tuple[ForestRow, ...]
    """(option, value and its partner) in place of options."""
    answer: str

    @property
    def title(self) -> str:
        """Name of the grid."""
        return self.report.grid.title

    @property
    def question(self) -> str:
        """What the grid asks, in its author's words if there are any."""
        if self.report.grid.question:
            return self.report.grid.question
        return (
            f"What do {joined(list(self.heads))} change?"
            if len(self.heads) > 1
            else (f"What does {self.heads[0]} change?")
        )

    @property
    def stem(self) -> str:
        """Name of the report's files without suffix."""
        return file_stem(self.report.grid)

    @property
    def facts(self) -> str:
        """What varies, and the conditions of all numbers."""
        table = self.report.table
        of = f"{method_of(self.report)}, {table.title}"
        return f"{of}. {'; '.join(conditions(table, learned=True))}"

    @property
    def zero(self) -> str:
        """Place of no difference."""
        return self.scale.place(0.0)

    @property
    def unit(self) -> str:
        """Unit of differences."""
        return difference_unit(self.report.table.metric)

    @property
    def notes(self) -> list[str]:
        """Notes below the tables."""
        return list(notes(self.report))

    @property
    def has_figure(self) -> bool:
        """Whether the report has a drawn figure."""
        return any(result.against for result in self.report.results)

    @property
    def stand_in(self) -> bool:
        """Whether its numbers come from the embedded world."""
        return self.report.table.stand_in


def ablation_page(report: Ablation) -> AblationPage:
    """The page of a report."""
    differences = [r.against.difference for r in report.results if r.against]
    differences += [effect.difference for effect in report.effects]
    low = min([0.0, *(d.low for d in differences)])
    high = max([0.0, *(d.high for d in differences)])
    margin = 0.06 * (high - low) or 1.0
    scale = Scale(low - margin, high + margin)
    effects = tuple(
        _line(
            report,
            scale,
            ((e.factor, False), (f"{e.level} instead of {e.reference}", False)),
            None,
            e.difference,
            p,
        )
        for e, p in zip(report.effects, report.corrected_effects, strict=True)
    )
    return AblationPage(
        report,
        f"{file_stem(report.grid)}.html",
        tuple(factor for factor, _ in report.grid.baseline.levels),
        scale,
        tuple(_row(report, scale, result) for result in report.results),
        effects,
        _answer(report),
    )


def _row(report: Ablation, scale: Scale, result: Result) -> ForestRow:
    baseline = dict(report.grid.baseline.levels)
    levels = tuple((v, v != baseline[name]) for name, v in result.combination.levels)
    mean = headline_text(result.row) if result.row else None
    if result.against is None:
        is_baseline = result is report.results[0]
        what = "baseline" if is_baseline else NO_NUMBER
        return ForestRow(levels, mean, "", False, "no", what, "", "")
    p = report.corrected[result.combination.label]
    return _line(report, scale, levels, mean, result.against.difference, p)


def _line(
    report: Ablation,
    scale: Scale,
    cells: tuple[tuple[str, bool], ...],
    mean: CellText | None,
    difference: Difference,
    p: float,
) -> ForestRow:
    metric = report.table.metric
    half = (difference.high - difference.low) / 2
    places = digits(half, decimals(metric))
    sure = p < LEVEL
    better = (difference.mean > 0) != lower_is_better(metric)
    return ForestRow(
        cells,
        mean,
        scale.whisker(Interval(difference.mean, half, 1)),
        sure,
        "no" if not sure else "up" if better else "dn",
        signed(difference.mean, places),
        span(difference.low, difference.high, places),
        p_value_text(p),
    )


def _answer(report: Ablation) -> str:
    """One sentence: which combinations differ from the baseline after correction."""
    compared = [r for r in report.results if r.against]
    if not compared:
        return "No combination can be compared with the baseline yet."
    sure = [r for r in compared if report.corrected[r.combination.label] < LEVEL]
    baseline, several = f"the baseline ({report.grid.baseline.label})", len(compared) > 1
    if not sure:
        none = f"None of {counted(len(compared), 'combination')} is"
        only = f"{_changes(report, compared[0])} is not"
        return f"{none if several else only} told apart from {baseline}."
    it = "it" if several else baseline
    parts = []
    for word, side in (("above", True), ("below", False)):
        of_side = [r for r in sure if r.against and (r.against.difference.mean > 0) == side]
        places = decimals(report.table.metric)
        names = [
            f"{_changes(report, r)} ({signed(r.against.difference.mean, places)})"
            for r in of_side
            if r.against
        ]
        if names:
            verb = "is" if len(names) == 1 else "are"
            parts.append(f"{joined(names[:3])} {verb} {word} {it}" + _more(len(names) - 3))
    if not several:
        return f"{parts[0]}."
    count = counted(len(sure), "combination")
    verb = "differs" if len(sure) == 1 else "differ"
    return f"{count.capitalize()} of {len(compared)} {verb} from the baseline: {'; '.join(parts)}."


def _more(number: int) -> str:
    return f", with {number} more" if number > 0 else ""


def _changes(report: Ablation, result: Result) -> str:
    """The options in which a combination differs from the baseline: 'kd=off'."""
    baseline = dict(report.grid.baseline.levels)
    changed = [f"{n}={v}" for n, v in result.combination.levels if v != baseline[n]]
    return " with ".join(changed)


def others(pages: Sequence[AblationPage], page: AblationPage) -> list[AblationPage]:
    """The other ablations."""
    return [other for other in pages if other is not page]
