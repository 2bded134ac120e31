"""Renamed layouts: copies of a data set whose folders are called otherwise than its lists say.

Only where a file is read from changes. Keys, draws and fingerprints are those of the usual layout.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

Aliases = Mapping[str, tuple[str, ...]]
"""Folder -> where other copies have it, both below the set's own folder, in the order to try.

'test/*' is for copies that sort their images by class: the folder must tell the class that the
lists tell, word for word in any order, so images that were numbered anew are not taken for others.
"""


def places(folder: str, aliases: Aliases) -> tuple[str, ...]:
    """Where a folder may be, its own place first; archives often unpack into their own name."""
    return (folder, f"{folder}/{PurePosixPath(folder).name}", *aliases.get(folder, ()))


def found(home: Path, folder: str, aliases: Aliases) -> Path | None:
    """The folder, or the first of its aliases that is there; None if none is."""
    for place in places(folder, aliases):
        for path in home.glob(place):
            return path
    return None


def moved(
    home: Path, entries: Iterable[tuple[str, str]], folders: Sequence[str], aliases: Aliases
) -> dict[str, str]:
    """Listed path -> where it really is, for folders that are elsewhere; empty if none is.

    `entries` are (path, class name); all paths are below `home`. One image of a folder decides.
    """
    result: dict[str, str] = {}
    entries = list(entries)
    for folder in folders:
        inside = [entry for entry in entries if entry[0].startswith(f"{folder}/")]
        if not inside or (home / inside[0][0]).is_file():
            continue
        for place in places(folder, aliases)[1:]:
            there = dict(_there(home, inside, folder, place))
            if inside[0][0] in there:
                result |= there
                break
    return result


def _there(
    home: Path, entries: Sequence[tuple[str, str]], folder: str, place: str
) -> Iterator[tuple[str, str]]:
    """(listed path, real path) of the entries that another place of their folder may have."""
    if not place.endswith("/*"):
        first = f"{place}{entries[0][0].removeprefix(folder)}"
        if (home / first).is_file():
            for path, _ in entries:
                yield path, f"{place}{path.removeprefix(folder)}"
        return
    known = {
        (words(path.name), name): f"{path.relative_to(home).as_posix()}/{name}"
        for path in sorted(home.glob(place))
        if path.is_dir()
        for name in os.listdir(path)
    }
    for path, called in entries:
        real = known.get((words(called), PurePosixPath(path).name))
        if real is not None:
            yield path, real


def words(name: str) -> tuple[str, ...]:
    """'2012 Ram C/V' and 'Ram C-V 2012' have the same."""
    return tuple(sorted(re.findall(r"[a-z0-9]+", name.lower())))
