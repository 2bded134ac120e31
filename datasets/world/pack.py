"""Turn rendered drawings into the shipped artwork: sheets of cells, concepts and pools.

python pack.py jobs PACKAGES jobs.json        # the drawings that render.mjs renders
python pack.py sheets PACKAGES DRAWINGS       # writes ../rppbench_datasets/world/
python pack.py digests                        # after any change of a shipped file
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import concepts as c
import numpy as np
from PIL import Image

from rppbench_datasets.world.artwork import CELL, COLUMNS

SHIPPED = Path(__file__).parent.parent / "rppbench_datasets" / "world"
SHIPPED_SUFFIXES = (".webp", ".json", ".safetensors", ".txt", ".md")
LOSSLESS = ("openmoji", "fluent-hc")
"""Vendors of line art: lossy files are larger, and ringing is visible."""

Cells = Mapping[str, tuple[int, str]]
"""Vendor -> number of the cell on its sheet, and pool."""


def jobs(packages: Path, out: Path) -> None:
    """List the drawings to render as [package, icon, file]."""
    all_concepts = c.read(packages)
    out.write_text(
        json.dumps(
            [
                [c.VENDORS[vendor], concept.icons[vendor], f"{vendor}/{concept.id}.png"]
                for vendor in c.VENDORS
                for concept in all_concepts
                if vendor in concept.icons
            ]
        )
    )


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


def prepared(sheet: Image.Image, vendor: str) -> Image.Image:
    """A sheet that compresses well: no colours under transparent pixels, line art quantised.

    OpenMoji has few flat colours; quantising to 16 levels a channel and 8 of alpha only touches
    the soft rims and more than halves the file.
    """
    pixels = np.asarray(sheet).copy()
    if vendor == "openmoji":
        pixels[..., :3] = np.round(pixels[..., :3] / 17.0) * 17
        # In floats: the product overflows 8 bits.
        pixels[..., 3] = np.round(pixels[..., 3] / 255.0 * 7) * 255 / 7
    # The grey that lossy compression distorts least.
    pixels[pixels[..., 3] == 0] = (128, 128, 128, 0)
    return Image.fromarray(pixels)


def encode(sheet: Image.Image, vendor: str, quality: int = 80) -> bytes:
    """The smaller of lossy and lossless WebP files; line art is always lossless."""
    candidates = []
    lossy = {"quality": quality, "alpha_quality": 80}
    lossless = {"lossless": True, "quality": 100}
    for options in (lossless,) if vendor in LOSSLESS else (lossy, lossless):
        buffer = io.BytesIO()
        sheet.save(buffer, "WEBP", method=5, **options)
        candidates.append(buffer.getvalue())
    return min(candidates, key=len)


def sheets(packages: Path, drawings: Path) -> None:
    """Write one sheet a vendor and the table of concepts."""
    all_concepts = c.read(packages)
    cells: dict[str, dict[str, int]] = {concept.id: {} for concept in all_concepts}
    for vendor in c.VENDORS:
        images: list[Image.Image] = []
        for concept in all_concepts:
            path = drawings / vendor / f"{concept.id}.png"
            image = cell(path) if vendor in concept.icons and path.exists() else None
            if image is not None:
                cells[concept.id][vendor] = len(images)
                images.append(image)
        write_sheet(SHIPPED, vendor, images)
    table: list[tuple[c.Concept, Cells]] = []
    for concept in all_concepts:
        drawn = cells[concept.id]
        pool = c.pools(concept.id, concept.subject, set(drawn))
        table.append((concept, {vendor: (at, pool[vendor]) for vendor, at in drawn.items()}))
    write_concepts(SHIPPED, table)


def write_sheet(
    folder: Path, vendor: str, images: Sequence[Image.Image], quality: int = 80
) -> None:
    """Write the cells of a vendor as its sheet."""
    sheet = Image.new("RGBA", (COLUMNS * CELL, -(-len(images) // COLUMNS) * CELL))
    for at, image in enumerate(images):
        sheet.paste(image, (at % COLUMNS * CELL, at // COLUMNS * CELL))
    data = encode(prepared(sheet, vendor), vendor, quality)
    folder.mkdir(exist_ok=True)
    (folder / f"{vendor}.webp").write_bytes(data)
    print(vendor, len(images), "drawings", len(data), "bytes", flush=True)


def write_concepts(folder: Path, table: Iterable[tuple[c.Concept, Cells]]) -> None:
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
    """Write the SHA-256 of every shipped file of a folder."""
    names = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix in SHIPPED_SUFFIXES and path.name != "digests.json"
    )
    table = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "digests.json").write_text(json.dumps(table, indent=1) + "\n")
    print(len(table), "files", sum((folder / name).stat().st_size for name in names), "bytes")


def command(
    folder: Path, jobs: Callable[[Path, Path], None], sheets: Callable[[Path, Path], None]
) -> None:
    """Do what the command line says, for the shipped files of a folder."""
    name, *paths = sys.argv[1:]
    if name == "digests":
        write_digests(folder)
    else:
        {"jobs": jobs, "sheets": sheets}[name](Path(paths[0]), Path(paths[1]))


if __name__ == "__main__":
    command(SHIPPED, jobs, sheets)
