"""VPT: learned tokens among the image patches, text in a fixed wording.

Jia et al., Visual Prompt Tuning, ECCV 2022, eq. 4-7 (see `Deep`); on CLIP as in Khattak et al.,
MaPLe, CVPR 2023 ("deep vision prompting"). Computed in float32 throughout; the code of MaPLe's
authors rounds the prompts through float16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from rppbench.contracts import (
    ImportedState,
    Learning,
    Method,
    Option,
    Prompts,
    ReadsOfficialCheckpoints,
    Space,
    Templates,
    Tower,
    read_recipes,
)
from rppbench_methods.contexts import Depth, Length
from rppbench_methods.deep import deep_image
from rppbench_methods.official import deep_image_state, imported_deep, refuse_others


class VPT(Method, ReadsOfficialCheckpoints):
    """`length` tokens in the first `depth` blocks of the image tower; depth=1 is VPT-shallow.

    The text is "a photo of a {}." for every data set, as in MaPLe's comparison.
    """

    name = "vpt"
    title = "VPT"
    paper = "arXiv:2203.12119"
    origin = "github.com/muzairkhattak/multimodal-prompt-learning"
    licence = "MIT"
    learning = Learning(read_recipes(__file__))

    def __init__(self, space: Space, *, length: Length = 8, depth: Depth = 12) -> None:
        super().__init__(space)
        self.image = deep_image(space, length, depth)

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("image",)

    def prompts(self) -> Prompts:
        return Prompts(text=Templates(("a photo of a {}.",)), image=self.image())

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """Prompts of a complete model that learned nothing in its text tower."""
        refuse_others(checkpoint, (), "prompt_learner.")
        return imported_deep(checkpoint, {}, deep_image_state(checkpoint))
