"""One blank image and one text through a model as it is loaded: does each give a feature?

open_clip builds whatever a configuration says, also towers that do not take their own images, give
one feature for each patch, or share no width. Without this they fail where features are stored.
"""

from __future__ import annotations

from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import torch
from torch import Tensor

from rppbench.errors import UsageError
from rppbench.models.architecture import weight_dtype
from rppbench.models.identity import CONFIG
from rppbench.models.out_of_memory import is_out_of_memory
from rppbench.models.tokens import Tokenizer


def check_features(model: Any, tokenizer: Tokenizer, side: int, name: str) -> None:
    """UsageError unless both towers of a model, in evaluation mode, give features of one width.

    `side` is that of the images in pixels, `name` the backbone's.
    """
    device = next(model.parameters()).device
    blank = torch.zeros(1, 3, side, side, device=device, dtype=weight_dtype(model.visual))
    with torch.no_grad():
        try:
            image = model.encode_image(blank)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UsageError(
                f"the image tower of {name} does not encode images of {side} x {side} pixels: "
                f"{reason}\ntheir size is 'image_size' of 'vision_cfg' in {CONFIG}"
            ) from error
        width = _width("image", image, model.visual, name)
        text = model.encode_text(tokenizer(["a"]).to(device))
    if (other := _width("text", text, model, name)) != width:
        raise UsageError(
            f"the towers of {name} do not fit each other: the image tower gives {width} values, "
            f"the text tower {other}\nsee 'embed_dim' and the projection of each tower in {CONFIG}"
        )


def _width(tower: str, feature: object, module: Any, name: str) -> int:
    """e of a feature (1, e). UsageError for anything else."""
    if isinstance(feature, Tensor) and feature.ndim == 2 and len(feature) == 1:
        return feature.shape[1]
    gives = (
        f"features of shape {tuple(feature.shape)}" if isinstance(feature, Tensor) else "a tuple"
    )
    keys = "'timm_pool'" if hasattr(module, "trunk") else "'pool_type' and 'output_tokens'"
    raise UsageError(
        f"the {tower} tower of {name} gives {gives}, not one for each {tower}\n"
        f"how it reads one is {keys} of its tower in {CONFIG}"
    )
