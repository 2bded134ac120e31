"""IVLP: deep prompts in both towers, independent of each other.

Khattak et al., MaPLe: Multi-modal Prompt Learning, CVPR 2023, section 4.2 (independent V-L
prompting); Rasheed et al., Fine-tuned CLIP Models are Efficient Video Learners, CVPR 2023.
Computed in float32 throughout; the official code rounds the prompts through float16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from rppbench.contracts import (
    ImportedState,
    Learning,
    Method,
    Option,
    Prompts,
    ReadsOfficialCheckpoints,
    Space,
    Tower,
    read_recipes,
)
from rppbench_methods.contexts import Depth, Length
from rppbench_methods.deep import Deep, deep_image, deep_text
from rppbench_methods.official import deep_image_state, deep_text_state, imported_deep


class IVLP(Method, ReadsOfficialCheckpoints):
    """`length` tokens in the first `depth` blocks of both towers; MaPLe without the coupling.

    With `encoders=text` the image tower is left alone (language prompting). Of the words of `init`,
    the first `length` are learned; the rest stay as frozen tokens before the class name.
    """

    name = "ivlp"
    title = "IVLP"
    paper = "arXiv:2210.03117, arXiv:2212.03640"
    origin = "github.com/muzairkhattak/multimodal-prompt-learning"
    licence = "MIT"
    learning = Learning(read_recipes(__file__))

    def __init__(
        self,
        space: Space,
        *,
        length: Length = 2,
        depth: Depth = 12,
        encoders: Literal["both", "text"] = "both",
        init: str = "a photo of a",
    ) -> None:
        super().__init__(space)
        self.text = deep_text(space, length, depth, init)
        self.image: Deep | None = None
        if encoders == "both":
            self.image = deep_image(space, length, depth)

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text",) if options["encoders"] == "text" else ("text", "image")

    def prompts(self) -> Prompts:
        return Prompts(self.text(), None if self.image is None else self.image())

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """Prompts of a complete model; one without `image_encoder.VPT` prompts the text alone."""
        text = deep_text_state(checkpoint)
        image = deep_image_state(checkpoint) if "image_encoder.VPT" in checkpoint else {}
        return imported_deep(checkpoint, text, image, encoders="both" if image else "text")
