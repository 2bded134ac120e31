"""CLIP-LoRA, MMA and TCP: logits, loss and a full step against plain references, in float32.

The references are the slow towers with the formulas of the papers and the official code written
out: weights that are merged with the low-rank terms, a bottleneck spelled out beside a block, and
tokens of each class in the full context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.reference import image_features, text_features
from support.tiny import make_tiny_clip, tokenizer
from support.toy_data import Toy
from support.training_world import (
    DECAY,
    HEADS,
    NAMES,
    RATE,
    RECIPE,
    World,
    complete_and_resumed,
    leaves,
)
from torch import Tensor

from rppbench.contracts.prompts import Adapter, Prompt, Prompts, Templates, TokenMap
from rppbench.errors import UsageError
from rppbench_methods.clip_lora import CLIPLoRA
from rppbench_methods.mma import MMA
from rppbench_methods.tcp import TCP, behind_context

ADAM = replace(RECIPE, optimiser="adam", lr=0.01, weight_decay=5e-4, eps=1e-3)
ADAMW = replace(RECIPE, optimiser="adamw", lr=0.01, weight_decay=0.01, eps=1e-3)
PETS = "a photo of a {}, a type of pet."


class Pets(Toy):
    template = PETS


def stir(world: World, scale: float = 0.1) -> None:
    """Move every parameter away from its start, where some have no gradient yet."""
    stream = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in world.method.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=stream), alpha=scale)


def checked(world: World, texts: Tensor, images: Tensor, extra: Tensor | float = 0.0) -> Tensor:
    """The loss of the reference, after its logits were compared with those of the first step."""
    logits = world.scale * images @ texts.T
    torch.testing.assert_close(world.steps[0].logits, logits, rtol=1e-5, atol=1e-5)
    truth = world.labels[world.order]
    rows = [-row.log_softmax(0)[y] for row, y in zip(logits, truth, strict=True)]
    loss = torch.stack(rows).mean() + extra
    assert world.progress is not None
    assert world.progress.log[0]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    return loss


def compare(world: World, start: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Every parameter after the step, to 2e-4 of the largest move."""
    for name, parameter in world.method.named_parameters():
        moved = (expected[name] - start[name]).detach()
        assert moved.abs().max() > 1e-5, name
        close = 2e-4 * float(moved.abs().max())
        step = parameter.detach() - start[name].detach()
        torch.testing.assert_close(step, moved, rtol=0, atol=close)


# --- CLIP-LoRA ------------------------------------------------------------------------------------


def masks(world: World, letters: str, scaling: float) -> dict[tuple[str, int, str], Tensor]:
    """D of each low-rank map x -> scaling B A D x of the first step, by what it does to units."""
    slots = {"q": "queries", "k": "keys", "v": "values", "o": "output"}
    prompts, state = world.method.prompts(), world.method.state_dict()
    diagonals = {}
    for tower, prompt in (("text", prompts.text), ("image", prompts.image)):
        assert isinstance(prompt, Prompt)
        for block, adapter in prompt.adapters.items():
            for i, letter in enumerate(letters):
                a, b = (state[f"towers.{tower}.{half}"][block, i] for half in "ab")
                given = getattr(adapter, slots[letter])(torch.eye(a.shape[1])).T.detach()
                diagonals[tower, block, letter] = (given / (scaling * b @ a)).median(0).values
    return diagonals


