"""A tiny CLIP with random weights and CLIP's real vocabulary, and prompts and images for it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from rppbench.contracts.prompts import Prompt
from rppbench.models.clip import Clip, Preprocess
from rppbench.models.loading import build
from rppbench.models.tokens import Tokenizer
from support.reference import image_features, text_features

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
    """Add noise to every weight, norms and biases included, so that an unused one is noticed."""
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


# --- prompts and images ---------------------------------------------------------------------------

NAMES = (
    "cat",
    "great white shark",
    "Eurasian three-toed woodpecker, Picoides tridactylus",
    "x",
    "sports car",
    "Volkswagen Golf Hatchback 1991 (red)",
    "dog",
)
TEXT, IMAGE = 32, 48
HEADS = 4


class LeafDraw:
    """Draws random leaf tensors from one stream and collects them in `leaves`."""

    def __init__(self, dtype: torch.dtype = torch.float32, seed: int = 1) -> None:
        self.dtype, self.generator = dtype, torch.Generator().manual_seed(seed)
        self.leaves: list[Tensor] = []

    def __call__(self, *shape: int) -> Tensor:
        leaf = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        leaf = leaf.to(self.dtype).requires_grad_()
        self.leaves.append(leaf)
        return leaf


def sapl(
    draw: LeafDraw, width: int, depth: int, residual: str = "keep", parts: str = "qkv"
) -> Prompt:
    """SAPL's unshared query, key and value prompts of 4 tokens in the first `depth` blocks.

    `residual` says what overwrites the stream: nothing ('keep'), the queries ('q') or the mean.
    """
    learned = {part: {i: draw(4, width) for i in range(depth)} for part in parts}
    stream: dict[int, Tensor] = {}
    if residual == "q":
        stream = learned["q"]
    if residual == "mean":
        stream = {i: sum(learned[part][i] for part in parts) / len(parts) for i in range(depth)}
    return Prompt(
        draw(4, width), stream, learned.get("q", {}), learned.get("k", {}), learned.get("v", {})
    )


def reference_text(clip: Clip, prompt: Prompt, names: Sequence[str] = NAMES) -> Tensor:
    quick = type(clip.model.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    return text_features(clip.model.state_dict(), tokenizer(), names, prompt, HEADS, quick)


def reference_image(clip: Clip, images: Tensor, prompt: Prompt | None) -> Tensor:
    quick = type(clip.model.visual.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    return image_features(clip.model.state_dict(), images, prompt, HEADS, quick)


def random_images(dtype: torch.dtype, count: int = 3) -> Tensor:
    """Normal noise (count, 3, 32, 32), the same in every type up to rounding."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 3, 32, 32, generator=generator, dtype=torch.float64).to(dtype)
