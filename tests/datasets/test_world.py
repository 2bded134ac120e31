"""The embedded world: shipped files, pools of drawings, and images that depend on keys only."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rppbench.contracts.dataset import Dataset
from rppbench.errors import MissingDataError, UsageError
from rppbench.testing import check_dataset
from rppbench_datasets import demo, rppbench_backbones, rppbench_datasets
from rppbench_datasets.world import artwork, render, scenes

SETS: list[type[demo.Rendered]] = list(demo.SETS)  # type: ignore[arg-type]
TRANSFER = [kind for kind in SETS if kind.role == "transfer"]
SHIFTS = [kind for kind in SETS if kind.role == "shift"]
TRAINING = Path(__file__).parents[2] / "datasets" / "world"


def names(kinds: list[type[demo.Rendered]]) -> list[str]:
    return [kind.name for kind in kinds]


def shown(data: demo.Rendered, split: str) -> set[str]:
    """Keys of the drawings in the images of a split."""
    return {data.drawing(sample).key for sample in data.samples(split)}


def test_every_shipped_file_has_the_digest_that_is_checked_at_load() -> None:
    table = artwork.digests()
    for name, digest in table.items():
        assert hashlib.sha256((artwork.WORLD / name).read_bytes()).hexdigest() == digest, name
    shipped = {
        str(path.relative_to(artwork.WORLD))
        for path in artwork.WORLD.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert shipped - set(table) == {"digests.json"}


def test_the_shipped_files_take_at_most_25_mb_in_a_wheel() -> None:
    packed = sum(
        len(zlib.compress((artwork.WORLD / name).read_bytes(), 6)) for name in artwork.digests()
    )
    assert packed <= 25_000_000


def test_licence_texts_and_credits_are_shipped_for_every_vendor() -> None:
    folder = artwork.WORLD / "licences"
    credits = (folder / "CREDITS.md").read_text()
    for vendor in {d.vendor for concept in artwork.concepts() for d in concept.drawings}:
        assert f"`{vendor}.webp`" in credits
    for text in ("Apache-2.0", "MIT", "CC-BY-4.0", "CC-BY-SA-4.0"):
        assert len((folder / f"{text}.txt").read_text()) > 1000


def test_a_damaged_sheet_is_named_in_the_error(tmp_path: Path) -> None:
    name = "noto.webp"
    for file in (name, "digests.json"):
        shutil.copy(artwork.WORLD / file, tmp_path / file)
    with (tmp_path / name).open("r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    with pytest.raises(MissingDataError, match=r"noto\.webp"):
        artwork.read_checked(name, tmp_path)
    with pytest.raises(MissingDataError, match=r"twemoji\.webp"):
        artwork.read_checked("twemoji.webp", tmp_path)


def test_artwork_and_scenes_are_read_without_torch() -> None:
    code = "import sys, rppbench_datasets.world.scenes; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


@pytest.mark.parametrize("kind", SETS, ids=names(SETS))
def test_no_drawing_is_both_learned_from_and_tested_on(kind: type[demo.Rendered]) -> None:
    data = kind()
    learned = {
        drawing.key
        for concept in artwork.concepts()
        for drawing in concept.drawings
        if drawing.pool == "train"
    }
    assert not shown(data, "test") & learned
    for split in set(data.splits) - {"test"}:
        assert shown(data, split) <= learned


def test_no_set_tests_on_what_another_set_learns_from() -> None:
    learned = {key for kind in SETS if "train" in kind.splits for key in shown(kind(), "train")}
    tested = {key for kind in SETS for key in shown(kind(), "test")}
    assert not learned & tested


def test_two_shadings_of_one_drawing_are_on_the_same_side() -> None:
    for concept in artwork.concepts():
        pools = {d.pool for d in concept.drawings if d.vendor in ("fluent-flat", "fluent-3d")}
        assert len(pools) <= 1, concept.name


def test_openmoji_is_in_no_training() -> None:
    pools = Counter(
        drawing.pool
        for concept in artwork.concepts()
        for drawing in concept.drawings
        if drawing.vendor == "openmoji"
    )
    assert set(pools) == {"rendition", "test"}


def test_the_training_of_the_backbones_sees_the_train_pool_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(TRAINING)
    import compose

    drawings = compose.Drawings()
    assert set(drawings.vendors) == {*artwork.COLOURED, "fluent-hc"}
    assert len(drawings.vendors) == sum(len(c.pool("train")) for c in artwork.concepts())
    by_cell = {
        d.key: d.pool for c in artwork.concepts() for d in c.drawings if d.vendor != "openmoji"
    }
    trained = [key for key, pool in by_cell.items() if pool == "train"]
    assert len(trained) == len(drawings.vendors) < len(by_cell)


def test_the_pools_are_what_the_build_script_assigns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TRAINING)
    import concepts as build

    for concept in artwork.concepts():
        drawn = {drawing.vendor for drawing in concept.drawings}
        shipped = {drawing.vendor: drawing.pool for drawing in concept.drawings}
        assert shipped == build.pools(concept.id, concept.subject, drawn)


def test_every_artist_is_held_out_for_a_fair_share_of_the_concepts() -> None:
    held = Counter(
        {"fluent-3d": "fluent", "fluent-flat": "fluent"}.get(drawing.vendor, drawing.vendor)
        for concept in demo.Vocabulary().concepts
        for drawing in concept.pool("test")[:1]
    )
    assert set(held) == {"noto", "noto-v1", "twemoji", "fluent"}
    assert min(held.values()) > 0.15 * sum(held.values())


def test_there_are_eleven_transfer_sets_a_large_source_and_four_shifts() -> None:
    assert len(TRANSFER) == 11
    assert len(SHIFTS) == 4
    assert [kind.name for kind in SETS if kind.role == "source" and kind.large] == [
        "demo-vocabulary"
    ]
    assert len(demo.Vocabulary().classes) > 1000
    assert {kind.suite for kind in SETS} == {"demo"}
    assert len(set(names(SETS))) == len(SETS)
    demo_sets = [kind for kind in rppbench_datasets() if kind.suite == "demo"]
    assert [kind for kind in demo_sets if issubclass(kind, demo.Rendered)] == list(demo.SETS)


@pytest.mark.parametrize("kind", SETS, ids=names(SETS))
def test_class_names_are_plain_and_unique(kind: type[demo.Rendered]) -> None:
    classes = kind().classes
    assert len({name.lower() for name in classes}) == len(classes)
    assert all(name.isascii() and name == " ".join(name.split()) for name in classes)


@pytest.mark.parametrize("kind", SETS, ids=names(SETS))
def test_splits_cover_every_class_equally(kind: type[demo.Rendered]) -> None:
    data = kind()
    for split in data.splits:
        samples = data.samples(split)
        counts = Counter(sample.label for sample in samples)
        assert set(counts) == set(range(len(data.classes)))
        assert len(set(counts.values())) == 1
        assert len({sample.key for sample in samples}) == len(samples)
    if kind.role == "transfer":
        assert 200 <= len(data.samples("test")) <= 800


def test_every_drawing_is_visible() -> None:
    """Almost all drawings are opaque: an overflow once made a complete sheet transparent."""
    for vendor in {d.vendor for concept in artwork.concepts() for d in concept.drawings}:
        drawings = [d for c in artwork.concepts() for d in c.drawings if d.vendor == vendor]
        opaque = [artwork.sprite(drawing)[..., 3].max() >= 250 for drawing in drawings]
        assert np.mean(opaque) > 0.98, vendor


def test_shots_of_a_class_show_all_its_drawings_in_turn() -> None:
    data = demo.Animals()
    for label in range(0, len(data.classes), 17):
        keys = [data.drawing(s).key for s in data.samples("train") if s.label == label]
        counts = Counter(keys)
        assert max(counts.values()) - min(counts.values()) <= 1
        assert len(counts) >= 2


def test_shift_sets_have_the_same_classes_and_all_are_in_the_vocabulary() -> None:
    kinds = [kind().classes for kind in SHIFTS]
    assert all(classes == kinds[0] for classes in kinds)
    assert len(kinds[0]) == 200
    assert set(kinds[0]) <= set(demo.Vocabulary().classes)


def test_a_split_that_a_shift_set_lacks_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match=r"demo-sketch.*train"):
        demo.Sketch().samples("train")


def test_the_vocabulary_marks_held_out_and_transferred_classes() -> None:
    data = demo.Vocabulary()
    held, transferred = set(data.held_out()), set(data.transferred())
    assert 0.15 < len(held) / len(data.classes) < 0.25
    names = {name for kind in TRANSFER for name in kind().classes}
    assert {data.classes[label] for label in transferred} == names & set(data.classes)
    assert 0 < len(transferred) < len(data.classes)


@pytest.mark.parametrize("kind", SETS, ids=names(SETS))
def test_images_depend_on_nothing_but_their_key(kind: type[demo.Rendered]) -> None:
    first, second = kind(), kind()
    for split in first.splits:
        samples = random.Random(0).sample(list(first.samples(split)), 5)
        once = [np.asarray(first.image(sample)) for sample in samples]
        np.random.seed(3)
        again = [np.asarray(second.image(sample)) for sample in reversed(samples)][::-1]
        for one, other in zip(once, again, strict=True):
            assert one.shape == (render.SIDE, render.SIDE, 3)
            assert (one == other).all()
        assert not (once[0] == once[1]).all()


def test_two_renders_of_one_drawing_differ() -> None:
    data = demo.Flags()
    one, other = data.samples("test")[:2]
    assert data.drawing(one) == data.drawing(other)
    assert (np.asarray(data.image(one)) != np.asarray(data.image(other))).mean() > 0.5


def test_fingerprints_tell_sets_apart_and_follow_class_names() -> None:
    assert len({kind().fingerprint() for kind in SETS}) == len(SETS)

    class Fewer(demo.Animals):
        concepts = demo.Animals().concepts[:-1]

    assert Fewer().fingerprint() != demo.Animals().fingerprint() == demo.Animals().fingerprint()


def test_a_drawing_without_turn_or_size_change_is_painted_pixel_for_pixel() -> None:
    drawing = demo.Flags().concepts[0].pool("test")[0]

    class Still(np.random.Generator):
        def uniform(self, low=0.0, high=1.0, size=None):  # type: ignore[no-untyped-def]
            return 0.0 if size is None else np.zeros(size)

    canvas = np.full((artwork.CELL, artwork.CELL, 3), 100, np.float32)
    half = artwork.CELL / 2
    cover = render.place(canvas, drawing, Still(np.random.PCG64(0)), artwork.CELL, (half, half))
    cell = artwork.sprite(drawing).astype(np.float32)
    assert np.abs(cover - cell[..., 3] / 255).max() < 1e-6
    expected = cell[..., :3] * cover[..., None] + 100 * (1 - cover[..., None])
    assert np.abs(canvas - expected).max() <= 1.01  # one level is lost in premultiplication


@pytest.mark.parametrize("split", ["train", "test"])
def test_scene_masks_boxes_and_labels_agree(split: str) -> None:
    for index in range(25):
        scene = scenes.scene(index, split)
        assert scene.image.size == (144, 144)
        assert len(scene.masks) == len(scene.boxes) == len(scene.labels) >= 1
        assert scene.masks.sum(0).max() <= 1, "things overlap"
        for mask, (left, top, right, bottom) in zip(scene.masks, scene.boxes, strict=True):
            inside = mask[top:bottom, left:right]
            assert inside.sum() == mask.sum() >= scenes.MIN_VISIBLE
            assert inside.any(0)[[0, -1]].all()
            assert inside.any(1)[[0, -1]].all()
        again = scenes.scene(index, split)
        assert (np.asarray(again.image) == np.asarray(scene.image)).all()
        assert (again.masks == scene.masks).all()


def test_scenes_without_unseen_things_hold_seen_ones_only() -> None:
    labels = {
        label for index in range(40) for label in scenes.scene(index, "train", unseen=False).labels
    }
    assert max(labels) < len(scenes.SEEN) == 20
    assert len(scenes.UNSEEN) == 10
    assert not set(scenes.SEEN) & set(scenes.UNSEEN)
    assert any(max(scenes.scene(index, "train").labels) >= 20 for index in range(20))


def test_the_backbones_are_shipped_with_their_configuration() -> None:
    entries = {entry.name: entry for entry in rppbench_backbones()}
    assert set(entries) == {"demo", "demo-teacher", "demo-2-teacher"}
    for entry in entries.values():
        config = json.loads(entry.config.read_text())
        assert config["preprocess"]["size"] == config["vision_cfg"]["image_size"]
        assert hashlib.sha256(entry.weights.read_bytes()).hexdigest() == entry.sha256


@pytest.mark.parametrize("kind", SETS, ids=names(SETS))
def test_every_set_passes_the_checks_for_data_sets(kind: type[demo.Rendered]) -> None:
    check_dataset(kind)


def test_every_set_is_a_dataset_with_facts() -> None:
    for kind in SETS:
        assert issubclass(kind, Dataset)
        assert kind.title
        assert kind.licence
        assert kind.__doc__
