"""Version 2 of the embedded world: roles of artists, the style, and what is not on two sides."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from rppbench.errors import UsageError
from rppbench.testing import check_dataset
from rppbench_datasets import rppbench_backbones, rppbench_datasets
from rppbench_datasets.scenes import Scenes
from rppbench_datasets.styled import SETS, Animals, Backgrounds, Plain, Styled, Vocabulary
from rppbench_datasets.styled_scenes import SEEN, UNSEEN, StyledObjects, StyledScenes, scene
from rppbench_datasets.world import render
from rppbench_datasets.world.artwork import WORLD, WORLD_2, Drawing, concepts, digests, sprite
from rppbench_datasets.world.styles import OTHERS, PLAIN, STYLE, STYLES, apply

KINDS = list(SETS)
TRANSFER = [kind for kind in KINDS if kind.role == "transfer"]
SHIFTS = [kind for kind in KINDS if kind.role == "shift"]
BUILD = Path(__file__).parents[2] / "datasets" / "world"
HELD_OUT = {"noto", "noto-v1", "twemoji", "fluent-flat"}


def shown(data: Styled, split: str) -> set[str]:
    """Keys of the drawings in the images of a split."""
    return {data.drawing(sample).key for sample in data.samples(split)}


def test_every_shipped_file_has_the_digest_that_is_checked_at_load() -> None:
    table = digests(WORLD_2)
    for name, digest in table.items():
        assert hashlib.sha256((WORLD_2 / name).read_bytes()).hexdigest() == digest, name
    files = {str(p.relative_to(WORLD_2)) for p in WORLD_2.rglob("*") if p.is_file()}
    assert files - set(table) == {"digests.json"}


def test_credits_name_every_sheet_and_the_share_alike_one_has_a_notice() -> None:
    licences = WORLD_2 / "licences"
    text = (licences / "CREDITS.md").read_text()
    for vendor in {d.vendor for concept in concepts(WORLD_2) for d in concept.drawings}:
        assert f"`{vendor}.webp`" in text
    assert "CC BY-SA 4.0" in (licences / "EMOJIONE-V1.md").read_text()


def test_roles_go_by_artist() -> None:
    roles: dict[str, Counter[str]] = {}
    for concept in concepts(WORLD_2):
        for drawing in concept.drawings:
            roles.setdefault(drawing.vendor, Counter())[drawing.pool] += 1
    assert set(roles["emojione"]) == {"train"}
    assert set(roles["emojione-v1"]) == {"val", "test"}
    assert set(roles["streamline"]) | set(roles["fxemoji"]) <= {"train", "val"}
    for vendor in HELD_OUT:
        assert set(roles[vendor]) == {"test"}


def test_every_class_has_a_drawing_in_each_role_and_most_have_two_tests() -> None:
    for concept in concepts(WORLD_2):
        assert all(concept.pool(pool) for pool in ("train", "val", "test")), concept.name
    tested = [len(concept.pool("test")) for concept in concepts(WORLD_2)]
    assert np.mean(np.array(tested) >= 2) > 0.7
    report = json.loads((BUILD / "v2" / "roles.json").read_text())
    assert report["concepts"] == len(tested) > 750
    assert report["concepts with two test drawings"] == sum(count > 1 for count in tested)


def test_the_backbones_were_trained_on_no_drawing_of_this_world() -> None:
    """Test drawings of version 1's artists are those that it held out; the others are new."""
    old = {c.id: {d.vendor: d.pool for d in c.drawings} for c in concepts(WORLD)}
    for concept in concepts(WORLD_2):
        for drawing in concept.drawings:
            expected = "test" if drawing.vendor in HELD_OUT else None
            assert old[concept.id].get(drawing.vendor) == expected


def test_near_duplicates_are_on_one_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of the backbone's own training; the sheets are lossy, so the limit has some slack."""
    monkeypatch.syspath_prepend(BUILD)
    import roles

    def thumb(drawing: Drawing) -> np.ndarray:
        return roles.thumb(Image.fromarray(sprite(drawing)))

    old = {concept.id: concept for concept in concepts(WORLD)}
    for concept in random.Random(0).sample(list(concepts(WORLD_2)), 150):
        learned = [d for d in old[concept.id].pool("train") if d.vendor != "fluent-hc"]
        sided = [("backbone", thumb(drawing)) for drawing in learned]
        sided += [(drawing.pool, thumb(drawing)) for drawing in concept.drawings]
        for (side, one), (other, two) in combinations(sided, 2):
            assert side == other or float(one @ two) < roles.SAME + 0.01, concept.name


def test_the_later_side_of_two_near_duplicates_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(BUILD)
    import roles

    one, two = np.eye(2, dtype=np.float32)
    sides = {"e": "train", "f": "val", "n": "test", "m": "backbone", "s": "train"}
    thumbs = {"e": one, "f": two, "n": two, "m": one, "s": (one + two) / np.float32(2**0.5)}
    kept, pairs = roles.distinct(sides, thumbs)
    assert kept == ["m", "n", "s"]
    assert pairs == [("f", "n"), ("e", "m")]


def test_roles_leave_none_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BUILD)
    import roles

    for count in range(5):
        for some in combinations(("emojione", "emojione-v1", "fxemoji", "streamline"), count):
            given = roles.assign(set(some))
            assert bool(given) == (count > 1)
            assert not given or {"train", "val"} <= set(given.values())
            assert set(given) in (set(), set(some))


def test_no_set_tests_on_what_another_set_learns_from() -> None:
    by_split = {
        split: {key for kind in KINDS if split in kind.splits for key in shown(kind(), split)}
        for split in ("train", "val", "test")
    }
    for one, other in combinations(by_split.values(), 2):
        assert not one & other


