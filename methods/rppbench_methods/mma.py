"""MMA: bottlenecks beside the last blocks of both towers, with a shared layer in the middle.

Yang et al., MMA: Multi-Modal Adapter for Vision-Language Models, CVPR 2024, eq. 4-6
(ZjjConan/Multi-Modal-Adapter trainers/mmadapter.py, clip/model.py): beside block j of tower t

    x_{j+1} = L_j(x_j) + s A_j(LN(x_j))
    A_j(z) = U_j^t relu(S_j relu(D_j^t z))

with LN the block's own first norm, D_j^t and U_j^t layers of each tower and S_j one that both
share. The official code divides the gradients of the layers by the small s; so does this one.
Computed in the precision of the towers; the official code runs in mixed precision.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rppbench.contracts import (
    Adapter,
    ImportedState,
    Learning,
    Method,
    Option,
    Prompt,
    Prompts,
    ReadsOfficialCheckpoints,
    Space,
    TokenMap,
    Tower,
    read_recipes,
)
from rppbench_methods.contexts import Depth, check_adapted
from rppbench_methods.official import required, start_token
from rppbench_methods.zeroshot import one_wording


class MMA(Method, ReadsOfficialCheckpoints):
    """Bottlenecks of `width` beside the last `depth` blocks, times `scale`; any class can be named.

    `template` is that of `zeroshot`, one wording.
    """

    name = "mma"
    title = "MMA"
    paper = "Yang et al., CVPR 2024"
    origin = "github.com/ZjjConan/Multi-Modal-Adapter"
    learning = Learning(read_recipes(__file__))

    def __init__(
        self,
        space: Space,
        *,
        depth: Depth = 8,
        width: int = 32,
        scale: float = 0.001,
        template: str = "a photo of a {}.",
    ) -> None:
        super().__init__(space)
        for side in ("text", "image"):
            check_adapted(space, side, depth)
        self.wording = one_wording(template)
        self.scale = scale

        def layers(inputs: int, outputs: int) -> nn.ModuleList:
            return nn.ModuleList(he_layer(space, inputs, outputs) for _ in range(depth))

        self.text_down, self.text_up = (
            layers(space.text_width, width),
            layers(width, space.text_width),
        )
        self.image_down = layers(space.image_width, width)
        self.image_up = layers(width, space.image_width)
        self.shared = layers(width, width)  # S
        self.first = {"text": space.text_layers - depth, "image": space.image_layers - depth}

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text", "image")

    def prompts(self) -> Prompts:
        text = self._prompt("text", self.text_down, self.text_up)
        image = self._prompt("image", self.image_down, self.image_up)
        return Prompts(text, image, self.wording)

    def _prompt(self, side: str, down: nn.ModuleList, up: nn.ModuleList) -> Prompt:
        adapters = {
            self.first[side] + j: Adapter(block=bottleneck(*layers, self.scale))
            for j, layers in enumerate(zip(down, self.shared, up, strict=True))
        }
        empty = next(down.parameters()).new_zeros(0, next(down.parameters()).shape[1])
        return Prompt(empty, adapters=adapters)

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """`text_adapter`, `visual_adapter` and `shared_adapter` of each adapted block."""
        names = (re.fullmatch(r"shared_adapter\.(\d+)\.0\.weight", name) for name in checkpoint)
        numbers = sorted(int(name[1]) for name in names if name)
        if not numbers:
            required(checkpoint, "shared_adapter.12.0.weight")
        state = {}
        for j, number in enumerate(numbers):
            layers = {
                f"text_down.{j}": f"text_adapter.{number}.down.0",
                f"text_up.{j}": f"text_adapter.{number}.up",
                f"image_down.{j}": f"visual_adapter.{number}.down.0",
                f"image_up.{j}": f"visual_adapter.{number}.up",
                f"shared.{j}": f"shared_adapter.{number}.0",
            }
            for ours, theirs in layers.items():
                for part in ("weight", "bias"):
                    state[f"{ours}.{part}"] = required(checkpoint, f"{theirs}.{part}")
        options = {"depth": len(numbers), "width": state["shared.0.weight"].shape[0]}
        words = checkpoint.get("token_embedding")  # (c, 77, d)
        return ImportedState(options, state, None if words is None else start_token(words[:, :1]))


def he_layer(space: Space, inputs: int, outputs: int) -> nn.Linear:
    """A layer of He's normal initialisation by its outputs, biases zero."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.normal_(std=(2 / outputs) ** 0.5, generator=space.generator)
        layer.bias.zero_()
    return layer


def bottleneck(down: nn.Module, shared: nn.Module, up: nn.Module, scale: float) -> TokenMap:
    """x -> scale U relu(S relu(D x)), whose layers get the gradient of the map without `scale`."""

    def apply(layer: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(layer, nn.Linear)
        return linear(x, layer.weight.to(x), layer.bias.to(x))

    def added(x: Tensor) -> Tensor:
        x = with_gradient(x, scale)
        hidden = apply(shared, apply(down, x).relu()).relu()
        return with_gradient(scale * apply(up, hidden), 1 / scale)

    return added


def with_gradient(x: Tensor, factor: float) -> Tensor:
    """x, whose gradient is multiplied by `factor`."""
    rest = x - x.detach()  # zero
    return x + (factor - 1) * rest
