"""`rppbench compare --images N --to DIR`: the pictures of the images that changed, on a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.errors import UsageError
from rppbench.reporting.gallery_page import Picture, changed_page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from rppbench.comparison.by_image import PairedOutcomes
    from rppbench.comparison.compare import Comparison
    from rppbench.plugins.registry import Registry

PAGE = "index.html"
SIDE = 224
"""Longest side of a picture, in pixels."""


def write_changed(comparisons: Sequence[Comparison], limit: int, folder: Path) -> list[str]:
    """Write the pictures of up to `limit` images that changed in each direction, and their page.

    Returns a remark for each data set whose pictures cannot be shown. Raises UsageError for a
    folder that holds something or cannot be written.
    """
    from rppbench.files.atomic import replacing, write_atomically
    from rppbench.plugins.registry import Registry

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder; name a new one")
    registry, remarks = Registry.load(), []
    parts: list[tuple[str, list[Picture]]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for comparison in comparisons:
            for pair in (pair for pair in comparison.pairs if pair.counted):
                title = f"{comparison.table.title}, {comparison.table.heading(pair.column)}"
                try:
                    changed = list(_changed(registry, comparison, pair, limit))
                except UsageError as error:
                    remarks.append(f"no pictures of {title}: {error}")
                    continue
                pictures: list[Picture] = []
                for image, caption in changed:
                    name = f"{sum(len(shown) for _, shown in parts) + len(pictures) + 1:03d}.png"
                    image.thumbnail((SIDE, SIDE))
                    with replacing(folder / name) as temporary:
                        image.save(temporary, "PNG")
                    pictures.append(Picture(name, caption))
                parts.append((title, pictures))
        # The page comes last: if it exists, so do all of its pictures.
        write_atomically(folder / PAGE, changed_page(comparisons, parts))
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    return remarks


def _changed(
    registry: Registry, comparison: Comparison, pair: PairedOutcomes, limit: int
) -> Iterator[tuple[Image, str]]:
    """Images that changed, with captions: those that became right first.

    UsageError where the scored images are not all test images, or are not here.
    """
    from rppbench.data.checked import checked_samples
    from rppbench.data.splits import spread

    data = registry.get("datasets", pair.column.dataset)()
    cell = comparison.first.newest.cell
    samples = spread(checked_samples(data, "test"), cell.limit)
    if len(samples) != pair.images:
        raise UsageError(
            f"{pair.column.metric} is over {pair.images} of {len(samples)} test images"
        )
    for change, where in (
        ("wrong -> right", pair.changes > 0),
        ("right -> wrong", pair.changes < 0),
    ):
        for place, count in most_changed(where)[:limit]:
            sample = samples[place]
            seeds = f" ({count}/{len(pair.seeds)})" if len(pair.seeds) > 1 else ""
            caption = f"{change}{seeds}: {data.classes[sample.label]}, image {place}"
            yield data.image(sample).convert("RGB"), caption


def most_changed(where: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(position, number of seeds) of each image that changed, `where` [s, n]; most seeds first."""
    counts = where.sum(axis=0).tolist()
    changed = [(place, count) for place, count in enumerate(counts) if count]
    return sorted(changed, key=lambda one: -one[1])
