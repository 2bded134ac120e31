"""What stands below a table, before it is Markdown or HTML: other metrics, published numbers."""

from __future__ import annotations

from collections.abc import Sequence

from rppbench.layout import NOTHING, Layout, Shown, mean_of
from rppbench.leaderboard.tables import DECIMALS, Reported, Row

OTHERS = "On average over the data sets:"
PUBLISHED = (
    "of the same backbone, recipe, shots and data set; measured as in the table, "
    "difference = measured - published. Precision may differ."
)
BY = {"original": "its authors", "re-implemented": "others (re-implemented)"}


def others(rows: Sequence[Row]) -> Layout | None:
    """What else was measured, on average over the data sets; None if nothing was."""
    names = tuple(dict.fromkeys(name for row in rows for name, _ in row.others))
    if not names:
        return None
    body = []
    for row in rows:
        found = dict(row.others)
        known = {name for name, average in found.items() if average.mean is not None}
        shown = [mean_of(found[name]) if name in known else Shown(NOTHING) for name in names]
        body.append((Shown(row.label), *shown))
    return Layout(("Method", *names), 1, tuple(body))


def published(lines: Sequence[Reported]) -> Layout:
    """What was measured beside what papers print; a line for each source, none merged."""
    heads = ("Method", "Data set", "Metric", "By", "Published in", "Measured", "Published")
    body = tuple(
        (
            *map(Shown, (line.row, line.what, line.metric, BY[line.kind], line.source)),
            _measured(line),
            Shown(line.printed),
            Shown(f"{line.difference:+.{DECIMALS}f}"),
            Shown(NOTHING) if line.inside is None else _inside(line.inside),
        )
        for line in lines
    )
    return Layout((*heads, "Difference", "Inside the interval"), 5, body)


def _inside(inside: bool) -> Shown:
    return Shown("yes") if inside else Shown("no", best=True)  # what a reader must not miss


def _measured(line: Reported) -> Shown:
    found = line.measured
    spread = "" if found.half_width is None else f"{found.half_width:.{DECIMALS}f}"
    mark = "" if found.n == line.expected else f"({found.n}/{line.expected})"
    return Shown(f"{found.mean:.{DECIMALS}f}", False, spread, mark)
