"""Confidences of single test images, in a file of their own beside the records.

confidences/<key>-<digest>.safetensors holds, for each score with outcomes, the probability of the
best class of every image: float32 of shape (total,), in the order of the outcomes. They are kept so
that calibration can be computed again. Tables read records alone and never open these files.

The name holds the digest of the content, and so does the record (`Record.confidence`). The file is
written before the record and in one step: a record never names a file of another run, and a kill
leaves at most a file that no record names, which the next write of the cell removes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from rppbench.files.atomic import Problem, write_atomically
from rppbench.records.record import Record

if TYPE_CHECKING:  # numpy takes as long to import as a table takes to make
    import numpy as np
    from numpy.typing import NDArray

_DIGITS = 16


def confidence_path(root: Path, record: Record) -> Path:
    """confidences/<key>-<digest>.safetensors"""
    return root / "confidences" / f"{record.key}-{record.confidence}.safetensors"


def packed(record: Record) -> tuple[Record, bytes]:
    """The record with the digest of the file of its confidences, and the content of that file.

    A record whose scores hold none, such as one that was read, is returned as it is, with b"".
    """
    kept = {s.metric: s.confidence for s in record.scores if s.confidence is not None}
    if not kept:
        return record, b""
    import numpy as np
    from safetensors.numpy import save

    content = save({name: np.frombuffer(values, "<f4") for name, values in kept.items()})
    return replace(record, confidence=sha256(content).hexdigest()[:_DIGITS]), content


class Confidences:
    """The files of confidences of a store: one per cell, listed once for all that it writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, set[str]] | None = None
        """Names of files by the key of their cell, as far as this process knows them."""

    def write(self, record: Record, content: bytes) -> None:
        """Write what `packed` made of a record; nothing if that is empty."""
        if not content:
            return
        path = confidence_path(self.root, record)
        self._known().setdefault(record.key, set()).add(path.name)
        if not path.exists():
            write_atomically(path, content)

    def remove_all(self, keys: Iterable[str]) -> None:
        """Remove the confidences of the cells with these keys."""
        self._names = None  # other processes may have written some
        for key in keys:
            self._remove(key, "")

    def remove_others(self, record: Record, before: Record | None = None) -> None:
        """Remove the confidences of the record's cell but for its own.

        Also those of the record `before` it, which another process may have written.
        """
        own = confidence_path(self.root, record).name if record.confidence else ""
        if before is not None and before.confidence:
            self._known().setdefault(record.key, set()).add(confidence_path(self.root, before).name)
        self._remove(record.key, own)

    def _remove(self, key: str, own: str) -> None:
        names = self._known().pop(key, set())
        for name in names - {own}:
            (self.root / "confidences" / name).unlink(missing_ok=True)
        if own:
            self._known()[key] = {own}

    def _known(self) -> dict[str, set[str]]:
        if self._names is None:
            self._names = {}
            for path in (self.root / "confidences").glob("*.safetensors"):
                self._names.setdefault(path.name.partition("-")[0], set()).add(path.name)
        return self._names


def read_confidences(root: Path, record: Record) -> dict[str, NDArray[np.float32]] | Problem:
    """Confidences (total,) by metric; {} where none are kept, a Problem where they are damaged."""
    if not record.confidence:
        return {}
    path = confidence_path(root, record)
    if not path.is_file():
        return {}
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = path.read_bytes()
    except OSError as error:
        return Problem(path, f"cannot be read: {error.strerror}")
    if sha256(content).hexdigest()[:_DIGITS] != record.confidence:
        return Problem(path, "the content does not match its digest: edited or damaged")
    try:
        values = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        return Problem(path, f"not a file of confidences: {error}")
    for name, of_score in values.items():
        score = record.score(name)
        if score is None or of_score.dtype != "float32" or of_score.shape != (score.total,):
            return Problem(path, f"its {name!r} does not fit the scores of the record")
    return values


def with_confidences(root: Path, record: Record) -> Record | Problem:
    """The record with the confidences of its scores, so that another store writes them too.

    Without them where none are kept; a Problem where they are damaged.
    """
    values = read_confidences(root, record)
    if isinstance(values, Problem):
        return values
    scores = (
        structs.replace(s, confidence=values[s.metric].astype("<f4").tobytes())
        if s.metric in values
        else s
        for s in record.scores
    )
    return replace(record, scores=tuple(scores))
