"""CoOp: learned context tokens before the class name, text tower only.

Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022, eq. 2-3:

    t_k = [V_1, V_2, ..., V_M, class name k]
    logits = scale cos(f, g(t_k))

with f the image feature and g the text tower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from rppbench.contracts import (
    ImportedState,
    Learning,
    Method,
    Option,
    Prompt,
    Prompts,
    ReadsOfficialCheckpoints,
    Space,
    Tower,
    read_recipes,
)
from rppbench_methods.contexts import Length, initial_context
from rppbench_methods.official import imported_context


class CoOp(Method, ReadsOfficialCheckpoints):
    """`length` learned tokens: one set for all classes or, with `class_specific`, one for each.

    They start from the words of `init`, or at random where it is empty. Class-specific contexts
    classify the classes they were learned for and no others.
    """

    name = "coop"
    title = "CoOp"
    paper = "arXiv:2109.01134"
    origin = "github.com/KaiyangZhou/CoOp"
    licence = "MIT"
    learning = Learning(read_recipes(__file__))

    def __init__(
        self,
        space: Space,
        *,
        length: Length = 4,
        init: str = "a photo of a",
        class_specific: bool = False,
    ) -> None:
        super().__init__(space)
        start = initial_context(space, length, init)
        if class_specific:
            start = start.repeat(space.classes, 1, 1)
            if not init:  # a separate draw for each class, as in the official code
                start = space.normal(*start.shape).detach()
        self.context = nn.Parameter(start)  # V_1 ... V_M

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text",)

    def prompts(self) -> Prompts:
        return Prompts(text=Prompt(self.context))

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """Keys `ctx`, `token_prefix`, `token_suffix`; the class name is at the end."""
        return imported_context(checkpoint, ("token_",), class_specific=True)
