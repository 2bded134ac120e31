"""Towers that no prompt can enter, towers without a causal mask, and kinds that plugins add."""

import dataclasses
from typing import Any

import open_clip
import pluggy
import pytest
import torch
from support.kinds import pixels, small_clip
from support.tiny import MEAN, STD, make_tiny_clip, tiny_config, tokenizer
from torch import Tensor

from rppbench import hookimpl
from rppbench.contracts.prompts import Prompt
from rppbench.contracts.towers import Blocks, Embedded, ImageKind
from rppbench.errors import UsageError
from rppbench.models.clip import Clip, Preprocess
from rppbench.models.integrity import snapshot
from rppbench.plugins import hookspecs
from rppbench.plugins.registry import Registry
from rppbench_methods.coop import CoOp
from rppbench_methods.maple import MaPLe


def other_clip(
    vision: dict[str, object] | None = None, text: dict[str, object] | None = None
) -> Clip:
    config = tiny_config()
    config["vision_cfg"] |= vision or {}
    config["text_cfg"] |= text or {}
    model = open_clip.CustomTextCLIP(**config)
    return Clip("other", "0", model, tokenizer(), Preprocess(32, MEAN, STD))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("RN50", "ModifiedResNet, which convolves"),
        ("convnext_tiny", "ConvNeXt, which convolves"),
        ("MobileCLIP2-S0", "FastVit, which convolves"),
        ("swin_base_patch4_window7_224", "SwinTransformer, which attends inside windows"),
        ("vit_relpos_medium_patch16_cls_224", "VisionTransformerRelPos, whose positions are relat"),
    ],
)
def test_any_image_tower_encodes_images_but_only_one_of_a_known_kind_takes_a_prompt(
    name: str, reason: str
) -> None:
    clip = small_clip(name)
    images = pixels(clip)
    before = snapshot(clip)
    expected = clip.model.encode_image(images, normalize=True)
    assert torch.equal(clip.image.encode(images), expected)
    assert before.changes(clip) == []  # using a tower does not look like a change of it
    with pytest.raises(UsageError, match=f"image tower of {name} cannot be prompted: .*{reason}"):
        clip.image.encode(images, Prompt(torch.zeros(1, 48)))
    with pytest.raises(UsageError, match="has no patches"):
        clip.image.patches(images)
    space = clip.space(2, torch.Generator())
    assert (space.image_width, space.image_layers, space.embed) == (0, 0, 32)
    with pytest.raises(UsageError, match=f"{reason}.*\n.*coop and rpp:encoders=text"):
        MaPLe(space)
    assert clip.text.encode(Prompt(torch.zeros(1, 64)), clip.names(["cat"])).shape == (1, 32)


def test_learned_tokens_are_not_averaged_into_an_image() -> None:
    # The blocks add nothing, so only the pooling could let appended tokens matter.
    clip = other_clip(vision={"pool_type": "avg", "ls_init_value": 0.0})
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = torch.randn(3, 48, generator=torch.Generator().manual_seed(1))
    prompted = clip.image.encode(images, Prompt(tokens))
    torch.testing.assert_close(prompted, clip.image.encode(images), rtol=1e-5, atol=1e-5)


class Unknown:
    """A tokenizer that does not say what its ids are."""

    context_length = 77

    def __call__(self, texts: list[str]) -> Tensor:
        return tokenizer()(texts)


def test_any_text_tower_encodes_templates_but_only_one_of_a_known_kind_takes_a_prompt() -> None:
    clip = dataclasses.replace(make_tiny_clip(), tokenizer=Unknown())
    expected = clip.model.encode_text(clip.tokenizer(["a photo of a cat."]), normalize=True)
    features = clip.text.encode_templates(["cat"], ["a photo of a {}."])
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
    reason = "its tokenizer is a Unknown, neither CLIP's own nor transformers'"
    with pytest.raises(UsageError, match=f"text tower of tiny cannot be prompted: {reason}"):
        clip.names(["cat"])
    with pytest.raises(UsageError, match=reason):
        clip.text.embed_words("cat")
    space = clip.space(2, torch.Generator())
    assert (space.text_width, space.text_layers, space.embed) == (0, 0, 32)
    with pytest.raises(UsageError, match=f"{reason}\n.*vpt and rpp:encoders=image"):
        CoOp(space)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ({"scaled_cosine_attn": True}, "cosines of queries and keys"),
        ({"pool_type": "eos", "eos_id": 7}, "at token 7, which its tokenizer never sets"),
        ({"pool_type": "none"}, "from 'none', not from one token"),
    ],
)
def test_a_text_tower_that_computes_otherwise_is_refused(
    text: dict[str, object], reason: str
) -> None:
    with pytest.raises(UsageError, match=f"text tower of other cannot be prompted: .*{reason}"):
        other_clip(text=text).names(["cat"])


