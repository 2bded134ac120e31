"""POMP: CoOp's context pretrained on a large vocabulary, with sampled classes.

Ren et al., Prompt Pre-Training with Twenty-Thousand Classes for Open-Vocabulary Visual
Recognition, NeurIPS 2023, eq. 4-5. Sampling and correction are its supervision; see
`contracts.Step.cross_entropy`.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from rppbench.contracts import Adopted, Method, Prompt, Prompts, Recipe, Space, Supervision
from rppbench_methods.contexts import adopted_context, context
from rppbench_methods.demo import FEW, few_recipe

_CONFIGS = "github.com/amazon-science/prompt-pretraining configs/trainers/POMP"


class POMP(Method):
    """`length` learned tokens for all classes, started at random; text tower only."""

    name = "pomp"
    title = "POMP"
    paper = "arXiv:2304.04704"
    origin = "github.com/amazon-science/prompt-pretraining"
    licence = "Apache-2.0"
    supervision = Supervision(sampled=1000)
    large_source = True
    recipes = (
        Recipe(
            "pomp-5-1",
            epochs=5,
            batch=32,
            lr=0.002,
            augment="crop-flip-randaugment2",
            views=4,
            options=(("length", 4),),
            origin=f"{_CONFIGS}/vit_b16_ep5_randaug2.yaml; there 8 processes take 32 images each",
        ),
        Recipe(
            "pomp-20-1",
            epochs=20,
            batch=32,
            lr=0.002,
            augment="crop-flip-randaugment2",
            views=4,
            options=(("length", 16),),
            origin=f"{_CONFIGS}/vit_b16_ep20_randaug2.yaml; there 8 processes take 32 images each",
        ),
        Recipe(
            "pomp-tune-1",
            epochs=50,
            batch=32,
            lr=0.002,
            options=(("length", 4), ("sampled", 0)),
            tasks=FEW,
            origin="arXiv:2304.04704, table 3: 50 epochs at 16 shots; all classes at once, as CoOp",
        ),
        Recipe(
            "pomp-demo-1",
            epochs=5,
            batch=64,
            lr=0.002,
            augment="none",
            shots=4,
            options=(("sampled", 128),),
            suite="demo",
            origin="rppbench: short enough for two cores",
        ),
        few_recipe(
            "pomp-demo-few-1",
            epochs=4,
            batch=32,
            lr=0.02,
            options=(("kd", False), ("length", 4), ("sampled", 0)),
        ),
    )

    def __init__(self, space: Space, *, length: int = 4) -> None:
        super().__init__(space)
        self.context = nn.Parameter(context(space, length))

    def prompts(self) -> Prompts:
        return Prompts(text=Prompt(self.context))

    @classmethod
    def adopt(cls, checkpoint: Mapping[str, Tensor]) -> Adopted:
        """Keys `ctx` and token buffers for training and test; the class name stands at the end."""
        buffers = ("train_token_", "test_token_", "token_")
        return adopted_context(checkpoint, buffers, class_specific=False)
