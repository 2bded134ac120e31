"""Which kind a tower is, by what its modules are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from rppbench.contracts.towers import ImageKind, TextKind
from rppbench.models.architecture import text_part
from rppbench.models.towers.hub_text import BertText, M2MText, T5Text
from rppbench.models.towers.open_clip_image import OpenClipImage
from rppbench.models.towers.open_clip_text import CocaText, OpenClipText
from rppbench.models.towers.timm_eva import TimmEva
from rppbench.models.towers.timm_vit import TimmVit

IMAGE_KINDS: tuple[type[ImageKind], ...] = (OpenClipImage, TimmVit, TimmEva)
TEXT_KINDS: tuple[type[TextKind], ...] = (CocaText, OpenClipText, BertText, T5Text, M2MText)
"""The first kind that takes a tower is its kind; those of plugins come before these."""

NO_TOKENS = "which convolves: it has no tokens that learned ones could join"
WINDOWS = "which attends inside windows: learned tokens have no place in them"
REASONS = {
    "ModifiedResNet": NO_TOKENS,
    "ResNet": NO_TOKENS,
    "ConvNeXt": NO_TOKENS,
    "FastVit": NO_TOKENS,
    "SwinTransformer": WINDOWS,
    "VisionTransformerRelPos": "whose positions are relative: learned tokens have none",
}
"""Why no prompt can enter a well-known tower, by the name of its class."""

Kind = type[ImageKind] | type[TextKind]


def image_kind(visual: nn.Module, added: Sequence[Kind] = ()) -> ImageKind | str:
    """The tower as its kind, or why it cannot be prompted; `added` are the kinds of plugins."""
    for kind in (*(one for one in added if issubclass(one, ImageKind)), *IMAGE_KINDS):
        if kind.takes(visual):
            return kind.obstacle(visual) or kind(visual)
    name = type(getattr(visual, "trunk", visual)).__name__
    return f"it is a {name}, {REASONS.get(name, 'not a vision transformer of a known kind')}"


def text_kind(model: Any, tokenizer: Any, added: Sequence[Kind] = ()) -> TextKind | str:
    """The model's text tower as its kind, or why it cannot be prompted; `added` as above."""
    for kind in (*(one for one in added if issubclass(one, TextKind)), *TEXT_KINDS):
        if kind.takes(model):
            return kind.obstacle(model, tokenizer) or kind(model, tokenizer)
    text = text_part(model)
    if config := getattr(text, "config", None):
        return f"it is a text model of transformers of an unknown type, {config.model_type!r}"
    return f"it is a {type(text).__name__}, not a text transformer of a known kind"
