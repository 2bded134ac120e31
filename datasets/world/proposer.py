"""Train the small network that proposes boxes (`proposals=small`), and measure proposals.

    python datasets/world/proposer.py train OUT --to small.safetensors
    python datasets/world/proposer.py measure regions small --split validation
    python datasets/world/proposer.py measure regions small --split test

It learns from the training scenes 100 to 349 of the world, and from as many plain scenes: in no
style, of the drawings of OUT/training. Training scenes 0 to 49 are for validation. Test scenes show
other drawings, and classes that no training scene shows; nothing is chosen on them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from concepts import SILHOUETTES
from numpy.typing import NDArray
from PIL import Image
from sheets import TRAINING

from rppbench.contracts import UNLABELLED, Sample
from rppbench.files.tensors import write_tensors
from rppbench_datasets import scenes
from rppbench_datasets.world.artwork import Concept, named
from rppbench_datasets.world.scenes import Scene
from rppbench_tasks.proposing.boxes import Boxes, overlaps
from rppbench_tasks.proposing.regions import Regions
from rppbench_tasks.proposing.small import SIDE, STEP, Network, network, proposed

PLAIN = (
    *("cat", "dog", "horse", "elephant", "lion", "fish", "owl", "penguin", "butterfly", "snake"),
    *("sunflower", "cactus", "mushroom", "strawberry", "red apple", "carrot", "tomato", "avocado"),
    *("pizza", "hamburger", "doughnut", "ice cream", "birthday cake", "hot beverage"),
    *("automobile", "bus", "bicycle", "motorcycle", "sailboat", "helicopter", "rocket", "tractor"),
    *("house", "castle", "tent", "umbrella", "t-shirt", "backpack", "running shoe", "top hat"),
    *("key", "hammer", "chair", "books", "soccer ball"),
)
"""Things on the plain scenes."""
LEARNED = range(100, 350)
SPLITS = {
    "validation": [f"train/{number}" for number in range(50)],
    "test": [f"test/{number}" for number in range(100)],
}
EPOCHS, BATCH, RATE = 16, 16, 4e-3
PLACES = SIDE // STEP

Drawn = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Pixels (h, w, 3) and boxes (n, 4) left, top, right, bottom."""
Floats = NDArray[np.float32]


@cache
def _coloured(out: Path) -> Sequence[Concept]:
    """The things of the plain scenes, without silhouettes."""
    return [
        replace(thing, drawings=tuple(d for d in thing.drawings if d.vendor != SILHOUETTES))
        for thing in named(PLAIN, out / TRAINING)
    ]


def plain_scene(out: Path, key: str) -> Scene:
    """The plain scene of a key like 'train/17', of the stream that the shipped network had."""
    return scenes.composed("demo-scenes", key, _coloured(out), len(PLAIN))


def drawn(scene: Callable[[str], Scene], keys: Iterable[str]) -> list[Drawn]:
    """The scenes of these keys."""
    made = map(scene, keys)
    return [(np.array(one.image), one.boxes.astype(np.float32)) for one in made]


def quality(find: Callable[[Image.Image], Boxes], items: Sequence[Drawn]) -> tuple[float, ...]:
    """AP50 and AR50 of proposals with classes ignored, in percent, and boxes an image."""
    scores: list[float] = []
    hits: list[bool] = []
    true = covered = 0
    for pixels, corners in items:
        boxes, sure = find(Image.fromarray(pixels))
        truth = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
        true += len(truth)
        shared = overlaps(np.concatenate([truth, boxes]))[len(truth) :, : len(truth)]
        free = np.ones(len(truth), bool)
        for score, row in zip(sure.tolist(), shared, strict=True):
            best = int((row * free).argmax())
            hits.append(bool(row[best] * free[best] >= 0.5))
            scores.append(score)
            free[best] &= not hits[-1]
        covered += int((~free).sum())
    right = np.cumsum(np.array(hits)[np.argsort(-np.array(scores), kind="stable")])
    precision = right / np.arange(1, len(hits) + 1)
    best_precision = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(right / true, np.linspace(0, 1, 101))
    values = best_precision[reached[reached < len(hits)]]
    return 100 * values.sum() / 101, 100 * covered / true, len(hits) / len(items)


