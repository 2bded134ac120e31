"""VPT: learned tokens among the image patches, text in a fixed wording.

Jia et al., Visual Prompt Tuning, ECCV 2022, eq. 4-7; on CLIP as in Khattak et al., MaPLe, CVPR
2023 ("deep vision prompting"). Computed in float32 throughout; the code of MaPLe's authors rounds
the prompts through float16.
"""

from __future__ import annotations

from rppbench.contracts import Method, Prompts, Recipe, Space, Templates
from rppbench_methods.deep import deep_image
from rppbench_methods.demo import few_recipe

_CONFIGS = "github.com/muzairkhattak/multimodal-prompt-learning configs/trainers/VPT"


class VPT(Method):
    """`length` tokens in the first `depth` blocks of the image tower; depth=1 is VPT-shallow.

    The text is "a photo of a {}." for every data set, as in MaPLe's comparison.
    """

    name = "vpt"
    title = "VPT"
    paper = "arXiv:2203.12119"
    origin = "github.com/muzairkhattak/multimodal-prompt-learning"
    licence = "MIT"
    recipes = (
        Recipe(
            "vpt-1",
            epochs=5,
            batch=4,
            lr=0.0025,
            options=(("depth", 12), ("length", 8)),
            origin=f"{_CONFIGS}/vit_b16_c2_ep5_batch4_4.yaml; its transfer scripts load epoch 2",
        ),
        Recipe(
            "vpt-demo-1",
            epochs=2,
            batch=32,
            lr=0.0025,
            augment="none",
            shots=4,
            options=(("depth", 3),),
            suite="demo",
            origin="rppbench: short enough for two cores",
        ),
        few_recipe(
            "vpt-demo-few-1",
            epochs=2,
            batch=16,
            lr=0.025,
            options=(("depth", 3),),
        ),
    )

    def __init__(self, space: Space, *, length: int = 8, depth: int = 12) -> None:
        super().__init__(space)
        self.image = deep_image(space, length, depth)

    def prompts(self) -> Prompts:
        return Prompts(text=Templates(("a photo of a {}.",)), image=self.image())
