"""A learned prompt with its classes as one torch module: pixels to probabilities.

The prompt's vectors and the text features of the classes are constants of the module, so that it
can be written to a file (`exporters.model_file`) that needs neither rppbench nor the text tower.

Shapes: b images, s side of an image in pixels, e width of the embedding, c classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rppbench.contracts.prompts import Conditional
from rppbench.errors import UsageError
from rppbench.evaluation.classify import class_features, head_of
from rppbench.exporters import prompt_card
from rppbench.models.blocks import at_least_float32, normalise

if TYPE_CHECKING:
    from rppbench.execution.learned_prompt import LearnedPrompt


class ImageClassifier(nn.Module):
    """What `LearnedPrompt.predict` computes for images that are preprocessed, as a torch module."""

    def __init__(self, prompt: LearnedPrompt, names: Sequence[str]) -> None:
        """UsageError for text that depends on the image, and for a class that was not learned."""
        super().__init__()
        card, clip, names = prompt.card, prompt.clip, list(names)
        with torch.no_grad():
            prompts = prompt_card.prompts_for(card, prompt.method, names)
            if isinstance(prompts.text, Conditional):
                raise UsageError(
                    f"{card.method.name!r} words each class anew for every image: a file would "
                    "need the text tower too; use `rppbench predict`"
                )
            ids = prompt_card.class_ids(card, prompt.method, names)
            head = head_of(prompt.method, clip, ids, prompt.teacher)
            texts = class_features(clip, prompts, names, wording=card.wording, head=head)
        self.method, self.visual = prompt.method, clip.model.visual
        self.tower, self.image, self.unit = clip.image, prompts.image, prompts.unit_images
        self.head = head
        self.texts: Tensor
        self.scale: Tensor
        self.register_buffer("texts", texts)
        self.register_buffer("scale", clip.scale)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (b, e), logits (b, c) and probabilities (b, c) of pixels (b, 3, s, s)."""
        features = self.tower.encode_at_once(pixels, self.image)
        features = normalise(features) if self.unit else at_least_float32(features)
        logits = self.head.logits(features, self.texts)
        if logits is None:
            logits = self.scale * features @ self.texts.T
        return features, logits, logits.softmax(-1)
