"""Few-shot draws: the images of each class that a training uses, drawn as CoOp draws them."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Sequence

from rppbench.contracts.dataset import Sample
from rppbench.errors import UsageError
from rppbench.files.digests import digest
from rppbench.records.cell import EVERY_IMAGE

LISTED = 3
"""Most classes that a line names."""
VAL_SHOTS = 4
"""CoOp draws at most this many validation images per class, whatever the shots."""


def few_shot(samples: Sequence[Sample], shots: int, seed: int) -> list[Sample]:
    """CoOp's draw: `shots` images of each class, all of a class that has fewer.

    Classes are visited in order of first appearance; each takes one `random.sample` from a stream
    seeded with the seed itself, so the picks equal those of KaiyangZhou/Dassl.pytorch
    `base_dataset.py` for the same list. Seed 0 is a seed like any other.
    """
    return _draw(samples, shots, random.Random(seed))


def few_images(labels: Sequence[int], names: Sequence[str], shots: int) -> str:
    """One line on the classes of a draw that have fewer images than `shots`; '' if there are none.

    labels: of the drawn images, as positions in `names`.
    """
    if shots >= EVERY_IMAGE:
        return ""
    counts = Counter(labels)
    short = [(name, counts[at]) for at, name in enumerate(names) if counts[at] < shots]
    if not short:
        return ""
    listed = ", ".join(f"{name} ({count})" for name, count in short[:LISTED])
    more = ", ..." if len(short) > LISTED else ""
    return (
        f"{len(short)} of {len(names)} classes have fewer than {shots} training images: "
        f"{listed}{more}"
    )


def draw_digest(drawn: Sequence[Sample]) -> str:
    """Digest that two draws share if and only if they hold the same images in the same order."""
    return digest([sample.key for sample in drawn], 16)


def few_shot_with_val(
    train: Sequence[Sample], val: Sequence[Sample], shots: int, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """`few_shot` of train, and CoOp's draw of val, which continues on the same stream."""
    stream = random.Random(seed)
    drawn = _draw(train, shots, stream)
    return drawn, _draw(val, min(shots, VAL_SHOTS), stream)


def _draw(samples: Sequence[Sample], shots: int, stream: random.Random) -> list[Sample]:
    if shots < 1:
        raise UsageError(f"shots must be at least 1, not {shots}")
    by_label: dict[int, array[int]] = {}
    # Positions, since a list of millions may create each sample when it is read.
    for at, sample in enumerate(samples):
        by_label.setdefault(sample.label, array("q")).append(at)
    drawn: list[Sample] = []
    for positions in by_label.values():
        count = len(positions)
        picks = stream.sample(range(count), shots) if count >= shots else range(count)
        drawn += [samples[positions[pick]] for pick in picks]
    return drawn
