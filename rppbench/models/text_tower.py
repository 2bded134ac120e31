"""Prompted encoders: the frozen towers of an open_clip model, with room for learned tokens.

Nothing here knows a method. A method says which vectors enter which block (`Prompt`); the towers
do the rest with open_clip's own modules, unchanged.

The text tower of CLIP is causal: what stands before the class name never sees the name, and what
follows the end token cannot reach it. So the start token and the learned tokens are run once,
their keys and values are kept for each block, and only '<name>.<end>' is run for each class.
This is exact in value and in gradient.

Shapes: b images, c classes, p prefix tokens, s suffix tokens, l tokens, n learned tokens, d width,
h heads, e embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rppbench.contracts.prompts import Prompt
from rppbench.errors import UsageError
from rppbench.models.blocks import Leave, attend_behind, enter, leave, project, unit, wide
from rppbench.models.memory import warn_of
from rppbench.models.support import (
    is_causal,
    text_obstacle,
    text_part,
    weight_dtype,
)
from rppbench.models.tokens import Names, Tokenizer, chunks, fill


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the tokens that all classes share, one pair a block: (1, h, p, d/h)."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def tokens(self) -> int:
        return self.keys[0].shape[2]


class TextTower:
    """Class names behind learned tokens, or in fixed wordings, to unit features."""

    chunk_tokens: int = 8192
    """Classes are run in groups of at most this many tokens."""
    checkpoint: bool | Literal["auto"] = "auto"
    """Forget the activations of a group and compute them again in the backward pass, so that
    memory stays that of one group; 'auto' does it when the tokens that are run for each class
    (a shared prefix is not) exceed `chunk_tokens` in all."""

    def __init__(self, model: Any, tokenizer: Tokenizer, name: str = "this backbone") -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.text = text_part(model)
        self.obstacle = text_obstacle(model, tokenizer)
        """Why the tower cannot be prompted; None if it can."""
        self.leave: Leave = leave
        self.causal = self.obstacle is None and is_causal(self.text)

    def encode(
        self,
        prompt: Prompt,
        names: Names,
        classes: Tensor | None = None,
        *,
        plain: bool = False,
        raw: bool = False,
    ) -> Tensor:
        """Unit features (k, e) of the names at `classes` (None: all) behind the prompt.

        With `raw`, features as long as they are. `plain` runs every class in the full context, the
        published way. UsageError if the tower cannot be prompted, or if the prompt leaves no room
        for a name.
        """
        final = wide if raw else unit
        self._require()
        p = 1 + prompt.input.shape[-2]
        room = self.text.context_length - p
        if room < 3:  # a token of the name, the full stop, the end token
            raise UsageError(
                f"a prompt of {p - 1} tokens leaves no room for a class name: the text tower of"
                f" {self.name} takes {self.text.context_length} tokens in all"
            )
        contexts = prompt.input
        if contexts.ndim == 3 and classes is not None:
            contexts = contexts[classes.to(contexts.device)]
        names = names.select(classes).fit(room)
        if plain or not self.causal:
            ids = F.pad(names.ids, (0, room - names.ids.shape[1]))
            return final(self._whole(ids, contexts, prompt))
        if contexts.ndim == 3:
            return final(
                self._grouped(names, p, lambda ids, at: self._whole(ids, contexts[at], prompt))
            )
        prefix = self._prefix(prompt)
        return final(self._grouped(names, p, lambda ids, _: self._suffix(ids, prefix), shared=True))

    def shrink(self) -> bool:
        """Halve the groups; False where each holds one class already."""
        if self.chunk_tokens <= 1:
            return False
        self.chunk_tokens //= 2
        warn_of(self.chunk_tokens, "tokens of class names")
        return True

    def encode_each(self, contexts: Tensor, names: Names, classes: Tensor | None = None) -> Tensor:
        """Unit features (b, k, e) of the names behind each of the contexts (b, n, d)."""
        return torch.stack([self.encode(Prompt(own), names, classes) for own in contexts])

    def words(self, text: str) -> Tensor:
        """Frozen embeddings (n, d) of a text's tokens, float32. UsageError like `encode`."""
        self._require()
        ids = torch.tensor(self.tokenizer.encode(text), dtype=torch.int64)
        embedding = self.text.token_embedding.weight
        return embedding[ids.to(embedding.device)].detach().float()

    @torch.no_grad()
    def templates(
        self, names: Sequence[str], wordings: Sequence[str], *, raw: bool = False
    ) -> Tensor:
        """Unit features (c, e): the normalised mean over the wordings of unit features.

        With `raw`, of features as long as they are. Texts without a prompt are all that a tower
        that cannot be prompted is asked for; it uses its own `encode_text`.
        """
        features = torch.stack([self.sentences(fill(wording, names)) for wording in wordings])
        return unit((wide(features) if raw else unit(features)).mean(0))

    def _require(self) -> None:
        if self.obstacle:
            raise UsageError(f"the text tower of {self.name} cannot be prompted: {self.obstacle}")

    def sentences(self, texts: list[str]) -> Tensor:
        """Features (c, e) of whole sentences, as long as they are."""
        rows = self.tokenizer(texts)  # (c, context)
        if not self.causal:
            device = next(self.model.parameters()).device
            size = max(1, self.chunk_tokens // rows.shape[1])
            parts = [self.model.encode_text(part.to(device)) for part in rows.split(size)]
            return torch.cat(parts)
        ends = rows.argmax(-1)  # the end token has the highest id
        sentences = Names.of(texts, rows[:, 1 : int(ends.max()) + 1], ends)
        embedding = self.text.token_embedding.weight
        prefix = self._prefix(Prompt(embedding.new_empty(0, embedding.shape[1])))
        return self._grouped(sentences, 1, lambda ids, _: self._suffix(ids, prefix), shared=True)

    def _grouped(
        self,
        names: Names,
        p: int,
        run: Callable[[Tensor, Tensor], Tensor],
        *,
        shared: bool = False,
    ) -> Tensor:
        """Features (c, e) of all names from `run(ids, rows)` on groups of like length."""
        on_cpu = self.text.token_embedding.weight.device.type == "cpu"
        # A group costs the launch of its kernels: worth few tokens on a CPU, many on a GPU.
        overhead = 64 if on_cpu else 2048
        groups = list(chunks(names.lengths, shared=p, limit=self.chunk_tokens, overhead=overhead))
        again = self.checkpoint
        if again == "auto":
            run_for_each = int(names.lengths.sum()) + (0 if shared else p * len(names))
            again = run_for_each > self.chunk_tokens
        parts = []
        for rows in groups:
            ids = names.ids[rows, : int(names.lengths[rows].max())]
            if again and torch.is_grad_enabled():
                part = checkpoint(run, ids, rows, use_reentrant=False, preserve_rng_state=False)
            else:
                part = run(ids, rows)
            parts.append(part)
        return torch.cat(parts)[torch.cat(groups).argsort()]

    def _prefix(self, prompt: Prompt) -> Prefix:
        """Run what stands before every class name once."""
        x = self._embed(self._start, prompt.input[None])  # (1, p, d)
        keys, values = [], []
        for i, block in enumerate(self.text.transformer.resblocks):
            x, *inputs = enter(block, i, x, prompt, slot=1)
            q, k, v = project(block.attn, *inputs)
            keys.append(k)
            values.append(v)
            x = self.leave(block, x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return Prefix(tuple(keys), tuple(values))

    def _suffix(self, ids: Tensor, prefix: Prefix) -> Tensor:
        """Features (c, e) of ids (c, s) that end in the end token, behind the prefix."""
        x = self._embed(ids, at=prefix.tokens)
        blocks = zip(self.text.transformer.resblocks, prefix.keys, prefix.values, strict=True)
        for block, keys, values in blocks:
            y = block.ln_1(x)
            x = self.leave(block, x, attend_behind(*project(block.attn, y, y, y), keys, values))
        return self._read(x, ids.argmax(-1))

    def _whole(self, ids: Tensor, contexts: Tensor, prompt: Prompt) -> Tensor:
        """Features (c, e) of ids (c, s) behind contexts (n, d) or (c, n, d), all in full."""
        c, p = len(ids), 1 + contexts.shape[-2]
        x = self._embed(self._start.expand(c, -1), contexts.expand(c, -1, -1), ids)
        for i, block in enumerate(self.text.transformer.resblocks):
            x, *inputs = enter(block, i, x, prompt, slot=1)
            q, k, v = project(block.attn, *inputs)
            x = self.leave(block, x, F.scaled_dot_product_attention(q, k, v, is_causal=self.causal))
        return self._read(x, p + ids.argmax(-1))

    @property
    def _start(self) -> Tensor:
        return torch.tensor([[self.tokenizer.sot_token_id]])

    def _embed(self, *parts: Tensor, at: int = 0) -> Tensor:
        """Ids (c, l) and vectors (c, l, d) in a row, with the positions from `at` on added."""
        embedding, dtype = self.text.token_embedding, weight_dtype(self.text.transformer)
        device = embedding.weight.device
        vectors = [
            (part.to(device) if part.is_floating_point() else embedding(part.to(device))).to(dtype)
            for part in parts
        ]
        x = torch.cat(vectors, 1)
        return x + self.text.positional_embedding[at : at + x.shape[1]].to(dtype)

    def _read(self, x: Tensor, ends: Tensor) -> Tensor:
        """Features (c, e) at the end tokens of (c, l, d)."""
        ends = ends.to(x.device)
        x = self.text.ln_final(x[torch.arange(len(x), device=x.device), ends])
        projection = self.text.text_projection
        if isinstance(projection, nn.Linear):
            x = projection(x)
        elif projection is not None:
            x = x @ projection
        return x
