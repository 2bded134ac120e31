"""Stage 2 of the training: distils the ViT `demo` from the CNN, whose text tower it shares.

Shapes: b images, c concepts, k layers of an image, p patches of the ViT (6 x 6).
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from compose import Composition, Drawings, compose
from open_clip import CLIP
from schedule import CONFIGS, SEED, Clock, Log, Words, batches, concept_features, monitor, optimizer
from torch import Tensor, nn

PATCHES = 6
"""Patches in a row or column: 48 px in patches of 8."""


def initialise_mimetic(model: CLIP) -> None:
    """Mimetic initialisation of the image tower (Trockman and Kolter 2023, sec. 3), in place.

    Query-key products start as 0.7 Z + 0.7 I, value-output products as 0.4 Z - 0.4 I, and position
    embeddings as waves. This resembles trained transformers, and saves many steps of a short run.
    """
    visual = model.visual
    for block in visual.transformer.resblocks:
        attention = block.attn
        d, heads = attention.embed_dim, attention.num_heads
        k = d // heads
        with torch.no_grad():
            weight = attention.in_proj_weight
            for head in range(heads):
                product = 0.7 * torch.randn(d, d) / d**0.5 + 0.7 * torch.eye(d)
                u, s, v = torch.linalg.svd(product)
                root = s[:k].sqrt()[:, None]
                weight[head * k : (head + 1) * k] = root * u[:, :k].T
                weight[d + head * k : d + (head + 1) * k] = root * v[:k]
            u, s, v = torch.linalg.svd(0.4 * torch.randn(d, d) / d**0.5 - 0.4 * torch.eye(d))
            weight[2 * d :] = s.sqrt()[:, None] * v
            attention.out_proj.weight.copy_(u * s.sqrt())
    with torch.no_grad():
        at = torch.arange(PATCHES).float()
        width = visual.positional_embedding.shape[1]
        speeds = 1.5 ** -torch.arange(width // 4).float()
        row, column = torch.meshgrid(at, at, indexing="ij")
        waves = [
            f(axis.flatten()[:, None] * speeds)
            for axis in (row, column)
            for f in (torch.sin, torch.cos)
        ]
        visual.positional_embedding[1:] = 0.2 * torch.cat(waves, 1)


def targets(batch: Composition, count: int) -> tuple[Tensor, Tensor]:
    """Share of each concept in the visible area (b, c), and whether that area is enough (b,)."""
    area = batch.cover.mean((2, 3)) * (batch.labels >= 0)  # (b, k)
    total = area.sum(1)
    share = area / total[:, None].clamp(min=1e-6)
    target = torch.zeros(len(area), count).scatter_add(1, batch.labels.clamp(min=0), share)
    return target, total > 0.05


def patch_labels(batch: Composition) -> tuple[Tensor, Tensor]:
    """The concept that covers most of each patch (b, p), and whether it covers over 60 % (b, p)."""
    cover = F.adaptive_avg_pool2d(batch.cover, PATCHES).flatten(2)  # (b, k, p)
    share, layer = cover.max(1)
    return batch.labels.gather(1, layer), share > 0.6


def train_student(out: Path, minutes: float, size: int = 128) -> None:
    """Distil OUT/parent.pt into OUT/student.pt, in batches of `size` images."""
    drawings, words = Drawings(out), Words()
    names = [concept.name for concept in drawings.concepts]
    teacher = CLIP(**CONFIGS["parent"])
    teacher.load_state_dict(torch.load(out / "parent.pt", weights_only=True))
    teacher.eval().requires_grad_(False)
    teacher.visual.to(memory_format=torch.channels_last)
    model = CLIP(**CONFIGS["student"])
    initialise_mimetic(model)
    state = {k: v for k, v in teacher.state_dict().items() if not k.startswith("visual.")}
    model.load_state_dict(state, strict=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("visual.") or name == "logit_scale")
    texts = concept_features(teacher, words, names)
    teacher_scale = teacher.logit_scale.exp()
    parameters = [p for p in model.parameters() if p.requires_grad]
    adamw = optimizer(parameters, 1.5e-3, 0.05)
    stream, generator = random.Random(SEED + 1), torch.Generator().manual_seed(SEED + 1)
    feed = batches(len(names), size, stream)
    clock, log = Clock(minutes), Log(out, "student")
    samples, step, mean = 0, 0, {"class": 0.0, "teacher": 0.0, "feature": 0.0, "patch": 0.0}
    while True:
        scene = 0.12 if clock.progress() < 0.6 else 0.35
        batch = compose(drawings, next(feed), generator, scene=scene, pair=0.06)
        target, usable = targets(batch, len(names))
        uncrowded = usable & ~batch.crowded
        with torch.no_grad():
            pixels = batch.resized(64).contiguous(memory_format=torch.channels_last)
            teacher_images = F.normalize(teacher.visual(pixels), dim=1)
        model.visual.output_tokens = True
        pooled, tokens = model.visual(batch.resized(48))
        model.visual.output_tokens = False
        images = F.normalize(pooled, dim=1)
        scale = model.logit_scale.exp().clamp(max=100)
        logits = scale * images @ texts.T
        loss_class = F.cross_entropy(logits[usable], target[usable])
        loss_teacher = F.kl_div(
            F.log_softmax(teacher_scale * images[uncrowded] @ texts.T, 1),
            F.log_softmax(teacher_scale * teacher_images[uncrowded] @ texts.T, 1),
            reduction="batchmean",
            log_target=True,
        )
        loss_feature = (1 - (images[uncrowded] * teacher_images[uncrowded]).sum(1)).mean()
        labels, clear = patch_labels(batch)
        clear = clear & (torch.rand(clear.shape, generator=generator) < 0.3)
        dense = F.normalize(tokens[clear] @ model.visual.proj, dim=1)
        loss_patch = F.cross_entropy(scale * dense @ texts.T, labels[clear])
        loss = loss_class + loss_teacher + 5 * loss_feature + 0.5 * loss_patch
        for group in adamw.param_groups:
            group["lr"] = clock.rate(1.5e-3)
        adamw.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 2.0)
        adamw.step()
        step, samples = step + 1, samples + size
        parts_of_loss = (loss_class, loss_teacher, loss_feature, loss_patch)
        for key, value in zip(mean, parts_of_loss, strict=True):
            mean[key] = 0.98 * mean[key] + 0.02 * float(value.detach())
        finished = clock.progress() >= 1
        if finished or log.due(clock):
            top1 = monitor(model, drawings, texts, 48)
            row = {"seconds": clock.elapsed(), "step": step, "samples": samples, **mean}
            log.write(model, {**row, "scale": float(scale.detach()), "monitor_top1": top1})
        if finished:
            return
