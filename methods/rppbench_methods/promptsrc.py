"""PromptSRC: independent deep prompts, held near the frozen CLIP and averaged over epochs.

Khattak et al., Self-regulating Prompts: Foundational Model Adaptation without Forgetting, ICCV
2023, eq. 3-7:

    L = L_ce + text_weight L_SCL-text + image_weight L_SCL-image + logit_weight L_SCL-logits
    L_SCL-text = mean |g~p - g~|    L_SCL-image = mean |f~p - f~|
    L_SCL-logits = KL(softmax(scale f~ g~) || softmax(scale f~p g~p)) / (b k)
    theta_GPA = sum over epochs t of w_t theta_t,    w_t ~ N(t; mean, std^2)

with f~, g~ the frozen image and text features, f~p, g~p the prompted ones, b images and k classes.
Only the prompts are averaged; the official code sums the frozen half-precision weights too.
Computed in float32 throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts import (
    AveragesEpochs,
    FrozenFeatures,
    ImportedState,
    Learning,
    Method,
    Option,
    Prompts,
    Range,
    ReadsOfficialCheckpoints,
    Space,
    Step,
    Tower,
    read_recipes,
)
from rppbench_methods.contexts import Depth, Length, Weight
from rppbench_methods.deep import deep_image, deep_text
from rppbench_methods.official import (
    deep_image_state,
    deep_text_state,
    imported_deep,
    required,
)
from rppbench_methods.zeroshot import wordings

_WORDINGS = 60


class PromptSRC(Method, AveragesEpochs, ReadsOfficialCheckpoints):
    """IVLP's structure with three more terms in the loss and a Gaussian mean over epochs.

    `text_weight` and `image_weight` multiply the mean absolute differences from the frozen features
    (text: mean of 60 wordings), `logit_weight` the divergence from the zero-shot probabilities.
    `mean` and `std`, in epochs, are those of the Gaussian that weights the prompts after each
    epoch.
    """

    name = "promptsrc"
    title = "PromptSRC"
    paper = "arXiv:2307.06948"
    origin = "github.com/muzairkhattak/PromptSRC"
    licence = "MIT"
    learning = Learning(read_recipes(__file__))

    def __init__(
        self,
        space: Space,
        *,
        length: Length = 4,
        depth: Depth = 9,
        init: str = "a photo of a",
        text_weight: Weight = 25.0,
        image_weight: Weight = 10.0,
        logit_weight: Weight = 1.0,
        mean: float = 15.0,
        std: Annotated[float, Range(1e-6)] = 1.0,
    ) -> None:
        super().__init__(space)
        self.text = deep_text(space, length, depth, init)
        self.image = deep_image(space, length, depth)
        self.text_weight, self.image_weight = text_weight, image_weight
        self.logit_weight = logit_weight
        self.mean, self.std = mean, std
        # Those of CLIP's 80 wordings that the official code has, there in another order.
        self.frozen = FrozenFeatures(wordings("ensemble")[:_WORDINGS], raw=True, images=True)

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text", "image")

    def prompts(self) -> Prompts:
        return Prompts(self.text(), self.image())

    def loss(self, step: Step) -> Tensor:
        """L; the supervised objective takes the place of L_ce."""
        assert step.frozen_texts is not None
        assert step.frozen_images is not None
        zero_shot = step.scale * step.frozen_images @ step.frozen_texts.T
        divergence = F.kl_div(
            step.logits.log_softmax(1), zero_shot.log_softmax(1), reduction="sum", log_target=True
        )
        return (
            step.loss
            + self.text_weight * F.l1_loss(step.texts, step.frozen_texts)
            + self.image_weight * F.l1_loss(step.images, step.frozen_images)
            + self.logit_weight * divergence / step.logits.numel()  # by b k, as in the code
        )

    def epoch_weights(self, epochs: int) -> Sequence[float]:
        """w_t for epochs t = 1 to `epochs`; they sum to 1."""
        heights = [
            math.exp(-(((epoch - self.mean) / self.std) ** 2) / 2) for epoch in range(1, epochs + 1)
        ]
        return [height / sum(heights) for height in heights]

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """Prompts of a complete model, beside which the frozen image tower is saved once more."""
        required(checkpoint, "prompt_learner.ZS_image_encoder.class_embedding")
        text = deep_text_state(checkpoint, "ZS_image_encoder.*")
        return imported_deep(checkpoint, text, deep_image_state(checkpoint))
