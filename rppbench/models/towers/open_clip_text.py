"""open_clip's own text transformer: CLIP, and with other masks and readings SigLIP and CoCa."""

from __future__ import annotations

from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import torch
from open_clip.transformer import TextTransformer
from torch import Tensor, nn

from rppbench.contracts.towers import Sharing, TextKind
from rppbench.models.architecture import is_causal, text_part, weight_dtype
from rppbench.models.tokens import tokens_of
from rppbench.models.towers.open_clip_blocks import open_clip_blocks


class OpenClipText(TextKind):
    """Token and position embeddings, and a feature read from one of the tokens."""

    @classmethod
    def takes(cls, model: Any) -> bool:
        text = text_part(model)
        # `CLIP` takes over the parts of a TextTransformer and drops the object itself.
        return type(text) is TextTransformer or (
            text is model and hasattr(getattr(text, "transformer", None), "resblocks")
        )

    @classmethod
    def obstacle(cls, model: Any, tokenizer: Any) -> str | None:
        if isinstance(tokens := tokens_of(tokenizer), str):
            return tokens
        text = text_part(model)
        pool = pool_type(text)
        if pool not in ("argmax", "eos", "last", "first"):
            return f"it reads its feature from {pool!r}, not from one token"
        if pool == "eos" and end_id(text) not in tokens.end:
            return f"it reads its feature at token {end_id(text)}, which its tokenizer never sets"
        if pool == "argmax" and max(tokens.end, default=-1) < max(tokens.start, default=-1):
            return "it reads its feature at the highest id, which its tokenizer sets at the start"
        blocks = text.transformer.resblocks
        return open_clip_blocks(blocks).first_obstacle(blocks)

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.text = text_part(model)
        self.blocks = self.text.transformer.resblocks
        self.steps = open_clip_blocks(self.blocks)
        tokens = tokens_of(tokenizer)
        assert not isinstance(tokens, str), "an obstacle"
        self.tokens = tokens
        self.width = self.text.token_embedding.embedding_dim
        self.context = self.text.context_length
        self.pool, self.causal = pool_type(self.text), is_causal(self.text)
        self.sharing = self._sharing()

    def _sharing(self) -> Sharing:
        if self.pool in ("last", "first"):  # `last` is behind the padding, `first` before the name
            return "never"
        if self.causal:
            return "prefix"
        return "length" if getattr(self.text, "use_pad_mask", False) else "never"

    @property
    def vocabulary(self) -> Tensor:
        return self.text.token_embedding.weight

    def words(self, ids: Tensor) -> Tensor:
        return self.text.token_embedding(ids)

    def embed(self, vectors: Tensor, at: int) -> Tensor:
        dtype = weight_dtype(self.text.transformer)
        x = vectors.to(dtype)
        return x + self.text.positional_embedding[at : at + x.shape[1]].to(dtype)

    def complete(self, x: Tensor, ids: Tensor, at: int) -> tuple[Tensor, Tensor | None]:
        if getattr(self.text, "use_pad_mask", False):
            before = ids.new_ones(len(ids), x.shape[1] - ids.shape[1], dtype=torch.bool)
            seen = torch.cat([before, ids != self.text.pad_id], 1).to(x.device)
            return x, seen[:, None, None]
        if self.causal and self.sharing != "prefix":
            return x, torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        return x, None

    def read(self, x: Tensor, ids: Tensor) -> Tensor:
        if self.pool == "first":
            rows = torch.zeros(len(x), dtype=torch.int64)
        elif self.pool == "last":
            rows = torch.full((len(x),), x.shape[1] - 1)
        else:
            ends = ids if self.pool == "argmax" else ids.eq(end_id(self.text)).int()
            rows = x.shape[1] - ids.shape[1] + ends.argmax(-1)
        return self.project(x[torch.arange(len(x), device=x.device), rows.to(x.device)])

    def project(self, x: Tensor) -> Tensor:
        """Features (c, e) of the tokens (c, d) that they are read from."""
        x = self.text.ln_final(x)
        projection = self.text.text_projection
        if isinstance(projection, nn.Linear):
            x = projection(x)
        elif projection is not None:
            x = x @ projection
        return x


class CocaText(OpenClipText):
    """CoCa: a class token behind the padding reads the text.

    It stands at the last position whatever the length of the text, so the padding before it can be
    left out, but for one token of it: by a mask that is off by one, which its weights were trained
    with, the class token attends to the first token of padding, and not to itself.
    """

    @classmethod
    def takes(cls, model: Any) -> bool:
        return super().takes(model) and getattr(text_part(model), "cls_emb", None) is not None

    @classmethod
    def obstacle(cls, model: Any, tokenizer: Any) -> str | None:
        if not is_causal(text_part(model)):
            return "its class token reads a text that is not causal"
        if isinstance(tokens := tokens_of(tokenizer), str):
            return tokens
        blocks = text_part(model).transformer.resblocks
        return open_clip_blocks(blocks).first_obstacle(blocks)

    def _sharing(self) -> Sharing:
        return "prefix"

    def complete(self, x: Tensor, ids: Tensor, at: int) -> tuple[Tensor, Tensor | None]:
        text, device = self.text, x.device
        ids = ids.to(device)
        before, length = x.shape[1] - ids.shape[1], at + x.shape[1]
        if length < self.context:
            padding = torch.full((len(ids), 1), text.pad_id, device=device)
            ids = torch.cat([ids, padding], 1)
            x = torch.cat([x, self.embed(self.words(padding), length)], 1)
        reader = (text.cls_emb + text.positional_embedding[-1]).to(x).expand(len(x), 1, -1)
        x = torch.cat([x, reader], 1)
        filled = ids != text.pad_id  # (c, s)
        if text.correct_cls_mask:
            seen = [filled.new_ones(len(ids), before), filled, filled.new_ones(len(ids), 1)]
        else:
            full = filled[:, -1:] & (before + at + ids.shape[1] >= self.context)
            seen = [filled.new_ones(len(ids), before + 1), filled[:, :-1], full]
        causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=device).tril()
        return x, causal & torch.cat(seen, 1)[:, None, None]

    def read(self, x: Tensor, ids: Tensor) -> Tensor:
        return self.project(x[:, -1])


def pool_type(text: Any) -> str:
    """Which token the feature is read from, as open_clip spells it."""
    return getattr(text, "pool_type", None) or text.text_pool_type


def end_id(text: Any) -> int:
    """Id of the token that the pooling 'eos' looks for."""
    own = getattr(text, "eos_id", None)
    return text.text_eos_id if own is None else own
