"""Data sets named by a format and a path: 'folder:/path', 'json:/path', 'wds:/path', 'hf:NAME'."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from rppbench.errors import UsageError
from rppbench_datasets.huggingface import HuggingFace
from rppbench_datasets.own_images import FolderImages, JsonListedImages, OwnDataset, dataset_class
from rppbench_datasets.webdataset_archives import ALIAS, WebdatasetImages, folder_of

FORMATS: Mapping[str, type[OwnDataset]] = {
    cls.kind: cls for cls in (FolderImages, JsonListedImages, WebdatasetImages, HuggingFace)
}


@cache
def resolve(name: str) -> type[OwnDataset] | None:
    """The data set of a name 'FORMAT:PATH'; None for any other name.

    'wds/imagenet1k' is the folder of that data set of CLIP_benchmark below the data root.
    UsageError for a format without a path, and for an existing path without a format.
    """
    if name.startswith(ALIAS):
        return dataset_class(WebdatasetImages, name, str(folder_of(name)), name.removeprefix(ALIAS))
    kind, colon, path = name.partition(":")
    if not colon or kind not in FORMATS:
        _refuse_bare_path(name)
        return None
    if not path.strip():
        raise UsageError(f"{name!r} names no path; write {kind}:/path/to/it")
    canonical = f"{kind}:{Path(path)}"  # one spelling, without a slash at the end
    if canonical != name:
        return resolve(canonical)
    # Links are not followed: the title is the name of the link.
    place = Path(os.path.abspath(Path(path).expanduser()))
    file = Path(path.partition("?")[0])  # without the folder of its images
    return dataset_class(FORMATS[kind], name, path, file.stem if kind == "json" else place.name)


def _refuse_bare_path(name: str) -> None:
    """UsageError for a name that is the path of a folder or file."""
    path = Path(name).expanduser()
    if os.sep not in name and not name.endswith(".json"):
        return  # a misspelt name, even if a folder has that name
    if path.is_dir():
        raise UsageError(f"{name!r} is a folder; as a data set it is written folder:{name}")
    if path.is_file():
        raise UsageError(f"{name!r} is a file; as a data set it is written json:{name}")
