"""IVLP: deep prompts in both towers that know nothing of each other.

Khattak et al., MaPLe: Multi-modal Prompt Learning, CVPR 2023, section 4.2 (independent V-L
prompting); Rasheed et al., Fine-tuned CLIP Models are Efficient Video Learners, CVPR 2023.
Computed in float32 throughout; the official code rounds the prompts through float16.
"""

from __future__ import annotations

from typing import Literal

from rppbench.contracts import Method, Prompts, Recipe, Space
from rppbench_methods.deep import Deep, deep_image, deep_text
from rppbench_methods.demo import few_recipe

_MAPLE = "github.com/muzairkhattak/multimodal-prompt-learning configs/trainers/IVLP"
_PROMPTSRC = "github.com/muzairkhattak/PromptSRC configs/trainers/IVLP"


class IVLP(Method):
    """`length` tokens in the first `depth` blocks of both towers; MaPLe without the coupling.

    With `encoders=text` the image tower is left alone (language prompting). Of the words of `init`,
    the first `length` are learned; the rest stay as frozen tokens before the class name.
    """

    name = "ivlp"
    title = "IVLP"
    paper = "arXiv:2210.03117, arXiv:2212.03640"
    origin = "github.com/muzairkhattak/multimodal-prompt-learning"
    licence = "MIT"
    recipes = (
        Recipe(
            "ivlp-1",
            epochs=5,
            batch=4,
            lr=0.0035,
            options=(("depth", 12), ("length", 2)),
            origin=f"{_MAPLE}/vit_b16_c2_ep5_batch4_2+2ctx.yaml",
        ),
        Recipe(
            "ivlp-20-1",
            epochs=20,
            batch=4,
            lr=0.0025,
            options=(("depth", 9), ("length", 4)),
            origin=f"{_PROMPTSRC}/vit_b16_c2_ep20_batch4_4+4ctx.yaml",
        ),
        Recipe(
            "ivlp-language-1",
            epochs=5,
            batch=4,
            lr=0.0025,
            options=(("depth", 12), ("encoders", "text"), ("length", 4)),
            origin=f"{_MAPLE}/vit_b16_c2_ep5_batch4_4ctx_language_only.yaml",
        ),
        Recipe(
            "ivlp-demo-1",
            epochs=2,
            batch=32,
            lr=0.0035,
            augment="none",
            shots=4,
            options=(("depth", 3), ("sampled", 128)),
            suite="demo",
            origin="rppbench: short enough for two cores",
        ),
        few_recipe(
            "ivlp-demo-few-1",
            epochs=2,
            batch=16,
            lr=0.035,
            options=(("depth", 3),),
        ),
    )

    def __init__(
        self,
        space: Space,
        *,
        length: int = 2,
        depth: int = 12,
        encoders: Literal["both", "text"] = "both",
        init: str = "a photo of a",
    ) -> None:
        super().__init__(space)
        self.text = deep_text(space, length, depth, init)
        self.image: Deep | None = None
        if encoders == "both":
            self.image = deep_image(space, length, depth)

    def prompts(self) -> Prompts:
        return Prompts(self.text(), None if self.image is None else self.image())
