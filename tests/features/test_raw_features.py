"""Image features as the tower gives them: norms are stored beside unit features."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.toy_data import Toy
from support.toy_plugin import PluginOf, ToyOne, ToyTwo, registry_of
from support.toy_runner import Workspace
from torch import Tensor, nn

from rppbench.contracts.fitted import Examples, FittedMethod
from rppbench.contracts.learning import Learning
from rppbench.contracts.method import Method, Tower
from rppbench.contracts.prompts import Prompt, Prompts, Space
from rppbench.contracts.recipe import Recipe
from rppbench.data.images import Images
from rppbench.evaluation.classify import head_of, probabilities
from rppbench.execution.region_bench import Cache, Encoder
from rppbench.features.files import stored_files
from rppbench.features.image_features import encode_images, frozen_image_features
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip
from rppbench_tasks.segmenting.dense import DenseHead

SEEN: list[Tensor] = []
"""What `classify` of `Watching` was given, in order."""


class Watching(Method):
    """A learned map of image features as the tower gives them; its tower may be prompted."""

    name, title, open_vocabulary = "watching", "Watching", False
    learning = Learning((Recipe("watching-1", epochs=1, batch=2, lr=0.01, augment="none"),))

    def __init__(self, space: Space, *, prompted: bool = False, unit: bool = False) -> None:
        super().__init__(space)
        self.map = nn.Parameter(torch.zeros(space.embed, space.embed))
        self.tokens = space.normal(2, space.image_width) if prompted else None
        self.unit = unit

    @classmethod
    def prompted_towers(cls, options: object) -> Sequence[Tower]:
        assert isinstance(options, dict)
        return ("image",) if options.get("prompted") else ()

    def prompts(self) -> Prompts:
        image = None if self.tokens is None else Prompt(self.tokens)
        return Prompts(image=image, unit_images=self.unit)

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        SEEN.append(images.detach().clone())
        return images @ (texts + texts @ self.map).T


class Fitted(FittedMethod):
    """Nothing to solve; it takes image features as the tower gives them."""

    name, title, open_vocabulary = "fitted", "Fitted", False
    learning = Learning((Recipe("fitted-1", epochs=0, batch=2, lr=0.0, augment="none"),))
    views = 2

    def __init__(self, space: Space, *, unit: bool = False) -> None:
        super().__init__(space)
        self.unit = unit

    def prompts(self) -> Prompts:
        return Prompts(unit_images=self.unit)

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        SEEN.append(images.detach().clone())
        return images @ texts.T

    def finish(self, examples: Examples) -> None:
        SEEN.extend((*examples.images, examples.val_images))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    SEEN.clear()
    toys = PluginOf([Watching, Fitted], [Toy, ToyOne, ToyTwo])
    return Workspace(registry_of(toys=toys), tmp_path, monkeypatch)


def images_of(clip: Clip) -> Images:
    data = ToyTwo()
    return Images(data, data.samples("test"), clip.preprocess)


def features_of(store: FeatureStore, clip: Clip, images: Images, unit: bool) -> Tensor:
    def compute(picks: Sequence[int]) -> Iterator[Tensor]:
        return encode_images(clip, images, 5, lambda *report: None, picks=picks)

    return frozen_image_features(store, clip, images, compute, unit=unit)


def plain(clip: Clip, images: Images) -> Tensor:
    """(n, e) what the tower returns, without the harness around it."""
    with torch.no_grad():
        features: Tensor = clip.model.encode_image(torch.cat(list(images.in_order(100))))
    return features


def test_raw_features_are_those_of_the_tower_and_are_encoded_once(
    workspace: Workspace, tmp_path: Path
) -> None:
    clip = workspace.clips["tiny"]
    images, expected = images_of(clip), plain(clip, images_of(clip))
    assert ((expected.norm(dim=1) - 1).abs() > 0.1).all()
    store = FeatureStore(tmp_path / "new")
    units = features_of(store, clip, images, unit=True)
    raw = features_of(store, clip, images, unit=False)
    assert clip.image.images_encoded == len(images)
    torch.testing.assert_close(raw, expected, rtol=2e-6, atol=2e-6)
    assert torch.equal(units, clip.image.encode(torch.cat(list(images.in_order(100)))))
    assert torch.equal(features_of(store, clip, images, unit=True), units)


def test_features_without_norms_are_encoded_again_and_stay_as_they_are(
    workspace: Workspace, tmp_path: Path
) -> None:
    """As an earlier version stored them; what it stored serves whoever needs no norms."""
    clip, folder = workspace.clips["tiny"], tmp_path / "old"
    images, store = images_of(clip), FeatureStore(folder)
    units = features_of(store, clip, images, unit=True)
    for file in stored_files(folder):
        if file.kind == "norms":
            shutil.rmtree(file.path.parent)
    before = clip.image.images_encoded
    assert torch.equal(features_of(store, clip, images, unit=True), units)
    assert clip.image.images_encoded == before
    raw = features_of(store, clip, images, unit=False)
    assert clip.image.images_encoded == before + len(images)
    torch.testing.assert_close(raw, plain(clip, images), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("method", ["watching:prompted=on", "watching:prompted=off", "fitted"])
@pytest.mark.parametrize("unit", ["on", "off"])
def test_a_method_gets_features_of_the_length_it_asks_for(
    workspace: Workspace, method: str, unit: str
) -> None:
    """In training and in testing, with the tower frozen or prompted."""
    settings = (("method.unit", unit),)
    planned = workspace.plan(method, task="few-shot", shots=(1,), settings=settings)
    records = workspace.run(planned, workspace.new())
    assert {record.failure for record in records} == {None}
    lengths = torch.cat([seen.norm(dim=1) for seen in SEEN])
    assert len(lengths) > 20
    close = (lengths - 1).abs() < 1e-5
    assert close.all() if unit == "on" else not close.any()


@pytest.mark.parametrize("prompted", [True, False])
def test_prediction_gets_features_of_the_length_it_asks_for(
    workspace: Workspace, prompted: bool
) -> None:
    clip = workspace.clips["tiny"]
    generator = torch.Generator().manual_seed(0)
    method = Watching(clip.space(3, generator), prompted=prompted)
    pixels = torch.cat(list(images_of(clip).in_order(100)))
    names = ["cat", "dog", "car"]
    head = head_of(method, clip, range(3))
    wording = "a photo of a {}."
    list(probabilities(clip, method.prompts(), names, [pixels], wording=wording, head=head))
    assert not ((torch.cat(SEEN).norm(dim=1) - 1).abs() < 1e-5).any()


# --- regions of images ----------------------------------------------------------------------------


def regions_of(clip: Clip, folder: Path, unit: bool) -> tuple[Encoder, Cache]:
    """Encoder and cache of a method that leaves the towers alone."""
    resources = SimpleNamespace(
        contents=SimpleNamespace(check=lambda *given: None),
        code=SimpleNamespace(of_task=lambda cell: {}),
    )
    prompts = Prompts(unit_images=unit)
    method: Any = SimpleNamespace(
        prompts=prompts, clip=clip, frozen_images=True, resources=resources, cell=None
    )
    return Encoder(method, 4), Cache(method, ToyTwo(), FeatureStore(folder))


def test_tasks_of_regions_get_the_same_lengths(workspace: Workspace, tmp_path: Path) -> None:
    clip, data = workspace.clips["tiny"], ToyTwo()
    images = [data.image(sample) for sample in data.samples("test")[:5]]
    features = {}
    for unit in (True, False):
        encoder, cache = regions_of(clip, tmp_path / "parts", unit)
        assert encoder.unit == unit
        for prompted in (True, False):
            features[unit, prompted] = cache.features(
                {"crops": 1},
                5,
                partial(encoder.encode, images, prompted=prompted),
                prompted=prompted,
            )
    raw, units = features[False, True], features[True, True]
    assert not ((raw.norm(dim=1) - 1).abs() < 1e-3).any()
    torch.testing.assert_close(raw / raw.norm(dim=1, keepdim=True), units)
    for prompted in (True, False):
        assert torch.equal(features[True, prompted], units)
    assert torch.equal(features[False, False], units)  # zero-shot CLIP is asked for


def test_windows_of_raw_patches_are_averaged(workspace: Workspace, tmp_path: Path) -> None:
    clip = workspace.clips["tiny"]
    side, patch = clip.preprocess.size, clip.image.patch
    image = ToyTwo().image(ToyTwo().samples("test")[0]).resize((side + side // 2, side))
    patches = {}
    for unit in (True, False):
        encoder, _ = regions_of(clip, tmp_path, unit)
        bench: Any = SimpleNamespace(
            regions=SimpleNamespace(encoder=encoder), dataset=SimpleNamespace(classes=["a"])
        )
        rows, columns = side // patch, (side + side // 2) // patch
        patches[unit] = DenseHead(bench, [], windows=True, enlarge="probabilities").features(
            image, rows, columns
        )
    left, right = (encoder.patches([image.crop((x, 0, x + side, side))])[0] for x in (0, side // 2))
    half = columns - rows
    raw = patches[False]
    torch.testing.assert_close(raw[:, :half], left[:, :half])
    torch.testing.assert_close(raw[:, half:-half], (left[:, half:] + right[:, :-half]) / 2)
    assert ((patches[True].norm(dim=-1) - 1).abs() < 1e-5).all()
