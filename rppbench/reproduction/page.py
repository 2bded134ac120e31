"""The page of a card: each published number beside the measured one, with a verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rppbench.files.atomic import write_atomically
from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.number_format import signed_text
from rppbench.leaderboard.published_check import last_digit
from rppbench.reporting.markdown import escape, markdown_table
from rppbench.reproduction.cards import Card
from rppbench.reproduction.verdicts import MEANINGS, Outcome, counts

HEADS = (
    *("Method", "Number", "Published", "Measured", "Difference", "Tolerance", "Seeds", "Verdict"),
)


def page(card: Card, results: Sequence[Outcome], seeds: Sequence[int], precision: str) -> str:
    """The page as Markdown."""
    origin = results[0].number.origin if results else card.source
    backbones = dict.fromkeys(result.number.provenance.backbone for result in results)
    several = len({result.number.place for result in results}) > 1
    tasks = len({result.number.provenance.task for result in results}) > 1
    lines = [
        f"# {escape(card.title)}",
        "",
        f"Card `{card.name}`: {escape(origin)}, {escape(', '.join(card.places))}. "
        f"Backbone {escape(', '.join(backbones))}, measured in {precision}, seeds "
        f"{', '.join(map(str, seeds))}.",
        "",
        f"**{counts(results)}** of {len(results)} numbers.",
        "",
        *([f"{escape(card.note[:1].upper() + card.note[1:])}.", ""] if card.note else []),
        *markdown_table(HEADS, [_row(r, several, tasks) for r in results], 2),
        "",
        *(f"- {line}" for line in _notes(results)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def write(
    card: Card, results: Sequence[Outcome], seeds: Sequence[int], precision: str, folder: Path
) -> list[Path]:
    """Write reproduce-CARD.md and .json; returns their paths. OSError if they cannot be written."""
    content = {"md": page(card, results, seeds, precision), "json": _json(card, results)}
    paths = {suffix: Path(folder) / f"reproduce-{card.file}.{suffix}" for suffix in content}
    for suffix, text in content.items():
        write_atomically(paths[suffix], text)
    return list(paths.values())


def _row(result: Outcome, several: bool, tasks: bool) -> list[str]:
    number = result.number
    where = [number.place] if several else []
    task = [number.provenance.task] if tasks else []
    # Digits as printed, and one more: a rounded difference would hide a verdict.
    digits = max(0, -int(last_digit(number.value).as_tuple().exponent)) + 1
    measured, difference = result.measured, result.difference
    half = measured.half_width if measured else None
    spread = "" if half is None else f" ± {half:.{digits}f}"
    verdict = f"**{result.verdict}**" if result.verdict == "differs" else result.verdict
    return [
        escape(number.title),
        escape(" · ".join([*where, *task, number.column])),
        str(number.value),
        "–" if measured is None else f"{measured.mean:.{digits}f}{spread}",
        "–" if difference is None else signed_text(difference, digits),
        f"{result.goal.tolerance:g}{' (printed spread)' if result.goal.spread_printed else ''}",
        f"{result.seeds}/{result.expected}" if result.expected else "–",
        verdict,
    ]


def _notes(results: Sequence[Outcome]) -> Iterator[str]:
    yield (
        "Measured is the mean over seeds ± half the width of its 95 % t-interval. The tolerance is "
        "the spread over seeds where the source prints one, else one point (unless the card says "
        "otherwise), and half of the last printed digit."
    )
    for verdict in dict.fromkeys(result.verdict for result in results):
        yield f"{verdict}: {MEANINGS[verdict]}."
    lacking = [result for result in results if result.reason]
    for (title, reason), of_one in group_by(
        lacking, lambda result: (result.number.title, result.reason)
    ).items():
        columns = list(dict.fromkeys(result.number.column for result in of_one))
        named = ", ".join(columns[:3]) + (f" and {len(columns) - 3} more" if columns[3:] else "")
        yield f"{of_one[0].verdict}: {escape(title)}, {escape(named)}: {escape(reason)}"


def _json(card: Card, results: Sequence[Outcome]) -> str:
    data = {"card": card.name, "title": card.title, "numbers": [_fields(r) for r in results]}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _fields(result: Outcome) -> dict[str, Any]:
    number, measured = result.number, result.measured
    return {
        "method": number.title,
        "place": number.place,
        "column": number.column,
        "task": number.provenance.task,
        "metric": number.provenance.metric,
        "published": str(number.value),
        "measured": measured.mean if measured else None,
        "half_width": measured.half_width if measured else None,
        "difference": result.difference,
        "tolerance": result.goal.tolerance,
        "seeds": result.seeds,
        "expected": result.expected,
        "verdict": result.verdict,
        "reason": result.reason,
    }
