"""Adapters in every kind of tower: low-rank terms as merged weights, others put in by hooks."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from support.kinds import IMAGE, TEXT, hooks, pixels, small_clip
from support.tiny import LeafDraw
from torch import Tensor, nn
from torch.nn.functional import linear

from rppbench.contracts.prompts import Adapter, Prompt, TokenMap
from rppbench.models.clip import Clip

pytestmark = pytest.mark.slow  # the second pass of .ci/run has it

NAMES = ("cat", "ox", "bee (a)", "dog")
CLOSE = {"rtol": 0.0, "atol": 1e-10}
BLOCKS = (0, 2)
WEIGHTS = {
    "q": ("q_proj", "query", "q"),
    "k": ("k_proj", "key", "k"),
    "v": ("v_proj", "value", "v"),
    "o": ("out_proj", "proj", "o", "output.dense"),
}
"""The names of a projection's layer inside the attention of one library or another."""


def low_rank(width: int, draw: LeafDraw) -> tuple[Prompt, dict[int, dict[str, Tensor]]]:
    """Adapters of the four projections in two blocks, and the terms (d, d) that they add."""
    adapters, terms = {}, {}
    for block in BLOCKS:
        terms[block] = {name: 0.1 * draw(width, 2) @ draw(2, width) for name in "qkvo"}
        maps = [_map(term) for term in terms[block].values()]
        adapters[block] = Adapter(*maps)
    return Prompt(torch.zeros(0, width, dtype=torch.float64), adapters=adapters), terms


def _map(term: Tensor) -> TokenMap:
    return lambda x: linear(x, term)


def attention_of(block: nn.Module) -> nn.Module:
    """The module that holds the projections of a block."""
    for name in ("attn", "attention", "self_attn", "layer.0.SelfAttention", "token_mixer"):
        try:
            return block.get_submodule(name)
        except AttributeError:
            continue
    raise AssertionError(f"no attention in {block}")


def projections(attention: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights (d, d) of an attention by the letter of the projection, as views."""
    modules = dict(attention.named_modules())
    parameters = dict(attention.named_parameters())
    joined = parameters.get("in_proj_weight", parameters.get("qkv.weight"))
    if joined is not None:
        yield from zip("qkv", joined.data.chunk(3), strict=True)
    for letter, names in WEIGHTS.items():
        if joined is not None and letter != "o":
            continue
        layer: Any = next(
            module
            for name, module in modules.items()
            if any(name == end or name.endswith(f".{end}") for end in names)
        )
        yield letter, layer.weight.data


def merged(model: Any, blocks_of: Any, terms: dict[int, dict[str, Tensor]]) -> Any:
    """A copy of the model whose weights hold the terms."""
    model = copy.deepcopy(model)
    for block, added in terms.items():
        letters = set()
        for letter, weight in projections(attention_of(blocks_of(model)[block])):
            weight += added[letter].detach()
            letters.add(letter)
        assert letters == set("qkvo")
    return model


def same_blocks(model: Any, blocks: Any) -> Any:
    """How to find in a copy of the model what `blocks` is in the model."""
    places = [next(n for n, m in model.named_modules() if m is block) for block in blocks]
    return lambda other: [other.get_submodule(place) for place in places]


def unit(features: Tensor) -> Tensor:
    return features / features.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("name", TEXT)
def test_low_rank_terms_of_a_text_tower_are_merged_weights(name: str) -> None:
    clip: Clip = small_clip(name)
    kind = clip.text.kind
    prompt, terms = low_rank(kind.width, LeafDraw(torch.float64))
    copied = merged(clip.model, same_blocks(clip.model, kind.blocks), terms)
    own = copied.encode_text(clip.tokenizer([f"{word}." for word in NAMES]), normalize=True)
    for plain in (False, True):
        ours = clip.text.encode(prompt, clip.names(NAMES), plain=plain)
        torch.testing.assert_close(ours, own, **CLOSE)
    assert (own - clip.text.encode_templates(NAMES, ["{}."])).abs().max() > 1e-4


@pytest.mark.parametrize("name", IMAGE)
def test_low_rank_terms_of_an_image_tower_are_merged_weights(name: str) -> None:
    clip: Clip = small_clip(name)
    kind, images = clip.image.kind, pixels(clip)
    prompt, terms = low_rank(kind.width, LeafDraw(torch.float64))
    copied = merged(clip.model, same_blocks(clip.model, kind.blocks), terms)
    own = unit(copied.encode_image(images))
    torch.testing.assert_close(clip.image.encode(images, prompt), own, **CLOSE)
    assert (own - clip.image.encode(images)).abs().max() > 1e-4


def beside(width: int, draw: LeafDraw) -> Prompt:
    def bottleneck() -> TokenMap:
        down, up = draw(4, width), 0.1 * draw(width, 4)
        return lambda x: linear(linear(x, down).relu(), up)

    adapters = {block: Adapter(block=bottleneck()) for block in BLOCKS}
    return Prompt(torch.zeros(0, width, dtype=torch.float64), adapters=adapters)


def added(kind: Any, prompt: Prompt) -> list[Any]:
    """Hooks that add what the adapters give to what their blocks return."""

    def hook(steps: Any, add: TokenMap) -> Any:
        def after(block: Any, inputs: Any, keywords: Any, output: Any) -> Any:
            x = inputs[0] if inputs else keywords["hidden_states"]
            more = add(steps.enter(block, x))
            return (output[0] + more, *output[1:]) if isinstance(output, tuple) else output + more

        return after

    def register(block: nn.Module) -> Any:
        return lambda hook: block.register_forward_hook(hook, with_kwargs=True)

    return [
        (register(kind.blocks[i]), hook(kind.steps, adapter.block))
        for i, adapter in prompt.adapters.items()
    ]


@pytest.mark.parametrize("name", TEXT)
def test_what_is_added_beside_text_blocks_is_put_in_by_hooks(name: str) -> None:
    clip: Clip = small_clip(name)
    kind, draw = clip.text.kind, LeafDraw(torch.float64)
    prompt = beside(kind.width, draw)
    with hooks(*added(kind, prompt)):
        own = clip.model.encode_text(clip.tokenizer([f"{w}." for w in NAMES]), normalize=True)
    ours = clip.text.encode(prompt, clip.names(NAMES))
    torch.testing.assert_close(ours, own, **CLOSE)
    gradients = torch.autograd.grad(ours[:, 0].sum(), draw.leaves)
    assert all(gradient.abs().max() > 1e-12 for gradient in gradients)


@pytest.mark.parametrize("name", IMAGE)
def test_what_is_added_beside_image_blocks_is_put_in_by_hooks(name: str) -> None:
    clip: Clip = small_clip(name)
    kind, draw, images = clip.image.kind, LeafDraw(torch.float64), pixels(clip)
    prompt = beside(kind.width, draw)
    with hooks(*added(kind, prompt)):
        own = unit(clip.model.encode_image(images))
    ours = clip.image.encode(images, prompt)
    torch.testing.assert_close(ours, own, **CLOSE)
    gradients = torch.autograd.grad(ours[:, 0].sum(), draw.leaves)
    assert all(gradient.abs().max() > 1e-12 for gradient in gradients)
