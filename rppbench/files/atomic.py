"""Files replaced in one step: no reader ever sees a partial file, and no kill leaves one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

STALE_SECONDS = 3600.0
"""A write takes milliseconds; a temporary file this old is from a writer that died."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a stored file, or with one line of it, and where."""

    path: Path
    reason: str
    line: int | None = None
    """Counted from 1; None if the problem concerns the complete file."""

    @property
    def place(self) -> str:
        """The file, with the line."""
        return str(self.path) if self.line is None else f"{self.path}:{self.line}"

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file in one step, text as UTF-8: no reader ever sees a partial file."""
    with replacing(path) as temporary, temporary.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; at the end of the block the file replaces `path` in one step.

    After an error or an interrupt, `path` is unchanged and the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_at_times(path.parent)
    # A random name: processes on other hosts of a shared file system may have our process id.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a write on an open file does not say which
        raise


_swept: dict[str, float] = {}
"""When this process swept each folder: listing one takes longer the more files it holds."""


def _sweep_at_times(folder: Path) -> None:
    """Sweep a folder that this process has not swept since temporary files became stale."""
    now = time.monotonic()
    if now - _swept.get(str(folder), -STALE_SECONDS) >= STALE_SECONDS:
        _swept[str(folder)] = now
        sweep(folder)


def sweep(folder: Path) -> None:
    """Remove the temporary files of killed writers from a folder; files that may be in use stay."""
    for temporary in folder.glob(f".*.{'[0-9a-f]' * 32}.tmp"):
        try:
            if time.time() - temporary.stat().st_mtime > STALE_SECONDS:
                temporary.unlink()
        except OSError:
            continue  # another process was faster, or the file is not ours to remove
