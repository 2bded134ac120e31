"""MaPLe: deep prompts in the text tower, projected into the image tower.

Khattak et al., MaPLe: Multi-modal Prompt Learning, CVPR 2023, eq. 1-10: text tokens P_i before
block i < depth (see `Deep`), and in the image tower

    ~P_i = F_i(P_i)

with F_i a linear layer. Computed in float32 throughout; the official code rounds the prompts
through float16.
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
from rppbench_methods.contexts import Depth, Length, check_size, linear
from rppbench_methods.deep import deep_text
from rppbench_methods.official import check_context, of_complete_model, required


class MaPLe(Method, ReadsOfficialCheckpoints):
    """`length` tokens in the first `depth` blocks of both towers; the image tower's are projected.

    Of the words of `init`, the first `length` are learned; the rest stay as frozen tokens before
    the class name ('of a' with the defaults), as the authors intend (their issue 32).
    """

    name = "maple"
    title = "MaPLe"
    paper = "arXiv:2210.03117"
    origin = "github.com/muzairkhattak/multimodal-prompt-learning"
    licence = "MIT"
    learning = Learning(read_recipes(__file__))

    def __init__(
        self, space: Space, *, length: Length = 2, depth: Depth = 9, init: str = "a photo of a"
    ) -> None:
        super().__init__(space)
        check_size(space, "image", length, depth)
        self.text = deep_text(space, length, depth, init)  # P
        self.projection = linear(space, space.text_width, space.image_width)  # F_0
        first = linear(space, space.text_width, space.image_width)
        self.deep_projections = nn.ModuleList(  # F_1, F_2, ...
            linear(space, space.text_width, space.image_width) for _ in range(1, depth)
        )
        for projection in self.deep_projections:  # clones of one layer in the official code
            projection.load_state_dict(first.state_dict())

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text", "image")

    def prompts(self) -> Prompts:
        text = self.text()
        image = {
            block: projection(text.stream[block])
            for block, projection in enumerate(self.deep_projections, 1)
        }
        return Prompts(text, Prompt(self.projection(self.text.input), stream=image))

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """The keys under `prompt_learner.`; the frozen towers in the file are not read."""
        head = "prompt_learner."
        context = required(checkpoint, f"{head}ctx")
        state = {"text.input": context}
        layers = [("proj", "projection")]
        deep = sum(name.startswith(f"{head}compound_prompts_text.") for name in checkpoint)
        for block in range(deep):
            state[f"text.blocks.{block}"] = required(
                checkpoint, f"{head}compound_prompts_text.{block}"
            )
            layers.append((f"compound_prompt_projections.{block}", f"deep_projections.{block}"))
        for theirs, ours in layers:
            for part in ("weight", "bias"):
                state[f"{ours}.{part}"] = required(checkpoint, f"{head}{theirs}.{part}")
        options = {"length": check_context(context), "depth": deep + 1}
        return of_complete_model(checkpoint, options, state)
