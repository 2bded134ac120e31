"""A tower of a configuration, built without its weights to see whether learned vectors can enter.

Nothing is downloaded: the vocabulary and the text model of a repository of the hub are replaced by
small ones of the same type (`models.small`), and an image tower is built on torch's device 'meta',
where even the largest takes neither memory nor more than a few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import open_clip
import torch

from rppbench.contracts.towers import ImageKind, TextKind
from rppbench.models.small import small_model
from rppbench.models.towers.kinds import image_kind, text_kind

TEXT = {"layers": 1, "width": 64, "heads": 1}
IMAGE = {"layers": 1, "width": 64, "head_width": 64, "patch_size": 8, "image_size": 8}
"""The simplest towers, beside the one that is examined."""


def examined(
    tower: str,
    config: Mapping[str, Any],
    kinds: Sequence[type[ImageKind] | type[TextKind]] = (),
) -> str | None:
    """Why no learned vectors can enter the 'text' or 'image' tower; '' if they can.

    None for a configuration that cannot be built here: the run reports what is wrong with it.
    """
    try:
        kind = _text(config, kinds) if tower == "text" else _image(config, kinds)
    except Exception:  # noqa: BLE001  a configuration of anyone may raise anything
        return None
    return kind if isinstance(kind, str) else ""


def _text(
    config: Mapping[str, Any], kinds: Sequence[type[ImageKind] | type[TextKind]]
) -> TextKind | str:
    model, tokenizer, _ = small_model({**config, "vision_cfg": IMAGE})
    return text_kind(model, tokenizer, kinds)


def _image(
    config: Mapping[str, Any], kinds: Sequence[type[ImageKind] | type[TextKind]]
) -> ImageKind | str:
    sizes = {key: config[key] for key in ("embed_dim", "quick_gelu") if key in config}
    with torch.device("meta"):
        model = open_clip.CustomTextCLIP(
            **sizes, vision_cfg=dict(config["vision_cfg"]), text_cfg=TEXT
        )
    return image_kind(model.visual, kinds)
