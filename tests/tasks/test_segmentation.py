"""The segmentation task: dense features, label maps, proposals, and cells on the tiny CLIP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from support.tiny import LeafDraw, make_tiny_clip, random_images, sapl
from support.toy_plugin import ToyPlugin, registry_of
from support.toy_runner import ToyRunner

import rppbench_methods
from rppbench import hookimpl
from rppbench.contracts.dataset import Sample
from rppbench.contracts.engine import Event
from rppbench.contracts.prompts import Prompt
from rppbench.contracts.regions import IGNORED, UNLABELLED, SegmentationSet
from rppbench.errors import MissingDataError, UsageError
from rppbench.files import rle
from rppbench.models.towers.open_clip_image import position_embeddings
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.records.record import Record
from rppbench_tasks.proposing.files import MaskFiles
from rppbench_tasks.proposing.masks import parts_of
from rppbench_tasks.proposing.regions import Regions
from rppbench_tasks.segmentation import Segmentation
from rppbench_tasks.segmenting import label_maps
from rppbench_tasks.segmenting.crops import cut_out
from rppbench_tasks.segmenting.two_stage import ensemble

# --- the tower --------------------------------------------------------------------------------


def plain_patches(model: Any, images: torch.Tensor, tokens: torch.Tensor | None) -> torch.Tensor:
    """Value features by open_clip's own blocks."""
    visual = model.visual
    x = visual._embeds(images)
    slot = x.shape[1]
    if tokens is not None:
        x = torch.cat([x, visual.ln_pre(tokens).expand(len(x), -1, -1)], 1)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = block(x)
    width = x.shape[2]
    weight, bias = last.attn.in_proj_weight[2 * width :], last.attn.in_proj_bias[2 * width :]
    x = x + last.ls_1(last.attn.out_proj(F.linear(last.ln_1(x), weight, bias)))
    x = x + last.ls_2(last.mlp(last.ln_2(x)))
    return F.normalize(visual.ln_post(x[:, 1:slot]) @ visual.proj, dim=-1)


@pytest.mark.parametrize("prompted", [False, True])
def test_features_of_patches_are_those_of_a_plain_reference(prompted: bool) -> None:
    clip = make_tiny_clip(torch.float64)
    images = random_images(torch.float64)
    tokens = LeafDraw(torch.float64)(3, 48) if prompted else None
    features = clip.image.patches(images, None if tokens is None else Prompt(tokens))
    assert features.shape == (3, 4, 4, 32)
    expected = plain_patches(clip.model, images, tokens)
    assert (features.flatten(1, 2) - expected).abs().max() < 1e-12


def test_every_part_of_a_deep_prompt_reaches_the_patches_where_it_can() -> None:
    clip = make_tiny_clip(torch.float64)
    draw = LeafDraw(torch.float64)
    prompt = sapl(draw, 48, 4)
    clip.image.patches(random_images(torch.float64), prompt).sum().backward()
    for part in (prompt.queries, prompt.keys, prompt.values):
        assert part[1].grad is not None
    assert prompt.values[1].grad is not None
    assert prompt.values[1].grad.abs().sum() > 0


def test_positions_are_interpolated_for_larger_images() -> None:
    clip = make_tiny_clip(torch.float64)
    visual = clip.model.visual
    assert position_embeddings(visual, 4, 4) is visual.positional_embedding
    larger = position_embeddings(visual, 6, 9)
    assert larger.shape == (1 + 54, 48)
    assert torch.equal(larger[0], visual.positional_embedding[0])
    grid = visual.positional_embedding[1:].unflatten(0, (4, 4))
    corners = larger[1:].unflatten(0, (6, 9))[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners - grid[[0, 0, -1, -1], [0, -1, 0, -1]]).abs().mean() < grid.std() / 2
    images = torch.randn(2, 3, 48, 72, dtype=torch.float64)
    assert clip.image.patches(images).shape == (2, 6, 9, 32)


