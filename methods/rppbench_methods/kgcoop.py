"""KgCoOp: CoOp's context, held near the hand-crafted wording of every class.

Yao et al., Visual-Language Prompt Tuning with Knowledge-guided Context Optimization, CVPR 2023,
eq. 4-6:

    L = L_ce + weight L_kg
    L_kg = mean over classes of 1 - cos(w_k, w_k^clip)

with w_k the learned and w_k^clip the hand-crafted text feature. The distance is that of the
official code: half the paper's squared distance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from rppbench.contracts import (
    FrozenFeatures,
    ImportedState,
    Learning,
    Method,
    Option,
    Prompt,
    Prompts,
    ReadsOfficialCheckpoints,
    Space,
    Step,
    Tower,
    read_recipes,
)
from rppbench_methods.contexts import Length, Weight, initial_context
from rppbench_methods.official import imported_context
from rppbench_methods.zeroshot import wordings

UNUSED = ("bias_vectors", "meta_net.linear1.weight", "meta_net.linear1.bias")
"""Tensors in the official checkpoints that nothing is computed with."""


class KgCoOp(Method, ReadsOfficialCheckpoints):
    """`length` learned tokens for all classes, started from "a photo of a"; text tower only.

    `weight` multiplies the mean distance between learned and hand-crafted text features; `crafted`
    is the wording of the latter, as the `template` of `zeroshot`.
    """

    name = "kgcoop"
    title = "KgCoOp"
    paper = "arXiv:2303.13283"
    origin = "github.com/htyao89/KgCoOp"
    learning = Learning(read_recipes(__file__))
    later_options = ("crafted",)

    def __init__(
        self, space: Space, *, length: Length = 4, weight: Weight = 8.0, crafted: str = "dataset"
    ) -> None:
        super().__init__(space)
        self.weight = weight
        self.frozen = FrozenFeatures(wordings(crafted))
        self.context = nn.Parameter(initial_context(space, length, "a photo of a"))

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text",)

    def prompts(self) -> Prompts:
        return Prompts(text=Prompt(self.context))

    def loss(self, step: Step) -> Tensor:
        """L; the mean is over the candidate classes."""
        assert step.frozen_texts is not None
        cosine = (step.texts * step.frozen_texts).sum(1).mean()
        return step.loss + self.weight * (1 - cosine)

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """Keys as CoOp's, and some that nothing is computed with."""
        return imported_context(checkpoint, ("token_",), more=UNUSED)
