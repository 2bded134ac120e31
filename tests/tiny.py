"""A small CLIP with random weights and CLIP's real vocabulary, built in a moment."""

from functools import cache
from typing import Any

import torch

from rppbench.checkpoints import build
from rppbench.clip import Clip, Preprocess
from rppbench.names import Tokenizer

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def tiny_config(
    quick_gelu: bool = False,
    text_layers: int = 4,
    image_layers: int = 4,
    layer_scale: float | None = None,
) -> dict[str, Any]:
    return {
        "embed_dim": 32,
        "quick_gelu": quick_gelu,
        "vision_cfg": {
            "layers": image_layers,
            "width": 48,
            "head_width": 12,
            "patch_size": 8,
            "image_size": 32,
            "ls_init_value": layer_scale,
        },
        "text_cfg": {
            "layers": text_layers,
            "width": 32,
            "heads": 4,
            "ls_init_value": layer_scale,
        },
    }


@cache
def tokenizer() -> Tokenizer:
    import open_clip

    return open_clip.SimpleTokenizer()


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Move every weight, norms and biases included, so that a forgotten one shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.1 * noise.to(parameter))


def make_tiny_clip(
    dtype: torch.dtype = torch.float32,
    quick_gelu: bool = False,
    text_layers: int = 4,
    image_layers: int = 4,
    seed: int = 0,
    layer_scale: float | None = None,
) -> Clip:
    """4 text blocks of width 32, 4 image blocks of width 48, 32 px in patches of 8, embed 32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(tiny_config(quick_gelu, text_layers, image_layers, layer_scale))
    randomise(model, seed)
    return Clip(
        name="tiny",
        digest=f"tiny-{seed}",
        model=model.to(dtype),
        tokenizer=tokenizer(),
        preprocess=Preprocess(size=32, mean=MEAN, std=STD),
    )
