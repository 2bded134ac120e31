"""A local table of file contents: digests, computed again only where a file may have changed.

A file is taken as unchanged if its path, size, inode, modification time and status-change time are
those of the time at which its bytes were read. The last of these is set by the system at every
change and cannot be set back, so a file that was replaced under its old size and time is noticed.

The table is one SQLite file in the cache folder, which several processes may use. Deleting it is
safe: files are then read again. Without a cache that can be written, files are read on every look.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from rppbench.files.digests import identity_of

Place = str | tuple[str, int, int]
"""A file, or a part of one: path, first byte, and number of bytes (-1: to the end)."""

ReportProgress = Callable[[int, int], object]
"""Progress callback: (done, total)."""

SETTLED_NS = 2 * 10**9
"""Age of the last change from which on a further change is certain to give another identity."""

AT_ONCE = 1_000
"""Files that are read before their digests are stored: a kill loses at most these."""

READERS = 8
"""Threads that read files; hashing releases Python's lock."""

BLOCK = 1 << 20

ENCODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()

TABLES = """
create table if not exists folders (id integer primary key, path blob unique);
create table if not exists files (
    folder integer, name blob, first integer, length integer,
    identity blob, digest blob, read real,
    primary key (folder, name, first, length)
) without rowid;
create table if not exists lists (digest text primary key, starts blob) without rowid;
"""

LISTED_BYTES = 8
"""Bytes of each digest that a stored list keeps: enough to see which ones differ."""


Seen = tuple[bytes, bytes | None]
"""The content of a place at the time of a look: its SHA-256 (b'' if it cannot be read), and the
identity of its file (`identity_of`), which is None if the file may change without getting another
one. Plain tuples: there may be millions."""

Row = tuple[bytes, int, int, bytes, bytes, float]
"""Name, first byte, number of bytes, identity, digest, and when the bytes were read."""


@dataclass(frozen=True)
class ContentTable:
    """Digests of file contents by place."""

    folder: Path
    """The cache folder; the table is its file `contents.sqlite`."""
    trust: bool = False
    """Whether to take stored digests without looking at the files (`--trust-data`)."""
    since: float = 0.0
    """Digests that were computed before this time, in seconds of `time.time`, do not count."""

    def look(
        self, places: Iterable[Place], report: ReportProgress = lambda done, total: None
    ) -> dict[Place, Seen]:
        """The content of each place; only files that may have changed are read.

        `report` is called with the number of places looked at so far, and of all.
        """
        seen: dict[Place, Seen] = {}
        folders: dict[str, list[Place]] = {}
        total = 0
        for place in places:
            path = place if isinstance(place, str) else place[0]
            folders.setdefault(path.rpartition(os.sep)[0], []).append(place)
            total += 1
        with self._opened() as database:
            for folder, group in folders.items():
                real = _real(folder)
                due = self._unchanged(folder, group, _known(database, real), seen)
                for start in range(0, len(due), AT_ONCE):
                    read = _read_all(due[start : start + AT_ONCE])
                    _store(database, real, read)
                    seen |= read
                    report(len(seen), total)
                report(len(seen), total)
        return seen

    def _unchanged(
        self, folder: str, group: Sequence[Place], rows: Sequence[Row], seen: dict[Place, Seen]
    ) -> list[Place]:
        """Add the places of one folder with a valid digest to `seen`, and return the others."""
        files = {row[0]: row for row in rows if row[2] < 0}
        parts = {row[:3]: row for row in rows if row[2] >= 0}
        due: list[Place] = []
        start = len(folder) + 1 if folder or group[0][0] == os.sep else 0
        last, facts = "", None
        for place in group:
            if isinstance(place, str):
                path, stored = place, files.get(place[start:].encode(*ENCODING))
            else:
                path = place[0]
                stored = parts.get((path[start:].encode(*ENCODING), place[1], place[2]))
            if stored is None or stored[5] < self.since:
                due.append(place)
            elif self.trust:
                seen[place] = stored[4], None
            else:
                if path != last:  # parts of one file follow each other
                    last, facts = path, identity_of(path)
                if facts == stored[3]:
                    seen[place] = stored[4], facts
                else:
                    due.append(place)
        return due

    def changed(self, places: Iterable[tuple[Place, Seen]]) -> Iterator[Place]:
        """The places whose content is no longer what was seen; nothing is stored.

        If files are trusted, none is looked at.
        """
        for place, seen in places:
            path = place if isinstance(place, str) else place[0]
            digest, identity = seen
            if self.trust or (identity and identity_of(path) == identity):
                continue
            if _read(place)[0] != digest:
                yield place

    def keep_list(self, digest: str, digests: Sequence[bytes]) -> None:
        """Keep the digests that a combined `digest` was computed from, in their order."""
        starts = b"".join(one[:LISTED_BYTES].ljust(LISTED_BYTES, b"\0") for one in digests)
        with self._opened() as database, suppress(sqlite3.Error):
            if database is not None:
                database.execute("insert or ignore into lists values (?, ?)", (digest, starts))

    def differing(self, digest: str, digests: Sequence[bytes]) -> list[int] | None:
        """Positions at which a kept list differs from `digests`; None if it cannot be compared."""
        row = None
        with self._opened() as database, suppress(sqlite3.Error):
            if database is not None:
                select = "select starts from lists where digest = ?"
                row = database.execute(select, (digest,)).fetchone()
        if row is None or len(row[0]) != LISTED_BYTES * len(digests):
            return None
        return [
            at
            for at, one in enumerate(digests)
            if row[0][LISTED_BYTES * at : LISTED_BYTES * (at + 1)]
            != one[:LISTED_BYTES].ljust(LISTED_BYTES, b"\0")
        ]

    def computed(
        self,
        group: str,
        names: Sequence[str],
        compute: Callable[[str], bytes],
        report: ReportProgress = lambda done, total: None,
    ) -> dict[str, bytes]:
        """Digests of content that is in no file, each computed once for its group and name.

        `group` must name all that the content depends on.
        """
        result: dict[str, bytes] = {}
        key = f"\0{group}".encode("utf-8", "surrogatepass")
        with self._opened() as database:
            known = {row[0]: row for row in _known(database, key)}
            fresh: dict[Place, Seen] = {}
            for name in names:
                encoded = name.encode("utf-8", "surrogatepass")
                stored = known.get(encoded)
                if stored is not None and stored[5] >= self.since:
                    result[name] = stored[4]
                    continue
                result[name] = sha256(compute(name)).digest()
                fresh[os.fsdecode(encoded)] = result[name], b"-"
                report(len(result), len(names))
            _store(database, key, fresh, split=False)
        return result

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        """The database; None if it cannot be used. A damaged one is replaced."""
        path = self.folder / "contents.sqlite"
        database = None
        for _ in range(2):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                database = sqlite3.connect(path, timeout=30.0, isolation_level=None)
                database.executescript(TABLES)
                break
            except sqlite3.OperationalError:  # locked, read-only, full
                database = None
                break
            except sqlite3.DatabaseError:
                database = None
                with suppress(OSError):
                    path.unlink()
            except OSError:
                break
        if database is None:
            yield None
            return
        with closing(database):
            yield database


