"""Tables and pages: Markdown in a file or a pipe, and drawn to fit a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rppbench.terminal import tables
from rppbench.terminal.console import WIDE
from rppbench.terminal.tables import print_page, print_table

HEADS = ("Method", "Data set", "Address")
ROWS = [("rpp (kd=off)", "日本", "a | b"), ("x", "<b>", "https://example.org/" + "long/" * 20)]
PAGE = r"""# Transfer

> **Warning:** do not compare \*these\*.

Measured: top1; mean of 3.

| Method | Average of 3 | Animals and plants | Dishes | Places |
| --- | ---: | ---: | ---: | ---: |
| CoOp \| a | **62.0** ± 5.0 | 61.0 (2/3) | 60.0 | – |
| Zero-shot | 50.0 | 51.0 | 52.0 | 53.0 |

- A note of many words, so many that a line of forty characters does not hold them.
"""


def screen(width: int, terminal: bool = True) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=width, color_system=None, markup=False
    )


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_table_in_a_pipe_is_markdown() -> None:
    to = screen(WIDE, terminal=False)
    print_table(to, HEADS, ROWS)
    lines = text_of(to).splitlines()
    assert lines[:3] == [
        "| Method       | Data set | Address |",
        "| --- | --- | --- |",
        r"| rpp (kd=off) | 日本     | a \| b |",
    ]
    assert lines[3].startswith("| x            | &lt;b>   | https://example.org/long/")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_in_a_terminal_fits_and_loses_nothing(width: int) -> None:
    to = screen(width)
    print_table(to, HEADS, ROWS)
    text = text_of(to)
    assert all(len(line) <= width for line in text.splitlines())
    assert ROWS[1][2] in "".join(text.split()), "folded, not cut"
    assert "a | b" in text
    assert "<b>" in text


@pytest.mark.parametrize(("width", "parts"), [(40, 2), (80, 1)])
def test_a_page_in_a_terminal_has_its_marks_read(
    width: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = screen(width)
    monkeypatch.setattr(tables, "console", lambda: to)
    print_page(PAGE)
    text = text_of(to)
    assert all(len(line) <= width for line in text.splitlines())
    assert text.count("CoOp | a") == text.count("Zero-shot") == parts
    for number in ("62.0 ± 5.0", "61.0 (2/3)", "60.0", "53.0"):
        assert text.count(number) == 1
    assert "**" not in text
    assert "\\" not in text
    assert text.startswith("Transfer\n\nWarning: do not compare *these*.\n")


def test_a_page_in_a_pipe_is_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_page(PAGE)
    assert capsys.readouterr().out == PAGE
