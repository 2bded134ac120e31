"""The sentence of `docs/own-images.md` on which copies of a drawing count as near-duplicates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from rppbench_datasets.demo import Plain, Vocabulary
from rppbench_datasets.flat_folder import _alike, _look
from rppbench_datasets.world import render

PAGE = Path(__file__).parents[2] / "docs" / "own-images.md"
DRAWINGS = 200
Copy = Callable[[Image.Image, Path], None]


def half(image: Image.Image, path: Path) -> None:
    image.resize((image.width // 2, image.height // 2)).save(path.with_suffix(".png"))


def jpeg(image: Image.Image, path: Path) -> None:
    image.save(path.with_suffix(".jpg"), quality=50)


def cropped(image: Image.Image, path: Path) -> None:
    image.crop((2, 2, image.width - 2, image.height - 2)).save(path.with_suffix(".png"))


def brighter(image: Image.Image, path: Path) -> None:
    ImageEnhance.Brightness(image).enhance(1.1).save(path.with_suffix(".png"))


@pytest.fixture(scope="module")
def drawings() -> list[Image.Image]:
    """One test drawing of each class of the vocabulary, in no style."""
    data = Vocabulary()
    first = {sample.label: sample for sample in reversed(data.samples("test"))}
    chosen = [first[label] for label in sorted(first)]
    return [render.single(data.drawing(one), f"plain/{one.key}", Plain.ground) for one in chosen]


def test_the_page_says_which_copies_are_joined(drawings: list[Image.Image], tmp_path: Path) -> None:
    def looks(images: list[Image.Image], copy: Copy, name: str) -> list[tuple[str, str]]:
        (folder := tmp_path / name).mkdir()
        for number, image in enumerate(images):
            copy(image, folder / f"{number:03}")
        return [_look(path) for path in sorted(folder.iterdir())]

    def original(image: Image.Image, path: Path) -> None:
        image.save(path.with_suffix(".png"))

    some = drawings[:DRAWINGS]
    own = looks(some, original, "own")
    counts = []
    for copy in (half, jpeg, cropped, brighter):
        copies = looks(some, copy, copy.__name__)
        pairs = set(_alike([*own, *copies], range(2 * DRAWINGS)))
        counts.append(sum((at, at + DRAWINGS) in pairs for at in range(DRAWINGS)))
    every = looks(drawings, original, "every")
    joined = len({at for pair in _alike(every, range(len(every))) for at in pair})
    resized, compressed, cut, lit = counts
    said = (
        f"Of {DRAWINGS} drawings of the embedded world this joined {resized} with a copy of half "
        f"the size, {compressed} with a JPEG of quality 50, {cut} with a copy cropped by 2 of 96 "
        f"pixels on each side, and {lit} with one that is 10 % brighter; of {len(drawings)} "
        f"different drawings it joined {joined or 'none'}."
    )
    assert said in " ".join(PAGE.read_text().split())
