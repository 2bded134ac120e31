"""PromptSRC: independent deep prompts, held near the frozen CLIP and averaged over epochs.

Khattak et al., Self-regulating Prompts: Foundational Model Adaptation without Forgetting, ICCV
2023, eq. 3-7. Averages the prompts alone; the official code sums the frozen half-precision weights
too. Computed in float32 throughout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts import Frozen, Method, Prompts, Recipe, Space, Step
from rppbench_methods.deep import deep_image, deep_text
from rppbench_methods.demo import few_recipe
from rppbench_methods.zeroshot import wordings

_CONFIGS = "github.com/muzairkhattak/PromptSRC configs/trainers/PromptSRC"
_WORDINGS = 60


class PromptSRC(Method):
    """IVLP's structure with three more terms in the loss and a Gaussian mean over epochs.

    `text_weight` and `image_weight` are those of the mean absolute differences to the frozen
    features (text: mean of 60 wordings), `logit_weight` that of the divergence from the zero-shot
    probabilities. `mean` and `std`, in epochs, place the Gaussian by which the prompts after each
    epoch are weighted.
    """

    name = "promptsrc"
    title = "PromptSRC"
    paper = "arXiv:2307.06948"
    origin = "github.com/muzairkhattak/PromptSRC"
    licence = "MIT"
    recipes = (
        Recipe(
            "promptsrc-transfer-1",
            epochs=20,
            batch=4,
            lr=0.0025,
            options=(("depth", 3), ("mean", 6.0), ("std", 10.0)),
            tasks=("cross-dataset", "cross-domain"),
            origin=f"{_CONFIGS}/vit_b16_c2_ep20_batch4_4+4ctx_cross_datasets.yaml",
        ),
        Recipe(
            "promptsrc-few-shot-early-1",
            epochs=50,
            batch=4,
            lr=0.0025,
            options=(("depth", 9), ("mean", 30.0), ("std", 30.0)),
            tasks=("few-shot",),
            protocol="promptsrc-few-shot-1",
            origin=f"{_CONFIGS}/vit_b16_c2_ep50_batch4_4+4ctx_few_shot.yaml: ImageNet, Caltech101, "
            "OxfordPets, Food101, UCF101, SUN397",
        ),
        Recipe(
            "promptsrc-few-shot-late-1",
            epochs=50,
            batch=4,
            lr=0.0025,
            options=(("depth", 9), ("mean", 45.0), ("std", 5.0)),
            tasks=("few-shot",),
            datasets=("stanford_cars", "oxford_flowers", "fgvc_aircraft", "dtd", "eurosat"),
            protocol="promptsrc-few-shot-1",
            origin=f"{_CONFIGS}/vit_b16_c2_ep50_batch4_4+4ctx_few_shot.yaml: StanfordCars, "
            "Flowers102, FGVCAircraft, DTD, EuroSAT",
        ),
        Recipe(
            "promptsrc-1",
            epochs=20,
            batch=4,
            lr=0.0025,
            options=(("depth", 9), ("mean", 15.0), ("std", 1.0)),
            origin=f"{_CONFIGS}/vit_b16_c2_ep20_batch4_4+4ctx.yaml",
        ),
        Recipe(
            "promptsrc-demo-1",
            epochs=4,
            batch=32,
            lr=0.0025,
            augment="none",
            shots=4,
            options=(("depth", 3), ("mean", 3.0), ("sampled", 128), ("std", 1.0)),
            suite="demo",
            origin="rppbench: short enough for two cores",
        ),
        few_recipe(
            "promptsrc-demo-few-1",
            epochs=2,
            batch=16,
            lr=0.025,
            options=(("depth", 3), ("mean", 2.0), ("std", 1.0)),
        ),
    )

    def __init__(
        self,
        space: Space,
        *,
        length: int = 4,
        depth: int = 9,
        init: str = "a photo of a",
        text_weight: float = 25.0,
        image_weight: float = 10.0,
        logit_weight: float = 1.0,
        mean: float = 15.0,
        std: float = 1.0,
    ) -> None:
        super().__init__(space)
        self.text = deep_text(space, length, depth, init)
        self.image = deep_image(space, length, depth)
        self.text_weight, self.image_weight = text_weight, image_weight
        self.logit_weight = logit_weight
        self.mean, self.std = mean, std
        # CLIP's 80 wordings as far as the official code has them, in another order.
        self.frozen = Frozen(wordings("ensemble")[:_WORDINGS], raw=True, images=True)

    def prompts(self) -> Prompts:
        return Prompts(self.text(), self.image())

    def loss(self, step: Step) -> Tensor:
        """The supervised objective, and how far text, images and logits are from the frozen."""
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
            + self.logit_weight * divergence / step.logits.numel()  # by images x classes, as there
        )

    def averaging(self, epochs: int) -> Sequence[float]:
        """A Gaussian over epochs 1 to `epochs`, of sum 1."""
        heights = [
            math.exp(-(((epoch - self.mean) / self.std) ** 2) / 2) for epoch in range(1, epochs + 1)
        ]
        return [height / sum(heights) for height in heights]
