"""CLIP-Adapter: a bottleneck on the image feature, mixed with the feature itself.

Gao et al., CLIP-Adapter: Better Vision-Language Models with Feature Adapters, IJCV 2024, eq. 4-7:

    A(f) = ReLU(ReLU(f W_1) W_2)
    f* = ratio A(f) + (1 - ratio) f
    logits = scale cos(f*, w_k)

with f the image feature and w_k the text feature of class k. As in the official code, a ReLU
follows W_2 too and the adapter of the text feature is left out.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn.functional import normalize

from rppbench.contracts import Learning, Method, Prompts, Range, Space, read_recipes
from rppbench_methods.contexts import linear


class CLIPAdapter(Method):
    """A bottleneck of width e / `reduction`, whose output is mixed with the feature by `ratio`.

    Both towers stay frozen and the wording is each data set's own, so any class can be named.
    """

    name = "clip-adapter"
    title = "CLIP-Adapter"
    paper = "arXiv:2110.04544"
    origin = "github.com/gaopengcuhk/CLIP-Adapter"
    learning = Learning(read_recipes(__file__))

    def __init__(
        self,
        space: Space,
        *,
        reduction: Annotated[int, Range(1, 1000)] = 4,
        ratio: Annotated[float, Range(0, 1)] = 0.2,
    ) -> None:
        super().__init__(space)
        self.ratio = ratio
        self.narrow = linear(space, space.embed, space.embed // reduction, bias=False)  # W_1
        self.widen = linear(space, space.embed // reduction, space.embed, bias=False)  # W_2

    def prompts(self) -> Prompts:
        return Prompts()

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        """CLIP's logits of the adapted features f*."""
        adapted = self.widen(self.narrow(images).relu()).relu()
        mixed = self.ratio * adapted + (1 - self.ratio) * images
        return scale * normalize(mixed, dim=1) @ texts.T
