"""Leaderboard tables in LaTeX, for a paper that loads booktabs and adjustbox."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rppbench.files.printable import one_line
from rppbench.leaderboard.tables import Table
from rppbench.reporting.layout import (
    PUBLISHED_CAPTION,
    CellText,
    Layout,
    caption,
    leaderboard_layout,
    published_layout,
)

ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "–": "--",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def page(tables: Sequence[Table]) -> str:
    """A `table` environment for each table, without the costs that the Markdown has."""
    environments = ["% Needs \\usepackage{booktabs,adjustbox}. Made from records by rppbench."]
    for table in tables:
        environments.append(_environment(leaderboard_layout(table), _caption(table)))
        if table.reported:
            sentences = [f"{table.title}, against published numbers", PUBLISHED_CAPTION]
            environments.append(_environment(published_layout(table.reported), sentences))
    return "\n\n".join(environments) + "\n"


def escape(text: str) -> str:
    """The text on one line, escaped so that LaTeX prints it literally."""
    return "".join(ESCAPES.get(character, character) for character in one_line(text))


def _environment(layout: Layout, sentences: Iterable[str]) -> str:
    return "\n".join(_lines(layout, " ".join(sentences)))


def _lines(layout: Layout, sentences: str) -> Iterator[str]:
    yield r"\begin{table}"
    yield r"  \centering"
    yield rf"  \caption{{{escape(sentences)}}}"
    yield r"  \begin{adjustbox}{max width=\textwidth}"
    numbers = len(layout.heads) - layout.name_columns
    yield rf"  \begin{{tabular}}{{{'l' * layout.name_columns}{'r' * numbers}}}"
    yield r"    \toprule"
    yield rf"    {' & '.join(map(escape, layout.heads))} \\"
    yield r"    \midrule"
    for cells in layout.body:
        yield rf"    {' & '.join(map(_cell, cells))} \\"
    yield r"    \bottomrule"
    yield r"  \end{tabular}"
    yield r"  \end{adjustbox}"
    yield r"\end{table}"


def _caption(table: Table) -> Iterator[str]:
    differences = ", ".join(f"{name}: {value}" for name, value in table.differences)
    yield f"{table.title} ({differences})." if differences else f"{table.title}."
    yield caption(table)
    if any(not entry.is_complete for row in table.rows for entry in row.entries):
        yield "(n/m): n of m seeds, in averages n of m data sets; the rest is missing."
    if table.ranking:
        yield "Rows that share a letter are not separated (paired test of their averages, corrected"
        yield f"for {table.ranking.pairs} pairs by Holm's method)."


def _cell(cell: CellText) -> str:
    text = escape(cell.text)
    return " ".join(
        [
            rf"\textbf{{{text}}}" if cell.emphasised else text,
            *([rf"$\pm$ {cell.spread}"] if cell.spread else []),
            *([cell.mark] if cell.mark else []),
        ]
    )
