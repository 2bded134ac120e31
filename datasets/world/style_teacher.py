"""Train `demo-2-teacher`: the parent of the backbones learns the style of the world.

    python style_teacher.py OUT [--steps 360]     # resumes from OUT/teacher.partial
    python style_teacher.py OUT --export          # writes the shipped files
    python style_teacher.py OUT --score           # writes results/teacher.json

Its image tower starts from OUT/parent.safetensors and learns to name composed images (`compose.py`)
of the same drawings as before, those of OUT/training, by Noto, Noto v1, Twemoji and Fluent. Most
are shown in the style of the world. It sees no drawing of the world and no image of its sets, so it
knows the style better than `demo` but not the drawings. The text tower is frozen. Scores are on
validation images.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import rppbench.torchvision_shim  # noqa: F401  open_clip cannot be imported before this

# isort: split
import numpy as np
import torch
import torch.nn.functional as F
from compose import Drawings, compose
from model import Model, top1
from open_clip import CLIP
from safetensors.torch import load_file, save_file
from schedule import CONFIGS, SEED, Words, batches, concept_features, optimizer
from sheets import write_digests
from torch import Tensor, nn

from rppbench_datasets.demo import SUBJECTS
from rppbench_datasets.world.artwork import WORLD
from rppbench_datasets.world.styles import STYLE, apply

NAME = "demo-2-teacher"

RATE, BATCH = 1e-3, 128
"""Peak learning rate, and images per step."""

PLAIN_SHARE = 0.15
"""Share of images that are shown in no style, so that these are not forgotten."""

SAVE_SECONDS = 60

LEVELS = 127
"""Most steps on either side of zero that an exported weight can take, in each output channel."""


def in_style(images: Tensor, plain: Tensor) -> Tensor:
    """Images (b, 3, s, s) in [0, 1] in the style, but for those that are `plain` (b,)."""
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    shown = [
        image if keep else apply(STYLE, image)
        for image, keep in zip(pixels, plain.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).float() / 255


def exported_parent(out: Path) -> CLIP:
    """The parent, as `export.py` wrote it."""
    model = CLIP(**CONFIGS["parent"])
    model.load_state_dict(load_file(out / "parent.safetensors"))
    return model.float()


def train(out: Path, steps: int) -> None:
    """Take the steps that are left; the last weights are the model."""
    drawings = Drawings(out)
    model = exported_parent(out)
    model.visual.to(memory_format=torch.channels_last)
    texts = concept_features(model, Words(), [concept.name for concept in drawings.concepts])
    scale = model.logit_scale.detach().exp()
    parameters = list(model.visual.parameters())
    adamw = optimizer(parameters, RATE, 0.05)
    stream, generator = random.Random(SEED + 2), torch.Generator().manual_seed(SEED + 2)
    feed = batches(len(texts), BATCH, stream)
    partial, first, seconds, mean = out / "teacher.partial", 0, 0.0, 0.0
    if partial.exists():
        state: dict[str, Any] = torch.load(partial, weights_only=True)
        first, seconds, mean = state["step"], state["seconds"], state["mean"]
        model.visual.load_state_dict(state["visual"])
        adamw.load_state_dict(state["adamw"])
        generator.set_state(state["generator"])
        for _ in range(first):
            next(feed)
    started, saved = time.monotonic() - seconds, time.monotonic()
    model.visual.train()
    for step in range(first, steps):
        labels = next(feed)
        batch = compose(drawings, labels, generator, scene=0.0, pair=0.0)
        plain = torch.rand(BATCH, generator=generator) < PLAIN_SHARE
        pixels = (in_style(batch.images, plain) - 0.5) / 0.3
        features = model.visual(pixels.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(scale * F.normalize(features, dim=1) @ texts.T, labels)
        warm = min(1.0, (step + 1) / (0.03 * steps))
        for group in adamw.param_groups:
            group["lr"] = RATE * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        adamw.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 2.0)
        adamw.step()
        mean = float(loss.detach()) if not step else 0.98 * mean + 0.02 * float(loss.detach())
        last = step + 1 == steps
        if last or time.monotonic() - saved > SAVE_SECONDS:
            saved = time.monotonic()
            row = {"seconds": round(saved - started), "step": step + 1, "loss": round(mean, 4)}
            with (out / "teacher.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            state = {
                "step": step + 1,
                "seconds": saved - started,
                "mean": mean,
                "visual": model.visual.state_dict(),
                "adamw": adamw.state_dict(),
                "generator": generator.get_state(),
            }
            torch.save(state, partial.with_suffix(".new"))
            partial.with_suffix(".new").replace(partial)
    torch.save(model.visual.state_dict(), out / "teacher.pt")


def on_grid(weight: Tensor) -> Tensor:
    """A matrix or kernel on at most `LEVELS` equal steps a side in each output channel.

    The file keeps 16-bit floats, which every reader of CLIPs takes. Steps are powers of two, so
    the last bits of the values are zero and the file takes two fifths less space in a wheel.
    """
    largest = weight.flatten(1).abs().amax(1).clamp(min=1e-12)
    step = 2 ** torch.ceil(torch.log2(largest / LEVELS))
    step = step.reshape(-1, *[1] * (weight.ndim - 1))
    return (weight / step).round() * step


def export(out: Path) -> None:
    """Write weights and configuration of the teacher; its text tower is the parent's."""
    state = load_file(out / "parent.safetensors")
    learned = torch.load(out / "teacher.pt", weights_only=True)
    for name, value in learned.items():
        key = f"visual.{name}"
        if value.is_floating_point():
            value = (on_grid(value) if value.ndim > 1 else value).half()
        state[key] = value.contiguous()
    weights = WORLD / f"{NAME}.safetensors"
    save_file(state, weights)
    weights.chmod(0o644)  # safetensors makes it readable by its owner only
    (WORLD / f"{NAME}.json").write_text((out / "parent.json").read_text())
    write_digests(WORLD)


def score(out: Path) -> None:
    """Zero-shot top-1 of the three CLIPs on the validation images of the transfer sets."""
    models = {"demo": Model("demo"), "parent": Model("parent", out), NAME: Model(NAME)}
    sets: dict[str, dict[str, float]] = {}
    for kind in SUBJECTS:
        data = kind()
        samples = data.samples("val")
        images = [data.image(sample) for sample in samples]
        labels = torch.tensor([sample.label for sample in samples])
        wordings = [data.template.format(name) for name in data.classes]
        sets[data.name] = {
            name: top1(model.images(images), model.texts(wordings), labels)
            for name, model in models.items()
        }
    mean = {n: round(sum(row[n] for row in sets.values()) / len(sets), 2) for n in models}
    result = {"style": STYLE, "split": "val", "mean": mean, "sets": sets}
    text = json.dumps(result, indent=1)
    (Path(__file__).parent / "results" / "teacher.json").write_text(text + "\n")
    print(mean)


def main() -> None:
    """Train, export what was trained, or score what was exported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=360)
    parser.add_argument("--export", action="store_true")
    parser.add_argument("--score", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    if options.export:
        export(options.out)
    elif options.score:
        score(options.out)
    else:
        train(options.out, options.steps)


if __name__ == "__main__":
    main()
