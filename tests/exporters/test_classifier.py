"""Exported classifiers hold the features of the prompt; bad vocabularies are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from support.tiny import NAMES, LeafDraw, sapl

from rppbench.contracts.prompts import Conditional, Prompts, Templates
from rppbench.errors import UsageError
from rppbench.exporters import classifier
from rppbench.exporters.vocabulary import Vocabulary, read_vocabulary
from rppbench.files import coco_json
from rppbench.models.blocks import normalise
from rppbench.models.class_names import Names
from rppbench.models.clip import Clip
from rppbench.plugins.registry import Registry

WORDS = Vocabulary("few", NAMES, "a test")


def test_normalised_features_are_those_that_classify(tiny_clip: Clip) -> None:
    prompts = Prompts(sapl(LeafDraw(), 32, 3))
    features = classifier.class_features(tiny_clip, prompts, WORDS, "detic", "")
    assert not torch.allclose(features.norm(dim=1), torch.ones(len(NAMES)), atol=0.01)
    assert isinstance(prompts.text, type(sapl(LeafDraw(), 32, 3)))
    expected = tiny_clip.text.encode(prompts.text, Names(NAMES, tiny_clip.text.kind.tokens))
    torch.testing.assert_close(normalise(features), expected.detach())


def test_fixed_wordings_are_those_of_zero_shot(tiny_clip: Clip) -> None:
    for wordings in ((), ("a {}.", "my {}.")):
        prompts = Prompts(Templates(wordings))
        features = classifier.class_features(tiny_clip, prompts, WORDS, "detic", "a photo of a {}.")
        expected = tiny_clip.text.encode_templates(NAMES, wordings or ("a photo of a {}.",))
        torch.testing.assert_close(normalise(features), expected)


def test_zsseg_keeps_the_full_stop_a_token_of_its_own(tiny_clip: Clip) -> None:
    together, apart = (
        Names(NAMES, tiny_clip.text.kind.tokens, stop_apart=on) for on in (False, True)
    )
    ends = [name.endswith(")") for name in NAMES]
    assert (apart.lengths - together.lengths).tolist() == [int(end) for end in ends]
    assert any(ends)


def test_text_that_depends_on_the_image_is_refused(tiny_clip: Clip) -> None:
    prompts = Prompts(Conditional(lambda image: image))
    with pytest.raises(UsageError, match="anew for every image"):
        classifier.class_features(tiny_clip, prompts, WORDS, "plain", "")


@pytest.mark.parametrize("layout", classifier.FORMATS)
def test_the_folder_holds_array_names_and_card(layout: str, tmp_path: Path) -> None:
    features = torch.randn(len(NAMES), 8) * 9
    folder = tmp_path / "to"
    classifier.write(folder, features, WORDS, layout, {"prompt": {}})
    card = json.loads((folder / "card.json").read_text())
    assert card["names"] == list(NAMES)
    with safe_open(folder / "classifier.safetensors", "pt") as file:
        assert json.loads(file.metadata()["names"]) == list(NAMES)
        torch.testing.assert_close(file.get_tensor("features"), features)
    if layout == "plain":
        assert set(card["files"]) == {"classifier.safetensors"}
        return
    array = np.load(folder / "classifier.npy", allow_pickle=False)
    if layout == "detic":
        assert array.dtype == np.float16
        np.testing.assert_allclose(array, features, rtol=1e-3)
    else:
        assert array.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(array, axis=1), 1, rtol=1e-5)
    with pytest.raises(UsageError, match="not empty"):
        classifier.write(folder, features, WORDS, layout, {})


@pytest.mark.parametrize(
    ("name", "count"), [("lvis", 1203), ("coco", 80), ("objects365", 365), ("coco-ov", 80)]
)
def test_published_vocabularies_need_no_data(name: str, count: int) -> None:
    names = read_vocabulary(name, Registry.load()).names
    assert len(names) == count
    assert not any("_" in name or name != name.strip() for name in names)


def test_lvis_and_coco_have_their_published_parts() -> None:
    from rppbench_datasets.vocabularies import table

    groups = [row[2] for row in table("lvis")]
    assert [groups.count(group) for group in "fcr"] == [405, 461, 337]
    parts = [row[2] for row in table("coco")]
    assert [parts.count(part) for part in ("seen", "unseen", "neither")] == [48, 17, 15]
    assert [row[0] for row in table("coco")][-1] == "90"  # eighty classes, ids with gaps


def test_categories_of_a_file_are_sorted_by_id_whatever_else_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco_json, "CHUNK", 7)
    path = tmp_path / "mine.json"
    categories = [{"id": 90, "name": "fire_truck"}, {"id": 3, "name": "bus"}]
    data = {"info": {"a": [1, 2.5]}, "categories": categories, "images": [{"id": 1}], "n": 12}
    path.write_text(json.dumps(data, indent=1))
    assert read_vocabulary(str(path), Registry.load()).names == ("bus", "fire truck")


@pytest.mark.parametrize(
    ("file", "text"), [("names.txt", "bus\n\ncat\n"), ("names.json", '["bus", "_", "cat"]')]
)
def test_a_class_without_a_name_is_refused_with_its_number(
    tmp_path: Path, file: str, text: str
) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(UsageError, match=r"line 2 is empty|class 2 of .* has no name"):
        read_vocabulary(str(tmp_path / file), Registry.load())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"categories": [{"id": 1, "name": "a"}', "expected"),
        ('{"categories": [{"id": 1, "name"', "no valid JSON"),
        ('{"categories": [{"id": "1", "name": "a"}]}', "not an integer"),
        ('{"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}', "two categories"),
        ('{"categories": []}', "has no categories"),
        ('{"categories": [7]}', "not an integer"),
        ("", "expected"),
        ('{"categories": [{"id": 1, "name": "a"}]} x', "after the end"),
    ],
)
def test_a_broken_file_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        coco_json.category_names(path)
