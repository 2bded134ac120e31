"""Data sets that a name itself describes: 'folder:/path', 'json:/path', 'wds:/path', 'hf:...'."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from rppbench.errors import UsageError
from rppbench_datasets.huggingface import HuggingFace
from rppbench_datasets.own import FolderImages, ListedImages, Own, of_name
from rppbench_datasets.tars import ALIAS, TarImages, folder_of

FORMATS: Mapping[str, type[Own]] = {
    form.kind: form for form in (FolderImages, ListedImages, TarImages, HuggingFace)
}


@cache
def resolve(name: str) -> type[Own] | None:
    """The data set that a word, a colon and a path stand for; None for any other name.

    'wds/imagenet1k' is the folder of that data set of CLIP_benchmark below the data root.
    UsageError for a name without a path, and for a path without the word before it.
    """
    if name.startswith(ALIAS):
        return of_name(TarImages, name, str(folder_of(name)), name.removeprefix(ALIAS))
    kind, colon, path = name.partition(":")
    if not colon or kind not in FORMATS:
        _refuse_bare(name)
        return None
    if not path.strip():
        raise UsageError(f"{name!r} names no path; write {kind}:/path/to/it")
    spelled = f"{kind}:{Path(path)}"  # without a slash at the end, among others
    if spelled != name:
        return resolve(spelled)
    title = Path(os.path.abspath(Path(path).expanduser()))  # a link keeps its own name
    return of_name(FORMATS[kind], name, path, title.stem if kind == "json" else title.name)


def _refuse_bare(name: str) -> None:
    path = Path(name).expanduser()
    if os.sep not in name and not name.endswith(".json"):
        return  # a name that happens to be a folder's is a slip of another kind
    if path.is_dir():
        raise UsageError(f"{name!r} is a folder; as a data set it is written folder:{name}")
    if path.is_file():
        raise UsageError(f"{name!r} is a file; as a data set it is written json:{name}")
