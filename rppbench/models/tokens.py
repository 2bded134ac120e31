"""What rows of tokens a tokenizer makes: which ids stand before and behind a text, and which fill.

Two kinds of tokenizers serve open_clip's models: CLIP's own (`SimpleTokenizer`, and any with the
same attributes) and those of transformers (`HFTokenizer`). Both give the ids of a text without
truncation, so that a name can be cut where a prompt leaves room for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from rppbench.contracts.towers import Tokens


class Tokenizer(Protocol):
    """The interface that all tokenizers of open_clip share."""

    context_length: int

    def __call__(self, texts: list[str]) -> Tensor:
        """(c, context_length) ids of the texts, filled behind their ends."""


class ClipTokens:
    """The ids of CLIP's own tokenizer, which are the same wherever a word stands."""

    start: Sequence[int]
    end: Sequence[int]
    pad = 0
    alike = True

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.start, self.end = (tokenizer.sot_token_id,), (tokenizer.eot_token_id,)

    def encode(self, texts: Sequence[str], *, first: bool = False) -> list[list[int]]:
        return [self.tokenizer.encode(text) for text in texts]


class HubTokens:
    """The ids of a tokenizer of transformers, as open_clip's `HFTokenizer` uses it."""

    start: Sequence[int]
    end: Sequence[int]

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        inner = tokenizer.tokenizer
        (bare,) = inner(["a"], add_special_tokens=False).input_ids
        (row,) = inner(["a"]).input_ids
        at = next(i for i in range(len(row)) if row[i : i + len(bare)] == bare)
        self.start, self.end = tuple(row[:at]), tuple(self._seen(row[at + len(bare) :]))
        self.pad = int(inner.pad_token_id)
        self._one = bare
        both, second = self._bare(["a b", "b"])
        self.alike = both == [*bare, *second]

    def encode(self, texts: Sequence[str], *, first: bool = False) -> list[list[int]]:
        if first or self.alike or not texts:
            return self._bare(texts)
        return [ids[len(self._one) :] for ids in self._bare([f"a {text}" for text in texts])]

    def _bare(self, texts: Sequence[str]) -> list[list[int]]:
        cleaned = [self.tokenizer.clean_fn(text) for text in texts]
        if not cleaned:
            return []
        return self.tokenizer.tokenizer(cleaned, add_special_tokens=False).input_ids

    def _seen(self, ids: list[int]) -> list[int]:
        """The ids as the model gets them: CLIPA's has a zero for the separator."""
        if not getattr(self.tokenizer, "strip_sep_token", False):
            return ids
        return [0 if one == self.tokenizer.tokenizer.sep_token_id else one for one in ids]


def tokens_of(tokenizer: Any) -> Tokens | str:
    """The ids that a tokenizer makes, or why they are unknown."""
    if hasattr(tokenizer, "sot_token_id") and hasattr(tokenizer, "encode"):
        return ClipTokens(tokenizer)
    if hasattr(tokenizer, "tokenizer") and hasattr(tokenizer, "clean_fn"):
        if mode := getattr(tokenizer, "tokenizer_mode", ""):
            return f"its tokenizer works in the mode {mode!r}, which is not supported"
        if tokenizer.tokenizer.pad_token_id is None:
            return "its tokenizer has no token that fills a row"
        if tokenizer.tokenizer.padding_side != "right":
            return "its tokenizer fills rows from the left"
        return HubTokens(tokenizer)
    return f"its tokenizer is a {type(tokenizer).__name__}, neither CLIP's own nor transformers'"
