"""Runs cases: one malformed input each, with an alarm, and a look at what it left behind."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import Random
from types import FrameType

from fuzz.mutations import malformed

from rppbench.errors import UsageError

SECONDS = 80
"""A case that takes longer hangs; many start processes, which take long on a busy machine."""
FLAGGED = ("Traceback (most recent call last)",)


@dataclass(frozen=True)
class Kind:
    """A kind of input: a valid example, and the reader of a folder that holds it."""

    name: str
    write: Callable[[Path], None]
    """Writes the valid example into an empty folder."""
    read: Callable[[Path], object]
    """Reads the folder. UsageError is its only exception."""
    seal: Callable[[Path, str], None] | None = None
    """Makes the digest in a changed file right again: digests are no signatures."""
    hostile: Callable[[Path, Random, Path], None] | None = None
    """Writes an example that no change of bytes would give, such as a link in an archive."""
    share: float = 1
    """Share of the cases that each kind gets; less for kinds that take seconds a case."""


@dataclass(frozen=True)
class Finding:
    """A case that failed; its number and the seed make it again."""

    kind: str
    number: int
    what: str
    details: str


class HangError(BaseException):
    """Raised by the alarm; no reader catches it."""


@contextmanager
def alarm(seconds: int) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def cases(kind: Kind, count: int, seed: int, work: Path) -> Iterator[Finding]:
    """The findings among `count` malformed inputs of a kind, made in the folder `work`."""
    example = work / f"example-{kind.name}"
    example.mkdir(parents=True)
    os.environ["RPPBENCH_CACHE"] = str(work / "example-cache")
    kind.write(example)
    kind.read(example)  # the valid example is read
    for number in range(count):
        yield from case(kind, number, seed, example, work / "case")


def case(kind: Kind, number: int, seed: int, example: Path, place: Path) -> Iterator[Finding]:
    """The findings of one case."""
    draw = Random(f"{kind.name}/{seed}/{number}")
    shutil.rmtree(place, ignore_errors=True)
    inside, canary = place / "a" / "inside", place / "canary"
    shutil.copytree(example, inside, symlinks=True)
    os.environ["RPPBENCH_CACHE"] = str(place / "cache")
    if kind.hostile and draw.random() < 0.3:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind.hostile(inside, draw, canary)
    else:
        files = sorted(path for path in inside.rglob("*") if path.is_file())
        for path in draw.sample(files, min(len(files), draw.choice([1, 1, 1, 2]))):
            path.write_bytes(malformed(path.read_bytes(), path.name, draw, canary))
            if kind.seal and draw.random() < 0.8:
                kind.seal(inside, path.relative_to(inside).as_posix())
    out = StringIO()
    problem = None
    home = Path.cwd()
    try:
        with (
            alarm(SECONDS),
            redirect_stdout(out),
            redirect_stderr(out),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            kind.read(inside)
    except UsageError as error:
        str(error).encode("utf-8", "backslashreplace")
    except HangError:
        problem = (f"no end after {SECONDS} s", "")
    except BaseException as error:  # noqa: BLE001  this is what is looked for
        problem = (type(error).__name__, traceback.format_exc(limit=-6))
    finally:
        os.chdir(home)
    if problem is None and any(mark in out.getvalue() for mark in FLAGGED):
        problem = ("a traceback was printed", out.getvalue()[-2000:])
    if problem:
        yield Finding(kind.name, number, *problem)
    if canary.exists():
        yield Finding(kind.name, number, "code was run", "")
    left = {path.name for path in place.iterdir()} - {"a", "cache", "canary"}
    left |= {path.name for path in (place / "a").iterdir()} - {"inside"}
    if left:
        yield Finding(kind.name, number, f"files outside: {sorted(left)}", "")


def report(kind: str, count: int, seconds: float, findings: list[Finding]) -> str:
    return f"{kind:24} {count:6} cases {seconds:7.1f} s {len(findings):4} findings"


def show(finding: Finding, seed: int) -> None:
    head = f"--- {finding.kind}, case {finding.number} of seed {seed}: {finding.what}"
    print(f"{head}\n{finding.details}", file=sys.stderr)