def test_there_are_ten_transfer_sets_a_large_source_and_four_shifts() -> None:
    assert (len(TRANSFER), len(SHIFTS)) == (10, 4)
    assert [kind for kind in KINDS if kind.role == "source" and kind.large] == [Vocabulary]
    suite = [kind for kind in rppbench_datasets() if kind.suite == "demo-2"]
    assert suite == [*SETS, StyledScenes, StyledObjects]
    sizes = [len(kind().samples("test")) for kind in TRANSFER]
    assert max(sizes) < 0.25 * sum(sizes)


def test_shift_sets_have_the_same_classes_and_all_are_in_the_vocabulary() -> None:
    classes = [kind().classes for kind in SHIFTS]
    assert all(names == classes[0] for names in classes)
    assert len(classes[0]) == 200
    assert set(classes[0]) <= set(Vocabulary().classes)
    with pytest.raises(UsageError, match=r"demo-2-plain.*train"):
        Plain().samples("train")


def test_the_vocabulary_marks_held_out_and_transferred_classes() -> None:
    data = Vocabulary()
    assert 0.15 < len(data.held_out()) / len(data.classes) < 0.25
    names = {name for kind in TRANSFER for name in kind().classes}
    assert {data.classes[label] for label in data.transferred()} == names


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_every_set_passes_the_checks_for_data_sets(kind: type[Styled]) -> None:
    check_dataset(kind)


def test_a_group_is_a_drawing_and_lies_within_a_class() -> None:
    data = Animals()
    samples = data.samples("test")
    labels: dict[str, set[int]] = {}
    for sample in samples:
        labels.setdefault(data.group(sample), set()).add(sample.label)
    assert all(len(each) == 1 for each in labels.values())
    assert len(labels) == sum(len(concept.pool("test")) for concept in data.concepts)
    assert len(samples) == data.renders * len(labels)


def test_images_are_renders_in_the_style_of_their_set() -> None:
    for kind in (Animals, Plain, *SHIFTS):
        data = kind()
        sample = data.samples("test")[7]
        ground = "pattern" if kind is Backgrounds else "texture"
        plain = render.single(data.drawing(sample), f"{data.name}/{sample.key}", ground)
        expected = apply(data.style, np.asarray(plain))
        assert (np.asarray(data.image(sample)) == expected).all()
    assert {kind.style for kind in SHIFTS} == {PLAIN, STYLE, *OTHERS}


def test_styles_keep_shape_and_differ() -> None:
    data = Plain()
    pixels = np.asarray(data.image(data.samples("test")[0]))
    seen = {apply(style, pixels).tobytes() for style in STYLES}
    assert len(seen) == len(STYLES)
    assert all(apply(style, pixels).shape == pixels.shape for style in STYLES)


def test_the_style_is_the_one_that_the_committed_choice_names() -> None:
    """The rule, from the table: the most room that is not plain; the next two are shifts."""
    choice = json.loads((BUILD / "v2" / "style.json").read_text())
    rooms = {row["style"]: row["probe"] - row["zero_shot"] for row in choice["candidates"]}
    assert set(rooms) == set(STYLES)
    ranked = sorted((name for name in rooms if name != PLAIN), key=lambda name: -rooms[name])
    assert [choice["style"], *choice["others"]] == [STYLE, *OTHERS] == ranked[:3]


def test_scenes_are_composed_and_styled_together() -> None:
    data = StyledScenes()
    assert len(set(SEEN)) + len(set(UNSEEN)) == len(data.classes) == len(Scenes().classes)
    vocabulary = Vocabulary()
    held = {vocabulary.classes[label] for label in vocabulary.held_out()}
    assert set(UNSEEN) <= held
    assert set(SEEN) <= set(vocabulary.classes) - held
    for sample in data.samples("test")[:15]:
        labels, instances = data.label_map(sample), data.instances(sample)
        for instance in instances:
            assert instance.mask is not None
            assert (labels[instance.mask] == instance.label).all()
            x, y, width, height = (int(side) for side in instance.box)
            inside = instance.mask[y : y + height, x : x + width]
            assert inside.sum() == instance.mask.sum()
            assert inside.any(0)[[0, -1]].all()
            assert inside.any(1)[[0, -1]].all()
    labels_of_training = {label for n in range(40) for label in scene(f"train/{n}").labels}
    assert max(labels_of_training) < len(SEEN)


def test_masks_lie_where_the_style_puts_the_things() -> None:
    """Undone, the image has its things where the masks, undone, say: they stand out there."""
    contrast = []
    for n in range(20):
        shown = scene(f"test/{n}")
        pixels = np.asarray(shown.image, np.float32)
        mask = shown.masks.any(0)
        contrast.append(np.abs(pixels[mask] - pixels[~mask].mean(0)).mean())
        elsewhere = np.roll(mask, 72, 0)
        contrast[-1] -= np.abs(pixels[elsewhere] - pixels[~elsewhere].mean(0)).mean()
    assert np.mean(contrast) > 3


def test_the_teacher_shares_the_text_tower_of_the_first_one() -> None:
    entry = {backbone.name: backbone for backbone in rppbench_backbones()}["demo-2-teacher"]
    assert hashlib.sha256(entry.weights.read_bytes()).hexdigest() == entry.sha256
    own, old = load_file(entry.weights), load_file(WORLD / "demo-teacher.safetensors")
    assert own.keys() == old.keys()
    for name, value in old.items():
        same = bool((own[name] == value).all())
        assert same == (not name.startswith("visual.")) or name.endswith("num_batches_tracked"), (
            name
        )
