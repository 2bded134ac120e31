"""Train two CLIPs on the drawings of OUT/training, each for a fixed wall-clock time.

    python train.py parent OUT --minutes 30
    python train.py student OUT --minutes 26      # distils OUT/parent.pt

Stage 1 trains a small CNN with its text tower: image and caption against a table of concepts, and
against each other. It is the parent of both shipped backbones: stage 2 distils the ViT (`demo`)
from it, its text tower copied and frozen, and `style_teacher.py` trains it further. Schedules
follow the clock, so a run ends on time; the last weights are the model. Only train-pool drawings
are used, in the monitor too.
"""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path

import rppbench.torchvision_shim  # noqa: F401  open_clip cannot be imported before this

# isort: split
import torch
import torch.nn.functional as F
from captions import PAIRED, caption
from compose import Composition, Drawings, compose
from open_clip import CLIP
from schedule import (
    CONFIGS,
    SEED,
    Clock,
    Log,
    Words,
    batches,
    concept_features,
    monitor,
    optimizer,
)
from torch import Tensor, nn


def captions_of(
    batch: Composition, drawings: Drawings, stream: random.Random
) -> tuple[list[str], Tensor]:
    """One caption for each image, and whether it names exactly one concept (b,)."""
    texts, naming = [], []
    for i, row in enumerate(batch.labels.tolist()):
        concept = drawings.concepts[row[0]]
        if batch.paired[i]:
            names = [concept.name, drawings.concepts[row[1]].name]
            stream.shuffle(names)
            texts.append(stream.choice(PAIRED).format(*names))
            naming.append(False)
            continue
        ground = tuple(batch.ground[i].tolist())
        text, named = caption(
            stream, concept.name, concept.kind, concept.tags, batch.vendors[i],
            float(batch.scale[i]), ground,
        )  # fmt: skip
        texts.append(text)
        naming.append(named)
    return texts, torch.tensor(naming)


def train_parent(out: Path, minutes: float, size: int = 192) -> None:
    """Stage 1: train CNN and text tower from scratch, in batches of `size` images."""
    drawings, words = Drawings(out), Words()
    names = [concept.name for concept in drawings.concepts]
    config = CONFIGS["parent"]
    model = CLIP(**config)
    model.visual.to(memory_format=torch.channels_last)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(12.0))
    table = nn.Parameter(torch.randn(len(names), 128) * 0.09)
    parameters = [*model.parameters(), table]
    adamw = optimizer(parameters, 2e-3, 0.05)
    stream, generator = random.Random(SEED), torch.Generator().manual_seed(SEED)
    feed = batches(len(names), size, stream)
    clock, log = Clock(minutes), Log(out, "parent")
    samples, step, mean = 0, 0, {"table": 0.0, "text": 0.0, "pairs": 0.0}
    while True:
        batch = compose(drawings, next(feed), generator, scene=0.0, pair=0.08)
        texts, naming = captions_of(batch, drawings, stream)
        pixels = batch.resized(64).contiguous(memory_format=torch.channels_last)
        images = F.normalize(model.visual(pixels), dim=1)
        captions = words.features(model, texts, noise=0.4)
        scale = model.logit_scale.exp().clamp(max=100)
        rows = F.normalize(table, dim=1)
        first = batch.labels[:, 0]
        target = F.one_hot(first, len(names)).float()
        both = batch.paired.nonzero()[:, 0]
        target[both] = 0.5 * (target[both] + F.one_hot(batch.labels[both, 1], len(names)))
        loss_table = F.cross_entropy(scale * images @ rows.T, target)
        loss_text = F.cross_entropy(scale * captions[naming] @ rows.T, first[naming])
        logits = scale * images @ captions.T
        duplicates = (first[:, None] == first[None]) & ~torch.eye(len(first), dtype=torch.bool)
        logits = logits.masked_fill(duplicates, -1e4)
        own = torch.arange(len(first))
        loss_pairs = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        loss = loss_table + 0.5 * loss_text + loss_pairs
        for group in adamw.param_groups:
            group["lr"] = clock.rate(2e-3)
        adamw.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 2.0)
        adamw.step()
        step, samples = step + 1, samples + len(first)
        for key, value in (("table", loss_table), ("text", loss_text), ("pairs", loss_pairs)):
            mean[key] = 0.98 * mean[key] + 0.02 * float(value.detach())
        finished = clock.progress() >= 1
        if finished or log.due(clock):
            top1 = monitor(model, drawings, concept_features(model, words, names), 64)
            row = {"seconds": clock.elapsed(), "step": step, "samples": samples, **mean}
            log.write(model, {**row, "scale": float(scale.detach()), "monitor_top1": top1})
        if finished:
            return


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=("parent", "student"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    if options.stage == "parent":
        train_parent(options.out, options.minutes)
    else:
        from distil import train_student

        train_student(options.out, options.minutes)


if __name__ == "__main__":
    main()
