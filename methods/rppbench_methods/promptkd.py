"""PromptKD: image prompts and a projection learn a teacher's probabilities; labels are not used.

Li et al., PromptKD: Unsupervised Prompt Distillation for Vision-Language Models, CVPR 2024,
eq. 3-4 (zhengli97/PromptKD trainers/promptkd.py):

    q^s = softmax(scale cos(P(u^s), w^t) / T)    q^t = softmax(scale^t cos(u^t, w^t) / T)
    L = kd_weight T^2 KL(q^t || q^s) / k, mean over the images

with u^s, u^t the student's and the teacher's image features, w^t the teacher's text features of k
classes and P the projection. In the paper the teacher is a ViT-L/14 with prompts that PromptSRC
learned on base classes; here it is any frozen CLIP in the data set's wording. The paper's student
sees all training images without labels, as in the tasks' `transductive=on`; elsewhere it sees the
images of the task's shots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn.functional import normalize

from rppbench.contracts import (
    Learning,
    Method,
    Option,
    Prompts,
    Space,
    Step,
    Supervision,
    Templates,
    Tower,
    read_recipes,
)
from rppbench.errors import UsageError
from rppbench_methods.contexts import Depth, Length, linear
from rppbench_methods.deep import deep_image


class PromptKD(Method):
    """`length` tokens in the first `depth` blocks of the image tower, and a projection.

    The projection (two layers with batch norm and ReLU between them) takes the image feature to the
    teacher's space, where the teacher's text features are the classifier. With `raw`, it sees
    features as the tower gives them, as in the official code, and not of unit length.
    """

    name = "promptkd"
    title = "PromptKD"
    paper = "arXiv:2403.02781"
    origin = "github.com/zhengli97/PromptKD"
    learning = Learning(read_recipes(__file__), Supervision(kd=True, kd_weight=1000.0))

    uses_labels = False
    later_options = ("raw",)

    def __init__(
        self, space: Space, *, length: Length = 4, depth: Depth = 9, raw: bool = False
    ) -> None:
        super().__init__(space)
        self.raw = raw
        if not space.teacher_width:
            raise UsageError("'promptkd' learns from a teacher: it needs kd=on")
        self.image = deep_image(space, length, depth)
        width = space.teacher_width
        self.projection = nn.Sequential(  # P
            linear(space, space.embed, width, bias=False),  # batch norm would cancel a bias
            nn.BatchNorm1d(width),
            nn.ReLU(),
            linear(space, width, width),
        )

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("image",)

    def prompts(self) -> Prompts:
        return Prompts(text=Templates(teacher=True), image=self.image(), unit_images=not self.raw)

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        """Scaled cosines in the teacher's space."""
        return scale * normalize(self.projection(images), dim=1) @ texts.T

    def loss(self, step: Step) -> Tensor:
        """L; divided by the number of classes as in the official code."""
        return step.supervision.kd_weight * step.distillation / step.logits.shape[1]