# --- label maps -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(31, 50), (7, 9), (3, 4), (100, 13)])
def test_strips_of_rows_give_the_map_of_whole_scores(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = torch.rand(5, 7, 9, generator=torch.Generator().manual_seed(0))
    whole = F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0].argmax(0)
    monkeypatch.setattr(label_maps, "STRIP_BYTES", 4 * 5 * size[1] * 3)  # three rows
    asked: list[int] = []

    def part(top: int, bottom: int) -> torch.Tensor:
        asked.append(bottom - top)
        return scores[:, top:bottom]

    labels = label_maps.label_map(part, (7, 9), size, 5)
    assert (labels != whole.numpy()).mean() < 0.01  # ties and rounding
    assert len(asked) == -(-size[0] // 3)


def test_where_no_class_has_a_score_there_is_no_label() -> None:
    scores = torch.zeros(3, 2, 4)
    scores[1, :, 2:] = 0.5
    labels = label_maps.label_map(lambda a, b: scores[:, a:b], (2, 4), (2, 4), 3)
    assert labels.tolist() == [[IGNORED, IGNORED, 1, 1]] * 2


# --- proposals --------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "masks" / "test").mkdir(parents=True)
    return tmp_path / "masks"


def test_masks_come_from_json_and_png(folder: Path) -> None:
    image = Image.new("RGB", (6, 4))
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:] = True
    (folder / "test" / "1.json").write_text(json.dumps([rle.encode(mask), rle.encode(~mask)]))
    regions = np.where(mask, 7, 0).astype(np.uint8)
    Image.fromarray(regions).save(folder / "test" / "2.png")
    files = MaskFiles(str(folder))
    one, two = files(image, "test/1.jpg", (4, 6))
    assert (one == mask).all()
    assert (two == ~mask).all()
    (only,) = files(image, "test/2.jpg", (4, 6))
    assert (only == mask).all()
    half = files(image.resize((3, 2)), "test/2.jpg", (4, 6))
    assert half[0].shape == (2, 3)
    assert files.identity("test/1") != files.identity("test/2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("{}", "list"),
        (json.dumps([1] * 1001), "at most 1000"),
        ('[{"size": [4, 5], "counts": [20]}]', "does not fit an image of 4 x 6"),
        ('[{"size": [4, 6], "counts": [23]}]', "add up"),
    ],
)
def test_damaged_json_is_named(folder: Path, text: str, message: str) -> None:
    (folder / "test" / "1.json").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        MaskFiles(str(folder))(Image.new("RGB", (6, 4)), "test/1", (4, 6))
    assert "1.json" in str(caught.value)


def test_damaged_or_foreign_png_is_named(folder: Path) -> None:
    image, files = Image.new("RGB", (6, 4)), MaskFiles(str(folder))
    path = folder / "test" / "1.png"
    for content, message in [(Image.new("RGB", (6, 4)), "RGB"), (Image.new("L", (5, 4)), "4 x 5")]:
        content.save(path)
        with pytest.raises(UsageError, match=message):
            files(image, "test/1", (4, 6))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UsageError, match="not a PNG image"):
        files(image, "test/1", (4, 6))


def test_proposals_that_are_not_there_and_paths_that_lead_out_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="path=DIR"):
        MaskFiles("")
    with pytest.raises(MissingDataError, match="no folder"):
        MaskFiles(str(folder / "none"))
    files = MaskFiles(str(folder))
    with pytest.raises(MissingDataError, match="no proposals"):
        files(Image.new("RGB", (6, 4)), "test/5", (4, 6))
    with pytest.raises(UsageError, match="is outside of the folder"):
        files(Image.new("RGB", (6, 4)), "../secret", (4, 6))


def test_regions_find_a_square_on_a_ground() -> None:
    pixels = np.full((60, 80, 3), 200, np.uint8)
    pixels[10:40, 20:60] = (180, 20, 20)
    masks = Regions()(Image.fromarray(pixels), "", (60, 80))
    truth = np.zeros((60, 80), bool)
    truth[10:40, 20:60] = True
    assert (
        max((mask & truth).sum() / (mask | truth).sum() for mask in masks) > 0.75
    )  # blur makes a rim


def test_a_mask_is_cut_out_to_its_box_and_painted_over_outside() -> None:
    pixels = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    mask = np.zeros((5, 8), bool)
    mask[2, 1:5] = mask[3, 2] = True
    (part,) = parts_of([mask])
    square = np.asarray(cut_out(Image.fromarray(pixels), part, (9, 8, 7)))
    assert square.shape == (4, 4, 3)
    assert (square[1] == pixels[2, 1:5]).all()
    assert (square[2, 1] == pixels[3, 2]).all()
    assert (square[[0, 3]] == (9, 8, 7)).all()
    assert (square[2, [0, 2, 3]] == (9, 8, 7)).all()


def test_the_ensemble_weighs_seen_and_unseen_classes_the_other_way_round() -> None:
    queries, regions = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.2, 0.2]])
    combined = ensemble(queries, regions, torch.tensor([False, True]), 0.8)
    assert combined[0, 0].item() == pytest.approx(0.5**0.8 * 0.2**0.2)
    assert combined[0, 1].item() == pytest.approx(0.5**0.2 * 0.2**0.8)
    assert torch.equal(ensemble(queries, regions, torch.tensor([True, True]), 1.0), regions)