def _real(folder: str) -> bytes:
    """The absolute path of a folder without links."""
    return os.fsencode(os.path.realpath(folder or os.sep))


def _known(database: sqlite3.Connection | None, folder: bytes) -> Sequence[Row]:
    """The stored digests of a folder."""
    if database is None:
        return ()
    select = (
        "select name, first, length, identity, digest, read "
        "from files where folder = (select id from folders where path = ?)"
    )
    try:
        return database.execute(select, (folder,)).fetchall()
    except sqlite3.Error:
        return ()


def _store(
    database: sqlite3.Connection | None, folder: bytes, read: dict[Place, Seen], split: bool = True
) -> None:
    """Store the digests of settled files of a folder; errors are ignored, since all is a cache."""
    if database is None:
        return
    now = time.time()
    rows = []
    for place, (digest, identity) in read.items():
        path, first, length = (place, 0, -1) if isinstance(place, str) else place
        if identity is not None:
            name = os.fsencode(path.rpartition(os.sep)[2] if split else path)
            rows.append((name, first, length, identity, digest, now))
    if not rows:
        return
    with suppress(sqlite3.Error):
        database.execute("begin immediate")
        try:
            database.execute("insert or ignore into folders (path) values (?)", (folder,))
            (number,) = database.execute(
                "select id from folders where path = ?", (folder,)
            ).fetchone()
            database.executemany(
                "insert or replace into files values (?, ?, ?, ?, ?, ?, ?)",
                [(number, *row) for row in rows],
            )
        except sqlite3.Error:
            database.execute("rollback")
            raise
        database.execute("commit")


def _read_all(places: Sequence[Place]) -> dict[Place, Seen]:
    """The content of each place, read by several threads."""
    if len(places) < READERS:
        return {place: _read(place) for place in places}
    shares = [places[first::READERS] for first in range(READERS)]
    with ThreadPoolExecutor(READERS) as pool:
        read = pool.map(lambda share: [(place, _read(place)) for place in share], shares)
        return {place: seen for share in read for place, seen in share}


def _read(place: Place) -> Seen:
    """The content of a place; a file that changes while it is read has no identity."""
    path, first, length = (place, 0, -1) if isinstance(place, str) else place
    started = time.time_ns()
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return b"", None
    try:
        before, facts = identity_of(handle), os.fstat(handle)
        content = sha256()
        if first:
            os.lseek(handle, first, os.SEEK_SET)
        left = length if length >= 0 else facts.st_size + 1  # beyond the end, to notice growth
        while left > 0 and (block := os.read(handle, min(BLOCK, left))):
            content.update(block)
            left -= len(block)
    except OSError:
        return b"", None
    finally:
        os.close(handle)
    settled = identity_of(path) == before and started - facts.st_ctime_ns > SETTLED_NS
    return content.digest(), before if settled else None
