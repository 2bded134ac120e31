"""A small network that proposes boxes of things in drawn scenes, whatever their class.

For each place of a map a quarter of the image's side it gives the probability that a thing has its
centre there, and the distances to the thing's four sides (as CenterNet, arXiv:1904.07850, and FCOS,
arXiv:1904.01355). Its weights come with the package: datasets/world/proposer.py trained it on
training scenes of the embedded world, in its style and in none: drawings of seen classes, or of
things that no scene shows.

Shapes: b images; h and w of the map.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from rppbench.contracts import Sample
from rppbench.files.digests import content_digest
from rppbench.files.tensors import read_tensors
from rppbench_tasks.proposing.boxes import Boxes, distinct

WEIGHTS = Path(__file__).with_suffix(".safetensors")
SIDE = 144
"""Pixels of an image's longer side, as of the scenes; others are scaled to it."""
STEP, COARSEST = 4, 16
"""Pixels between two places of the map, and of the coarsest features."""
MOST = 100
"""Most boxes of an image."""
OVERLAP = 0.6
"""Of boxes that overlap more, the better one is kept."""

LEAST = 0.2
"""Probability from which a box is proposed. Chosen on validation scenes, as that proposed boxes all
have the same score: a detection's is a product, in which these probabilities drown the classes'."""


def block(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """A convolution, normalised."""
    convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


class Network(nn.Module):
    """Features at three scales, added up at the finest, and two maps of it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(block(3, 16, 2), block(16, 24, 2), block(24, 24))
        self.middle = nn.Sequential(block(24, 48, 2), block(48, 48), block(48, 48))
        self.coarse = nn.Sequential(block(48, 64, 2), block(64, 64), block(64, 64))
        self.sides = nn.ModuleList([nn.Conv2d(width, 32, 1) for width in (24, 48, 64)])
        self.joined = block(32, 32)
        self.centre, self.distances = nn.Conv2d(32, 1, 1), nn.Conv2d(32, 4, 1)
        nn.init.constant_(self.centre.bias, -4.0)  # type: ignore[arg-type]  # most places have none
        nn.init.constant_(self.distances.bias, -1.5)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (b, h, w) of centres, and distances (b, 4, h, w) to left, top, right and bottom.

        Pixels (b, 3, 4 h, 4 w) are in 0..1; distances are shares of `SIDE`.
        """
        fine = self.stem(pixels - 0.5)
        middle = self.middle(fine)
        levels = [
            side(level)
            for side, level in zip(self.sides, (fine, middle, self.coarse(middle)), strict=True)
        ]
        size = levels[0].shape[-2:]
        total = levels[0] + sum(F.interpolate(level, size) for level in levels[1:])
        joined = self.joined(total)
        return self.centre(joined)[:, 0], self.distances(joined).sigmoid()


class SmallProposer:
    """Boxes by the network that comes with the package."""

    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        boxes, probabilities = proposed(network(), image)
        kept = boxes[probabilities >= LEAST]
        return kept, np.ones(len(kept), np.float32)

    def identity(self) -> str:
        return f"small {content_digest(WEIGHTS)} {SIDE} {MOST} {OVERLAP} {LEAST}"


@cache
def network() -> Network:
    """The network with its weights."""
    made = Network()
    _, tensors = read_tensors(WEIGHTS)
    made.load_state_dict({name: value.float() for name, value in tensors.items()})
    return made.eval()


@torch.inference_mode()
def proposed(made: Network, image: Image.Image) -> Boxes:
    """At most `MOST` boxes of an image and their probabilities, best first."""
    shrink = SIDE / max(image.size)
    width, height = (max(1, round(edge * shrink / COARSEST)) * COARSEST for edge in image.size)
    scaled = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(scaled)).permute(2, 0, 1)[None] / 255
    centres, distances = made(pixels)
    scores = centres.sigmoid()
    peaks = scores * (F.max_pool2d(scores, 3, 1, 1) == scores)
    best = peaks.flatten().topk(min(MOST, peaks.numel()))
    rows, columns = best.indices // peaks.shape[2], best.indices % peaks.shape[2]
    left, top, right, bottom = distances[0][:, rows, columns] * SIDE
    x, y = (columns + 0.5) * STEP, (rows + 0.5) * STEP
    boxes = torch.stack([x - left, y - top, left + right, top + bottom], 1).numpy()
    back = np.array([image.width / width, image.height / height] * 2, np.float32)
    return distinct(boxes * back, best.values.numpy(), OVERLAP)
