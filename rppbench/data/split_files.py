"""The split of a data set as a file like CoOp's, which 'json:FILE?images=FOLDER' reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rppbench.contracts.dataset import Dataset
from rppbench.errors import UsageError
from rppbench.files.atomic import write_atomically


def write_split(dataset: Dataset, splits: Sequence[str], file: Path) -> Path:
    """Write {split: [[path, label, class name], ...]}; returns the folder that paths are below.

    UsageError if the file exists, if it cannot be written, and for images that are not files in
    one folder.
    """
    if file.exists():
        raise UsageError(f"{file} exists; name a new file")
    classes, root = dataset.classes, None
    content: dict[str, list[list[object]]] = {}
    for split in splits:
        content[split] = rows = []
        for sample in dataset.samples(split):
            path = dataset.file(sample)
            below = path and Path(str(path).removesuffix(sample.key))
            if below is None or below == path or root not in (None, below):
                raise UsageError(
                    f"{dataset.name}: {sample.key} is not a file below one folder of all images"
                )
            root = below
            rows.append([sample.key, sample.label, classes[sample.label]])
    if root is None:
        raise UsageError(f"{dataset.name} has no images")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(content, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error
    return root
