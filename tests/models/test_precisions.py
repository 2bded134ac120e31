"""The towers in half precision, and in every precision on a GPU."""

import pytest
import torch
from support.tiny import (
    IMAGE,
    MEAN,
    NAMES,
    STD,
    TEXT,
    LeafDraw,
    make_tiny_clip,
    random_images,
    reference_image,
    reference_text,
    sapl,
    tiny_config,
    tokenizer,
)

from rppbench.contracts.prompts import Prompt
from rppbench.models.clip import Clip, Preprocess
from rppbench.models.loading import DTYPES, build


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_towers_take_float32_prompts_and_give_float32_features(
    precision: str,
) -> None:
    # On the meta device types are checked and nothing is computed.
    clip = Clip(
        "half", "0", build(tiny_config(), precision), tokenizer(), Preprocess(32, MEAN, STD)
    )
    text, image, names = clip.text, clip.image, clip.names(NAMES)
    clip.model.to("meta")
    assert clip.dtype == DTYPES[precision]
    draw = LeafDraw()
    for prompt in (sapl(draw, TEXT, 2), Prompt(draw(len(NAMES), 4, TEXT))):
        for plain in (False, True):
            features = text.encode(prompt, names, plain=plain)
            assert features.dtype == torch.float32
            assert features.shape == (len(NAMES), 32)
    assert text.encode_templates(["cat"], ["a {}."]).dtype == torch.float32
    images = torch.empty(2, 3, 32, 32, device="meta")
    assert image.encode(images).dtype == torch.float32
    assert image.encode(images, sapl(draw, IMAGE, 2, "mean")).dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.1), ("fp16", 0.02)]
)
def test_on_a_gpu_every_precision_gives_the_features_of_the_reference(
    precision: str, tolerance: float
) -> None:
    original = make_tiny_clip()
    model = build(tiny_config(), precision)
    model.load_state_dict(original.model.state_dict())
    clip = Clip("gpu", "0", model.cuda(), tokenizer(), Preprocess(32, MEAN, STD))
    draw = LeafDraw()
    text, image = sapl(draw, TEXT, 3), sapl(draw, IMAGE, 3)
    features = clip.text.encode(text, clip.names(NAMES)).cpu()
    expected = reference_text(original, text)
    torch.testing.assert_close(features, expected, rtol=0, atol=tolerance)
    features = clip.image.encode(random_images(torch.float32), image).cpu()
    expected = reference_image(original, random_images(torch.float32), image)
    torch.testing.assert_close(features, expected, rtol=0, atol=tolerance)