@pytest.mark.parametrize("dropout", [0.0, 0.25])
@pytest.mark.parametrize("projections", ["qkv", "kvo"])
def test_a_step_of_clip_lora_equals_merged_weights(
    tmp_path: Path, projections: str, dropout: float
) -> None:
    options = {"rank": 3, "alpha": 2.0, "dropout": dropout, "projections": projections}
    world = World(tmp_path, CLIPLoRA, ADAMW, dataset=Pets(), template="dataset", **options)
    stir(world)
    scaling, letters = 2.0 / 3**0.5, "".join(sorted(projections))
    kept = masks(world, letters, scaling)
    start = leaves(world.method)
    world.run()
    values = torch.cat(list(kept.values()))
    scaled = torch.where(values > 0.5, 1 / (1 - dropout), 0.0)
    torch.testing.assert_close(values, scaled, rtol=1e-3, atol=1e-3)
    assert float((values < 0.5).float().mean()) == pytest.approx(dropout, abs=0.05)
    features = {}
    for tower in ("text", "image"):
        weights = dict(world.clip.model.state_dict())
        for block in range(4):
            side = "" if tower == "text" else "visual."
            name = f"{side}transformer.resblocks.{block}.attn"
            joined = list(weights[f"{name}.in_proj_weight"].chunk(3))
            for i, letter in enumerate(letters):
                a, b = (start[f"towers.{tower}.{half}"][block, i] for half in "ab")
                mask = torch.where(kept[tower, block, letter] > 0.5, 1 / (1 - dropout), 0.0)
                term = scaling * b @ (a * mask)
                if letter == "o":
                    weights[f"{name}.out_proj.weight"] = weights[f"{name}.out_proj.weight"] + term
                else:
                    joined["qkv".index(letter)] = joined["qkv".index(letter)] + term
            weights[f"{name}.in_proj_weight"] = torch.cat(joined)
        if tower == "text":
            empty = Prompt(torch.zeros(0, 32))
            features[tower] = text_features(weights, tokenizer(), NAMES, empty, HEADS, False, PETS)
        else:
            pixels = world.pixels[world.order]
            features[tower] = image_features(weights, pixels, None, HEADS, False)
    loss = checked(world, features["text"], features["image"])
    gradients = torch.autograd.grad(loss, list(start.values()))
    expected = {
        name: value * (1 - 0.01 * 0.01) - 0.01 * gradient / (gradient.abs() + 1e-3)
        for (name, value), gradient in zip(start.items(), gradients, strict=True)
    }
    compare(world, start, expected)


def test_masks_of_a_step_stay_until_it_is_taken_and_are_none_afterwards() -> None:
    space = make_tiny_clip().space(5, torch.Generator().manual_seed(1))
    method = CLIPLoRA(space)
    with torch.no_grad():
        for tower in method.towers.values():
            tower.b.normal_(generator=torch.Generator().manual_seed(0))

    def result() -> Tensor:
        prompts: Prompts = method.prompts()
        assert isinstance(prompts.text, Prompt)
        add = prompts.text.adapters[0].queries
        assert add is not None
        return add(torch.ones(1, 32))

    one = result()
    assert torch.equal(one, result())
    method.steps += 1
    assert not torch.equal(one, result())
    method.steps -= 1
    assert torch.equal(one, result())
    method.eval()
    first, b = (method.towers["text"].a[0, 1], method.towers["text"].b[0, 1])  # k, q, v
    torch.testing.assert_close(result(), 2**-0.5 * (b @ first @ torch.ones(32))[None])


@pytest.mark.parametrize("stop", [1, 4])
def test_an_interrupted_clip_lora_draws_the_same_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    recipe = replace(ADAMW, batch=4, steps_per_shot=2, schedule="cosine-steps")
    complete, again = complete_and_resumed(
        lambda name: World(tmp_path / name, CLIPLoRA, recipe), stop, monkeypatch
    )
    assert int(complete.method.steps) == 6
    for name, value in complete.method.state_dict().items():
        assert torch.equal(value, again.method.state_dict()[name])


