"""CoOp: learned context tokens before the class name, text tower only.

Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022, eq. 2-3.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from rppbench.contracts import Adopted, Method, Prompt, Prompts, Recipe, Space
from rppbench_methods.contexts import adopted_context, context
from rppbench_methods.demo import few_recipe

_FOUR_WORDS = (("init", "a photo of a"), ("length", 4))
_RANDOM_16 = (("init", ""), ("length", 16))
_FEW_SHOT = "coop-few-shot-1"
_CONFIGS = "github.com/KaiyangZhou/CoOp configs/trainers/CoOp"


class CoOp(Method):
    """`length` learned tokens, the same for all classes or, with `class_specific`, for each.

    They start from the words of `init`, or at random where it is empty. Class-specific contexts
    classify the classes they were learned for and no others.
    """

    name = "coop"
    title = "CoOp"
    paper = "arXiv:2109.01134"
    origin = "github.com/KaiyangZhou/CoOp"
    licence = "MIT"
    recipes = (
        Recipe(
            "coop-transfer-1",
            epochs=50,
            batch=32,
            lr=0.002,
            options=_FOUR_WORDS,
            tasks=("cross-dataset", "cross-domain"),
            origin=f"{_CONFIGS}/vit_b16_ep50_ctxv1.yaml (arXiv:2203.05557)",
        ),
        Recipe(
            "coop-base-to-new-1",
            epochs=200,
            batch=32,
            lr=0.002,
            options=_FOUR_WORDS,
            tasks=("base-to-new",),
            origin=f"{_CONFIGS}/vit_b16_ctxv1.yaml (arXiv:2203.05557)",
        ),
        Recipe(
            "coop-200-1",
            epochs=200,
            batch=32,
            lr=0.002,
            options=_RANDOM_16,
            protocol=_FEW_SHOT,
            origin=f"{_CONFIGS}/rn50.yaml: 8 and 16 shots",
        ),
        Recipe(
            "coop-100-1",
            epochs=100,
            batch=32,
            lr=0.002,
            options=_RANDOM_16,
            tasks=("few-shot",),
            at_shots=(2, 4),
            protocol=_FEW_SHOT,
            origin=f"{_CONFIGS}/rn50_ep100.yaml: 2 and 4 shots",
        ),
        Recipe(
            "coop-50-1",
            epochs=50,
            batch=32,
            lr=0.002,
            options=_RANDOM_16,
            tasks=("few-shot",),
            at_shots=(1,),
            protocol=_FEW_SHOT,
            origin=f"{_CONFIGS}/rn50_ep50.yaml: 1 shot",
        ),
        Recipe(
            "coop-50-imagenet-1",
            epochs=50,
            batch=32,
            lr=0.002,
            options=_RANDOM_16,
            tasks=("few-shot",),
            datasets=("imagenet",),
            protocol=_FEW_SHOT,
            origin=f"{_CONFIGS}/rn50_ep50.yaml: ImageNet at any number of shots",
        ),
        Recipe(
            "coop-demo-1",
            epochs=5,
            batch=128,
            lr=0.002,
            augment="none",
            shots=4,
            options=_FOUR_WORDS,
            suite="demo",
            origin="rppbench: short enough for two cores",
        ),
        few_recipe(
            "coop-demo-few-1",
            epochs=4,
            batch=32,
            lr=0.02,
            options=_FOUR_WORDS,
        ),
    )

    def __init__(
        self,
        space: Space,
        *,
        length: int = 4,
        init: str = "a photo of a",
        class_specific: bool = False,
    ) -> None:
        super().__init__(space)
        start = context(space, length, init)
        if class_specific:
            start = start.repeat(space.classes, 1, 1)
            if not init:  # each class starts at a place of its own, as in the official code
                start = space.normal(*start.shape).detach()
        self.context = nn.Parameter(start)

    def prompts(self) -> Prompts:
        return Prompts(text=Prompt(self.context))

    @classmethod
    def adopt(cls, checkpoint: Mapping[str, Tensor]) -> Adopted:
        """Keys `ctx`, `token_prefix`, `token_suffix`; the class name stands at the end."""
        return adopted_context(checkpoint, ("token_",), class_specific=True)
