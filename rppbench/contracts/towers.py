"""Kinds of towers: how the modules of one library compute, step by step, so that prompts can enter.

One walker (`models.text_tower`, `models.image_tower`) runs every kind: it embeds the input, adds
the learned tokens, runs the blocks with the prompt's vectors in their places, and reads the
feature. A kind says how its modules do each step and changes none of them. Without a prompt the
steps give what the model's own `encode_image` or `encode_text` gives.

Shapes: b sequences, c classes, l tokens, s tokens of a name and its end, p tokens before the name,
d width of the tower, i width inside its attention, h heads, e width of the embedding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor, nn

Sharing = Literal["prefix", "length", "never"]
"""Which work the classes of a text tower may share without a change of any value:

- 'prefix': tokens attend only to those before them, so tokens before the name are run once;
- 'length': padding is never attended to, so names of similar length are run together, unpadded;
- 'never': padding is attended to, so every name is run in the tower's full context.
"""


class Blocks(ABC):
    """The steps of a transformer block; no state, so that all blocks share compiled code.

    In order: `enter`, `project`, `heads`, attention, `merge`, `output`, `leave`.
    """

    scale: ClassVar[float | None] = None
    """Factor of the products of queries and keys; None for (i / h)^-0.5."""

    @abstractmethod
    def obstacle(self, block: Any) -> str | None:
        """Why learned tokens cannot enter this block; None if they can."""

    def first_obstacle(self, blocks: Iterable[Any]) -> str | None:
        """The obstacle of the first block that has one; None if there is none."""
        return next(filter(None, map(self.obstacle, blocks)), None)

    @abstractmethod
    def enter(self, block: Any, x: Tensor) -> Tensor:
        """What the projections see of the residual stream x (b, l, d), token by token."""

    @abstractmethod
    def project(self, block: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value projections (b, l, i) of their inputs (b, l, d), token by token.

        The three inputs are often one tensor (`q is k is v`), for which one product may do.
        """

    @abstractmethod
    def heads(
        self, block: Any, q: Tensor, k: Tensor, v: Tensor, positions: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The projections as heads (b, h, l, i/h), normalised and rotated where the kind does so.

        `positions` is this block's entry of `Embedded.positions`.
        """

    def merge(self, block: Any, heads: Tensor) -> Tensor:
        """What the output projection sees (b, l, i) of the heads' outputs (b, h, l, i/h)."""
        return heads.transpose(1, 2).flatten(2)

    @abstractmethod
    def output(self, block: Any, mixed: Tensor) -> Tensor:
        """The output projection (b, l, d) of the mixed heads (b, l, i)."""

    @abstractmethod
    def leave(self, block: Any, x: Tensor, attended: Tensor) -> Tensor:
        """The block's output (b, l, d): norms, MLP and both residual connections.

        `x` (b, l, d) is the residual stream, `attended` (b, l, d) the output projection.
        """


@dataclass(frozen=True)
class Embedded:
    """The input of the first block."""

    x: Tensor
    """(b, l, d)"""
    positions: Sequence[Any]
    """For each block what `Blocks.heads` needs to place the tokens; None where it needs nothing."""


class ImageKind(ABC):
    """An image tower made of transformer blocks over patches."""

    blocks: Sequence[Any]
    steps: Blocks
    width: int
    """d"""
    patch: int
    """Side of a patch in pixels."""

    @classmethod
    @abstractmethod
    def takes(cls, visual: nn.Module) -> bool:
        """Whether the tower is of this kind; true too for one that has an `obstacle`."""

    @abstractmethod
    def __init__(self, visual: nn.Module) -> None:
        """The tower as this kind. Only called if it `takes` the tower and has no `obstacle`."""

    @classmethod
    def obstacle(cls, visual: nn.Module) -> str | None:
        """Why a tower that this kind takes cannot be prompted; None if it can."""
        return None

    @abstractmethod
    def embed(self, images: Tensor) -> Embedded:
        """Images (b, 3, height, width) of the tower's own size as its first block sees them."""

    @abstractmethod
    def embed_grid(self, images: Tensor) -> Embedded:
        """As `embed`, for any size that is a multiple of `patch`: positions are interpolated."""

    def enter(self, tokens: Tensor) -> Tensor:
        """Learned tokens (n, d) as they join the patches: through the norm before the blocks."""
        return tokens

    @abstractmethod
    def read(self, x: Tensor) -> Tensor:
        """Features (b, e), not normalised, of the last block's output (b, l, d) without prompt."""

    @abstractmethod
    def read_patches(self, x: Tensor) -> Tensor:
        """Features (b, patches, e) of every patch by itself, from the output (b, l, d) likewise."""


class Tokens(Protocol):
    """The ids that a tokenizer gives to texts, and what surrounds them in a row."""

    start: Sequence[int]
    """Ids before a text: the start token, or nothing."""
    end: Sequence[int]
    """Ids behind a text: the end token."""
    pad: int
    """Id that fills a row behind its end."""
    alike: bool
    """Whether a word has the same ids at the start of a sentence and behind another word."""

    def encode(self, texts: Sequence[str], *, first: bool = False) -> list[list[int]]:
        """Ids of each text, without `start` and `end`, as they are behind other words.

        `first`: as they are at the start of a sentence.
        """


class TextKind(ABC):
    """A text tower made of transformer blocks over tokens."""

    blocks: Sequence[Any]
    steps: Blocks
    width: int
    """d"""
    context: int
    """Largest number of tokens, those before and behind the name included."""
    sharing: Sharing
    tokens: Tokens

    @classmethod
    @abstractmethod
    def takes(cls, model: Any) -> bool:
        """Whether the model's text tower is of this kind; true too for one with an `obstacle`."""

    @abstractmethod
    def __init__(self, model: Any, tokenizer: Any) -> None:
        """The tower as this kind. Only called if it `takes` the model and has no `obstacle`."""

    @classmethod
    def obstacle(cls, model: Any, tokenizer: Any) -> str | None:
        """Why a tower that this kind takes cannot be prompted; None if it can."""
        return None

    @property
    @abstractmethod
    def vocabulary(self) -> Tensor:
        """(v, d) the embeddings of all tokens."""

    def words(self, ids: Tensor) -> Tensor:
        """Token vectors (..., d) of ids (...), as learned vectors stand beside them."""
        return self.vocabulary[ids]

    @abstractmethod
    def embed(self, vectors: Tensor, at: int) -> Tensor:
        """Token vectors (c, l, d) with the positions from `at` on, as the first block sees them."""

    def complete(self, x: Tensor, ids: Tensor, at: int) -> tuple[Tensor, Tensor | None]:
        """Embedded tokens (c, l, d) that end with those of `ids` (c, s), and their mask.

        The first of them has position `at`: 0, or p where the prefix is shared and x holds only
        the tokens of `ids`. A kind may append tokens of its own. The mask is boolean (True:
        attended to) or added to the scores, and spreads to (c, h, l, l); None is causal if
        `sharing` is 'prefix', else nothing is hidden.
        """
        return x, None

    @abstractmethod
    def read(self, x: Tensor, ids: Tensor) -> Tensor:
        """Features (c, e), not normalised, of the last block's output (c, l, d) for `complete`."""
