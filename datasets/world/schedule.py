"""Configurations, text features, schedule and log, which the trainings share."""

from __future__ import annotations

import rppbench.torchvision_shim  # noqa: F401  open_clip cannot be imported before this

# isort: split
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from compose import Drawings, compose, shuffled
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

SEED = 20261123


TEXT = {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 4}


CONFIGS: dict[str, dict[str, Any]] = {
    "parent": {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 24, "patch_size": None},
        "text_cfg": TEXT,
    },
    "student": {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": 48, "layers": 6, "width": 128, "head_width": 32, "patch_size": 8,
        },
        "text_cfg": TEXT,
    },
}  # fmt: skip


TEMPLATES = (
    *("{}.", "a photo of a {}.", "a drawing of a {}.", "a picture of the {}."),
    *("a {}", "an icon of a {}.", "one {}.", "a flat sticker of a {}."),
)


class Words:
    """Text features of captions, computed only up to the longest end token of a batch."""

    def __init__(self) -> None:
        self.tokenizer = SimpleTokenizer()
        self._ids: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Token ids with start and end token; cached."""
        if text not in self._ids:
            if len(self._ids) > 400_000:
                self._ids.clear()
            start, end = self.tokenizer.sot_token_id, self.tokenizer.eot_token_id
            self._ids[text] = [start, *self.tokenizer.encode(text), end]
        return self._ids[text]

    def features(self, model: CLIP, texts: list[str], noise: float = 0.0) -> Tensor:
        """Unit features (n, 128). Causal attention makes cutting after the last end token exact.

        `noise` is added to the token embeddings of half of the texts; it is a share of their
        standard deviation.
        """
        rows = [self.ids(text)[:77] for text in texts]
        lengths = torch.tensor([len(row) for row in rows])
        longest = int(lengths.max())
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        x = model.token_embedding(ids)
        if noise:
            amplitude = (torch.rand(len(ids), 1, 1) < 0.5) * noise * x.detach().std()
            x = x + amplitude * torch.randn_like(x)
        x = x + model.positional_embedding[:longest]
        x = model.transformer(x, attn_mask=model.attn_mask[:longest, :longest])
        x = model.ln_final(x)[torch.arange(len(ids)), lengths - 1]
        return F.normalize(x @ model.text_projection, dim=1)


@torch.no_grad()
def concept_features(model: CLIP, words: Words, names: list[str]) -> Tensor:
    """Mean text feature of every concept over TEMPLATES: unit vectors (c, 128)."""
    total = torch.zeros(len(names), 128)
    for template in TEMPLATES:
        parts = [names[i : i + 256] for i in range(0, len(names), 256)]
        total += torch.cat([words.features(model, [template.format(n) for n in p]) for p in parts])
    return F.normalize(total, dim=1)


class Clock:
    """The elapsed share of a run's time, 0 at its start and 1 at its end."""

    def __init__(self, minutes: float) -> None:
        self.start, self.seconds = time.monotonic(), minutes * 60

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    def progress(self) -> float:
        """The share of the allowed time that has elapsed, at most 1."""
        return min(self.elapsed() / self.seconds, 1.0)

    def rate(self, peak: float) -> float:
        """The learning rate now: 3 % linear warm-up to `peak`, then a cosine to zero."""
        at = self.progress()
        if at < 0.03:
            return peak * (0.05 + 0.95 * at / 0.03)
        return peak * 0.5 * (1 + math.cos(math.pi * (at - 0.03) / 0.97))


def optimizer(parts: list[nn.Parameter], rate: float, decay: float) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only, not on gains, biases and scalars."""
    groups = [
        {"params": [p for p in parts if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in parts if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-6, fused=True)


def batches(count: int, size: int, stream: random.Random) -> Iterator[Tensor]:
    """Endless batches of labels (size,); every concept occurs equally often."""
    queue: list[int] = []
    while True:
        if len(queue) < size:
            queue += shuffled(stream, count)
        yield torch.tensor(queue[:size])
        queue = queue[size:]


@torch.no_grad()
def monitor(model: CLIP, drawings: Drawings, texts: Tensor, size: int) -> float:
    """Top-1 in percent among all concepts, on images of single train-pool drawings.

    The images show every second concept; `texts` are the concepts' features (c, 128).
    """
    model.eval()
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(0, len(drawings.concepts), 2)
    right = 0
    for part in labels.split(208):
        batch = compose(drawings, part, generator, scene=0.0, pair=0.0)
        features = F.normalize(model.visual(batch.resized(size)), dim=1)
        right += int(((features @ texts.T).argmax(1) == part).sum())
    model.train()
    return 100 * right / len(labels)


class Log:
    """The training curve: one JSON line a minute in OUT/NAME.jsonl, and a checkpoint NAME.pt."""

    def __init__(self, out: Path, name: str) -> None:
        self.path, self.checkpoint = out / f"{name}.jsonl", out / f"{name}.pt"
        self.path.unlink(missing_ok=True)
        self.next = 60.0

    def due(self, clock: Clock) -> bool:
        """Whether 60 s have passed since the last call that returned True."""
        if clock.elapsed() < self.next:
            return False
        self.next += 60
        return True

    def write(self, model: CLIP, row: dict[str, float]) -> None:
        """Append a line to the curve and replace the checkpoint."""
        with self.path.open("a") as file:
            file.write(json.dumps({key: round(v, 4) for key, v in row.items()}) + "\n")
        torch.save(model.state_dict(), self.checkpoint.with_suffix(".part"))
        self.checkpoint.with_suffix(".part").replace(self.checkpoint)
