"""Pack the drawings that the backbones are trained on, which are not shipped.

python pack_training.py jobs PACKAGES JOBS.json    # the drawings that render.mjs renders
python pack_training.py sheets PACKAGES OUT        # packs OUT/drawings into OUT/training

The world's own drawings are packed by `pack_world.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import concepts as c
from PIL import Image
from sheets import (
    TRAINING,
    Cells,
    Job,
    cell,
    command,
    write_concepts,
    write_digests,
    write_sheet,
)

VENDORS = (*c.COLOURED, c.SILHOUETTES)

QUALITY = 80
"""Of lossy sheets."""


def jobs(packages: Path) -> Iterator[Job]:
    """The drawings to render."""
    all_concepts = c.read(packages)
    for vendor in VENDORS:
        for concept in all_concepts:
            if vendor in concept.icons:
                yield c.VENDORS[vendor], concept.icons[vendor], f"{vendor}/{concept.id}.png"


def sheets(packages: Path, out: Path) -> None:
    """Write one sheet a vendor, the table of concepts, and digests."""
    all_concepts = c.read(packages)
    folder = out / TRAINING
    cells: dict[str, dict[str, int]] = {concept.id: {} for concept in all_concepts}
    for vendor in VENDORS:
        images: list[Image.Image] = []
        for concept in all_concepts:
            path = out / "drawings" / vendor / f"{concept.id}.png"
            image = cell(path) if vendor in concept.icons and path.exists() else None
            if image is not None:
                cells[concept.id][vendor] = len(images)
                images.append(image)
        write_sheet(folder, vendor, images, QUALITY)
    table: list[tuple[c.Concept, Cells]] = []
    for concept in all_concepts:
        drawn = cells[concept.id]
        pool = c.pools(concept.id, set(drawn))
        table.append((concept, {vendor: (at, pool[vendor]) for vendor, at in drawn.items()}))
    write_concepts(folder, table)
    write_digests(folder)


if __name__ == "__main__":
    command(jobs, sheets)
