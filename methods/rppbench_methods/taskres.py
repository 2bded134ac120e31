"""TaskRes: a learned residual on the text feature of each class.

Yu et al., Task Residual for Tuning Vision-Language Models, CVPR 2023, eq. 4-5 (geekyutao/TaskRes
trainers/taskres.py):

    t'_k = t_k + alpha x_k
    logits = scale cos(f, t'_k)

with f the image feature, t_k the text feature of class k as the tower returns it, not normalised,
and x_k its residual, which starts at zero. The official code has t_k in float16.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from rppbench.contracts import (
    ImportedState,
    Learning,
    Method,
    Prompts,
    ReadsOfficialCheckpoints,
    Space,
    Templates,
    read_recipes,
)
from rppbench.errors import UsageError
from rppbench_methods.official import required
from rppbench_methods.zeroshot import wordings


class TaskRes(Method, ReadsOfficialCheckpoints):
    """One residual for each class, scaled by `alpha`; both towers stay frozen.

    `template` is that of `zeroshot`, except that 'select' adds "a photo of a {}." to the 7
    wordings, as the official code does on ImageNet. The base is the regular one: the enhanced base
    of the paper, a text projection that was tuned before, is not implemented.
    """

    name = "taskres"
    title = "TaskRes"
    paper = "arXiv:2211.10277"
    origin = "github.com/geekyutao/TaskRes"
    open_vocabulary = False
    learning = Learning(read_recipes(__file__))

    def __init__(self, space: Space, *, alpha: float = 0.5, template: str = "dataset") -> None:
        super().__init__(space)
        self.alpha = alpha
        own = wordings("single") if template == "select" else ()
        self.wordings = (*wordings(template), *own)
        self.residual = nn.Parameter(torch.zeros(space.classes, space.embed))  # x_k

    def prompts(self) -> Prompts:
        return Prompts(text=Templates(self.wordings, unit=False))

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        """CLIP's logits of the shifted text features t'_k."""
        shifted = texts + self.alpha * self.residual[classes]
        return scale * images @ normalize(shifted, dim=1).T

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """The residuals; the base features in the file are those of the frozen tower.

        `alpha` is not in the file: its default is that of all data sets but OxfordFlowers (1).
        """
        residual = required(checkpoint, "text_feature_residuals")
        if residual.shape != required(checkpoint, "base_text_features").shape:
            raise UsageError("residuals and base features in the checkpoint differ in shape")
        return ImportedState({}, {"residual": residual}, classes=len(residual))
