"""Files of a folder of records: found in one pass, and read once while they stay as they are."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Generic, TypeVar

T = TypeVar("T")

ENDINGS = (".json", ".jsonl")
RECENT_NS = 2 * 10**9
"""A file changed within this time before it was read may change again unseen: some file systems
count time in steps of two seconds."""

CHUNK = 2**16
"""Bytes that are read at once: more than most records, and little to allocate."""

MANY_OBJECTS = 500_000
"""About those of 20,000 records."""

State = tuple[int, int, int, int]
"""What changes with a file: inode, size, and times of change in nanoseconds."""


def record_files(folder: str) -> list[str]:
    """Paths of all files below a folder that are named as records, sorted by their parts.

    A folder with such a name is one of them unless it holds files of records: versions before 0.2
    could make one. Links to folders are not followed.
    """
    return _walk(folder)[0]


_name = attrgetter("name")


def _walk(folder: str) -> tuple[list[str], bool]:
    """The paths, in order, and whether a file of JSON is among them."""
    paths: list[str] = []
    holds = False
    try:
        entries = sorted(os.scandir(folder), key=_name)
    except OSError:
        return paths, holds
    for entry in entries:
        named = entry.name.endswith(ENDINGS) and entry.name not in ENDINGS
        if entry.is_dir(follow_symlinks=False):
            below, of_folder = _walk(entry.path)
            if named and not of_folder:
                paths.append(entry.path)
            paths += below
            holds |= of_folder
        elif named:
            paths.append(entry.path)
            holds |= entry.name.endswith(".json")
    return paths, holds


class ReadOnce(Generic[T]):
    """What was made of files, for as long as they do not change."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[State, T]] = {}

    def get(self, path: str, read: Callable[[str], T]) -> T:
        """What `read` makes of the file, or made of it before."""
        state = _state(path)
        known = self._known.get(path)
        if known is not None and known[0] == state:
            return known[1]
        made = read(path)
        if state is not None and time.time_ns() - state[2] > RECENT_NS:
            self._known[path] = state, made
        else:
            self._known.pop(path, None)
        return made


def _state(path: str) -> State | None:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_ino, facts.st_size, max(facts.st_mtime_ns, facts.st_ctime_ns), facts.st_mtime_ns


def content_of(path: str) -> bytes:
    """The bytes of a file, as `Path.read_bytes` in a third of its time. OSError as there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(descriptor, CHUNK):
            parts.append(part)
            if len(part) < CHUNK:
                break
    finally:
        os.close(descriptor)
    return b"".join(parts)


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep Python from looking for cycles, of which the block makes none but very many objects.

    If they are very many, it does not look at them later either.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > MANY_OBJECTS:
            gc.freeze()
        if enabled:
            gc.enable()