def test_one_adapted_tower_leaves_the_other_frozen() -> None:
    def prompts(encoders: str) -> Prompts:
        space = make_tiny_clip().space(5, torch.Generator())
        return CLIPLoRA(space, encoders=encoders).prompts()  # type: ignore[arg-type]

    assert prompts("text").image is None
    image = prompts("image")
    assert image.text == Templates(("a photo of a {}.",))
    assert image.image is not None
    assert len(image.image.adapters) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank is at least 1"),
        ({"dropout": 1.0}, "dropout below 1"),
        ({"projections": "qx"}, "letters of 'qkvo'"),
        ({"projections": ""}, "letters of 'qkvo'"),
        ({"template": "ensemble"}, "several wordings"),
    ],
)
def test_impossible_options_of_clip_lora_are_mistakes(
    options: Mapping[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        CLIPLoRA(make_tiny_clip().space(5, torch.Generator()), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("component", [CLIPLoRA, MMA])
def test_a_tower_that_takes_no_prompt_takes_no_adapter(component: type[CLIPLoRA | MMA]) -> None:
    space = replace(make_tiny_clip().space(5, torch.Generator()), image_layers=0)
    options = {"depth": 2} if component is MMA else {}
    with pytest.raises(UsageError, match="image tower"):
        component(space, **options)


# --- MMA ------------------------------------------------------------------------------------------


def test_a_step_of_mma_equals_the_plain_reference(tmp_path: Path) -> None:
    world = World(tmp_path, MMA, depth=2, width=8, scale=0.25)
    stir(world)
    start = leaves(world.method)
    world.run()

    def layer(name: str, x: Tensor) -> Tensor:
        return x @ start[f"{name}.weight"].T + start[f"{name}.bias"]

    def beside(tower: str, j: int) -> TokenMap:
        def added(z: Tensor) -> Tensor:
            hidden = layer(f"{tower}_down.{j}", z).clamp(min=0)
            hidden = layer(f"shared.{j}", hidden).clamp(min=0)
            return 0.25 * layer(f"{tower}_up.{j}", hidden)

        return added

    text, image = (
        Prompt(
            torch.zeros(0, width),
            adapters={2 + j: Adapter(block=beside(tower, j)) for j in range(2)},
        )
        for tower, width in (("text", 32), ("image", 48))
    )
    weights = world.clip.model.state_dict()
    texts = text_features(weights, tokenizer(), NAMES, text, HEADS, False, "a photo of a {}.")
    images = image_features(weights, world.pixels[world.order], image, HEADS, False)
    loss = checked(world, texts, images)
    gradients = torch.autograd.grad(loss, list(start.values()))
    expected = {  # the gradient of the layers is that of the map without its scale
        name: value - RATE * (gradient / 0.25 + DECAY * value)
        for (name, value), gradient in zip(start.items(), gradients, strict=True)
    }
    compare(world, start, expected)


def test_mma_starts_as_the_official_code() -> None:
    method = MMA(make_tiny_clip().space(5, torch.Generator().manual_seed(1)), depth=3, width=16)
    for layers, outputs in ((method.text_down, 16), (method.image_up, 48), (method.shared, 16)):
        weights = torch.cat([layer.weight.flatten() for layer in layers])
        assert float(weights.detach().std()) == pytest.approx((2 / outputs) ** 0.5, rel=0.1)
        assert all(not layer.bias.any() for layer in layers)
    prompts = method.prompts()
    assert isinstance(prompts.text, Prompt)
    assert list(prompts.text.adapters) == list(prompts.image.adapters) == [1, 2, 3]


# --- TCP ------------------------------------------------------------------------------------------


def test_a_step_of_tcp_equals_the_plain_reference(tmp_path: Path) -> None:
    world = World(tmp_path, TCP, ADAM, dataset=Pets(), length=3, layer=2)
    stir(world)
    start = leaves(world.method)
    world.run()
    weights = world.clip.model.state_dict()
    empty = Prompt(torch.zeros(0, 32))
    crafted = text_features(weights, tokenizer(), NAMES, empty, HEADS, False, PETS)
    hidden = crafted @ start["narrow.weight"].T + start["narrow.bias"]
    hidden = hidden / (1 + torch.exp(-1.702 * hidden))
    tokens = (hidden @ start["widen.weight"].T + start["widen.bias"]).reshape(5, 3, 32)
    texts = torch.cat(
        [
            text_features(
                weights,
                tokenizer(),
                [name],
                Prompt(start["context"], {2: tokens[row]}),
                HEADS,
                False,
                "{}, a type of pet.",
            )
            for row, name in enumerate(NAMES)
        ]
    )
    distance = torch.stack(
        [1 - text @ fixed for text, fixed in zip(texts, crafted, strict=True)]
    ).mean()
    loss = checked(world, texts, world.features[world.order], 8 * distance)
    gradients = torch.autograd.grad(loss, list(start.values()))
    expected = {}
    for (name, value), gradient in zip(start.items(), gradients, strict=True):
        gradient = gradient + 5e-4 * value
        expected[name] = value - 0.01 * gradient / (gradient.abs() + 1e-3)
    compare(world, start, expected)


@pytest.mark.parametrize(
    ("template", "rest"),
    [
        ("a photo of a {}.", "{}."),
        (PETS, "{}, a type of pet."),
        ("a photo of {}, a type of food.", "{}, a type of food."),
        ("a centered satellite photo of {}.", "{}."),
        ("{} texture.", "{} texture."),
        ("a photo of a person doing {}.", "person doing {}."),
    ],
)
def test_the_context_stands_for_the_beginning_of_the_template(template: str, rest: str) -> None:
    """The wordings of the official code, of which each data set's own template is the rest."""
    assert behind_context(template) == rest


def test_tcp_has_tokens_for_classes_that_it_did_not_learn() -> None:
    clip = make_tiny_clip()
    method = TCP(clip.space(2, torch.Generator()), layer=1)
    text = method.prompts().text
    prompt = text.prompt(torch.nn.functional.normalize(torch.randn(9, 32), dim=1))  # type: ignore[union-attr]
    assert prompt.stream[1].shape == (9, 4, 32)
    with pytest.raises(UsageError, match="layer is 0 to 3"):
        TCP(clip.space(2, torch.Generator()))
