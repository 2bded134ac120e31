"""RPP: unshared query, key and value prompts (SAPL) in both towers, and a frozen teacher.

Chen et al., Revisiting Prompt Pretraining of Vision-Language Models, 2024. Only the abstract
page, captions and secondary digests of the paper were available. Each point that they leave open is
an option here; the README gives the reason for its default. Nothing that was not seen is attributed
to the paper.

Block i < depth, with S_i the prompt rows of the residual stream and x_i all other rows:

    S_i           P_Q   P_K   P_V              x_i
     |             |     |     |                |
     |            W_Q   W_K   W_V          W_Q W_K W_V      each after the block's own ln_1
     |             |     |     |                |
     |             |     +-----+--------------->|           every row attends to P_K and P_V
     |<------------+-----+-----+----------------|           P_Q asks for the prompt rows alone
     v                                          v
    S_{i+1}                                    x_{i+1}      only x leaves the tower

A projection that `unshared` does not name reads S_i in place of its own vectors. `residual` keeps
S_i, or replaces it before the block by P_Q or by the mean of the block's vectors, and nothing
reads the S_i that came in. From block `depth` on, all three projections read S_i.

So P_K and P_V always act. P_Q acts where S_{i+1} is read, or where it replaced S_i and W_K or W_V
reads it; `input` is S_0 and acts where S_0 is read. A vector that cannot act would be dead: it is
not created and does not count as a parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rppbench.contracts import (
    Learning,
    Method,
    Option,
    Prompt,
    Prompts,
    Space,
    Supervision,
    Templates,
    Tower,
    read_recipes,
)
from rppbench.errors import UsageError
from rppbench_methods.contexts import Depth, Length, check_size, initial_context

Residual = Literal["keep", "q", "mean"]
Unshared = Literal["qkv", "kv", "qk", "qv", "q", "k", "v", "none"]


class RPP(Method):
    """Learned vectors for query, key and value of the first `depth` blocks; see `Sapl`.

    `encoders` says which towers are prompted; with 'image' the text is each data set's own wording.
    `input` is learned or frozen: the `length` tokens that enter with the input ('a photo of a' in
    the text tower, random in the image tower). With depth=0 these tokens are all that is
    learned: CoOp and VPT-shallow.
    """

    name = "rpp"
    title = "RPP-SAPL"
    paper = "arXiv:2409.06166"
    origin = "no official code was seen"
    learning = Learning(
        read_recipes(__file__), Supervision(sampled=1000, kd=True), large_source=True
    )

    def __init__(
        self,
        space: Space,
        *,
        length: Length = 4,
        depth: Depth = 9,
        residual: Residual = "keep",
        unshared: Unshared = "qkv",
        encoders: Literal["both", "text", "image"] = "both",
        input: Literal["learned", "frozen"] = "learned",
        init: str = "a photo of a",
    ) -> None:
        super().__init__(space)
        self.text: Sapl | None = None
        self.image: Sapl | None = None
        learned = input == "learned"
        if encoders != "image":
            check_size(space, "text", length, depth)
            start = initial_context(space, length, init)
            self.text = Sapl(
                space, start, space.text_layers, depth, residual, unshared, learned=learned
            )
        if encoders != "text":
            check_size(space, "image", length, depth)
            start = space.normal(length, space.image_width).detach()
            self.image = Sapl(
                space, start, space.image_layers, depth, residual, unshared, learned=learned
            )
        if not any(True for _ in self.parameters()):
            raise UsageError("depth=0 with input=frozen leaves nothing to learn")

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        towers: tuple[Tower, ...] = ("text", "image")
        return [tower for tower in towers if options["encoders"] in (tower, "both")]

    def prompts(self) -> Prompts:
        return Prompts(
            text=Templates() if self.text is None else self.text(),
            image=None if self.image is None else self.image(),
        )


class Sapl(nn.Module):
    """The learned vectors of one tower, each (n, d): P_Q, P_K, P_V of the first `depth` blocks.

    `unshared` names the projections that have vectors of their own; with 'none' all three read the
    same ones. `input` is S_0. The diagram at the top of this module shows
    which projection reads which vectors.
    """

    def __init__(
        self,
        space: Space,
        start: Tensor,
        layers: int,
        depth: int,
        residual: Residual,
        unshared: Unshared,
        *,
        learned: bool,
    ) -> None:
        super().__init__()
        self.layers, self.depth, self.residual = layers, depth, residual
        self.shared = unshared == "none"
        self.own = frozenset("qkv") if self.shared else frozenset(unshared)
        if residual == "q" and "q" not in self.own:
            raise UsageError(
                f"residual=q puts the query vectors into the stream; unshared={unshared} has none"
            )
        if learned and self.incoming_rows_are_read(0):
            self.input = nn.Parameter(start)
        else:
            self.register_buffer("input", start, persistent=False)
        self.vectors = nn.ParameterDict()
        for block in range(depth):
            names = ["s"] if self.shared else sorted(self.own)
            for name in names:
                if name != "q" or self.own_rows_are_read(block):
                    self.vectors[f"{name}{block}"] = space.normal(*start.shape)

    def incoming_rows_are_read(self, block: int) -> bool:
        """Whether anything reads S_i as block i - 1 left it."""
        if block >= self.depth:
            return block < self.layers  # x alone leaves the tower
        if self.residual != "keep":
            return False  # replaced before it is read
        return self._keys_or_values_read_the_stream or self.incoming_rows_are_read(block + 1)

    def own_rows_are_read(self, block: int) -> bool:
        """Whether anything reads P_Q's share of S_{i+1}, or the S_i that P_Q replaced."""
        replaced = self.residual != "keep"
        inside = replaced and self._keys_or_values_read_the_stream
        return inside or self.incoming_rows_are_read(block + 1)

    @property
    def _keys_or_values_read_the_stream(self) -> bool:
        return not self.own >= {"k", "v"}

    def forward(self) -> Prompt:
        """The vectors as a prompt of the tower."""
        if self.shared and self.residual != "keep":
            # All three read the stream, so replacing it replaces them: the usual deep prompt.
            return Prompt(self.input, stream=self._by_block("s"))
        names = ("s", "s", "s") if self.shared else ("q", "k", "v")
        queries, keys, values = map(self._by_block, names)
        stream: dict[int, Tensor] = {}
        for block in range(self.depth):
            if self.residual == "keep" or not self.own_rows_are_read(block):
                continue
            parts = [vectors[block] for vectors in (queries, keys, values) if block in vectors]
            stream[block] = parts[0] if self.residual == "q" else torch.stack(parts).mean(0)
        return Prompt(self.input, stream, queries, keys, values)

    def _by_block(self, name: str) -> dict[int, Tensor]:
        blocks = range(self.depth)
        return {b: self.vectors[f"{name}{b}"] for b in blocks if f"{name}{b}" in self.vectors}