def targets(corners: Floats) -> tuple[Floats, Floats, Floats]:
    """What the network should give for boxes (n, 4): centres (h, w), distances (4, h, w), and the
    weight (h, w) of each place's distances. A place near two centres belongs to the nearer one."""
    heat, weight = np.zeros((2, PLACES, PLACES), np.float32)
    distances = np.zeros((4, PLACES, PLACES), np.float32)
    y, x = np.mgrid[0.5:PLACES, 0.5:PLACES].astype(np.float32) * STEP
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    for left, top, right, bottom in corners[np.argsort(-areas, kind="stable")].tolist():
        centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
        wide, high = max((right - left) / 10, 2.5), max((bottom - top) / 10, 2.5)
        near = np.exp(-(((x - centre_x) / wide) ** 2 + ((y - centre_y) / high) ** 2) / 2)
        row, column = (min(PLACES - 1, int(edge // STEP)) for edge in (centre_y, centre_x))
        near[row, column] = 1
        own = (near > weight) & (near > 0.3)
        weight[own] = near[own]
        for side, distance in zip(
            distances, (x - left, y - top, right - x, bottom - y), strict=True
        ):
            side[own] = np.maximum(distance, 0.5)[own] / SIDE
        heat = np.maximum(heat, near)
    return heat, distances, weight


def augmented(rng: np.random.Generator, pixels: NDArray[np.uint8], corners: Floats) -> Drawn:
    """The scene, mirrored and in other colours."""
    corners = corners.copy()
    if rng.random() < 0.5:
        pixels, corners[:, [0, 2]] = pixels[:, ::-1], SIDE - corners[:, [2, 0]]
    if rng.random() < 0.3:
        pixels, corners[:, [1, 3]] = pixels[::-1], SIDE - corners[:, [3, 1]]
    if rng.random() < 0.3:
        pixels = pixels[:, :, rng.permutation(3)]
    return pixels, corners


def loss_of(made: Network, batch: Sequence[Drawn], rng: np.random.Generator) -> torch.Tensor:
    """Focal loss of the centres, and the logarithm of the overlap of the boxes."""
    parts: list[tuple[Floats, ...]] = []
    for scene in batch:
        pixels, corners = augmented(rng, *scene)
        share = pixels.astype(np.float32) / 255 - 0.5
        share = share * rng.uniform(0.7, 1.3) + 0.5 + rng.uniform(-0.12, 0.12)
        parts.append((share.clip(0, 1).transpose(2, 0, 1), *targets(corners)))
    pixels, heat, wanted, weight = (
        torch.from_numpy(np.stack(part).astype(np.float32)) for part in zip(*parts, strict=True)
    )
    logits, given = made(pixels)
    p = logits.sigmoid().clamp(1e-5, 1 - 1e-5)
    centre = (heat == 1).float()
    near = (1 - centre) * (1 - heat) ** 4 * p**2 * (1 - p).log()
    centres = -(centre * (1 - p) ** 2 * p.log() + near).sum() / centre.sum()
    low = torch.minimum(given, wanted)
    shared = (low[:, 0] + low[:, 2]) * (low[:, 1] + low[:, 3])
    areas = [(one[:, 0] + one[:, 2]) * (one[:, 1] + one[:, 3]) for one in (given, wanted)]
    overlap = shared / (sum(areas) - shared + 1e-9)
    return centres - (weight * (overlap + 1e-3).log()).sum() / weight.sum()


def train(out: Path, path: Path) -> None:
    """Train for `EPOCHS` and write the weights in half precision."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    keys = [f"train/{number}" for number in LEARNED]
    learned = drawn(partial(plain_scene, out), keys) + drawn(scenes.scene, keys)
    validation = drawn(scenes.scene, SPLITS["validation"])
    made = Network()
    steps = len(learned) // BATCH
    optimizer = torch.optim.AdamW(made.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, EPOCHS * steps, pct_start=0.1)
    for epoch in range(EPOCHS):
        made.train()
        order = rng.permutation(len(learned))
        for step in range(steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            optimizer.zero_grad()
            loss_of(made, [learned[at] for at in chosen], rng).backward()
            torch.nn.utils.clip_grad_norm_(made.parameters(), 5)
            optimizer.step()
            schedule.step()
        made.eval()
        report(f"epoch {epoch}", quality(partial(proposed, made), validation))
    halves = {
        name: value.half() if value.is_floating_point() else value
        for name, value in made.state_dict().items()
    }
    write_tensors(path, halves, {"made by": "datasets/world/proposer.py"})


def measure(names: Sequence[str], split: str) -> None:
    """Print the quality of proposals on the scenes of a split."""
    items = drawn(scenes.scene, SPLITS[split])
    for name in names:
        sample = Sample("", UNLABELLED)
        regions, small = partial(Regions().find, sample), partial(proposed, network())
        report(name, quality(regions if name == "regions" else small, items))


def report(what: str, values: tuple[float, ...]) -> None:
    """Print a line."""
    ap, ar, count = values
    print(f"{what:10} AP50 {ap:.1f}  AR50 {ar:.1f}  {count:.0f} boxes", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(required=True, dest="verb")
    training = verbs.add_parser("train")
    training.add_argument("out", type=Path, metavar="OUT")
    training.add_argument("--to", type=Path, required=True)
    measuring = verbs.add_parser("measure")
    measuring.add_argument("names", nargs="+", choices=("regions", "small"))
    measuring.add_argument("--split", choices=tuple(SPLITS), default="validation")
    asked = parser.parse_args()
    if asked.verb == "train":
        train(asked.out, asked.to)
    else:
        measure(asked.names, asked.split)
