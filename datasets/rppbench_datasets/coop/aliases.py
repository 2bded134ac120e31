"""Aliases: the names of a data set's folders in copies that do not name them as its lists do.

An alias changes only where a file is read from. Keys, draws and fingerprints are those of the usual
layout.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

Aliases = Mapping[str, tuple[str, ...]]
"""Folder -> its paths in other copies, in the order to try; all below the set's own folder.

'test/*' is for copies that sort their images by class: the folder's name must have the words of the
class name in the lists, in any order, so renumbered images are not mistaken for others.
"""


def candidate_paths(folder: str, aliases: Aliases) -> tuple[str, ...]:
    """Paths where a folder may be, the usual one first; archives often nest two of one name."""
    return (folder, f"{folder}/{PurePosixPath(folder).name}", *aliases.get(folder, ()))


def find_folder(home: Path, folder: str, aliases: Aliases) -> Path | None:
    """The folder, or the first of its aliases that exists; None if there is none."""
    for place in candidate_paths(folder, aliases):
        for path in home.glob(place):
            return path
    return None


def find_moved_images(
    home: Path, entries: Iterable[tuple[str, str]], folders: Sequence[str], aliases: Aliases
) -> dict[str, str]:
    """Listed path -> actual path, for the images of folders that are elsewhere.

    `entries` are (path, class name); all paths are below `home`. The first image of a folder
    decides whether it was moved. Empty if every folder has its usual path.
    """
    result: dict[str, str] = {}
    entries = list(entries)
    for folder in folders:
        inside = [entry for entry in entries if entry[0].startswith(f"{folder}/")]
        if not inside or (home / inside[0][0]).is_file():
            continue
        for place in candidate_paths(folder, aliases)[1:]:
            actual = dict(_actual_paths(home, inside, folder, place))
            if inside[0][0] in actual:
                result |= actual
                break
    return result


def _actual_paths(
    home: Path, entries: Sequence[tuple[str, str]], folder: str, place: str
) -> Iterator[tuple[str, str]]:
    """(listed path, actual path) of the entries that are in `place` instead of `folder`."""
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
    for path, class_name in entries:
        actual = known.get((words(class_name), PurePosixPath(path).name))
        if actual is not None:
            yield path, actual


def words(name: str) -> tuple[str, ...]:
    """The words of a name, sorted: equal for '2012 Ram C/V' and 'Ram C-V 2012'."""
    return tuple(sorted(re.findall(r"[a-z0-9]+", name.lower())))
