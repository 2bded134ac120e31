"""Tables as LaTeX, ready for a paper that loads booktabs and adjustbox."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rppbench.leaderboard.tables import Table
from rppbench.reporting.layout import PUBLISHED, Layout, Shown, layout, measured, published

SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "–": "--",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def page(tables: Sequence[Table]) -> str:
    """A `table` environment for each table; what rows cost is in the Markdown."""
    parts = ["% Needs \\usepackage{booktabs,adjustbox}. Made from records by rppbench."]
    for table in tables:
        parts.append("\n".join(_part(layout(table), _caption(table))))
        if table.reported:
            told = [f"{table.title}, against published numbers", PUBLISHED]
            parts.append("\n".join(_part(published(table.reported), told)))
    return "\n\n".join(parts) + "\n"


def safe(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(SIGNS.get(sign, sign) for sign in " ".join(text.split()))


def _part(grid: Layout, caption: Iterable[str]) -> Iterator[str]:
    yield r"\begin{table}"
    yield r"  \centering"
    yield rf"  \caption{{{safe(' '.join(caption))}}}"
    yield r"  \begin{adjustbox}{max width=\textwidth}"
    yield rf"  \begin{{tabular}}{{{'l' * grid.names}{'r' * (len(grid.heads) - grid.names)}}}"
    yield r"    \toprule"
    yield rf"    {' & '.join(map(safe, grid.heads))} \\"
    yield r"    \midrule"
    for cells in grid.body:
        yield rf"    {' & '.join(map(_cell, cells))} \\"
    yield r"    \bottomrule"
    yield r"  \end{tabular}"
    yield r"  \end{adjustbox}"
    yield r"\end{table}"


def _caption(table: Table) -> Iterator[str]:
    differences = ", ".join(f"{name}: {value}" for name, value in table.differences)
    yield f"{table.title} ({differences})." if differences else f"{table.title}."
    yield measured(table)
    if any(not entry.whole for row in table.rows for entry in row.entries):
        yield "(n/m): n of m seeds, in averages n of m data sets; the rest is missing."
    if table.ranking:
        yield "Rows that share a letter cannot be told apart by their mean ranks"
        yield f"(critical difference {table.ranking.critical:.2f})."


def _cell(shown: Shown) -> str:
    text = safe(shown.text)
    return " ".join(
        [
            rf"\textbf{{{text}}}" if shown.best else text,
            *([rf"$\pm$ {shown.spread}"] if shown.spread else []),
            *([shown.mark] if shown.mark else []),
        ]
    )
