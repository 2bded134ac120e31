"""Towers other than plain transformers: they encode, but take no prompt."""

import dataclasses

import open_clip
import pytest
import torch
from support.tiny import MEAN, STD, make_tiny_clip, tiny_config, tokenizer

from rppbench.contracts.prompts import Prompt
from rppbench.errors import UsageError
from rppbench.models.clip import Clip, Preprocess


def other_clip(
    vision: dict[str, object] | None = None, text: dict[str, object] | None = None
) -> Clip:
    config = tiny_config()
    config["vision_cfg"] |= vision or {}
    config["text_cfg"] |= text or {}
    model = open_clip.CustomTextCLIP(**config)
    return Clip("other", "0", model, tokenizer(), Preprocess(32, MEAN, STD))


RESNET: dict[str, object] = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 64}


@pytest.mark.parametrize(
    ("vision", "reason"),
    [
        (RESNET, "ModifiedResNet, not a plain vision transformer"),
        ({"attentional_pool": True, "attn_pooler_heads": 4}, "attention pooler"),
        ({"qk_norm": True}, "CustomResidualAttentionBlock"),
    ],
)
def test_any_image_tower_encodes_images_but_only_a_plain_one_takes_a_prompt(
    vision: dict[str, object], reason: str
) -> None:
    clip = other_clip(vision=vision)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = clip.model.encode_image(images, normalize=True)
    assert torch.equal(clip.image.encode(images), expected)
    with pytest.raises(UsageError, match=f"image tower of other cannot be prompted: .*{reason}"):
        clip.image.encode(images, Prompt(torch.zeros(1, 48)))
    space = clip.space(2, torch.Generator())
    assert (space.image_width, space.image_layers, space.embed) == (0, 0, 32)
    assert clip.text.encode(Prompt(torch.zeros(1, 32)), clip.names(["cat"])).shape == (1, 32)


def test_learned_tokens_are_not_averaged_into_an_image() -> None:
    # The blocks add nothing, so only the pooling could let appended tokens matter.
    clip = other_clip(vision={"pool_type": "avg", "ls_init_value": 0.0})
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = torch.randn(3, 48, generator=torch.Generator().manual_seed(1))
    prompted = clip.image.encode(images, Prompt(tokens))
    torch.testing.assert_close(prompted, clip.image.encode(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ({"embed_cls": True, "context_length": 76}, "class token behind the text"),
        ({"pool_type": "last"}, "'last', not from the end token"),
        ({"scale_attn": True}, "CustomResidualAttentionBlock"),
    ],
)
def test_any_text_tower_encodes_templates_but_only_a_plain_one_takes_a_prompt(
    text: dict[str, object], reason: str
) -> None:
    clip = other_clip(text=text)
    tokens = open_clip.SimpleTokenizer(context_length=clip.model.context_length)
    clip = dataclasses.replace(clip, tokenizer=tokens)
    expected = clip.model.encode_text(tokens(["a photo of a cat."]), normalize=True)
    features = clip.text.encode_templates(["cat"], ["a photo of a {}."])
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(UsageError, match=f"text tower of other cannot be prompted: .*{reason}"):
        clip.text.encode(Prompt(torch.zeros(1, 32)), clip.names(["cat"]))
    space = clip.space(2, torch.Generator())
    assert (space.text_width, space.text_layers, space.embed) == (0, 0, 32)
    with pytest.raises(UsageError, match="cannot be prompted"):
        space.words("a photo of a")


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


def test_prompts_need_clips_own_tokenizer() -> None:
    class Other:
        """Like the tokenizers of open_clip's other models."""

        sot_token_id, eot_token_id, context_length = 0, 1, 77

    clip = dataclasses.replace(make_tiny_clip(), tokenizer=Other())
    with pytest.raises(UsageError, match="tokenizer is a Other, not CLIP's own"):
        clip.text.embed_words("cat")
