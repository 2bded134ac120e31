"""What a table says, in words: which rows are best, and which differ from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rppbench.leaderboard.number_format import decimals
from rppbench.leaderboard.tables import Row, Table
from rppbench.records.record import lower_is_better
from rppbench.reporting.footnotes import one_seed_note
from rppbench.reporting.site.numbers import digits, signed
from rppbench.stats.ranks import LEVEL, split_letters

WORDS = (
    *("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty"),
)
"""Counts as words; larger ones are printed as figures."""
MOST_NAMES = 12
"""Number of names in a sentence; the table has the others."""
MOST_IN_HEADLINE = 5
"""Names in a headline; of more it says the number, and the points below it the names."""


@dataclass(frozen=True)
class Answer:
    """The answer of a table: a headline, and what it rests on."""

    headline: str
    points: tuple[tuple[str, str], ...]
    """(what, who): 'Behind', 'CoOp (−0.2) and PromptKD (−1.2)'."""


@dataclass(frozen=True)
class Verdict:
    """A row against the table's reference."""

    sign: str
    """'▲', '▼' (told apart from it after correction), '△', '▽' (alone) or '○' (not told apart)."""
    kind: str
    """'up', 'dn' or 'no', for its colour: up is better, also where less is."""
    text: str


def count(number: int) -> str:
    """'nine', '42'."""
    return WORDS[number] if number < len(WORDS) else str(number)


def counted(number: int, noun: str) -> str:
    """'one data set', 'eleven data sets'."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def joined(names: Sequence[str]) -> str:
    """'A, B and C', at most `MOST_NAMES` of them by name."""
    more = len(names) - MOST_NAMES
    shown = [*names[:MOST_NAMES], *([f"{count(more)} more"] if more > 0 else [])]
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def tied_with_best(table: Table) -> list[Row]:
    """The ranked rows that tests do not separate from the best one, which is the first."""
    ranked = [row for row in table.rows if row.rank]
    if not table.ranking or not ranked or not ranked[0].rank or not ranked[0].rank.groups:
        return []
    best = set(split_letters(ranked[0].rank.groups))
    return [row for row in ranked if row.rank and best & set(split_letters(row.rank.groups))]


def answer(table: Table) -> Answer:
    """The answer of a table."""
    tied = tied_with_best(table)
    points = []
    headline = _headline_of_reference(table)
    if tied:
        headline = _headline_of_ranks(table, tied)
        behind = [row.label for row in table.rows if row.rank and row not in tied]
        if 1 < len(tied) < len(tied) + len(behind):
            points.append(("Not told apart from the best", joined([row.label for row in tied])))
        if behind:
            points.append(("Behind it", joined(behind)))
    against = [row for row in table.rows if row.against]
    points += _limits(table)
    for name, kind in (("Above", "up"), ("Below", "dn")):
        text = _against(table, [row for row in against if verdict(table, row).kind == kind])
        if text:
            points.append((f"{name} {table.reference}, each compared with it alone", text))
    return Answer(headline, tuple(points))


def _limits(table: Table) -> list[tuple[str, str]]:
    """What the tests behind the answer do not cover."""
    tests = [row.against for row in table.rows if row.against]
    single, tested = sum(test.seeds == 1 for test in tests), len(tests)
    untested = 0
    if ranking := table.ranking:
        single, tested = ranking.one_seed, ranking.tested
        untested = ranking.pairs - ranking.tested
    limits = []
    if untested:
        limits.append(("Could not be tested", f"{counted(untested, 'pair')} of rows"))
    if single:
        limits.append(("Limits", one_seed_note(single, tested, table.units).rstrip(".")))
    return limits


def _headline_of_ranks(table: Table, tied: Sequence[Row]) -> str:
    total = sum(row.rank is not None for row in table.rows)
    best, others = tied[0].label, count(total - 1)
    shared = set.intersection(*(set(split_letters(r.rank.groups)) for r in tied if r.rank))
    if not table.ranking or not table.ranking.tested:
        return f"{best} has the best average; no test says how certain that is."
    if len(tied) == 1:
        return f"{best} is best: it is told apart from each of the other {others} methods."
    if shared and len(tied) == total:
        return f"No single winner: the {count(total)} methods cannot be told apart."
    if shared:
        return (
            f"No single winner: {count(len(tied))} of {count(total)} methods, the best among them, "
            "cannot be told apart."
        )
    who = f"{count(len(tied) - 1)} of the other {others} methods"
    if len(tied) == total:
        who = f"none of the other {others} methods can"
        return f"No single winner: {who} be told apart from the best, {best}."
    return f"No single winner: {who} cannot be told apart from the best, {best}."


def _headline_of_reference(table: Table) -> str:
    against = [row for row in table.rows if row.against]
    complete = [row for row in table.rows if row.headline.is_complete]
    if not against:
        if len(complete) < 2:
            return "Fewer than two complete rows: there is nothing to compare yet."
        return f"{complete[0].label} has the best number; no test says how certain that is."
    above = [row for row in against if verdict(table, row).kind == "up"]
    sure = [row for row in above if verdict(table, row).sign == "▲"]
    if sure:
        return f"{_are(sure, len(against))} above {table.reference}."
    if above:
        only = "Only " if len(above) == 1 else ""
        return (
            f"{only}{_are(above, len(against))} above {table.reference}, but not after correction "
            f"for {len(against)} comparisons."
        )
    return f"No method is shown to be above {table.reference}."


def _are(rows: Sequence[Row], total: int) -> str:
    """'A is', 'A and B are', 'Twelve of fourteen methods are'."""
    if len(rows) > MOST_IN_HEADLINE:
        return f"{count(len(rows)).capitalize()} of {count(total)} methods are"
    return f"{joined([row.label for row in rows])} {'is' if len(rows) == 1 else 'are'}"


def _against(table: Table, rows: Sequence[Row]) -> str:
    """Rows with their differences: those told apart after correction, then those alone."""
    sure: list[str] = []
    alone: list[str] = []
    for row in rows:
        assert row.against
        number = signed(row.against.mean, difference_digits(table, row))
        separated = row.against.corrected < LEVEL
        (sure if separated else alone).append(f"{row.label} ({number})")
    total = sum(row.against is not None for row in table.rows)
    only = f"not after correction for the {total} comparisons: "
    parts = [joined(sure)] if sure else []
    parts += [f"{'and ' if sure else ''}{only}{joined(alone)}"] if alone else []
    return "; ".join(parts)


def difference_digits(table: Table, row: Row) -> int:
    """Number of decimals of a row's difference from the reference."""
    half = row.against.half_width if row.against else None
    return digits(half, decimals(table.metric))


def verdict(table: Table, row: Row) -> Verdict:
    """What the test of a row against the reference says."""
    test = row.against
    if test is None:
        return Verdict("", "no", "")
    text = f"{table.reference}: {signed(test.mean, difference_digits(table, row))}"
    if test.p >= LEVEL:
        return Verdict("○", "no", f"not told apart from {text}")
    better = (test.mean > 0) != lower_is_better(table.metric)
    separated = test.corrected < LEVEL
    sign = ("▲" if separated else "△") if better else ("▼" if separated else "▽")
    how = "also after correction for all rows" if separated else "not after correction for all rows"
    side = "above" if test.mean > 0 else "below"
    return Verdict(sign, "up" if better else "dn", f"{side} {text} ({how})")
