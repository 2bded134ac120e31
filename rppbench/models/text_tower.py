"""The frozen text tower: learned tokens enter behind the start token and in each block.

`TextTower` puts `Prompt.input` between the start token and the class name, and
`blocks.enter_block` writes the vectors for each block into those rows. How the modules compute, and
which work the classes may share, is up to the tower's kind (`contracts.towers.TextKind`).

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
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rppbench.contracts.prompts import Prompt
from rppbench.contracts.towers import TextKind
from rppbench.errors import UsageError
from rppbench.models.blocks import (
    FinishBlock,
    at_least_float32,
    attend_with_prefix,
    enter_block,
    finish_block,
    leave_block,
    normalise,
    run_block,
)
from rppbench.models.class_names import Names, fill_wording, group_by_length
from rppbench.models.out_of_memory import warn_of_smaller_groups
from rppbench.models.tokens import Tokenizer
from rppbench.models.towers.kinds import Kind, text_kind


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the tokens that all classes share, one pair per block: (b, h, p, d/h).

    b is 1, or the number of contexts that the same classes are run behind.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    suffix: Prompt
    """What the prompt does to the tokens behind the prefix: its adapters, no vectors."""

    @property
    def tokens(self) -> int:
        """p, the length of the prefix."""
        return self.keys[0].shape[2]

    @property
    def contexts(self) -> int:
        """b, the number of contexts."""
        return self.keys[0].shape[0]


class TextTower:
    """Encodes class names, behind learned tokens or in fixed wordings, as unit features."""

    chunk_tokens: int = 8192
    """Classes are run in groups of at most this many tokens."""
    checkpoint: bool | Literal["auto"] = "auto"
    """Whether the activations of a group are dropped and computed again in the backward pass, so
    that only one group's are in memory; 'auto' does so if the tokens of all classes, without a
    shared prefix, exceed `chunk_tokens`."""

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        name: str = "this backbone",
        kinds: Sequence[Kind] = (),
    ) -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name
        kind = text_kind(model, tokenizer, kinds)
        self.obstacle = kind if isinstance(kind, str) else None
        """Why the tower cannot be prompted; None if it can."""
        self._kind = None if isinstance(kind, str) else kind
        self.finish_block: FinishBlock = finish_block

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
        kind = self.kind
        p = len(kind.tokens.start) + prompt.input.shape[-2]
        after = 0 if prompt.after_name is None else prompt.after_name.shape[-2]
        room = self._room(prompt.input.shape[-2], after)
        first = not prompt.input.shape[-2] and not kind.tokens.alike
        if first:
            names = Names(names.texts, kind.tokens, names.wording, first=True)
        if classes is not None and prompt.class_specific:
            prompt = prompt.of_classes(classes)
        if prompt.after_name is None:
            gaps, names = None, names.select(classes).truncate(room)
        else:
            name_ends = names.ends_of_names(kind.tokens, first=first)
            if classes is not None:
                name_ends = name_ends[classes.cpu()]
            gaps, names = self._leave_gaps(names.select(classes), name_ends, after, room)
        if plain or kind.sharing == "never":
            ids = F.pad(names.ids, (0, room - names.ids.shape[1]), value=kind.tokens.pad)
            if plain:
                return finish(self._run_unshared(ids, prompt, gaps))
            ends = torch.full_like(names.lengths, room)
            names = Names.of(names.texts, ids, ends, names.wording)
        if prompt.class_specific or kind.sharing != "prefix":
            return finish(
                self._run_in_groups(
                    names,
                    p,
                    lambda ids, rows: self._run_unshared(
                        ids, prompt.of_classes(rows), None if gaps is None else gaps[rows]
                    ),
                )
            )
        prefix = self._run_prefix(prompt)

        def behind_prefix(ids: Tensor, rows: Tensor) -> Tensor:
            words = self._fill_gaps(ids, prompt, None if gaps is None else gaps[rows])
            return self._run_suffixes(ids, words, prefix)

        return finish(self._run_in_groups(names, p, behind_prefix, shared=True))

    def _room(self, length: int, after: int = 0) -> int:
        """Tokens that are left for a name behind `length` learned ones and before `after` more.

        Those after it are not subtracted. UsageError if a name has no room.
        """
        room = self.kind.context - len(self.kind.tokens.start) - length
        if room - after < 3:  # a token of the name, the full stop, the end token
            raise UsageError(
                f"a prompt of {length + after} tokens leaves no room for a class name: the"
                f" text tower of {self.name} takes {self.kind.context} tokens in total"
            )
        return room

    def _leave_gaps(
        self, names: Names, name_ends: Tensor, size: int, room: int
    ) -> tuple[Tensor, Names]:
        """Positions (c,) of gaps of `size` tokens behind the names, and the names with the gaps.

        Names end at `name_ends` (c,), before they are cut to the room.
        """
        cut = names.lengths > room - size
        at = torch.where(cut, name_ends.clamp(max=room - size - 2), name_ends)
        filler = self.kind.tokens.encode(["x"])[0][0]  # neither padding nor an end token
        return at, names.truncate(room - size).with_gap(at, size, filler)

    def _fill_gaps(self, ids: Tensor, prompt: Prompt, gaps: Tensor | None) -> Tensor:
        """Ids (c, s), or their vectors (c, s, d) with learned tokens in gaps that begin at (c,)."""
        if gaps is None or prompt.after_name is None:
            return ids
        words = self.kind.words(ids.to(self.kind.vocabulary.device))
        learned = prompt.after_name.to(words).expand(len(ids), -1, -1)
        columns = torch.arange(ids.shape[1])[None] - gaps[:, None]  # (c, s)
        inside = (columns >= 0) & (columns < learned.shape[1])
        rows = columns.clamp(0, learned.shape[1] - 1).to(words.device)
        spread = learned.gather(1, rows[..., None].expand(-1, -1, learned.shape[2]))
        return torch.where(inside[..., None].to(words.device), spread, words)

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
        kind, length = self.kind, contexts.shape[1]
        if kind.sharing != "prefix" or not length:
            each = [self.encode(Prompt(context), names, classes) for context in contexts]
            return torch.stack(each)
        names = names.select(classes).truncate(self._room(length))
        p = len(kind.tokens.start) + length
        parts = []
        for part in contexts.split(self.contexts_at_once(names)):
            prefix = self._run_prefix(Prompt(part[0]), part)

            def behind(ids: Tensor, _: Tensor, prefix: Prefix = prefix) -> Tensor:
                return self._run_suffixes(ids, ids, prefix)

            parts.append(self._run_in_groups(names, p, behind, shared=True, contexts=len(part)))
        return normalise(torch.cat(parts))

    def contexts_at_once(self, names: Names) -> int:
        """How many contexts the names are run behind together: their tokens fit into a group."""
        return max(1, self.chunk_tokens // max(1, int(names.lengths.sum())))

    def embed_words(self, text: str) -> Tensor:
        """Frozen token embeddings (n, d) of a text, float32. UsageError as in `encode`."""
        kind = self.kind
        ids = torch.tensor(kind.tokens.encode([text], first=True)[0], dtype=torch.int64)
        return kind.words(ids.to(kind.vocabulary.device)).detach().float()

    @torch.no_grad()
    def encode_templates(
        self,
        names: Sequence[str],
        wordings: Sequence[str],
        *,
        raw: bool = False,
        unit: bool = True,
    ) -> Tensor:
        """Unit features (c, e) of names: the mean of unit features over wordings, normalised.

        With `raw`, the mean is taken over features that are not normalised; without `unit`, that
        mean is returned, of any length. Any tower can do this;
        a tower that cannot be prompted uses its own `encode_text`.
        """
        features = torch.stack(
            [self.encode_sentences(fill_wording(wording, names)) for wording in wordings]
        )
        if not unit:
            return at_least_float32(features).mean(0)
        return normalise((at_least_float32(features) if raw else normalise(features)).mean(0))

    def encode_sentences(self, texts: list[str]) -> Tensor:
        """Features (c, e) of complete sentences, without a prompt, not normalised."""
        rows = self.tokenizer(texts)  # (c, context)
        kind = self._kind
        if kind is None or kind.sharing != "prefix" or not kind.tokens.end:
            return self._encode_by_model(rows)
        start = len(kind.tokens.start)
        lengths = (rows[:, start:] == kind.tokens.end[-1]).int().argmax(-1) + 1
        sentences = Names.of(texts, rows[:, start : start + int(lengths.max())], lengths)
        vocabulary = kind.vocabulary
        prefix = self._run_prefix(Prompt(vocabulary.new_empty(0, vocabulary.shape[1])))
        return self._run_in_groups(
            sentences, start, lambda ids, _: self._run_suffixes(ids, ids, prefix), shared=True
        )

    def _encode_by_model(self, rows: Tensor) -> Tensor:
        """Features (c, e) of rows (c, context) by the model's own `encode_text`."""
        device = next(self.model.parameters()).device
        if self._kind is not None and self._kind.sharing == "length":
            rows = rows[:, : int((rows != self._kind.tokens.pad).sum(1).max())]
        size = max(1, self.chunk_tokens // rows.shape[1])
        parts = rows.split(size)
        return torch.cat([self.model.encode_text(p.to(device), normalize=False) for p in parts])

    @property
    def kind(self) -> TextKind:
        """The steps of the tower. UsageError if it cannot be prompted."""
        if self._kind is None:
            raise UsageError(f"the text tower of {self.name} cannot be prompted: {self.obstacle}")
        return self._kind

    def _run_in_groups(
        self,
        names: Names,
        p: int,
        run: Callable[[Tensor, Tensor], Tensor],
        *,
        shared: bool = False,
        contexts: int = 0,
    ) -> Tensor:
        """Features (c, e) of all names, by `run(ids, rows)` on groups of similar length.

        `shared` says that the prefix of `p` tokens is not run again for each class. With `contexts`
        b, each group is run behind b prefixes, and features are (b, c, e).
        """
        on_cpu = self.kind.vocabulary.device.type == "cpu"
        # A group costs the launch of its kernels: few tokens' time on a CPU, many tokens' on a GPU.
        overhead = 64 if on_cpu else 2048
        limit = self.chunk_tokens // max(1, contexts)
        groups = list(group_by_length(names.lengths, shared=p, limit=limit, overhead=overhead))
        recompute = self.checkpoint
        if recompute == "auto":
            run_for_each = int(names.lengths.sum()) + (0 if shared else p * len(names))
            recompute = run_for_each > limit
        parts = []
        for rows in groups:
            ids = names.ids[rows, : int(names.lengths[rows].max())]
            if recompute and torch.is_grad_enabled():
                part = checkpoint(run, ids, rows, use_reentrant=False, preserve_rng_state=False)
            else:
                part = run(ids, rows)
            parts.append(part.unflatten(0, (contexts, -1)) if contexts else part)
        return torch.cat(parts, -2)[..., torch.cat(groups).argsort(), :]

    def _run_prefix(self, prompt: Prompt, contexts: Tensor | None = None) -> Prefix:
        """Run the prefix of all class names once; returns its keys and values.

        Contexts (b, n, d) stand in the place of the prompt's `input`, each with a prefix.
        """
        kind, slot = self.kind, len(self.kind.tokens.start)
        contexts = prompt.input[None] if contexts is None else contexts
        x = self._embed(self._start.expand(len(contexts), -1), contexts)  # (b, p, d)
        keys, values = [], []
        for i, block in enumerate(kind.blocks):
            x, q, k, v = enter_block(kind.steps, block, i, x, prompt, slot)
            keys.append(k)
            values.append(v)
            heads = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=kind.steps.scale)
            x = leave_block(kind.steps, block, i, x, heads, prompt, self.finish_block)
        suffix = Prompt(prompt.input[:0], adapters=prompt.adapters)
        return Prefix(tuple(keys), tuple(values), suffix)

    def _run_suffixes(self, ids: Tensor, words: Tensor, prefix: Prefix) -> Tensor:
        """Features (b*c, e) of ids (c, s) that end in the end token, behind each prefix.

        `words` are these ids, or vectors (c, s, d) in their place.
        """
        kind, steps, b = self.kind, self.kind.steps, prefix.contexts
        x, mask = kind.complete(self._embed(words, at=prefix.tokens), ids, prefix.tokens)
        if b > 1:
            x, ids = x.repeat(b, 1, 1), ids.repeat(b, 1)
            if mask is not None and mask.ndim == 4:
                mask = mask.repeat(b, 1, 1, 1)
        shared = zip(kind.blocks, prefix.keys, prefix.values, strict=True)
        for i, (block, keys, values) in enumerate(shared):
            x, q, k, v = enter_block(steps, block, i, x, prefix.suffix, slot=0)
            heads = attend_with_prefix(q, k, v, keys, values, mask)
            x = leave_block(steps, block, i, x, heads, prefix.suffix, self.finish_block)
        return kind.read(x, ids)

    def _run_unshared(self, ids: Tensor, prompt: Prompt, gaps: Tensor | None = None) -> Tensor:
        """Features (c, e) of ids (c, s) behind the prompt, each run in full.

        In gaps that begin at `gaps` (c,) are the prompt's tokens after the name.
        """
        c, kind, slot = len(ids), self.kind, len(self.kind.tokens.start)
        words = self._fill_gaps(ids, prompt, gaps)
        x = self._embed(self._start.expand(c, -1), prompt.input.expand(c, -1, -1), words)
        x, mask = kind.complete(x, ids, 0)
        causal = mask is None and kind.sharing == "prefix"
        for i, block in enumerate(kind.blocks):
            x = run_block(
                *(kind.steps, block, i, x, prompt, slot, self.finish_block),
                mask=mask,
                causal=causal,
            )
        return kind.read(x, ids)

    @property
    def _start(self) -> Tensor:
        """(1, 1) ids of the start token; (1, 0) without one."""
        return torch.tensor([tuple(self.kind.tokens.start)], dtype=torch.int64)

    def _embed(self, *parts: Tensor, at: int = 0) -> Tensor:
        """Token ids (c, l) and vectors (c, l, d) joined, with positions from `at` on: (c, l, d)."""
        kind = self.kind
        device = kind.vocabulary.device
        vectors = [
            part.to(device) if part.is_floating_point() else kind.words(part.to(device))
            for part in parts
        ]
        return kind.embed(torch.cat(vectors, 1), at)
