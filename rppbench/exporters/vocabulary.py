"""Vocabularies: class names of a data set or a file, for which a classifier is exported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rppbench.contracts.regions import DenseDataset
from rppbench.errors import UsageError, unknown
from rppbench.files.class_names import plain_name
from rppbench.files.coco_json import category_names
from rppbench.files.digests import sha256
from rppbench.files.lines import numbered_lines
from rppbench.plugins.registry import Registry

MAX_LIST_BYTES = 10_000_000
"""Largest file that is read as a plain list of names."""


@dataclass(frozen=True)
class Vocabulary:
    """Class names in the order of the classifier's rows."""

    name: str
    names: tuple[str, ...]
    """As they enter a prompt: with spaces in place of underscores, or the other way round."""
    source: str
    """Where the names are from, as text for people."""
    published: bool = False
    """Whether they are the list of a data set with a known number of classes."""


def read_vocabulary(text: str, registry: Registry) -> Vocabulary:
    """The vocabulary of a file or of a data set, as the command line names it.

    A file holds annotations in COCO's or LVIS's format (.json, categories by id), a JSON list of
    names, or one name a line. A data set may be spelled with '-' or '_'; its names come with the
    package where they are published, and from its files otherwise. UsageError for an unknown name
    and for files that cannot be read.
    """
    path = Path(text)
    if path.suffix in (".json", ".txt") or path.is_file():
        return Vocabulary(path.stem, _of_file(path), f"{path.name}, SHA-256 {_digest(path)}")
    known = {name.replace("-", "_"): name for name in registry.all("datasets")}
    component = registry.find("datasets", known.get(text.replace("-", "_"), text))
    if component is None:
        notes = ["or an annotation file in COCO's format, a JSON list or a list of names (.txt)"]
        raise unknown("vocabulary is named", text, registry.all("datasets"), "data sets", notes)
    shipped = component.vocabulary() if issubclass(component, DenseDataset) else ()
    names = tuple(shipped or component().classes)
    source = f"data set {component.name}"
    return Vocabulary(component.name, names, source, published=component.size is not None)


def with_underscores(vocabulary: Vocabulary) -> Vocabulary:
    """The names with underscores for spaces, as in the classifiers that Detic ships."""
    return replace(vocabulary, names=tuple(name.replace(" ", "_") for name in vocabulary.names))


def _of_file(path: Path) -> tuple[str, ...]:
    """Class names of a file, with spaces for underscores. UsageError if one is blank."""
    if path.suffix == ".json" and not _is_json_list(path):
        texts: Sequence[object] = [name for _, name in category_names(path)]
    else:
        texts = _plain_list(path)
    names = [plain_name(str(text)) for text in texts]
    if not names:
        raise UsageError(f"{path} names no classes")
    if "" in names:
        raise UsageError(f"class {names.index('') + 1} of {path} has no name")
    return tuple(names)


def _is_json_list(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(1000).lstrip().startswith("[")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the vocabulary {path}: {error}") from error


def _plain_list(path: Path) -> Sequence[object]:
    """The names of a JSON list, or the lines of a text file."""
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise UsageError(f"{path} is too large for a list of names")
        if path.suffix != ".json":
            return numbered_lines(path)
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read the vocabulary {path}: {error}") from error
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path} is not a list of names")
    return list(names)


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise UsageError(f"cannot read the vocabulary {path}: {error}") from error