def test_an_image_tower_that_gives_no_single_feature_is_refused() -> None:
    clip = other_clip(vision={"pool_type": "none"})
    with pytest.raises(UsageError, match="reads no single feature"):
        _ = clip.image.kind


def test_a_text_tower_without_a_causal_mask_is_run_without_a_shared_prefix() -> None:
    clip = other_clip(text={"no_causal_mask": True})
    names = ["cat", "great white shark"]
    prompt = Prompt(clip.text.embed_words("a photo of a"))
    expected = clip.model.encode_text(
        clip.tokenizer([f"a photo of a {name}." for name in names]), normalize=True
    )
    for plain in (False, True):
        features = clip.text.encode(prompt, clip.names(names), plain=plain)
        torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
    features = clip.text.encode_templates(names, ["a photo of a {}."])
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


# --- kinds of plugins -----------------------------------------------------------------------------


class Plus(torch.nn.Module):
    """A tower of somebody's own: blocks that add, over the mean of each row of pixels."""

    output_dim = 32

    def __init__(self) -> None:
        super().__init__()
        self.widen, self.steps = torch.nn.Linear(3 * 32, 32), torch.nn.Linear(32, 32)

    def forward(self, images: Tensor) -> Tensor:
        x = self.widen(images.transpose(1, 2).flatten(2))
        return (x + self.steps(x).mean(1, keepdim=True)).mean(1)


class PlusBlocks(Blocks):
    """One head whose queries and keys say nothing, so that attention is the mean of the values."""

    def obstacle(self, block: Any) -> str | None:
        return None

    def enter(self, block: Any, x: Tensor) -> Tensor:
        return x

    def project(self, block: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        return 0 * q, 0 * k, block(v)

    def heads(
        self, block: Any, q: Tensor, k: Tensor, v: Tensor, positions: Any
    ) -> tuple[Tensor, ...]:
        return q[:, None], k[:, None], v[:, None]

    def output(self, block: Any, mixed: Tensor) -> Tensor:
        return mixed

    def leave(self, block: Any, x: Tensor, attended: Tensor) -> Tensor:
        return x + attended


class PlusKind(ImageKind):
    steps, width, patch = PlusBlocks(), 32, 1

    @classmethod
    def takes(cls, visual: torch.nn.Module) -> bool:
        return isinstance(visual, Plus)

    def __init__(self, visual: Any) -> None:
        self.visual, self.blocks = visual, [visual.steps]

    def embed(self, images: Tensor) -> Embedded:
        return Embedded(self.visual.widen(images.transpose(1, 2).flatten(2)), [None])

    embed_grid = embed

    def read(self, x: Tensor) -> Tensor:
        return x.mean(1)

    def read_patches(self, x: Tensor) -> Tensor:
        return x


def test_a_plugin_adds_a_kind_of_tower() -> None:
    class Plugin:
        @hookimpl
        def rppbench_towers(self) -> list[type[ImageKind]]:
            return [PlusKind]

    manager = pluggy.PluginManager("rppbench")
    manager.add_hookspecs(hookspecs)
    manager.register(Plugin())
    kinds = Registry(manager).towers()
    clip = make_tiny_clip()
    clip.model.visual = Plus()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert "Plus, not a vision transformer" in str(Clip.image.func(clip).obstacle)
    clip = Clip("plus", "0", clip.model, tokenizer(), Preprocess(32, MEAN, STD), kinds=kinds)
    expected = clip.image.encode(images)
    prompted = clip.image.encode(images, Prompt(torch.zeros(0, 32)))
    torch.testing.assert_close(prompted, expected, rtol=1e-5, atol=1e-5)
    assert clip.space(2, torch.Generator()).image_width == 32
    tokens = torch.ones(2, 32, requires_grad=True)
    clip.image.encode(images, Prompt(tokens))[:, ::2].sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.abs().max() > 0


def test_a_plugin_whose_kinds_fail_is_reported() -> None:
    class Plugin:
        @hookimpl
        def rppbench_towers(self) -> list[type[ImageKind]]:
            raise RuntimeError("no library")

    manager = pluggy.PluginManager("rppbench")
    manager.add_hookspecs(hookspecs)
    manager.register(Plugin(), "broken")
    registry = Registry(manager)
    assert registry.towers() == []
    assert "no library" in str(registry.broken["broken"])
