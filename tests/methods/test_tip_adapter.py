"""Tip-Adapter as published: its settings by data set, and a plain reference of all it computes.

The one-setting recipe is tested with the other heads, in `test_heads`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny import make_tiny_clip
from support.toy_data import Toy
from support.training_world import NAMES, SEVEN, World, plain_images, plain_texts
from torch import Tensor

from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Prompt
from rppbench.contracts.recipe import Recipe, select
from rppbench.data.splits import of_classes
from rppbench.plugins.options import options, resolve
from rppbench.plugins.registry import Registry
from rppbench.training.fitting import examples_for
from rppbench_methods.tip_adapter import TipAdapter, TipAdapterF

REGISTRY = Registry.load()

CONFIGS: dict[str, tuple[float, float, float, int]] = {
    "caltech101": (3, 12, 5, 20),
    "dtd": (2, 13, 13, 20),
    "eurosat": (2, 12, 10, 100),
    "fgvc_aircraft": (5, 30, 30, 20),
    "food101": (1.17, 10, 10, 20),
    "imagenet": (1.17, 7, 3, 20),
    "oxford_flowers": (10, 50, 50, 20),
    "oxford_pets": (1.17, 7, 3, 20),
    "stanford_cars": (3, 20, 10, 20),
    "sun397": (1.17, 12, 10, 20),
    "ucf101": (3, 7, 3, 20),
}
"""init_alpha, the two values of search_scale (beta, alpha) and train_epoch of the official YAML."""
TEMPLATES = {
    "caltech101": "a photo of a {}.",
    "dtd": "{} texture.",
    "eurosat": "a centered satellite photo of {}.",
    "fgvc_aircraft": "a photo of a {}, a type of aircraft.",
    "food101": "a photo of {}, a type of food.",
    "oxford_flowers": "a photo of a {}, a type of flower.",
    "oxford_pets": "a photo of a {}, a type of pet.",
    "stanford_cars": "a photo of a {}.",
    "sun397": "a photo of a {}.",
    "ucf101": "a photo of a person doing {}.",
}
"""`template` of the official datasets/*.py."""


def chosen(component: type[Method], source: str, name: str | None = None) -> Recipe:
    assert component.learning is not None
    return select(component.learning.recipes, "few-shot", "coop", name, source=source, shots=16)


@pytest.mark.parametrize("component", [TipAdapter, TipAdapterF])
@pytest.mark.parametrize("source", CONFIGS)
def test_the_default_on_each_data_set_is_the_official_setting(
    component: type[TipAdapter], source: str
) -> None:
    recipe, (alpha, beta_scale, alpha_scale, epochs) = chosen(component, source), CONFIGS[source]
    values = {**options(component), **dict(recipe.options)}
    searched = {"alpha_scale": alpha_scale, "beta_scale": beta_scale, "alphas": 20, "betas": 200}
    cache = {"alpha": alpha, "beta": 1.0, "views": 10, "raw_keys": True, **searched}
    assert {name: values[name] for name in cache} == cache
    assert (recipe.batch, recipe.lr, recipe.augment) == (256, 1e-3, "half-crop-flip")
    assert (recipe.optimiser, recipe.weight_decay, recipe.eps) == ("adamw", 0.01, 0.0)  # 0: 1e-4
    assert recipe.validation == ("none" if source == "imagenet" else "full")
    assert recipe.protocol == f"{component.name}-by-set-1"
    if component.learned_keys:
        assert (recipe.epochs, recipe.schedule, recipe.keep_last) == (epochs, "cosine-steps", True)
        assert (recipe.min_lr, recipe.warmup_epochs) == (0.0, 0)
    else:
        assert recipe.epochs == 0
    own = REGISTRY.get("datasets", source).template
    wordings = _built(component, recipe).prompts().text.wordings or (own,)  # type: ignore[union-attr]
    expected = SEVEN if source == "imagenet" else (TEMPLATES[source],)
    assert wordings == expected


def _built(component: type[TipAdapter], recipe: Recipe) -> TipAdapter:
    space = make_tiny_clip().space(3, torch.Generator())
    return component(space, **dict(recipe.options))  # type: ignore[arg-type]


@pytest.mark.parametrize("component", [TipAdapter, TipAdapterF])
def test_one_setting_stays_beside_it_under_its_own_name(component: type[TipAdapter]) -> None:
    one = f"{component.name}-1"
    assert chosen(component, "a folder of mine").name == one
    for source in ("dtd", "imagenet"):
        recipe = chosen(component, source, one)
        assert (recipe.name, recipe.protocol, recipe.options) == (one, "", ())
        assert "keep_last" not in dict(recipe.choice().options)
    assert not {"raw_keys", "template"} & dict(resolve(component, {}).options).keys()


# --- a plain reference of the published recipe ----------------------------------------------------


class Six(Toy):
    """Six images a class and split, more than the few-shot draw of validation images has."""

    images_a_class = 6


PUBLISHED = Recipe(
    "published-1",
    epochs=3,
    batch=4,
    lr=0.01,
    warmup_epochs=0,
    schedule="cosine-steps",
    keep_last=True,
    optimiser="adamw",
    weight_decay=0.01,
    augment="half-crop-flip",
    validation="full",
)
VIEWS, ALPHA = 3, 5.0
GRID = {"alpha": ALPHA, "alpha_scale": 60.0, "beta_scale": 13.0, "alphas": 4, "betas": 6}
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def plain_view(world: World, epoch: int, view: int) -> Tensor:
    """(n, e) features of the training images in one view, as the tower gives them."""
    pixels = torch.cat(list(world.trainer.inputs.images.in_order(100, epoch, view)))
    with torch.no_grad():
        features: Tensor = world.clip.model.encode_image(pixels)
    return features


def plain_keys(world: World) -> Tensor:
    mean = sum(plain_view(world, 0, view) for view in range(VIEWS)) / VIEWS
    assert isinstance(mean, Tensor)
    return mean / mean.norm(dim=1, keepdim=True)


def plain_logits(world: World, images: Tensor, keys: Tensor, alpha: float, beta: float) -> Tensor:
    one_hot = torch.eye(len(NAMES))[world.labels]
    cache = (-(beta - beta * (images @ keys.T))).exp() @ one_hot
    return world.scale * images @ world.texts.T + alpha * cache


def complete_validation(world: World) -> tuple[Tensor, Tensor]:
    samples = of_classes(Six().samples("val"), range(5))
    pixels = torch.stack([world.clip.preprocess(Six().image(sample)) for sample in samples])
    labels = torch.tensor([sample.label for sample in samples])
    return plain_images(world.clip, pixels, None), labels


def plain_search(world: World, keys: Tensor) -> tuple[float, float]:
    images, labels = complete_validation(world)
    best, alpha, beta = -1, 0.0, 0.0
    for i in range(6):
        for j in range(4):
            pair = 0.1 + j * (60 - 0.1) / 4, 0.1 + i * (13 - 0.1) / 6
            right = int((plain_logits(world, images, keys, *pair).argmax(1) == labels).sum())
            if right > best:
                best, (alpha, beta) = right, pair
    return alpha, beta


def plain_training(world: World, keys: Tensor) -> Tensor:
    """AdamW with eps 1e-4 by hand, the rate on a cosine over all steps."""
    keys = keys.clone().requires_grad_()
    first, second, step = torch.zeros_like(keys), torch.zeros_like(keys), 0
    steps = 3 * 4  # three epochs of 4, 4, 4 and 3 images
    for epoch in range(3):
        view = plain_view(world, epoch, 0)
        features = view / view.norm(dim=1, keepdim=True)
        for pick in world.trainer.inputs.order(epoch).split(4):
            logits = plain_logits(world, features[pick], keys, ALPHA, 1.0)
            loss = torch.nn.functional.cross_entropy(logits, world.labels[pick])
            (gradient,) = torch.autograd.grad(loss, keys)
            rate = 0.01 * (1 + math.cos(math.pi * step / steps)) / 2
            step += 1
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            spread = (second / (1 - 0.999**step)).sqrt() + 1e-4
            moved = keys * (1 - rate * 0.01) - rate * first / (1 - 0.9**step) / spread
            keys = moved.detach().requires_grad_()
    assert step == steps
    return keys.detach()


@pytest.mark.parametrize("component", [TipAdapter, TipAdapterF])
def test_the_published_recipe_equals_the_plain_reference(
    tmp_path: Path, component: type[TipAdapter]
) -> None:
    epochs = 3 if component.learned_keys else 0
    world = World(
        tmp_path,
        component,
        replace(PUBLISHED, epochs=epochs),
        dataset=Six(),
        views=VIEWS,
        raw_keys=True,
        **GRID,
    )
    world.run()
    keys = plain_keys(world)
    if component.learned_keys:
        assert world.progress is not None
        assert world.progress.step == 12
        assert [len(step.images) for step in world.steps] == [4, 4, 4, 3] * 3
        keys = plain_training(world, keys)
    order = world.labels.argsort(stable=True)  # the method keeps the images of a class together
    torch.testing.assert_close(world.method.keys, keys[order], **CLOSE)
    alpha, beta = plain_search(world, keys)
    assert [float(world.method.alpha), float(world.method.beta)] == pytest.approx([alpha, beta])
    images, _ = complete_validation(world)
    ids = torch.arange(5)
    logits = world.method.classify(images, world.texts, ids, world.scale)
    assert logits is not None
    expected = plain_logits(world, images, keys, alpha, beta)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-4)  # of logits up to 100


def test_raw_keys_are_other_keys(tmp_path: Path) -> None:
    """Or the reference could not fail: the views of an image have different lengths."""
    keys = []
    for raw in (True, False):
        recipe = replace(PUBLISHED, epochs=0)
        folder = tmp_path / str(raw)
        world = World(folder, TipAdapter, recipe, views=VIEWS, raw_keys=raw, **GRID)
        world.run()
        keys.append(world.method.keys)
    assert (keys[0] - keys[1]).abs().max() > 1e-4


def test_the_search_sees_all_validation_images(tmp_path: Path) -> None:
    counts = {}
    for validation in ("full", "few-shot", "none"):
        recipe = replace(PUBLISHED, epochs=0, validation=validation)
        world = World(tmp_path, TipAdapter, recipe, dataset=Six(), views=1, **GRID)
        counts[validation] = len(examples_for(world.method, world.trainer.inputs).val_images)
    assert counts == {"full": 30, "few-shot": 15, "none": 0}


def test_seven_wordings_are_averaged_as_unit_features(tmp_path: Path) -> None:
    world = World(tmp_path, TipAdapter, replace(PUBLISHED, epochs=0), views=1, template="select")
    expected = []
    for name in NAMES:
        texts = [wording.format(name).removesuffix(".") for wording in SEVEN]
        rows = plain_texts(world.clip, texts, Prompt(torch.empty(0, 32)))
        mean = rows.mean(0)
        expected.append(mean / mean.norm())
    assert world.trainer.inputs.template_texts is not None
    torch.testing.assert_close(world.trainer.inputs.template_texts, torch.stack(expected), **CLOSE)
