"""CLIP-Adapter: a bottleneck on the image feature, mixed with the feature itself.

Gao et al., CLIP-Adapter: Better Vision-Language Models with Feature Adapters, IJCV 2024, eq. 4-7;
as in the official code the adapter of the text feature is left out.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize

from rppbench.contracts import Method, Prompts, Recipe, Space
from rppbench_methods.contexts import linear

_CODE = "github.com/gaopengcuhk/CLIP-Adapter clip_adapter.py"


class CLIPAdapter(Method):
    """Two layers with a width of e / `reduction` between, a ReLU behind each, mixed by `ratio`.

    Both towers stay frozen and the wording is each data set's own, so any classes can be named.
    The adapter sees features of unit length; in the official code they are as long as they are.
    """

    name = "clip-adapter"
    title = "CLIP-Adapter"
    paper = "arXiv:2110.04544"
    origin = "github.com/gaopengcuhk/CLIP-Adapter"
    recipes = (
        Recipe(
            "clip-adapter-1",
            epochs=200,
            batch=32,
            lr=0.002,
            origin=f"{_CODE} for CoOp's framework, with CoOp's rn50.yaml: it brings no settings",
        ),
        Recipe(
            "clip-adapter-demo-1",
            epochs=20,
            batch=64,
            lr=0.2,
            augment="none",
            shots=4,
            suite="demo",
            origin="rppbench: short enough for two cores; a rate for features of unit length",
        ),
    )

    def __init__(self, space: Space, *, reduction: int = 4, ratio: float = 0.2) -> None:
        super().__init__(space)
        self.ratio = ratio
        self.narrow = linear(space, space.embed, space.embed // reduction, bias=False)
        self.widen = linear(space, space.embed // reduction, space.embed, bias=False)

    def prompts(self) -> Prompts:
        return Prompts()

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        """CLIP's logits of the adapted feature."""
        adapted = self.widen(self.narrow(images).relu()).relu()
        mixed = self.ratio * adapted + (1 - self.ratio) * images
        return scale * normalize(mixed, dim=1) @ texts.T