# --- cells ------------------------------------------------------------------------------------


class Halves(SegmentationSet):
    """Images of two colours side by side; the margin is not scored, 'black cat' is nowhere."""

    name, title, suite, role = "toy-halves", "Halves", "toy", "segmentation"
    colours = {"red square": (200, 40, 40), "blue lake": (40, 60, 200), "black cat": (0, 0, 0)}
    side = 40
    labels_beyond = 0

    @property
    def classes(self) -> Sequence[str]:
        return list(self.colours)

    def unseen(self) -> Sequence[int]:
        return (1, 2)

    def samples(self, split: str) -> Sequence[Sample]:
        return [Sample(f"{split}/{number}", UNLABELLED) for number in range(3)]

    def image(self, sample: Sample) -> Image.Image:
        return Image.fromarray(np.array(list(self.colours.values()), np.uint8)[self.truth(sample)])

    def truth(self, sample: Sample) -> Any:
        cut = 10 + 5 * int(sample.key.split("/")[1])
        return np.where(np.arange(self.side) < cut, 0, 1)[None].repeat(32, 0)

    def label_map(self, sample: Sample) -> Any:
        labels = (self.truth(sample) + self.labels_beyond).astype(np.uint16)
        labels[:, :3] = IGNORED
        return labels

    def fingerprint(self) -> str:
        return f"halves-{self.side}-{self.labels_beyond}"


class Beyond(Halves):
    name, labels_beyond = "toy-beyond", 2


class More:
    def __init__(self, *kinds: type[Halves]) -> None:
        self.kinds = kinds

    @hookimpl
    def rppbench_datasets(self) -> list[type[Halves]]:
        return list(self.kinds)


def run(
    models: Path, folder: Path, task: str, *methods: str, kind: type[Halves] = Halves
) -> tuple[list[Record], ToyRunner]:
    registry = registry_of(toys=ToyPlugin(models), more=More(kind))
    asked = Request(methods or ("fixed",), (f"segmentation:suite=toy{task}",), backbone="tiny")
    planned = cells(registry, asked)
    runner = ToyRunner(folder, models=models, batch_size=20)
    runner.resources.registry = registry
    for batch in cell_groups(planned):
        runner(batch, lambda event: None)
    records = [runner.store.read(cell) for cell in planned]
    assert all(records)
    return [record for record in records if record], runner


METRICS = ["hiou", "seen", "unseen", "miou", "fwiou", "pixel_accuracy", "mean_accuracy"]


@pytest.mark.parametrize("task", ["", ",weight=0.8", ",head=dense", ",head=dense,view=whole"])
def test_both_heads_score_fixed_and_learned_prompts(
    models: Path, tmp_path: Path, task: str
) -> None:
    records, _ = run(models, tmp_path, task, "fixed", "context", "context:both=on")
    for record in records:
        assert record.failure is None, record.failure
        assert [score.metric for score in record.scores] == METRICS
        assert record.metric == "hiou"
        assert all(score.outcomes() is None for score in record.scores)
        assert (
            0 <= min(s.value for s in record.scores) <= max(s.value for s in record.scores) <= 100
        )


def test_features_of_frozen_towers_are_computed_once(models: Path, tmp_path: Path) -> None:
    _, runner = run(models, tmp_path, "", "fixed")
    clip = runner.resources.backbones("tiny", "fp32")
    before = clip.image.images_encoded
    again, _ = run(models, tmp_path, "", "fixed")
    records, second = run(models, tmp_path, ",weight=0.5", "fixed")
    assert before > 0
    assert second.resources.backbones("tiny", "fp32").image.images_encoded == 0
    assert records[0].failure is None
    # The ensemble of zero-shot CLIP with itself is itself.
    assert [s.value for s in records[0].scores] == pytest.approx([s.value for s in again[0].scores])


def test_masks_from_files_are_scored_and_no_masks_are_all_misses(
    models: Path, tmp_path: Path
) -> None:
    data = Halves()
    masks = tmp_path / "masks"
    (masks / "test").mkdir(parents=True)
    for sample in data.samples("test"):
        truth = data.truth(sample)
        listed = [rle.encode(truth == label) for label in (0, 1)]
        (masks / f"{sample.key}.json").write_text(json.dumps(listed))
    records, _ = run(models, tmp_path / "out", f",proposals=files,path={masks}")
    assert records[0].failure is None, records[0].failure
    for sample in data.samples("test"):
        (masks / f"{sample.key}.json").write_text("[]")
    empty, _ = run(models, tmp_path / "empty", f",proposals=files,path={masks}")
    assert empty[0].failure is None, empty[0].failure
    assert {score.value for score in empty[0].scores} == {0.0}


