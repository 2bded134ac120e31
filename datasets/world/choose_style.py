"""Choose the style of the world by its room, on validation images.

    python choose_style.py OUT.json [STYLE ...]

scores all candidates, or those named, into OUT.jsonl, skips those that are there, and writes
OUT.json and OUT.md once there are all.

The rule, which was written before anything was scored: a style has room if the backbone does not
know it, but its features in it still hold the classes. For each candidate of
`rppbench_datasets.world.styles`, on the validation images of the ten transfer sets:

- zero-shot: top-1 in percent of `demo` with each set's own wording;
- probe: top-1 of ridge regression to the labels' indicators, on the centred features of eight
  training images a class, which show all its training drawings (of `PENALTIES` the one that is best
  on the mean of the sets);
- room: probe less zero-shot, both as the mean over the sets.

The style with the most room is taken, and the next two are the styles of the shift sets. No test
image is rendered, and no prompt-learning method is run. Needs the artwork, not the training.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from model import Model
from PIL import Image
from torch import Tensor

from rppbench_datasets.demo import SUBJECTS, Subject
from rppbench_datasets.world import render
from rppbench_datasets.world.styles import PLAIN, STYLES, styled

IMAGES = 8
"""Training images of a class."""

PENALTIES = (0.001, 0.01, 0.1, 1.0)
"""Of the probe: multiples of the identity that are added to the features' second moments."""


class Images:
    """The rendered, unstyled images of a set's training and validation splits."""

    def __init__(self, kind: type[Subject]) -> None:
        self.data = kind()
        self.split: dict[str, list[Image.Image]] = {}
        self.labels: dict[str, Tensor] = {}
        for split in ("train", "val"):
            samples = [
                sample
                for sample in self.data.samples(split)
                if int(sample.key.rpartition("/")[2]) < IMAGES
            ]
            self.split[split] = [
                render.single(self.data.drawing(s), f"{self.data.name}/{s.key}") for s in samples
            ]
            self.labels[split] = torch.tensor([s.label for s in samples])


def top1(logits: Tensor, labels: Tensor) -> float:
    """Top-1 in percent of logits (n, c) with labels (n,)."""
    return 100 * float((logits.argmax(1) == labels).float().mean())


def score(model: Model, sets: list[Images], style: str) -> dict[str, Any]:
    """Zero-shot and probe of one style on every set."""
    zero: dict[str, float] = {}
    probes: dict[str, list[float]] = {}
    for images in sets:
        data = images.data
        features = {
            split: model.images([styled(image, style) for image in images.split[split]])
            for split in images.split
        }
        texts = model.texts([data.template.format(name) for name in data.classes])
        zero[data.name] = top1(features["val"] @ texts.T, images.labels["val"])
        probes[data.name] = [
            top1(_ridge(features, images.labels["train"], penalty), images.labels["val"])
            for penalty in PENALTIES
        ]
    means = np.mean(list(probes.values()), axis=0)
    best = int(means.argmax())
    zero_mean, probe_mean = float(np.mean(list(zero.values()))), float(means[best])
    return {
        "style": style,
        "zero_shot": round(zero_mean, 2),
        "probe": round(probe_mean, 2),
        "penalty": PENALTIES[best],
        "room": round(probe_mean - zero_mean, 2),
        "sets": {
            name: [round(zero[name], 2), round(values[best], 2)] for name, values in probes.items()
        },
    }


def _ridge(features: dict[str, Tensor], labels: Tensor, penalty: float) -> Tensor:
    """Logits (v, c) of validation features (v, e), fitted on training features with labels (t,)."""
    mean = features["train"].mean(0)
    known, asked = features["train"] - mean, features["val"] - mean
    target = F.one_hot(labels).float()
    moments = known.T @ known + penalty * torch.eye(known.shape[1])
    return asked @ torch.linalg.solve(moments, known.T @ (target - target.mean(0)))


def table(rows: list[dict[str, Any]]) -> str:
    """The candidates by falling room, as Markdown."""
    lines = ["| style | zero-shot | linear probe | penalty | room |", "|---|---|---|---|---|"]
    for row in rows:
        zero, probe, room = (f"{row[key]:.1f}" for key in ("zero_shot", "probe", "room"))
        lines.append(f"| {row['style']} | {zero} | {probe} | {row['penalty']:g} | {room} |")
    return "\n".join(lines) + "\n"


def main(out: Path, styles: list[str]) -> None:
    """Score the candidates that are missing; write OUT.json and OUT.md if none is."""
    lines = out.with_suffix(".jsonl")
    scored = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    missing = [style for style in styles if style not in {row["style"] for row in scored}]
    model = Model("demo")
    sets = [Images(kind) for kind in SUBJECTS] if missing else []
    for style in missing:
        row = score(model, sets, style)
        with lines.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print({key: value for key, value in row.items() if key != "sets"}, flush=True)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    if {row["style"] for row in rows} != set(STYLES):
        return
    rows.sort(key=lambda row: -row["room"])
    chosen = [row["style"] for row in rows if row["style"] != PLAIN]
    result = {"style": chosen[0], "others": chosen[1:3], "candidates": rows}
    out.write_text(json.dumps(result, indent=1) + "\n")
    out.with_suffix(".md").write_text(table(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(STYLES))
