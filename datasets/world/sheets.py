"""Sheets of drawings, tables of concepts and digests, as the package reads them (`world.artwork`).

`python sheets.py` writes the digests of the shipped files, after a change of one by hand.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from concepts import Concept
from PIL import Image

from rppbench_datasets.world.artwork import CELL, COLUMNS, WORLD

SUFFIXES = (".webp", ".json", ".safetensors", ".txt", ".md")
"""Endings of the files that have a digest."""

LOSSLESS = ("fluent-hc",)
"""Vendors of line art: lossy files are larger, and ringing is visible."""

TRAINING = "training"
"""Folder of a build that holds the drawings which the backbones are trained on."""

Cells = Mapping[str, tuple[int, str]]
"""Vendor -> number of the cell on its sheet, and pool."""

Job = tuple[str, str, str]
"""A drawing that render.mjs renders: package, icon, file."""


def cell(path: Path) -> Image.Image | None:
    """A drawing cropped to its visible box and fitted into a cell; None if it is empty."""
    image = Image.open(path).convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 * (a > 12)).getbbox()
    if box is None or min(box[2] - box[0], box[3] - box[1]) < 4:
        return None
    image = image.crop(box)
    ratio = CELL / max(image.size)
    size = [max(1, round(side * ratio)) for side in image.size]
    small = image.resize((size[0], size[1]), Image.Resampling.HAMMING)  # no ringing
    out = Image.new("RGBA", (CELL, CELL))
    out.paste(small, ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
    return out


def prepared(sheet: Image.Image) -> Image.Image:
    """A sheet that compresses well: no colours under transparent pixels."""
    pixels = np.asarray(sheet).copy()
    # The grey that lossy compression distorts least.
    pixels[pixels[..., 3] == 0] = (128, 128, 128, 0)
    return Image.fromarray(pixels)


def encode(sheet: Image.Image, vendor: str, quality: int) -> bytes:
    """The smaller of lossy and lossless WebP files; line art is always lossless."""
    candidates = []
    lossy = {"quality": quality, "alpha_quality": 80}
    lossless = {"lossless": True, "quality": 100}
    for options in (lossless,) if vendor in LOSSLESS else (lossy, lossless):
        buffer = io.BytesIO()
        sheet.save(buffer, "WEBP", method=5, **options)
        candidates.append(buffer.getvalue())
    return min(candidates, key=len)


def write_sheet(folder: Path, vendor: str, images: Sequence[Image.Image], quality: int) -> None:
    """Write the cells of a vendor as its sheet."""
    sheet = Image.new("RGBA", (COLUMNS * CELL, -(-len(images) // COLUMNS) * CELL))
    for at, image in enumerate(images):
        sheet.paste(image, (at % COLUMNS * CELL, at // COLUMNS * CELL))
    data = encode(prepared(sheet), vendor, quality)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{vendor}.webp").write_bytes(data)
    print(vendor, len(images), "drawings", len(data), "bytes", flush=True)


def write_concepts(folder: Path, table: Iterable[tuple[Concept, Cells]]) -> None:
    """Write the table of concepts and their cells."""
    lines = []
    for concept, cells in table:
        row = {
            "id": concept.id,
            "name": concept.name,
            "subject": concept.subject,
            "kind": concept.kind,
            "tags": concept.tags,
            "drawings": cells,
        }
        lines.append(json.dumps(row))
    (folder / "concepts.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


def write_digests(folder: Path) -> None:
    """Write the SHA-256 of every file of a folder that is checked when it is read."""
    names = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES and path.name != "digests.json"
    )
    table = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "digests.json").write_text(json.dumps(table, indent=1) + "\n")
    print(len(table), "files", sum((folder / name).stat().st_size for name in names), "bytes")


def command(jobs: Callable[[Path], Iterable[Job]], sheets: Callable[[Path, Path], None]) -> None:
    """Do what the command line says: write the list of jobs, or the sheets."""
    name, packages, path = sys.argv[1:]
    if name == "jobs":
        Path(path).write_text(json.dumps(list(jobs(Path(packages)))))
    else:
        sheets(Path(packages), Path(path))


if __name__ == "__main__":
    write_digests(WORLD)
