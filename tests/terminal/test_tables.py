"""Tables of a file or a pipe: written without rich, and the same as rich writes them."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from rppbench.terminal.console import WIDE, print_table

HEADS = ("Method", "Data set", "Estimate")


def by_rich(rows: list[tuple[str, ...]]) -> str:
    stream = StringIO()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in HEADS:
        table.add_column(head, no_wrap=head != HEADS[-1])
    for row in rows:
        table.add_row(*row)
    Console(file=stream, width=WIDE, markup=False, emoji=False, highlight=False).print(table)
    return stream.getvalue()


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("coop", "dtd", "–")],
        [("rpp (kd=off)", "日本", "12 s"), ("", "a much longer name", " 3 min "), ("x", "y", "")],
        [("two\nlines", "dtd", "1 s")],
    ],
)
def test_a_plain_table_is_that_of_rich(rows: list[tuple[str, ...]]) -> None:
    stream = StringIO()
    print_table(
        Console(file=stream, width=WIDE, markup=False, emoji=False, highlight=False), HEADS, rows
    )
    assert stream.getvalue() == by_rich(rows)
