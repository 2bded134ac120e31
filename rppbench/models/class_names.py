"""Tokenised class names, and groups of similar length that need little padding.

Shapes: c classes, s tokens of the longest name with its full stop and end token.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from rppbench.contracts.towers import Tokens


class Names:
    """Tokenised class names, each as '<name>.' and the end token, without a start token.

    A `wording` other than '{}.' puts other words around the name. Name and wording are tokenised as
    one string, as CoOp does: CLIP's tokenizer merges runs of punctuation, so a name that ends in
    ')' gives one token ').'. With `stop_apart` the full stop at the end is always a token of its
    own, as in ZSSeg.
    """

    texts: tuple[str, ...]
    wording: str
    """The words around each name."""
    ids: Tensor
    """(c, s) int64 on the CPU, padded behind the ends."""
    lengths: Tensor
    """(c,) int64, end token included."""
    _ends: Tensor | None = None
    """(c,) `ends_of_names`, once it was asked for."""

    def __init__(
        self,
        names: Sequence[str],
        tokens: Tokens,
        wording: str = "{}.",
        *,
        stop_apart: bool = False,
        first: bool = False,
    ) -> None:
        """`first` says that nothing stands before the names (`Tokens.encode`)."""
        self.texts, self.wording = tuple(names), wording
        end = list(tokens.end)
        if stop_apart and wording.endswith("."):
            wording, end = wording[:-1], [*tokens.encode(["."])[0], *end]
        texts = fill_wording(wording, names)
        rows = [[*ids, *end] for ids in tokens.encode(texts, first=first)]
        self.ids, self.lengths = pad_rows(rows, tokens.pad)

    @classmethod
    def of(cls, texts: Sequence[str], ids: Tensor, lengths: Tensor, wording: str = "{}.") -> Names:
        """Names that are tokenised already: `ids` (c, s) and `lengths` (c,)."""
        names = cls.__new__(cls)
        names.texts, names.wording = tuple(texts), wording
        names.ids, names.lengths = ids, lengths
        return names

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, classes: Tensor | None) -> Names:
        """The names at the positions `classes` (k,), in that order; None keeps all."""
        if classes is None:
            return self
        rows = classes.cpu()
        texts = [self.texts[row] for row in rows.tolist()]
        return Names.of(texts, self.ids[rows], self.lengths[rows], self.wording)

    def truncate(self, room: int) -> Names:
        """The names in at most `room` tokens each, with a warning for every name that is cut.

        The tokens just before the full stop are dropped, so that every name keeps its ending.
        """
        longest = self.ids.shape[1]
        if longest <= room:
            return self
        ids, lengths = self.ids.clone(), self.lengths.clamp(max=room)
        for row in (self.lengths > room).nonzero()[:, 0].tolist():
            length = int(self.lengths[row])
            ids[row, room - 2 : room] = self.ids[row, length - 2 : length]
            warnings.warn(
                f"class name cut: {self.texts[row]!r} in {self.wording!r} takes {length} tokens"
                f" with the end token, and the text tower has room for {room} beside the prompt",
                stacklevel=2,
            )
        return Names.of(self.texts, ids[:, :room], lengths, self.wording)

    def ends_of_names(self, tokens: Tokens, *, first: bool = False) -> Tensor:
        """(c,) number of tokens up to the end of each name, before anything is truncated.

        Counted as CoOp counts them: by the tokens of the name alone, so that punctuation that
        joins the full stop belongs to the name. `first` as in `__init__`. The names are tokenised
        for it at the first call alone: a training asks at every step.
        """
        if self._ends is None:
            start = self.wording[: self.wording.index("{}") + 2]
            rows = tokens.encode(fill_wording(start, self.texts), first=first)
            counts = torch.tensor([len(row) for row in rows], dtype=torch.int64)
            self._ends = counts.minimum(self.lengths - len(tokens.end))
        return self._ends

    def with_gap(self, at: Tensor, size: int, filler: int) -> Names:
        """The rows with `size` ids `filler` inserted at the positions `at` (c,)."""
        columns = torch.arange(self.ids.shape[1] + size)[None]
        behind = columns - at[:, None]  # (c, s + size)
        ids = self.ids.gather(1, torch.where(behind < 0, columns, (columns - size).clamp(min=0)))
        ids = ids.masked_fill((behind >= 0) & (behind < size), filler)
        return Names.of(self.texts, ids, self.lengths + size, self.wording)


def fill_wording(wording: str, names: Sequence[str]) -> list[str]:
    """The wording with each name in place of its '{}'."""
    return [wording.replace("{}", name) for name in names]


def pad_rows(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows of ids as one tensor (c, s), filled with `pad`, and their lengths (c,)."""
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    ids = torch.full((len(rows), max(map(len, rows), default=0)), pad, dtype=torch.int64)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    return ids, lengths


def group_by_length(lengths: Tensor, *, shared: int, limit: int, overhead: int) -> Iterator[Tensor]:
    """Positions of `lengths` (c,), split into groups that are computed together.

    A group is padded to its longest member. Splitting by length saves padding and costs
    `overhead` (in tokens) for each group; this is the split of the lowest total cost. A group
    holds at most `limit` tokens (but at least one row), and each row counts as its padded length
    plus `shared` tokens.
    """
    order = lengths.argsort(stable=True)
    values, counts = lengths[order].unique_consecutive(return_counts=True)
    sizes, numbers = values.tolist(), counts.tolist()
    # cheapest[i]: cost of the i smallest lengths, and where their last group starts.
    cheapest = [(0, 0)]
    for end in range(1, len(sizes) + 1):
        cheapest.append(
            min(
                (cheapest[start][0] + sum(numbers[start:end]) * sizes[end - 1] + overhead, start)
                for start in range(end)
            )
        )
    bounds = [len(sizes)]
    while bounds[-1]:
        bounds.append(cheapest[bounds[-1]][1])
    bounds.reverse()
    position = 0
    for start, end in pairwise(bounds):
        group = order[position : position + sum(numbers[start:end])]
        position += len(group)
        yield from group.split(max(1, limit // (sizes[end - 1] + shared)))
