"""The frozen text tower: learned tokens enter behind the start token and in each block.

`TextTower._embed` puts `Prompt.input` between the start token and the class name, and
`prompt_insertion.insert_prompt` writes the vectors for each block into those rows.

CLIP's text tower is causal: tokens before the class name never attend to the name, and tokens after
the end token cannot affect it. So the prefix (the start token and the learned tokens) is run once,
and its keys and values are kept for each block; for each class only the suffix, '<name>.<end>', is
run. This is exact in value and in gradient.

Shapes: c classes, k selected classes, b contexts, p prefix tokens, s suffix tokens, l tokens,
n learned tokens, d width, h heads, e embedding.
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
from rppbench.models.architecture import is_causal, text_obstacle, text_part, weight_dtype
from rppbench.models.blocks import (
    FinishBlock,
    at_least_float32,
    attend_with_prefix,
    finish_block,
    normalise,
    project_qkv,
)
from rppbench.models.class_names import Names, Tokenizer, fill_wording, group_by_length
from rppbench.models.out_of_memory import warn_of_smaller_groups
from rppbench.models.prompt_insertion import insert_prompt


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the tokens that all classes share, one pair per block: (1, h, p, d/h)."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def tokens(self) -> int:
        """p, the length of the prefix."""
        return self.keys[0].shape[2]


class TextTower:
    """Encodes class names, behind learned tokens or in fixed wordings, as unit features."""

    chunk_tokens: int = 8192
    """Classes are run in groups of at most this many tokens."""
    checkpoint: bool | Literal["auto"] = "auto"
    """Whether the activations of a group are dropped and computed again in the backward pass, so
    that only one group's are in memory; 'auto' does so if the tokens of all classes, without a
    shared prefix, exceed `chunk_tokens`."""

    def __init__(self, model: Any, tokenizer: Tokenizer, name: str = "this backbone") -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.module = text_part(model)
        """open_clip's module with the tower's embeddings, transformer and projection."""
        self.obstacle = text_obstacle(model, tokenizer)
        """Why the tower cannot be prompted; None if it can."""
        self.finish_block: FinishBlock = finish_block
        self.causal = self.obstacle is None and is_causal(self.module)

    def encode(
        self,
        prompt: Prompt,
        names: Names,
        classes: Tensor | None = None,
        *,
        plain: bool = False,
        raw: bool = False,
    ) -> Tensor:
        """Unit features (k, e) of the names at `classes` (k,) (None: all) behind the prompt.

        With `raw`, the features are not normalised. `plain` runs every class in the full context,
        as the published code does. UsageError if the tower cannot be prompted, or if the prompt
        leaves no room for a name.
        """
        finish = at_least_float32 if raw else normalise
        self._require_promptable()
        p = 1 + prompt.input.shape[-2]
        room = self.module.context_length - p
        if room < 3:  # a token of the name, the full stop, the end token
            raise UsageError(
                f"a prompt of {p - 1} tokens leaves no room for a class name: the text tower of"
                f" {self.name} takes {self.module.context_length} tokens in total"
            )
        contexts = prompt.input
        if contexts.ndim == 3 and classes is not None:
            contexts = contexts[classes.to(contexts.device)]
        names = names.select(classes).truncate(room)
        if plain or not self.causal:
            ids = F.pad(names.ids, (0, room - names.ids.shape[1]))
            return finish(self._run_unshared(ids, contexts, prompt))
        if contexts.ndim == 3:
            return finish(
                self._run_in_groups(
                    names, p, lambda ids, rows: self._run_unshared(ids, contexts[rows], prompt)
                )
            )
        prefix = self._run_prefix(prompt)
        return finish(
            self._run_in_groups(
                names, p, lambda ids, _: self._run_suffixes(ids, prefix), shared=True
            )
        )

    def shrink(self) -> bool:
        """Halve `chunk_tokens`; False if each group holds one class already."""
        if self.chunk_tokens <= 1:
            return False
        self.chunk_tokens //= 2
        warn_of_smaller_groups(self.chunk_tokens, "tokens of class names")
        return True

    def encode_each(self, contexts: Tensor, names: Names, classes: Tensor | None = None) -> Tensor:
        """Unit features (b, k, e) of the names behind each of the contexts (b, n, d).

        UsageError as in `encode`.
        """
        return torch.stack([self.encode(Prompt(context), names, classes) for context in contexts])

    def embed_words(self, text: str) -> Tensor:
        """Frozen token embeddings (n, d) of a text, float32. UsageError as in `encode`."""
        self._require_promptable()
        ids = torch.tensor(self.tokenizer.encode(text), dtype=torch.int64)
        embedding = self.module.token_embedding.weight
        return embedding[ids.to(embedding.device)].detach().float()

    @torch.no_grad()
    def encode_templates(
        self, names: Sequence[str], wordings: Sequence[str], *, raw: bool = False
    ) -> Tensor:
        """Unit features (c, e) of names: the mean of unit features over wordings, normalised.

        With `raw`, the mean is taken over features that are not normalised. Any tower can do this;
        a tower that cannot be prompted uses its own `encode_text`.
        """
        features = torch.stack(
            [self.encode_sentences(fill_wording(wording, names)) for wording in wordings]
        )
        return normalise((at_least_float32(features) if raw else normalise(features)).mean(0))

    def encode_sentences(self, texts: list[str]) -> Tensor:
        """Features (c, e) of complete sentences, without a prompt, not normalised."""
        rows = self.tokenizer(texts)  # (c, context)
        if not self.causal:
            device = next(self.model.parameters()).device
            size = max(1, self.chunk_tokens // rows.shape[1])
            parts = [self.model.encode_text(part.to(device)) for part in rows.split(size)]
            return torch.cat(parts)
        ends = rows.argmax(-1)  # the end token has the highest id
        sentences = Names.of(texts, rows[:, 1 : int(ends.max()) + 1], ends)
        embedding = self.module.token_embedding.weight
        prefix = self._run_prefix(Prompt(embedding.new_empty(0, embedding.shape[1])))
        return self._run_in_groups(
            sentences, 1, lambda ids, _: self._run_suffixes(ids, prefix), shared=True
        )

    def _require_promptable(self) -> None:
        if self.obstacle:
            raise UsageError(f"the text tower of {self.name} cannot be prompted: {self.obstacle}")

    def _run_in_groups(
        self,
        names: Names,
        p: int,
        run: Callable[[Tensor, Tensor], Tensor],
        *,
        shared: bool = False,
    ) -> Tensor:
        """Features (c, e) of all names, by `run(ids, rows)` on groups of similar length.

        `shared` says that the prefix of `p` tokens is not run again for each class.
        """
        on_cpu = self.module.token_embedding.weight.device.type == "cpu"
        # A group costs the launch of its kernels: few tokens' time on a CPU, many tokens' on a GPU.
        overhead = 64 if on_cpu else 2048
        groups = list(
            group_by_length(names.lengths, shared=p, limit=self.chunk_tokens, overhead=overhead)
        )
        recompute = self.checkpoint
        if recompute == "auto":
            run_for_each = int(names.lengths.sum()) + (0 if shared else p * len(names))
            recompute = run_for_each > self.chunk_tokens
        parts = []
        for rows in groups:
            ids = names.ids[rows, : int(names.lengths[rows].max())]
            if recompute and torch.is_grad_enabled():
                part = checkpoint(run, ids, rows, use_reentrant=False, preserve_rng_state=False)
            else:
                part = run(ids, rows)
            parts.append(part)
        return torch.cat(parts)[torch.cat(groups).argsort()]

    def _run_prefix(self, prompt: Prompt) -> Prefix:
        """Run the prefix of all class names once; returns its keys and values."""
        x = self._embed(self._start, prompt.input[None])  # (1, p, d)
        keys, values = [], []
        for i, block in enumerate(self.module.transformer.resblocks):
            x, *inputs = insert_prompt(block, i, x, prompt, slot=1)
            q, k, v = project_qkv(block.attn, *inputs)
            keys.append(k)
            values.append(v)
            heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = self.finish_block(block, x, heads)
        return Prefix(tuple(keys), tuple(values))

    def _run_suffixes(self, ids: Tensor, prefix: Prefix) -> Tensor:
        """Features (c, e) of ids (c, s) that end in the end token, behind the prefix."""
        x = self._embed(ids, at=prefix.tokens)
        blocks = zip(self.module.transformer.resblocks, prefix.keys, prefix.values, strict=True)
        for block, keys, values in blocks:
            y = block.ln_1(x)
            heads = attend_with_prefix(*project_qkv(block.attn, y, y, y), keys, values)
            x = self.finish_block(block, x, heads)
        return self._read_features(x, ids.argmax(-1))

    def _run_unshared(self, ids: Tensor, contexts: Tensor, prompt: Prompt) -> Tensor:
        """Features (c, e) of ids (c, s) behind contexts (n, d) or (c, n, d), each run in full."""
        c, p = len(ids), 1 + contexts.shape[-2]
        x = self._embed(self._start.expand(c, -1), contexts.expand(c, -1, -1), ids)
        for i, block in enumerate(self.module.transformer.resblocks):
            x, *inputs = insert_prompt(block, i, x, prompt, slot=1)
            q, k, v = project_qkv(block.attn, *inputs)
            heads = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
            x = self.finish_block(block, x, heads)
        return self._read_features(x, p + ids.argmax(-1))

    @property
    def _start(self) -> Tensor:
        """(1, 1) id of the start token."""
        return torch.tensor([[self.tokenizer.sot_token_id]])

    def _embed(self, *parts: Tensor, at: int = 0) -> Tensor:
        """Token ids (c, l) and vectors (c, l, d) joined, with positions from `at` on: (c, l, d)."""
        embedding, dtype = self.module.token_embedding, weight_dtype(self.module.transformer)
        device = embedding.weight.device
        vectors = [
            (part.to(device) if part.is_floating_point() else embedding(part.to(device))).to(dtype)
            for part in parts
        ]
        x = torch.cat(vectors, 1)
        return x + self.module.positional_embedding[at : at + x.shape[1]].to(dtype)

    def _read_features(self, x: Tensor, ends: Tensor) -> Tensor:
        """Features (c, e) at the end tokens `ends` (c,) of x (c, l, d)."""
        ends = ends.to(x.device)
        x = self.module.ln_final(x[torch.arange(len(x), device=x.device), ends])
        projection = self.module.text_projection
        if isinstance(projection, nn.Linear):
            x = projection(x)
        elif projection is not None:
            x = x @ projection
        return x
