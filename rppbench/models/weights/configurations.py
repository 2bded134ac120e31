"""Which configurations of open_clip some tensors can belong to, by their shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor

from rppbench.files.digests import read_json
from rppbench.models.identity import model_configs

VISION = {"layers": 12, "width": 768, "patch_size": 16, "image_size": 224}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 512, "layers": 12}
"""open_clip's defaults for entries that a configuration leaves out."""


def fitting_configurations(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the configurations with the sizes of these tensors, plain GELU first."""
    sizes = _sizes(state)
    if "text" not in sizes and "vision" not in sizes:
        return []
    names = [
        name
        for name, path in model_configs().items()
        if all(_of_config(read_json(path)).get(part) == size for part, size in sizes.items())
    ]
    return sorted(names, key=lambda name: ("quickgelu" in name, len(name), name))


def _sizes(state: Mapping[str, Tensor]) -> dict[str, object]:
    """What the tensors say of both towers: the same keys and values as `_of_config`."""
    shapes = {name.removeprefix("text."): tuple(value.shape) for name, value in state.items()}
    sizes: dict[str, object] = {}
    words, positions = shapes.get("token_embedding.weight"), shapes.get("positional_embedding")
    if words and positions:
        layers = _count(r"transformer\.resblocks\.(\d+)\.", shapes)
        sizes["text"] = (positions[0], words[0], words[1], layers)
    patches, grid = shapes.get("visual.conv1.weight"), shapes.get("visual.positional_embedding")
    if patches and grid:
        layers = _count(r"visual\.transformer\.resblocks\.(\d+)\.", shapes)
        side = patches[-1] * isqrt(grid[0] - 1)
        sizes["vision"] = (side, patches[-1], patches[0], layers)
    elif any(name.startswith("visual.layer1.") for name in shapes):
        sizes["vision"] = tuple(
            _count(rf"visual\.layer{stage}\.(\d+)\.", shapes) for stage in (1, 2, 3, 4)
        )
    elif any(name.startswith("visual.trunk.") for name in shapes):
        sizes["timm"] = True
    if projection := shapes.get("text_projection"):
        sizes["embed"] = projection[1]
    elif projection := shapes.get("text_projection.weight"):  # a linear layer, (out, in)
        sizes["embed"] = projection[0]
    return sizes


def _of_config(config: Mapping[str, Any]) -> dict[str, object]:
    """Sizes of a configuration: 'text', 'vision' (a ResNet's stages), 'timm' and 'embed'."""
    vision, text = {**VISION, **config["vision_cfg"]}, {**TEXT, **config["text_cfg"]}
    timm = "timm_model_name" in vision
    sizes: dict[str, object] = {"timm": timm, "embed": config["embed_dim"]}
    if "hf_model_name" not in text:
        sizes["text"] = tuple(text[k] for k in ("context_length", "vocab_size", "width", "layers"))
    if isinstance(vision["layers"], list):
        sizes["vision"] = tuple(vision["layers"])
    elif not timm:
        keys = ("image_size", "patch_size", "width", "layers")
        sizes["vision"] = tuple(vision[key] for key in keys)
    return sizes


def _count(pattern: str, names: Mapping[str, Any]) -> int:
    """Number of distinct blocks whose tensors match the pattern from their start."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})