def test_a_label_beyond_the_classes_fails_its_cell_with_the_reason(
    models: Path, tmp_path: Path
) -> None:
    records, _ = run(models, tmp_path, "", kind=Beyond)
    assert records[0].failure is not None
    assert records[0].failure.kind == "usage"
    assert "beyond its 3 classes" in records[0].failure.message


def test_scaling_bounds_both_sides() -> None:
    image = Image.new("RGB", (400, 100))
    assert Segmentation().scaled(image) is image
    assert Segmentation(short=50).scaled(image).size == (200, 50)
    assert Segmentation(short=200, long=500).scaled(image).size == (500, 125)
    assert Segmentation(long=80).scaled(Image.new("RGB", (4000, 1))).size == (80, 1)
    for wrong in ({"weight": 1.5}, {"short": -1}, {"long": 0}):
        with pytest.raises(UsageError):
            Segmentation(**wrong)  # type: ignore[arg-type]


class Quarters:
    """Proposals of a plugin: four boxes."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, image: Image.Image, key: str, original: tuple[int, int]) -> list[Any]:
        width, height = image.size
        masks = np.zeros((4, height, width), bool)
        for at, mask in enumerate(masks):
            mask[at // 2 * height // 2 :, at % 2 * width // 2 :] = True
        return list(masks)

    def identity(self, key: str) -> str:
        return "quarters"


class Striped:
    """A head of a plugin: one class for all pixels, none for the first row."""

    def __init__(self, task: Segmentation, bench: Any, data: SegmentationSet) -> None:
        self.label = data.unseen()[0]

    def __call__(self, image: Image.Image, key: str, size: tuple[int, int]) -> Any:
        labels = np.full(size, self.label, np.uint16)
        labels[0] = IGNORED
        return labels


def test_a_plugin_brings_heads_and_proposals(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Segmentation.proposers, "quarters", Quarters)
    monkeypatch.setitem(Segmentation.heads, "striped", Striped)
    (masked,), _ = run(models, tmp_path / "a", ",proposals=quarters,path=x")
    assert masked.failure is None, masked.failure
    (striped,), _ = run(models, tmp_path / "b", ",head=striped")
    assert striped.failure is None, striped.failure
    assert "part of task:segmentation" in masked.code.keys() & striped.code.keys()
    assert not [name for name, _ in striped.cell.inputs if name.startswith("part:")]
    monkeypatch.setattr(Striped, "version", 2, raising=False)
    (again,), _ = run(models, tmp_path / "c", ",head=striped")
    assert ("part:Striped", "version 2") in again.cell.inputs
    scored = (40 - 3) * 32 * 3
    blue = sum(40 - (10 + 5 * number) for number in range(3)) * 31
    values = {score.metric: score.value for score in striped.scores}
    assert values["pixel_accuracy"] == pytest.approx(100 * blue / scored)
    with pytest.raises(UsageError, match="no head of segmentation is named 'stripd'; did you mean"):
        Segmentation(head="stripd")
    with pytest.raises(UsageError, match=r"sources: files, .*quarters, regions"):
        Segmentation(proposals="sam")


def test_texts_that_depend_on_the_image_label_pixels(models: Path, tmp_path: Path) -> None:
    """CoCoOp encodes all classes anew for each patch and each region; progress counts images."""
    registry = registry_of(toys=ToyPlugin(models), more=More(Halves), methods=rppbench_methods)
    for head in ("dense", "proposals"):
        task = f"segmentation:suite=toy,source=toy,head={head},view=whole,shots=1"
        settings = (("recipe.epochs", "1"),)
        asked = Request(("cocoop",), (task,), backbone="tiny", limit=1, settings=settings)
        (cell,) = cells(registry, asked)
        runner = ToyRunner(tmp_path, models=models)
        runner.resources.registry = registry
        events: list[Event] = []
        runner((cell,), events.append)
        record = runner.store.read(cell)
        assert record is not None
        assert record.failure is None, record.failure
        assert [score.metric for score in record.scores] == METRICS
        counts = {(event.done, event.total) for event in events if event.phase == "evaluate"}
        learned = {(5, 5)}  # the loss on the images of the training, which is scored once
        assert counts - learned == {(1, 1)}
