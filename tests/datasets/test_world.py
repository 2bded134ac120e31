"""The embedded world: shipped files, roles of drawings, the renderer and the style."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from rppbench.errors import MissingDataError
from rppbench_datasets import rppbench_backbones
from rppbench_datasets.demo import Animals, Plain
from rppbench_datasets.world import artwork, render
from rppbench_datasets.world.artwork import Drawing, concepts, sprite
from rppbench_datasets.world.styles import OTHERS, PLAIN, STYLE, STYLES, apply

BUILD = Path(__file__).parents[2] / "datasets" / "world"
HELD_OUT = {"noto", "noto-v1", "twemoji", "fluent-flat"}
"""Vendors of which the training of the backbones had other drawings."""


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
    for vendor in {d.vendor for concept in concepts() for d in concept.drawings}:
        assert f"`{vendor}.webp`" in credits
    assert "CC BY-SA 4.0" in (folder / "EMOJIONE-V1.md").read_text()
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


def test_roles_go_by_artist() -> None:
    roles: dict[str, Counter[str]] = {}
    for concept in concepts():
        for drawing in concept.drawings:
            roles.setdefault(drawing.vendor, Counter())[drawing.pool] += 1
    assert set(roles["emojione"]) == {"train"}
    assert set(roles["emojione-v1"]) == {"val", "test"}
    assert set(roles["streamline"]) | set(roles["fxemoji"]) <= {"train", "val"}
    for vendor in HELD_OUT:
        assert set(roles[vendor]) == {"test"}
    for concept in concepts():  # one artist of each concept was held out from the training
        assert len(HELD_OUT & {drawing.vendor for drawing in concept.drawings}) <= 1


def test_every_class_has_a_drawing_in_each_role_and_most_have_two_tests() -> None:
    for concept in concepts():
        assert all(concept.pool(pool) for pool in ("train", "val", "test")), concept.name
    tested = [len(concept.pool("test")) for concept in concepts()]
    assert np.mean(np.array(tested) >= 2) > 0.7
    report = json.loads((BUILD / "results" / "roles.json").read_text())
    assert report["concepts"] == len(tested) > 750
    assert report["concepts with two test drawings"] == sum(count > 1 for count in tested)


def test_one_artist_of_each_thing_is_held_out_from_the_training_of_the_backbones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each for a fair share of the things; the two shadings of one drawing go together."""
    monkeypatch.syspath_prepend(BUILD)
    import concepts as build

    held: Counter[tuple[str, ...]] = Counter()
    for concept in concepts():
        pools = build.pools(concept.id, {*build.COLOURED, build.SILHOUETTES})
        held[tuple(v for v in build.COLOURED if pools[v] == "held out")] += 1
    assert set(held) == set(build.ARTISTS)
    assert min(held.values()) > 0.15 * sum(held.values())


WITHOUT_NOTO_V1 = {"person lifting weights", "hot beverage", "cocktail glass", "tear-off calendar"}
"""Things that Noto v1 does not draw, and whose artist would else be Noto v1."""


def test_the_tests_show_drawings_of_the_artist_that_was_held_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(BUILD)
    import concepts as build

    shown = Counter[str]()
    for concept in concepts():
        vendors = set(build.COLOURED)
        if concept.name in WITHOUT_NOTO_V1:
            vendors.remove("noto-v1")
        pools = build.pools(concept.id, vendors)
        for drawing in concept.drawings:
            if drawing.vendor in HELD_OUT:
                assert pools[drawing.vendor] == "held out", concept.name
                shown[drawing.vendor] += 1
    assert min(shown[vendor] for vendor in HELD_OUT) > 100


