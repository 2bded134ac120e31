"""CoCoOp: a learned context that a small network shifts for each image.

Zhou et al., Conditional Prompt Learning for Vision-Language Models, CVPR 2022, eq. 4:

    v_m(x) = v_m + pi,    pi = h(x)
    t_k(x) = [v_1(x), ..., v_M(x), class name k]
    logits = scale cos(x, g(t_k(x)))

with x the image feature, g the text tower and h the meta-net: two layers with a ReLU between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from rppbench.contracts import (
    Conditional,
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
from rppbench_methods.contexts import Length, initial_context, linear
from rppbench_methods.official import imported_context

LAYERS = {"meta_net.linear1": "narrow", "meta_net.linear2": "widen"}
"""Names of the meta-net's layers in official checkpoints -> here."""


class CoCoOp(Method, ReadsOfficialCheckpoints):
    """`length` learned tokens for all classes, all shifted by one vector computed from the image.

    Every image needs its own encoding of all classes, in training and in testing.
    """

    name = "cocoop"
    title = "CoCoOp"
    paper = "arXiv:2203.05557"
    origin = "github.com/KaiyangZhou/CoOp"
    licence = "MIT"
    learning = Learning(read_recipes(__file__))
    conditional = True

    def __init__(self, space: Space, *, length: Length = 4, init: str = "a photo of a") -> None:
        super().__init__(space)
        self.context = nn.Parameter(initial_context(space, length, init))  # v_1 ... v_M
        hidden = space.embed // 16
        self.narrow = linear(space, space.embed, hidden)
        self.widen = linear(space, hidden, space.text_width)

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text",)

    def prompts(self) -> Prompts:
        return Prompts(text=Conditional(self.contexts))

    def contexts(self, images: Tensor) -> Tensor:
        """(b, M, d) contexts v_m(x) of unit features (b, e)."""
        shift = self.widen(self.narrow(images).relu())  # pi
        return self.context + shift[:, None]

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """Keys `ctx` and `meta_net.linear{1,2}`, and token buffers."""
        layers = {
            f"{theirs}.{part}": f"{ours}.{part}"
            for theirs, ours in LAYERS.items()
            for part in ("weight", "bias")
        }
        imported = imported_context(checkpoint, ("token_",), more=tuple(layers))
        network = {ours: checkpoint[theirs] for theirs, ours in layers.items()}
        return replace(imported, state={**imported.state, **network})
