"""CLIP-LoRA: low-rank terms on the attention projections of both towers.

Zanella and Ben Ayed, Low-Rank Few-Shot Adaptation of Vision-Language Models, CVPR Workshops 2024,
eq. 3 (MaxZanella/CLIP-LoRA loralib/layers.py): in every block, for the projections of queries, keys
and values,

    h = W x + gamma B A D(x),    gamma = alpha / sqrt(r)

with x the token behind the block's norm, A (r, d), B (d, r) and D a dropout, and with the class
names in a fixed wording. B starts at zero. The official code draws D for every token, here one mask
serves all tokens of a step: tokens that classes share stay shared. Computed in the precision of the
towers; the official code runs in mixed precision.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

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
    Step,
    Templates,
    TokenMap,
    Tower,
    read_recipes,
)
from rppbench.errors import UsageError
from rppbench_methods.contexts import check_adapted
from rppbench_methods.official import required
from rppbench_methods.zeroshot import one_wording, wordings

PROJECTIONS = {"q": "queries", "k": "keys", "v": "values", "o": "output"}


class LowRank(nn.Module):
    """The matrices of one tower: A (layers, n, r, d) and B (layers, n, d, r) of n projections."""

    def __init__(self, space: Space, layers: int, projections: int, rank: int, width: int) -> None:
        super().__init__()
        draw = torch.rand(layers, projections, rank, width, generator=space.generator)
        self.a = nn.Parameter((2 * draw - 1) * width**-0.5)
        self.b = nn.Parameter(torch.zeros(layers, projections, width, rank))


class CLIPLoRA(Method, ReadsOfficialCheckpoints):
    """Terms of rank `rank` on the `projections` (letters of 'qkvo') of all blocks of `encoders`.

    `template` is that of `zeroshot`, one wording: 'dataset' is each data set's own; the official
    code has the default for all data sets.
    """

    name = "clip-lora"
    title = "CLIP-LoRA"
    paper = "arXiv:2405.18541"
    origin = "github.com/MaxZanella/CLIP-LoRA"
    learning = Learning(read_recipes(__file__))

    def __init__(
        self,
        space: Space,
        *,
        rank: int = 2,
        alpha: float = 1.0,
        dropout: float = 0.25,
        projections: str = "qkv",
        encoders: Literal["both", "text", "image"] = "both",
        template: str = "a photo of a {}.",
    ) -> None:
        super().__init__(space)
        if rank < 1 or not 0 <= dropout < 1:
            raise UsageError(f"rank is at least 1 and dropout below 1, not {rank} and {dropout}")
        if not projections or set(projections) - set(PROJECTIONS):
            raise UsageError(f"projections are letters of 'qkvo', not {projections!r}")
        self.wording, self.wordings = one_wording(template), wordings(template)
        self.projections = [PROJECTIONS[letter] for letter in sorted(set(projections))]
        self.scaling, self.dropout = alpha * rank**-0.5, dropout  # gamma
        sides = ("text", "image") if encoders == "both" else (encoders,)
        sizes = {
            "text": (space.text_layers, space.text_width),
            "image": (space.image_layers, space.image_width),
        }
        for side in sides:
            check_adapted(space, side)
        self.towers = nn.ModuleDict(
            {
                side: LowRank(space, layers, len(self.projections), rank, width)
                for side, (layers, width) in sizes.items()
                if side in sides
            }
        )
        # The masks are a function of the two, so that a step that is taken again has the same ones.
        self.register_buffer("seed", torch.randint(2**31, (), generator=space.generator))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.seed: Tensor
        self.steps: Tensor

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        towers: tuple[Tower, ...] = ("text", "image")
        return [tower for tower in towers if options["encoders"] in (tower, "both")]

    def prompts(self) -> Prompts:
        stream = torch.Generator().manual_seed(int(self.seed) + (int(self.steps) << 31))
        adapted = {side: self._prompt(tower, stream) for side, tower in self.towers.items()}
        text = adapted.get("text") or Templates(self.wordings)
        return Prompts(text, adapted.get("image"), self.wording)

    def loss(self, step: Step) -> Tensor:
        self.steps += self.training
        return step.loss

    def _prompt(self, tower: nn.Module, stream: torch.Generator) -> Prompt:
        """The adapters of one tower, with masks of dropout in training."""
        assert isinstance(tower, LowRank)
        layers, projections, _, width = tower.a.shape
        a: Tensor = tower.a
        if self.training and self.dropout:
            keep = torch.rand(layers, projections, 1, width, generator=stream) >= self.dropout
            a = a * (keep.to(a) / (1 - self.dropout))  # A D(x), D a diagonal
        adapters = {
            block: Adapter(
                **{
                    name: low_rank(a[block, i], tower.b[block, i], self.scaling)
                    for i, name in enumerate(self.projections)
                }
            )
            for block in range(layers)
        }
        return Prompt(a.new_zeros(0, width), adapters=adapters)

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """`weights`: layers of the text tower, then of the image tower; `metadata`: r and alpha.

        UsageError for a file of one tower: it does not say in numbers of which.
        """
        layers: dict[int, dict[str, Tensor]] = {}  # by the part of the name behind the layer
        for name, value in checkpoint.items():
            if match := re.fullmatch(r"weights\.layer_(\d+)\.(\w+\.w_lora_[AB])", name):
                layers.setdefault(int(match[1]), {})[match[2]] = value
        if not layers or sorted(layers) != list(range(len(layers))):
            raise UsageError("no 'weights.layer_0', 'weights.layer_1', ... in the checkpoint")
        official = {"k": "k_proj", "o": "proj", "q": "q_proj", "v": "v_proj"}  # sorted by letter
        letters = [x for x in official if f"{official[x]}.w_lora_A" in layers[0]]
        rank, width = required(layers[0], f"{official[(letters or ['q'])[0]]}.w_lora_A").shape

        def stacked(half: str, tower: list[dict[str, Tensor]]) -> Tensor:
            """(layers, projections, ...) of all matrices A or B of a tower."""
            names = [f"{official[letter]}.w_lora_{half}" for letter in letters]
            return torch.stack([torch.stack([required(own, n) for n in names]) for own in tower])

        ordered = [layers[i] for i in range(len(layers))]
        a = f"{official[letters[0]]}.w_lora_A"
        text = [own for own in ordered if required(own, a).shape[1] == width]
        image = ordered[len(text) :]
        if not image:
            raise UsageError("the checkpoint has layers of one tower; it needs both")
        state = {
            f"towers.{side}.{half.lower()}": stacked(half, tower)
            for side, tower in (("text", text), ("image", image))
            for half in "AB"
        }
        options: dict[str, Option] = {
            "alpha": float(required(checkpoint, "metadata.alpha")),
            "rank": rank,
            "projections": "".join(sorted(letters, key="qkvo".index)),
            "encoders": "both",
        }
        zero = torch.zeros((), dtype=torch.int64)
        return ImportedState(options, {**state, "seed": zero, "steps": zero.clone()})


def low_rank(a: Tensor, b: Tensor, scaling: float) -> TokenMap:
    """x (..., d) -> scaling B A x, for A (r, d) and B (d, r)."""
    return lambda x: scaling * linear(linear(x, a.to(x)), b.to(x))