def test_the_training_of_the_backbones_reads_the_train_pool_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silhouette lies on a card, so its corners are not empty there either."""
    monkeypatch.syspath_prepend(BUILD)
    import compose
    import concepts as build
    import sheets

    folder = tmp_path / compose.TRAINING
    for vendor in ("noto", "twemoji", build.SILHOUETTES):
        dot = Image.new("RGBA", (artwork.CELL, artwork.CELL))
        dot.paste((0, 0, 0, 255), (30, 30, 42, 42))
        sheets.write_sheet(folder, vendor, [dot], 80)
    concept = build.Concept("1f422", "turtle", "animals", "animal-reptile", [])
    cells = {"noto": (0, "train"), "twemoji": (0, "held out"), build.SILHOUETTES: (0, "train")}
    sheets.write_concepts(folder, [(concept, cells)])
    sheets.write_digests(folder)
    drawings = compose.Drawings(tmp_path)
    assert drawings.vendors == ["noto", build.SILHOUETTES]
    assert drawings.rows == [[0, 1]]
    opaque = (drawings.pixels[:, 3] > 128).float().mean(dim=(1, 2))
    assert opaque[0] < 0.05
    assert opaque[1] > 0.8


def test_near_duplicates_are_on_one_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sheets are lossy, so the limit has some slack."""
    monkeypatch.syspath_prepend(BUILD)
    import roles

    def thumb(drawing: Drawing) -> np.ndarray:
        return roles.thumb(Image.fromarray(sprite(drawing)))

    for concept in random.Random(0).sample(list(concepts()), 150):
        sided = [(drawing.pool, thumb(drawing)) for drawing in concept.drawings]
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


def test_every_drawing_is_visible() -> None:
    """Almost all drawings are opaque: an overflow once made a complete sheet transparent."""
    for vendor in {d.vendor for concept in concepts() for d in concept.drawings}:
        drawings = [d for c in concepts() for d in c.drawings if d.vendor == vendor]
        opaque = [sprite(drawing)[..., 3].max() >= 250 for drawing in drawings]
        assert np.mean(opaque) > 0.98, vendor


def test_a_drawing_without_turn_or_size_change_is_painted_pixel_for_pixel() -> None:
    drawing = Animals().concepts[0].pool("test")[0]

    class Still(np.random.Generator):
        def uniform(self, low=0.0, high=1.0, size=None):  # type: ignore[no-untyped-def]
            return 0.0 if size is None else np.zeros(size)

    canvas = np.full((artwork.CELL, artwork.CELL, 3), 100, np.float32)
    half = artwork.CELL / 2
    cover = render.place(canvas, drawing, Still(np.random.PCG64(0)), artwork.CELL, (half, half))
    cell = sprite(drawing).astype(np.float32)
    assert np.abs(cover - cell[..., 3] / 255).max() < 1e-6
    expected = cell[..., :3] * cover[..., None] + 100 * (1 - cover[..., None])
    assert np.abs(canvas - expected).max() <= 1.01  # one level is lost in premultiplication


def test_styles_keep_shape_and_differ() -> None:
    data = Plain()
    pixels = np.asarray(data.image(data.samples("test")[0]))
    seen = {apply(style, pixels).tobytes() for style in STYLES}
    assert len(seen) == len(STYLES)
    assert all(apply(style, pixels).shape == pixels.shape for style in STYLES)


def test_the_style_is_the_one_that_the_committed_choice_names() -> None:
    """The rule, from the table: the most room that is not plain; the next two are shifts."""
    choice = json.loads((BUILD / "results" / "style.json").read_text())
    rooms = {row["style"]: row["probe"] - row["zero_shot"] for row in choice["candidates"]}
    assert set(rooms) == set(STYLES)
    ranked = sorted((name for name in rooms if name != PLAIN), key=lambda name: -rooms[name])
    assert [choice["style"], *choice["others"]] == [STYLE, *OTHERS] == ranked[:3]


def test_the_backbones_are_shipped_with_their_configuration() -> None:
    entries = {entry.name: entry for entry in rppbench_backbones()}
    assert set(entries) == {"demo", "demo-2-teacher"}
    for entry in entries.values():
        config = json.loads(entry.config.read_text())
        assert config["preprocess"]["size"] == config["vision_cfg"]["image_size"]
        assert hashlib.sha256(entry.weights.read_bytes()).hexdigest() == entry.sha256


def test_the_backbones_share_their_text_tower() -> None:
    """Both come from one parent, whose text tower is frozen."""
    student, teacher = (load_file(backbone.weights) for backbone in rppbench_backbones())
    names = {name for name in student if not name.startswith("visual.")} - {"logit_scale"}
    assert "token_embedding.weight" in names
    assert names <= set(teacher)
    for name in names:
        assert (student[name] == teacher[name]).all(), name
