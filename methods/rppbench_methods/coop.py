"""CoOp: learned context tokens before the class name, text tower only.

Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022, eq. 2-3:

    t_k = [V_1, V_2, ..., V_M, class name k]
    logits = scale cos(f, g(t_k))

with f the image feature and g the text tower; eq. 4 has the name in the middle, the official code
also in front.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

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
    classify the classes they were learned for and no others. `position` is the class name's: behind
    the tokens, behind the first half of them, or in front of all.
    """

    name = "coop"
    title = "CoOp"
    paper = "arXiv:2109.01134"
    origin = "github.com/KaiyangZhou/CoOp"
    licence = "MIT"
    learning = Learning(read_recipes(__file__))
    later_options = ("position",)

    def __init__(
        self,
        space: Space,
        *,
        length: Length = 4,
        init: str = "a photo of a",
        class_specific: bool = False,
        position: Literal["end", "middle", "front"] = "end",
    ) -> None:
        super().__init__(space)
        self.before = {"end": length, "middle": length // 2, "front": 0}[position]
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
        before, after = self.context.tensor_split([self.before], dim=-2)
        if not after.shape[-2]:
            return Prompts(text=Prompt(self.context))
        return Prompts(text=Prompt(before, after_name=after))

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """Keys `ctx`, `token_prefix`, `token_suffix`: the same for every position of the name."""
        return imported_context(checkpoint, ("token_",), class_specific=True)

    @classmethod
    def options_of_path(cls, path: str) -> Mapping[str, Option]:
        """The position of the name, from a folder such as 'nctx16_cscFalse_ctpmiddle'."""
        named = re.findall(r"(?<=ctp)(?:end|middle|front)(?=[/_.])", path)
        return {"position": named[-1]} if named else {}
