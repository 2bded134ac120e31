"""No text of others commands a terminal or a page, wherever it is shown."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import record

from rppbench.cli import main
from rppbench.files.printable import one_line, printable
from rppbench.leaderboard.build import build, build_with_variants
from rppbench.records.store import Store
from rppbench.reporting import csv_json, html_text, latex, markdown
from rppbench.reporting.site.files import site
from rppbench.terminal.console import console
from rppbench.terminal.plain_output import plain_output
from rppbench.terminal.tables import print_table

HOSTILE = "a\x1b[31m\x1b]0;title\x07\u202eb\x9b2J\u2028c</script>|`[red]$x_1$\\input{/etc/passwd}"
"""Colours, a window title, text that runs backwards, C1 controls, a line end, and markup."""
COMMANDS = "\x1b\x07\x9b\u202e\u2028"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Größe 大 é ñ", "Größe 大 é ñ"),
        ("a\x1b[31m", "a\\u001b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\x9bb\x7f", "a\\u009bb\\u007f"),
        ("a\ud800", "a\\ud800"),
        ("a\u2028b\nc", "a\\u2028b\\u000ac"),
        ("non\u00a0breaking, soft\u00adhyphen", "non\u00a0breaking, soft\u00adhyphen"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("\U000e0041", "\\udb40\\udc41"),
    ],
)
def test_what_is_no_character_to_look_at_is_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert printable(expected) == expected


def test_kept_characters_stay_and_json_stays_the_same() -> None:
    assert printable("a\tb\n\x1b", keep="\n\t") == "a\tb\n\\u001b"
    assert one_line(" a\n\x1b b\t") == "a \\u001b b"
    text = json.dumps({"a": HOSTILE + "\U000e0041"}, ensure_ascii=False)
    assert json.loads(printable(text)) == json.loads(text)


def tables() -> list:  # type: ignore[type-arg]
    one = record("coop", "birds", 1, 50.0)
    labels = {**one.labels, "method": HOSTILE, "dataset": HOSTILE, "task": HOSTILE}
    return build([replace(one, labels=labels)])


@pytest.mark.parametrize("page", [markdown.page, latex.page, csv_json.csv, csv_json.json])
def test_no_page_holds_a_command(page) -> None:  # type: ignore[no-untyped-def]
    text = page(tables())
    assert not set(COMMANDS) & set(text)
    assert "u001b" in text, "the name is there, escaped"


def test_markup_in_names_is_text() -> None:
    text = markdown.page(tables())
    assert "</script>" not in text
    assert "\\|\\`\\[red]" in text
    tex = latex.page(tables())
    assert "\\input{" not in tex.replace("\\textbackslash{}input", "")
    assert "\\$x\\_1\\$" in tex


def test_the_site_holds_no_command(tmp_path: Path) -> None:
    one = record("coop", "birds", 1, 50.0)
    labels = {**one.labels, "method": HOSTILE, "dataset": HOSTILE, "task": HOSTILE}
    files = site(build_with_variants([replace(one, labels=labels)]), tmp_path)
    assert not set(COMMANDS) & set("".join(files.values()))
    assert {text.count("</script>") for name, text in files.items() if name.endswith("html")} == {3}
    assert html_text.escape("<a href='x'>\x1b") == "&lt;a href=&#x27;x&#x27;&gt;\\u001b"


@pytest.mark.parametrize("start", ["=1+1", "+1+1", "-1+1", "@SUM(A1)"])
def test_no_cell_of_csv_is_a_formula(start: str) -> None:
    one = record("coop", "birds", 1, 50.0)
    named = replace(one, labels={**one.labels, "method": start})
    (row,) = csv.DictReader(io.StringIO(csv_json.csv(build([named]))))
    assert row["row"] == f"'{start}"
    assert row["mean"] == "50.0", "a number stays one"


def test_output_is_plain_whoever_prints(capsys: pytest.CaptureFixture[str]) -> None:
    with plain_output():
        print(f"x {HOSTILE}\nnext\tline")
        sys.stderr.writelines([HOSTILE])
        console().print(HOSTILE)
        print_table(console(stderr=True), ["Head"], [[HOSTILE]])
        with plain_output():
            print("twice \x1b")
    out, err = capsys.readouterr()
    for text in (out, err):
        assert not set(COMMANDS) & set(text)
    assert out.startswith("x a\\u001b[31m\\u001b]0;title\\u0007\\u202eb")
    assert "\nnext\tline\n" in out
    assert "[red]" in out, "rich takes no name for markup"
    assert "twice \\u001b" in out


def test_the_colours_of_a_terminal_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with plain_output():
        console().print(f"name {HOSTILE[:5]}", style="bold")
    assert shown.getvalue().startswith("\x1b[1mname a\\u001b[31")


def test_commands_show_names_of_files_and_records_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    one = record("coop", "birds", 1, 50.0)
    Store(tmp_path).write(replace(one, labels={**one.labels, "method": HOSTILE}))
    assert main(["leaderboard", "--output", "."]) == 0
    assert main(["plan", "--config", "\x1b[31m.yaml"]) == 2
    assert main(["plan", "--method", "\x1b]0;x\x07"]) == 2
    out, err = capsys.readouterr()
    assert not set(COMMANDS) & set(out + err)
    assert "\\x1b[31m.yaml" in err
    for path in Path("leaderboards").glob("*"):
        assert not set(COMMANDS) & set(path.read_text("utf-8")), path
