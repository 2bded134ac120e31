"""Settings and plain towers that parity tests of methods share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from rppbench.contracts.prompts import Prompt
from rppbench.contracts.recipe import Recipe
from rppbench.models.clip import Clip
from rppbench.records.cell import Choice, Training
from support.reference import image_features, text_features
from support.tiny import tokenizer
from support.toy_data import Toy

NAMES = list(Toy().classes)[:5]


IMAGES = 15


HEADS = 4


RATE, DECAY = 0.5, 5e-4


RECIPE = Recipe("step-1", epochs=1, batch=IMAGES, lr=RATE, warmup_epochs=0, augment="none")


TRAINING = Training(
    method=Choice("any"),
    recipe=RECIPE.choice(),
    source="toy",
    classes="seen",
    shots=3,
    seed=0,
    backbone="tiny",
    teacher=None,
    precision="fp32",
)


Parameters = Mapping[str, Tensor]


Text = Prompt | Callable[[Tensor], list[Prompt]] | None


def words(clip: Clip, text: str) -> Tensor:
    ids = tokenizer()([text])[0]
    embedded = clip.model.token_embedding.weight[ids]
    return embedded[1 : int(ids.argmax())]


def plain_texts(clip: Clip, names: Sequence[str], prompt: Prompt | None) -> Tensor:
    if prompt is None:
        empty = Prompt(torch.empty(0, 32))
        return plain_texts(clip, [f"a photo of a {name}" for name in names], empty)
    return text_features(clip.model.state_dict(), tokenizer(), names, prompt, HEADS, False)


def plain_images(clip: Clip, pixels: Tensor, prompt: Prompt | None) -> Tensor:
    return image_features(clip.model.state_dict(), pixels, prompt, HEADS, False)
