"""CoCoOp: a learned context that a small network shifts for each image.

Zhou et al., Conditional Prompt Learning for Vision-Language Models, CVPR 2022, eq. 4.
"""

from __future__ import annotations

from torch import Tensor, nn

from rppbench.contracts import Conditional, Method, Prompts, Recipe, Space
from rppbench_methods.contexts import context, linear
from rppbench_methods.demo import few_recipe

_CONFIG = "github.com/KaiyangZhou/CoOp configs/trainers/CoCoOp/vit_b16_c4_ep10_batch1_ctxv1.yaml"


class CoCoOp(Method):
    """`length` learned tokens for all classes, all shifted by one vector that the image gives.

    The vector comes from the image's unit feature by two layers with a narrow one between. Every
    image needs its own encoding of all classes, in learning and in testing.
    """

    name = "cocoop"
    title = "CoCoOp"
    paper = "arXiv:2203.05557"
    origin = "github.com/KaiyangZhou/CoOp"
    licence = "MIT"
    recipes = (
        Recipe("cocoop-1", epochs=10, batch=1, lr=0.002, origin=_CONFIG),
        Recipe(
            "cocoop-demo-1",
            epochs=2,
            batch=8,
            lr=0.002,
            augment="none",
            shots=4,
            options=(("sampled", 16),),
            suite="demo",
            origin="rppbench: short enough for two cores",
        ),
        few_recipe(
            "cocoop-demo-few-1",
            epochs=2,
            batch=8,
            lr=0.02,
            options=(("sampled", 16),),
        ),
    )

    def __init__(self, space: Space, *, length: int = 4, init: str = "a photo of a") -> None:
        super().__init__(space)
        self.context = nn.Parameter(context(space, length, init))
        hidden = space.embed // 16
        self.narrow = linear(space, space.embed, hidden)
        self.widen = linear(space, hidden, space.text_width)

    def prompts(self) -> Prompts:
        return Prompts(text=Conditional(self.contexts))

    def contexts(self, images: Tensor) -> Tensor:
        """(b, n, d) for unit features (b, e)."""
        shift = self.widen(self.narrow(images).relu())
        return self.context + shift[:, None]
