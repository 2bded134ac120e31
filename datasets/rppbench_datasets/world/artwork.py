"""The shipped drawings: named concepts, each drawn by several vendors, as RGBA cells of sheets.

`concepts.json` lists the drawings of each concept and the pool of each drawing, which is the split
that shows it. The scripts of `datasets/world` read drawings from other folders of the same form.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.errors import MissingDataError

WORLD = Path(__file__).parent
"""Folder of the shipped files."""

CELL, COLUMNS = 72, 40
"""Side of a cell in pixels, and number of cells in a row of a sheet."""


def fraction(*parts: str) -> float:
    """A number in [0, 1) that depends on the words only, the same on every machine."""
    text = "\x1f".join(parts).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:6], "big") / 2**48


@dataclass(frozen=True)
class Drawing:
    """One vendor's picture of one concept."""

    vendor: str
    cell: int
    """Number of the cell on the vendor's sheet."""
    pool: str
    """'train', 'val' or 'test'."""
    folder: Path = WORLD
    """Folder that the sheet is in."""

    @property
    def key(self) -> str:
        """Vendor and cell, like 'noto:17'."""
        return f"{self.vendor}:{self.cell}"


@dataclass(frozen=True)
class Concept:
    """A named thing (a class of the data sets) and its drawings."""

    id: str
    """Lower-case code points: '1f422'."""
    name: str
    subject: str
    kind: str
    """emojibase's subgroup."""
    tags: tuple[str, ...]
    drawings: tuple[Drawing, ...]

    def pool(self, pool: str) -> tuple[Drawing, ...]:
        """The drawings of one pool."""
        return tuple(drawing for drawing in self.drawings if drawing.pool == pool)


@cache
def digests(folder: Path = WORLD) -> Mapping[str, str]:
    """SHA-256 of every shipped file, by its path below the folder."""
    return json.loads((folder / "digests.json").read_bytes())


def read_checked(name: str, folder: Path = WORLD) -> bytes:
    """The bytes of a shipped file. MissingDataError if it is missing or was changed."""
    path = folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingDataError(
            f"the embedded world lacks {path}: {error.strerror}\n{_FIX}"
        ) from error
    if hashlib.sha256(data).hexdigest() != digests(folder).get(name):
        raise MissingDataError(f"the embedded world's {path} is damaged or was changed\n{_FIX}")
    return data


_FIX = "install rppbench again (a checkout: restore the file, or run `python sheets.py`)"


@cache
def concepts(folder: Path = WORLD) -> Sequence[Concept]:
    """All concepts of a folder, in the order of the standard emoji list."""
    rows = json.loads(read_checked("concepts.json", folder))
    return tuple(
        Concept(
            id=row["id"],
            name=row["name"],
            subject=row["subject"],
            kind=row["kind"],
            tags=tuple(row["tags"]),
            drawings=tuple(
                Drawing(vendor, at, pool, folder) for vendor, (at, pool) in row["drawings"].items()
            ),
        )
        for row in rows
    )


def named(names: Iterable[str], folder: Path = WORLD) -> tuple[Concept, ...]:
    """The concepts of a folder that have these names, in the order of the names."""
    by_name = {concept.name: concept for concept in concepts(folder)}
    return tuple(by_name[name] for name in names)


@cache
def _sheet(vendor: str, folder: Path) -> NDArray[np.uint8]:
    """A vendor's sheet: (height, width, 4) pixels, alpha not premultiplied; decoded once."""
    data = read_checked(f"{vendor}.webp", folder)
    return np.asarray(Image.open(BytesIO(data)).convert("RGBA"))


def sprite(drawing: Drawing) -> NDArray[np.uint8]:
    """A drawing: (72, 72, 4) RGBA pixels, alpha not premultiplied."""
    row, column = divmod(drawing.cell, COLUMNS)
    sheet = _sheet(drawing.vendor, drawing.folder)
    return sheet[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
