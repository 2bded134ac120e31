"""Text models of transformers behind open_clip's `HFTextEncoder`.

BERT (BiomedCLIP's PubMedBERT), RoBERTa, XLM-RoBERTa, mT5 and NLLB. All attend in both directions
and never to padding, so names of similar length are run together.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import torch
from open_clip.hf_model import HFTextEncoder
from torch import Tensor

from rppbench.contracts.towers import Blocks, Sharing, TextKind
from rppbench.models.architecture import text_part, weight_dtype
from rppbench.models.tokens import tokens_of
from rppbench.models.towers.hub_blocks import BertBlocks, M2MBlocks, T5Blocks


class HubText(TextKind):
    """What the text models of transformers have in common. `text` is open_clip's module."""

    model_types: tuple[str, ...]
    """Names of the architecture, as `config.model_type` spells them."""
    steps: Blocks
    sharing: Sharing = "length"

    @classmethod
    def takes(cls, model: Any) -> bool:
        text = text_part(model)
        return isinstance(text, HFTextEncoder) and text.config.model_type in cls.model_types

    @classmethod
    def obstacle(cls, model: Any, tokenizer: Any) -> str | None:
        if isinstance(tokens := tokens_of(tokenizer), str):
            return tokens
        text = text_part(model)
        if tokens.pad != text.config.pad_token_id:
            return (
                f"its tokenizer fills rows with token {tokens.pad}, but the model hides"
                f" {text.config.pad_token_id}"
            )
        return cls.steps.first_obstacle(cls.layers(text.transformer))

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.text = text_part(model)
        self.inner = self.text.transformer
        self.blocks = self.layers(self.inner)
        tokens = tokens_of(tokenizer)
        assert not isinstance(tokens, str), "an obstacle"
        self.tokens = tokens
        self.width = self.vocabulary.shape[1]
        self.context = min(tokenizer.context_length, self.most_positions())
        self.dtype = weight_dtype(self.inner)

    @staticmethod
    def layers(inner: Any) -> Any:
        """The blocks of transformers' module."""
        raise NotImplementedError

    @property
    def embedding(self) -> Any:
        """The module that embeds tokens."""
        return self.inner.embed_tokens

    def most_positions(self) -> int:
        """Largest number of tokens that have a position."""
        return self.text.config.max_position_embeddings

    def norm(self, x: Tensor) -> Tensor:
        """The norm behind the last block."""
        return x

    @property
    def vocabulary(self) -> Tensor:
        return self.embedding.weight

    def complete(self, x: Tensor, ids: Tensor, at: int) -> tuple[Tensor, Tensor | None]:
        return x, self.seen(x, ids)[:, None, None]

    def read(self, x: Tensor, ids: Tensor) -> Tensor:
        x = self.norm(x)
        pooler = getattr(self.inner, "pooler", None)
        own = type(self.text.pooler).__name__ == "ClsPooler" and self.text.pooler.use_pooler_output
        if own and pooler is not None:
            return self.text.proj(pooler(x))
        output = SimpleNamespace(last_hidden_state=x)
        return self.text.proj(self.text.pooler(output, self.seen(x, ids).long()))

    def seen(self, x: Tensor, ids: Tensor) -> Tensor:
        """(c, l) bool: tokens that are no padding, as the model itself has it."""
        before = ids.new_ones(len(ids), x.shape[1] - ids.shape[1], dtype=torch.bool)
        return torch.cat([before, ids != self.text.config.pad_token_id], 1).to(x.device)


class BertText(HubText):
    """BERT and RoBERTa: learned positions, and a norm before the first layer."""

    model_types = ("bert", "roberta", "xlm-roberta")
    steps = BertBlocks()

    @staticmethod
    def layers(inner: Any) -> Any:
        return inner.encoder.layer

    @property
    def embedding(self) -> Any:
        return self.inner.embeddings.word_embeddings

    @property
    def first_position(self) -> int:
        """RoBERTa counts from the id of its padding, BERT from 0."""
        return 0 if self.text.config.model_type == "bert" else self.text.config.pad_token_id + 1

    def most_positions(self) -> int:
        return super().most_positions() - self.first_position

    def embed(self, vectors: Tensor, at: int) -> Tensor:
        parts, first = self.inner.embeddings, self.first_position + at
        x = vectors.to(self.dtype) + parts.token_type_embeddings.weight[0]
        positions = parts.position_embeddings.weight[first : first + vectors.shape[1]]
        return parts.LayerNorm(x + positions)


class T5Text(HubText):
    """mT5's encoder: positions are relative and enter every attention as a bias."""

    model_types = ("mt5",)
    steps = T5Blocks()

    @staticmethod
    def layers(inner: Any) -> Any:
        return inner.block

    def most_positions(self) -> int:
        return 2**31

    def embed(self, vectors: Tensor, at: int) -> Tensor:
        return vectors.to(self.dtype)

    def complete(self, x: Tensor, ids: Tensor, at: int) -> tuple[Tensor, Tensor | None]:
        length = x.shape[1]
        bias = self.blocks[0].layer[0].SelfAttention.compute_bias(length, length, x.device)
        hidden = ~self.seen(x, ids)[:, None, None]
        return x, bias.to(x).masked_fill(hidden, -torch.inf)

    def norm(self, x: Tensor) -> Tensor:
        return self.inner.final_layer_norm(x)


class M2MText(HubText):
    """M2M100's encoder (NLLB): scaled embeddings, fixed positions, a norm at the end."""

    model_types = ("m2m_100",)
    steps = M2MBlocks()

    @staticmethod
    def layers(inner: Any) -> Any:
        return inner.layers

    def words(self, ids: Tensor) -> Tensor:
        return self.inner.embed_tokens(ids)  # scaled, as learned vectors are not

    def embed(self, vectors: Tensor, at: int) -> Tensor:
        x = vectors.to(self.dtype)
        behind = x.new_empty(1, at + x.shape[1], self.width)
        return x + self.inner.embed_positions(inputs_embeds=behind)[:, at:].to(x)

    def norm(self, x: Tensor) -> Tensor:
        return self.inner.layer_norm(x)
