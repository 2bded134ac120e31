"""Streams of any encoding, closed or full: no traceback, and a sensible exit status."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rppbench.terminal.streams import _Sink

ROOT = Path(__file__).parents[2]
LEADERBOARD = "leaderboard --output records"


def shell(words: str, folder: Path, **environment: str) -> tuple[int, bytes, bytes]:
    """Run `rppbench WORDS` by a shell, which may redirect it."""
    program = f'"{sys.executable}" -m rppbench {words}'
    done = subprocess.run(
        ["bash", "-c", program],
        cwd=folder,
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with published records below `records`, which pages may be written beside."""
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "records").symlink_to(ROOT / "leaderboards" / "records")
    return tmp_path


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""},
    ],
)
def test_an_ascii_terminal_gets_plain_spellings(environment: dict[str, str], folder: Path) -> None:
    status, page, _ = shell(LEADERBOARD, folder, **environment)
    assert status == 0
    assert page.isascii()
    assert b"mean +/- half width" in page
    pages = [path.read_text(encoding="utf-8") for path in (folder / "records").glob("*.md")]
    assert any("±" in text for text in pages)


def test_a_latin_1_terminal_gets_what_it_has(folder: Path) -> None:
    status, page, _ = shell(LEADERBOARD, folder, PYTHONIOENCODING="latin-1")
    assert status == 0
    assert "mean ± half width" in page.decode("latin-1")
    assert "–" not in page.decode("latin-1")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (f"{LEADERBOARD} >/dev/full", 2),
        (f"{LEADERBOARD} >&-", 0),
        (f"{LEADERBOARD} 2>&-", 0),
        (f"{LEADERBOARD} >/dev/null 2>/dev/full", 0),
        (f"{LEADERBOARD} >&- 2>&-", 0),
        (f"{LEADERBOARD} | true; exit ${{PIPESTATUS[0]}}", 141),
        ("--help >/dev/full", 2),
        ("--version >&-", 0),
        ("no-such-command 2>/dev/full", 2),
        ("no-such-command >&- 2>&-", 2),
        ("list tasks >/dev/full", 2),
        ("records list --output records | true; exit ${PIPESTATUS[0]}", 141),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_crash(words: str, status: int, folder: Path) -> None:
    ended, _, message = shell(words, folder)
    assert ended == status
    if status == 2 and ">/dev/full" in words and "2>" not in words:
        assert message == (b"rppbench: error: cannot write the output: No space left on device\n")


def test_a_sink_keeps_the_first_error_and_takes_the_rest() -> None:
    reader, writer = os.pipe()
    sink = _Sink(writer)
    stream = io.TextIOWrapper(io.BufferedWriter(sink), "ascii", errors="rppbench")
    stream.write("1 – 2 × 3 → 四 \udcff\n")
    stream.flush()
    assert os.read(reader, 100) == b"1 - 2 x 3 -> \\u56db \\udcff\n"
    os.close(reader)
    for _ in range(3):
        stream.write("lost\n")
        stream.flush()
    assert isinstance(sink.failure, BrokenPipeError)
    os.close(writer)
