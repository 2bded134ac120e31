"""RPP: unshared query, key and value prompts (SAPL) in both towers, and a frozen teacher.

Chen et al., Revisiting Prompt Pretraining of Vision-Language Models, 2024. Of the paper only the
abstract page, captions and secondary digests were at hand: what they leave open is an option
here, with the default that the README gives reasons for. Nothing is attributed to the paper that
was not seen.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from rppbench.contracts import Method, Prompt, Prompts, Recipe, Space, Supervision, Templates
from rppbench.errors import UsageError
from rppbench_methods.contexts import check, context
from rppbench_methods.demo import few_recipe

Residual = Literal["keep", "q", "mean"]
Unshared = Literal["qkv", "kv", "qk", "qv", "q", "k", "v", "none"]

_ASSUMED = "POMP's protocol (arXiv:2304.04704), assumed: the paper's own was not seen"
_TUNED = "assumed: as PromptSRC (arXiv:2307.06948) tunes deep prompts of both towers"
_PLAIN = (("kd", False), ("sampled", 0))


class RPP(Method):
    """Learned vectors for query, key and value of the first `depth` blocks; see `Sapl`.

    `encoders` says which towers are prompted; with 'image' the text is each data set's own wording.
    `input` is learned or frozen: the `length` tokens that enter with the input ('a photo of a' in
    the text tower, random in the image tower). With depth=0 only they are left: CoOp and
    VPT-shallow.
    """

    name = "rpp"
    title = "RPP-SAPL"
    paper = "arXiv:2409.06166"
    origin = "no official code was seen"
    supervision = Supervision(sampled=1000, kd=True)
    large_source = True
    recipes = (
        Recipe(
            "rpp-20-1",
            epochs=20,
            batch=32,
            lr=0.002,
            augment="crop-flip-randaugment2",
            views=4,
            origin=_ASSUMED,
        ),
        Recipe(
            "rpp-5-1",
            epochs=5,
            batch=32,
            lr=0.002,
            augment="crop-flip-randaugment2",
            views=4,
            origin=f"{_ASSUMED}; POMP's short arm",
        ),
        Recipe(
            "rpp-few-shot-1",
            epochs=50,
            batch=4,
            lr=0.0025,
            options=_PLAIN,
            tasks=("few-shot",),
            origin=f"{_TUNED} for few shots",
        ),
        Recipe(
            "rpp-tune-1",
            epochs=20,
            batch=4,
            lr=0.0025,
            options=_PLAIN,
            tasks=("base-to-new", "fine-tune"),
            origin=f"{_TUNED} from base to new",
        ),
        Recipe(
            "rpp-demo-1",
            epochs=2,
            batch=32,
            lr=0.002,
            augment="none",
            shots=4,
            options=(("depth", 3), ("sampled", 128)),
            suite="demo",
            origin="rppbench: short enough for two cores",
        ),
        few_recipe(
            "rpp-demo-few-1",
            epochs=2,
            batch=16,
            lr=0.02,
            options=(("depth", 3), ("kd", False), ("sampled", 0)),
        ),
    )

    def __init__(
        self,
        space: Space,
        *,
        length: int = 4,
        depth: int = 9,
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
            check(space, "text", length, depth)
            start = context(space, length, init)
            self.text = Sapl(
                space, start, space.text_layers, depth, residual, unshared, learned=learned
            )
        if encoders != "text":
            check(space, "image", length, depth)
            start = space.normal(length, space.image_width).detach()
            self.image = Sapl(
                space, start, space.image_layers, depth, residual, unshared, learned=learned
            )
        if not any(True for _ in self.parameters()):
            raise UsageError("depth=0 with input=frozen leaves nothing to learn")

    def prompts(self) -> Prompts:
        return Prompts(
            text=Templates() if self.text is None else self.text(),
            image=None if self.image is None else self.image(),
        )


class Sapl(nn.Module):
    """The learned vectors of one tower.

    In each of the first `depth` blocks, query, key and value projections see vectors of their own
    in the prompt rows (`unshared` names those that do; the others see the residual stream), or all
    three the same ones ('none'). The stream itself is kept, or replaced by the query vectors or by
    the mean (`residual`).

    A query acts on the outputs of its own row alone, so where nothing reads those rows later the
    vectors would be dead: they are not made, and do not count as parameters.
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
        if learned and self.read(0):
            self.input = nn.Parameter(start)
        else:
            self.register_buffer("input", start, persistent=False)
        self.vectors = nn.ParameterDict()
        for block in range(depth):
            names = ["s"] if self.shared else sorted(self.own)
            for name in names:
                if name != "q" or self.acts(block):
                    self.vectors[f"{name}{block}"] = space.normal(*start.shape)

    def read(self, block: int) -> bool:
        """Whether anything reads the stream's prompt rows as they enter a block."""
        if block >= self.depth:
            return block < self.layers  # only the end token or the class token leaves the tower
        if self.residual != "keep":
            return False  # replaced before it is read
        return not self.own >= {"k", "v"} or self.read(block + 1)

    def acts(self, block: int) -> bool:
        """Whether what a prompted block has in the stream, and so its queries, reaches anything."""
        seen = self.residual != "keep" and not self.own >= {"k", "v"}
        return seen or self.read(block + 1)

    def forward(self) -> Prompt:
        """The vectors in their places."""
        if self.shared and self.residual != "keep":
            # All three see the stream, so replacing it replaces them: the usual deep prompt.
            return Prompt(self.input, stream=self._of("s"))
        names = ("s", "s", "s") if self.shared else ("q", "k", "v")
        queries, keys, values = map(self._of, names)
        stream: dict[int, Tensor] = {}
        for block in range(self.depth):
            if self.residual == "keep" or not self.acts(block):
                continue
            parts = [given[block] for given in (queries, keys, values) if block in given]
            stream[block] = parts[0] if self.residual == "q" else torch.stack(parts).mean(0)
        return Prompt(self.input, stream, queries, keys, values)

    def _of(self, name: str) -> dict[int, Tensor]:
        blocks = range(self.depth)
        return {b: self.vectors[f"{name}{b}"] for b in blocks if f"{name}{b}" in self.vectors}
