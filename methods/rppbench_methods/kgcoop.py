"""KgCoOp: CoOp's context, held near the hand-crafted wording of every class.

Yao et al., Visual-Language Prompt Tuning with Knowledge-guided Context Optimization, CVPR 2023,
eq. 4-6. The distance is 1 - cos as in the code: half the squared distance of the paper.
"""

from __future__ import annotations

from torch import Tensor, nn

from rppbench.contracts import Frozen, Method, Prompt, Prompts, Recipe, Space, Step
from rppbench_methods.contexts import context
from rppbench_methods.demo import few_recipe

_CONFIG = "github.com/htyao89/KgCoOp configs/trainers/KgCoOp/vit_b16_ep100_ctxv1.yaml"


class KgCoOp(Method):
    """`length` learned tokens for all classes, started from "a photo of a"; text tower only.

    `weight` is that of the mean distance between learned and hand-crafted text features; the
    wording is each data set's own.
    """

    name = "kgcoop"
    title = "KgCoOp"
    paper = "arXiv:2303.13283"
    origin = "github.com/htyao89/KgCoOp"
    frozen = Frozen()
    recipes = (
        Recipe(
            "kgcoop-1",
            epochs=100,
            batch=128,
            lr=0.002,
            options=(("weight", 8.0),),
            origin=f"{_CONFIG}, scripts/kgcoop/base2new_train.sh (W = 8)",
        ),
        Recipe(
            "kgcoop-squared-1",
            epochs=100,
            batch=128,
            lr=0.002,
            schedule="cosine-squared",
            options=(("weight", 8.0),),
            origin=f"{_CONFIG}; the rates in the author's log (issue 2), which released code lost",
        ),
        Recipe(
            "kgcoop-demo-1",
            epochs=5,
            batch=64,
            lr=0.002,
            augment="none",
            shots=4,
            options=(("weight", 8.0),),
            suite="demo",
            origin="rppbench: short enough for two cores",
        ),
        few_recipe(
            "kgcoop-demo-few-1",
            epochs=4,
            batch=32,
            lr=0.02,
            options=(("weight", 8.0),),
        ),
    )

    def __init__(self, space: Space, *, length: int = 4, weight: float = 8.0) -> None:
        super().__init__(space)
        self.weight = weight
        self.context = nn.Parameter(context(space, length, "a photo of a"))

    def prompts(self) -> Prompts:
        return Prompts(text=Prompt(self.context))

    def loss(self, step: Step) -> Tensor:
        """The supervised objective and the weighted distance, mean of the candidate classes."""
        assert step.frozen_texts is not None
        likeness = (step.texts * step.frozen_texts).sum(1).mean()
        return step.loss + self.weight * (1 - likeness)
