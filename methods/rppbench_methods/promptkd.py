"""PromptKD: image prompts and a projection learn a teacher's answers; labels are not used.

Li et al., PromptKD: Unsupervised Prompt Distillation for Vision-Language Models, CVPR 2024,
eq. 3-4 (zhengli97/PromptKD trainers/promptkd.py). There the teacher is a ViT-L/14 with prompts
that PromptSRC learned on base classes, and the student sees all training images without labels;
here the teacher is any frozen CLIP in the data set's wording, and the images are the task's.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import normalize

from rppbench.contracts import Method, Prompts, Recipe, Space, Step, Supervision
from rppbench.errors import UsageError
from rppbench_methods.contexts import linear
from rppbench_methods.deep import deep_image
from rppbench_methods.demo import few_recipe

_CONFIGS = "github.com/zhengli97/PromptKD configs/trainers/PromptKD"


class PromptKD(Method):
    """`length` tokens in the first `depth` blocks of the image tower, and a projection.

    The projection (two layers, batch norm and ReLU between) takes the image feature to the
    teacher's space, where the teacher's text features are the classifier.
    """

    name = "promptkd"
    title = "PromptKD"
    paper = "arXiv:2403.02781"
    origin = "github.com/zhengli97/PromptKD"
    supervision = Supervision(kd=True, kd_weight=1000.0)
    teacher_texts = True
    recipes = (
        Recipe(
            "promptkd-transfer-1",
            epochs=20,
            batch=8,
            lr=0.005,
            options=(("depth", 3),),
            tasks=("cross-dataset", "cross-domain"),
            origin=f"{_CONFIGS}/vit_b16_c2_ep20_batch8_4+4ctx_cross_datasets.yaml, "
            "scripts/promptkd/xd_train.sh",
        ),
        Recipe(
            "promptkd-1",
            epochs=20,
            batch=8,
            lr=0.005,
            options=(("depth", 9),),
            origin=f"{_CONFIGS}/vit_b16_c2_ep20_batch8_4+4ctx.yaml, "
            "scripts/promptkd/base2new_train.sh; of two sets 200 is the weight (kd_weight)",
        ),
        Recipe(
            "promptkd-demo-2",
            epochs=8,
            batch=8,
            lr=0.005,
            warmup_epochs=0,
            augment="none",
            shots=4,
            options=(("depth", 3),),
            suite="demo",
            origin="rppbench: the published rate; fewer epochs, of many images",
        ),
        few_recipe(
            "promptkd-demo-few-1",
            epochs=20,
            batch=8,
            lr=0.005,
            options=(("depth", 3),),
            origin="rppbench: the published rate and epochs, of few images",
        ),
    )

    def __init__(self, space: Space, *, length: int = 4, depth: int = 9) -> None:
        super().__init__(space)
        if not space.taught:
            raise UsageError("'promptkd' learns from a teacher: kd=on")
        self.image = deep_image(space, length, depth)
        self.projection = nn.Sequential(
            linear(space, space.embed, space.taught, bias=False),  # batch norm takes out any
            nn.BatchNorm1d(space.taught),
            nn.ReLU(),
            linear(space, space.taught, space.taught),
        )

    def prompts(self) -> Prompts:
        return Prompts(image=self.image())

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        """Scaled cosines in the teacher's space."""
        return scale * normalize(self.projection(images), dim=1) @ texts.T

    def loss(self, step: Step) -> Tensor:
        """The weighted divergence from the teacher, by images x classes as in the code."""
        return step.supervision.kd_weight * step.distillation / step.logits.shape[1]
