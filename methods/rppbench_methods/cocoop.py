"""CoCoOp: a learned context that a small network shifts for each image.

Zhou et al., Conditional Prompt Learning for Vision-Language Models, CVPR 2022, eq. 4:

    v_m(x) = v_m + pi,    pi = h(x)
    t_k(x) = [v_1(x), ..., v_M(x), class name k]
    logits = scale cos(x, g(t_k(x)))

with x the image feature, g the text tower and h the meta-net: two layers with a ReLU between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from rppbench.contracts import (
    Conditional,
    Learning,
    Method,
    Option,
    Prompts,
    Space,
    Tower,
    read_recipes,
)
from rppbench_methods.contexts import Length, initial_context, linear


class CoCoOp(Method):
    """`length` learned tokens for all classes, all shifted by one vector computed from the image.

    Every image needs its own encoding of all classes, in training and in testing.
    """

    name = "cocoop"
    title = "CoCoOp"
    paper = "arXiv:2203.05557"
    origin = "github.com/KaiyangZhou/CoOp"
    licence = "MIT"
    learning = Learning(read_recipes(__file__))

    def __init__(self, space: Space, *, length: Length = 4, init: str = "a photo of a") -> None:
        super().__init__(space)
        self.context = nn.Parameter(initial_context(space, length, init))  # v_1 ... v_M
        hidden = space.embed // 16
        self.narrow = linear(space, space.embed, hidden)
        self.widen = linear(space, hidden, space.text_width)

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text",)

    def prompts(self) -> Prompts:
        return Prompts(text=Conditional(self.contexts))

    def contexts(self, images: Tensor) -> Tensor:
        """(b, M, d) contexts v_m(x) of unit features (b, e)."""
        shift = self.widen(self.narrow(images).relu())  # pi
        return self.context + shift[:, None]
