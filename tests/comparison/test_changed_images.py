"""`rppbench compare --images N --to DIR`: the pictures of the images that changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from support.records import record

from rppbench.cli import main
from rppbench.plugins.registry import Registry
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Score
from rppbench.records.store import Store


def write_records(folder: Path, count: int) -> None:
    """CoOp gets every image but the first right, RPP-SAPL every image but the last."""
    for method, wrong in (("coop", 0), ("rpp", count - 1)):
        outcomes = [place != wrong for place in range(count)]
        score = Score("top1", 100 * (count - 1) / count, count - 1, count, PerImage.of(outcomes))
        Store(folder).write(record(method, "toy-one", scores=(score,), recipe=f"{method}-1"))


@pytest.fixture
def words(toys: Registry, tmp_path: Path) -> list[str]:
    return ["compare", "coop", "rpp", "--output", str(tmp_path), "--to", str(tmp_path / "page")]


def test_the_pictures_of_both_directions_are_written_with_their_classes(
    words: list[str], toys: Registry, tmp_path: Path
) -> None:
    data = toys.get("datasets", "toy-one")()
    samples = data.samples("test")
    write_records(tmp_path, len(samples))
    assert main([*words, "--images", "3"]) == 0
    text = (tmp_path / "page" / "index.html").read_text()
    captions = re.findall("<figcaption>(.*?)</figcaption>", text)
    assert captions == [
        f"wrong -&gt; right: {data.classes[samples[0].label]}, image 0",
        f"right -&gt; wrong: {data.classes[samples[-1].label]}, image {len(samples) - 1}",
    ]
    first = Image.open(tmp_path / "page" / "001.png")
    expected = data.image(samples[0]).convert("RGB")
    expected.thumbnail((224, 224))
    assert first.tobytes() == expected.tobytes()
    assert "nothing about photographs" in text, "the made-up records name the embedded backbone"


def test_scores_of_other_images_have_no_pictures(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_records(tmp_path, 3)
    assert main([*words, "--images", "3"]) == 0
    assert "no pictures of" in capsys.readouterr().err
    assert "<figure" not in (tmp_path / "page" / "index.html").read_text()


def test_a_folder_needs_a_number_and_must_be_new(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_records(tmp_path, 3)
    assert main(words) == 2
    assert "add --images N" in capsys.readouterr().err
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "mine").write_text("")
    assert main([*words, "--images", "1"]) == 2
    assert "not an empty folder" in capsys.readouterr().err
