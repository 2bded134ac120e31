"""Adapters, class-specific deep tokens and words around the name, in both towers, in float64.

Low-rank terms must equal merged weights, shared work must equal plain runs, and activations that
are computed again must give the same gradients.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.tiny import NAMES, LeafDraw, make_tiny_clip, random_images, tokenizer
from torch import Tensor
from torch.nn.functional import linear

from rppbench.contracts.prompts import Adapter, Prompt, TokenMap
from rppbench.models.class_names import Names
from rppbench.models.clip import Clip

WIDTHS = {"text": 32, "image": 48}
EXACT = {"rtol": 0.0, "atol": 1e-12}


def clip64(layer_scale: float | None = None) -> Clip:
    return make_tiny_clip(torch.float64, layer_scale=layer_scale)


def product(a: Tensor, b: Tensor) -> TokenMap:
    return lambda x: linear(linear(x, a), b)


def low_rank(width: int, draw: LeafDraw, names: str = "qkvo") -> Prompt:
    """Terms of rank 2 in blocks 0 and 2, on the projections that `names` says."""
    fields = {"q": "queries", "k": "keys", "v": "values", "o": "output"}
    adapters = {
        block: Adapter(
            **{fields[name]: product(draw(2, width), 0.1 * draw(width, 2)) for name in names}
        )
        for block in (0, 2)
    }
    return Prompt(torch.zeros(0, width, dtype=torch.float64), adapters=adapters)


def bottlenecks(width: int, draw: LeafDraw, tokens: int = 0) -> Prompt:
    def beside() -> TokenMap:
        down, up = draw(8, width), draw(width, 8)
        return lambda x: linear(linear(x, down).relu(), 0.1 * up)

    adapters = {block: Adapter(block=beside()) for block in (1, 3)}
    return Prompt(
        draw(tokens, width), {2: draw(tokens, width)} if tokens else {}, adapters=adapters
    )


def merged(clip: Clip, tower: str, draws: list[Tensor]) -> Clip:
    """The CLIP whose weights hold the terms of `low_rank`, whose leaves are `draws`."""
    copy = clip64()
    copy.model.load_state_dict(clip.model.state_dict())
    side = copy.model if tower == "text" else copy.model.visual
    pairs = iter([(draws[i], draws[i + 1]) for i in range(0, len(draws), 2)])
    with torch.no_grad():
        for block in (0, 2):
            attention = side.transformer.resblocks[block].attn
            width = attention.embed_dim
            for part in range(3):
                a, b = next(pairs)
                attention.in_proj_weight[part * width : (part + 1) * width] += 0.1 * b @ a
            a, b = next(pairs)
            attention.out_proj.weight += 0.1 * b @ a
    return copy


@pytest.mark.parametrize("wording", ["a photo of a {}.", "{}, a type of pet."])
def test_low_rank_terms_in_the_text_tower_equal_merged_weights(wording: str) -> None:
    clip, draw = clip64(), LeafDraw(torch.float64)
    prompt = low_rank(32, draw)
    names = clip.names(NAMES, wording)
    ours = clip.text.encode(prompt, names, raw=True)
    theirs = merged(clip, "text", draw.leaves).model.encode_text(
        tokenizer()([wording.replace("{}", name) for name in NAMES])
    )
    torch.testing.assert_close(ours, theirs, **EXACT)
    plain = clip.text.encode(prompt, names, raw=True, plain=True)
    torch.testing.assert_close(ours, plain, **EXACT)
    without = clip.text.encode(replace(prompt, adapters={}), names, raw=True)
    assert (ours - without).abs().max() > 1e-2


def test_low_rank_terms_in_the_image_tower_equal_merged_weights() -> None:
    clip, draw, pixels = clip64(), LeafDraw(torch.float64), random_images(torch.float64)
    prompt = low_rank(48, draw)
    copy = merged(clip, "image", draw.leaves)
    theirs = copy.model.encode_image(pixels)
    theirs = theirs / theirs.norm(dim=1, keepdim=True)
    ours = clip.image.encode(pixels, prompt)
    torch.testing.assert_close(ours, theirs, **EXACT)
    assert (ours - clip.image.encode(pixels)).abs().max() > 1e-3
    # The last block of `patches` has no attention, but its values and output projection count.
    last = replace(prompt, adapters={**prompt.adapters, 3: prompt.adapters[2]})
    with torch.no_grad():
        attention = copy.model.visual.transformer.resblocks[3].attn
        values, output = draw.leaves[-4:-2], draw.leaves[-2:]
        attention.in_proj_weight[96:] += 0.1 * values[1] @ values[0]
        attention.out_proj.weight += 0.1 * output[1] @ output[0]
    torch.testing.assert_close(
        clip.image.patches(pixels, last), copy.image.patches(pixels), **EXACT
    )


@pytest.mark.parametrize("tokens", [0, 2])
@pytest.mark.parametrize("kind", ["low rank", "beside"])
def test_a_shared_prefix_equals_plain_runs_with_adapters(kind: str, tokens: int) -> None:
    clip = clip64(layer_scale=0.5)
    features, gradients = [], []
    for plain in (False, True):
        draw = LeafDraw(torch.float64)
        prompt = low_rank(32, draw) if kind == "low rank" else bottlenecks(32, draw, tokens)
        if kind == "low rank" and tokens:
            prompt = replace(prompt, input=draw(tokens, 32), queries={1: draw(tokens, 32)})
        texts = clip.text.encode(prompt, clip.names(NAMES), plain=plain)
        features.append(texts)
        (texts * torch.linspace(-1, 1, texts.numel()).view_as(texts)).sum().backward()
        gradients.append([leaf.grad for leaf in draw.leaves if leaf.numel()])
    torch.testing.assert_close(*features, **EXACT)
    for shared, each in zip(*gradients, strict=True):
        assert shared is not None
        assert shared.abs().max() > 1e-6
        torch.testing.assert_close(shared, each, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["low rank", "beside", "class-specific"])
def test_activations_that_are_computed_again_give_the_same_gradients(kind: str) -> None:
    gradients = []
    for again in (False, True):
        clip, draw = clip64(), LeafDraw(torch.float64)
        clip.text.checkpoint, clip.text.chunk_tokens = again, 24
        prompt = low_rank(32, draw) if kind == "low rank" else bottlenecks(32, draw, 2)
        if kind == "class-specific":
            prompt = replace(prompt, stream={2: draw(len(NAMES), 2, 32)})
        texts = clip.text.encode(prompt, clip.names(NAMES))
        (texts * torch.linspace(-1, 1, texts.numel()).view_as(texts)).sum().backward()
        gradients.append([leaf.grad for leaf in draw.leaves if leaf.grad is not None])
    assert gradients[0]
    for kept, computed in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, computed, **EXACT)


@pytest.mark.parametrize("plain", [False, True])
def test_class_specific_deep_tokens_are_each_classes_own(plain: bool) -> None:
    clip, draw = clip64(), LeafDraw(torch.float64)
    names = clip.names(NAMES)
    own = draw(len(NAMES), 2, 32)
    prompt = Prompt(draw(3, 32), {1: draw(3, 32), 2: own})
    assert prompt.class_specific
    picked = torch.tensor([5, 0, 3])
    every = clip.text.encode(prompt, names, plain=plain)
    some = clip.text.encode(prompt, names, picked, plain=plain)
    torch.testing.assert_close(some, every[picked], **EXACT)
    for row, name in enumerate(NAMES):
        alone = Prompt(prompt.input, {1: prompt.stream[1], 2: own[row]})
        assert not alone.class_specific
        single = clip.text.encode(alone, clip.names([name]))
        torch.testing.assert_close(every[row : row + 1], single, **EXACT)
    chosen = prompt.of_classes(picked)
    assert torch.equal(chosen.stream[2], own[picked])
    assert torch.equal(chosen.stream[1], prompt.stream[1])
    assert torch.equal(chosen.input, prompt.input)


def test_learned_tokens_stand_before_the_wording() -> None:
    """The frozen words 'a photo of a' as tokens, and the rest of the template as the wording."""
    clip = clip64()
    words = clip.text.kind.words(torch.tensor(tokenizer().encode("a photo of a")))
    given = clip.text.encode(Prompt(words), clip.names(NAMES, "{}, a type of pet."), raw=True)
    sentences = [f"a photo of a {name}, a type of pet." for name in NAMES]
    torch.testing.assert_close(given, clip.model.encode_text(tokenizer()(sentences)), **EXACT)


def test_a_full_stop_is_apart_only_where_the_wording_has_one() -> None:
    clip = clip64()
    dot = tokenizer().encode(".")
    apart = Names(["x (y)"], clip.text.kind.tokens, "{}, a thing.", stop_apart=True)
    assert apart.ids[0, -2:].tolist() == [*dot, tokenizer().eot_token_id]
    without = Names(["x (y)"], clip.text.kind.tokens, "{}, a thing", stop_apart=True)
    assert dot[0] not in without.ids[0].tolist()


def test_compiled_blocks_take_adapters() -> None:
    clip, draw = clip64(), LeafDraw(torch.float64)
    prompts = [low_rank(48, draw), bottlenecks(48, draw, 2)]
    pixels = random_images(torch.float64)
    before = [clip.image.encode(pixels, prompt) for prompt in prompts]
    clip.compile("eager")
    for prompt, features in zip(prompts, before, strict=True):
        torch.testing.assert_close(clip.image.encode(pixels, prompt), features, **EXACT)
