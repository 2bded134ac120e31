"""Start marks: a file beside a record's place says that its cell is running.

A process that dies in a cell leaves the mark there. The next run finds it, and in it the reason
where the interpreter could still write one (a segmentation fault, an abort, a bus error); it then
records the failure instead of dying the same way. A mark without a reason is that of a run that was
killed from outside, which just continues: only a cell in which several processes in a row died
without any progress is taken for their cause.
"""

from __future__ import annotations

import faulthandler
import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rppbench.records.record import CRASH, Failure, now

MOST_DEATHS = 3
"""After so many deaths in a row without a reason and without progress a cell is their cause."""
ADVICE = (
    "it is not run again in the process of the command; run it where a crash does no harm, "
    "--engine processes, or again here with --overwrite always"
)


def mark_path(record: Path) -> Path:
    """The mark of a cell, beside the file of its record."""
    return record.with_suffix(".started")


@contextmanager
def start_mark(record: Path, progress: Path | None) -> Iterator[Failure | None]:
    """Mark that the cell of a record runs; gives the failure that an earlier process left there.

    `progress` is a file that is newer than the mark if the cell has advanced since. A cell that
    another process is running gets no second mark. OSError if the mark cannot be written.
    """
    path = mark_path(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the process dies
        except OSError:  # held by another process, or the file system has no locks
            yield None
            return
        deaths, dump = _read(path)
        if deaths and progress is not None and progress.exists():
            deaths *= path.stat().st_mtime >= progress.stat().st_mtime
        failure = _failure(deaths, dump)
        if failure is None:
            file.truncate(0)
            file.write(json.dumps({"started": now(), "starts": deaths + 1}).encode() + b"\n")
            file.flush()
        with _dump_to(file):
            yield failure
        path.unlink(missing_ok=True)


def take_dump(record: Path) -> str:
    """What the interpreter wrote when it died in this cell; removes the mark."""
    path = mark_path(record)
    with suppress(OSError):
        _, dump = _read(path)
        path.unlink()
        return dump
    return ""


def _read(path: Path) -> tuple[int, str]:
    """The number of processes that died in the cell, and what the last one wrote."""
    head, _, dump = path.read_bytes().partition(b"\n")
    try:
        starts = int(json.loads(head)["starts"])
    except (ValueError, KeyError, TypeError):
        starts = int(bool(head))  # killed while it wrote
    return starts, dump.decode(errors="backslashreplace").strip()


def _failure(deaths: int, dump: str) -> Failure | None:
    if dump:
        return Failure(CRASH, f"the process died in this cell: {first_line(dump)}\n{ADVICE}", dump)
    if deaths >= MOST_DEATHS:
        what = f"{deaths} processes in a row died in this cell: killed, or out of memory"
        return Failure(CRASH, f"{what}\n{ADVICE}")
    return None


def first_line(dump: str) -> str:
    """'Segmentation fault' of the interpreter's own text."""
    return (dump.splitlines() or [""])[0].removeprefix("Fatal Python error: ")


@contextmanager
def _dump_to(file: IO[bytes]) -> Iterator[None]:
    """Let the interpreter write there why it dies, unless it writes that elsewhere already."""
    if faulthandler.is_enabled():
        yield
        return
    faulthandler.enable(file, all_threads=False)
    try:
        yield
    finally:
        faulthandler.disable()
