"""Cost of scoring boxes and masks of many detections by the protocol of LVIS.

The command is `rppbench score` on generated files in LVIS's format, in a process of its own: it
reads and checks them, computes the average precision of boxes and of masks, and writes the record
and its pages. Classes are those of LVIS. Masks are ellipses, drawn from a number of different ones.

    python benchmarks/lvis_masks.py --detections 100000
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from many_records import measured
from report import GIB, MIB, RESULTS, environment, machine_load, table, write_report
from usage import run_child

from rppbench.files import rle
from rppbench_datasets.detection.lvis import Lvis
from rppbench_datasets.vocabularies import table as vocabulary

HEIGHT, WIDTH = 480, 640
MASKS = 2_000
"""Different masks; encoding one for each detection would take longer than scoring them."""
INSTANCES, ABSENT = 12, 60
"""Of each image: annotated instances, and classes that are known to be absent."""
FOUND = 0.15
"""Share of detections that have box, mask and class of an instance."""

Shape = tuple[list[float], dict[str, Any], int]
"""Box, mask and area."""


def shapes(draw: np.random.Generator) -> list[Shape]:
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    made = []
    for _ in range(MASKS):
        w, h = np.exp(draw.uniform(np.log(8), np.log(300), 2)).round(1).tolist()
        x, y = draw.uniform(0, (WIDTH - w, HEIGHT - h)).round(1).tolist()
        inside = ((columns - x - w / 2) * 2 / w) ** 2 + ((rows - y - h / 2) * 2 / h) ** 2 <= 1
        made.append(([x, y, w, h], rle.encode(inside), int(inside.sum())))
    return made


def make(folder: Path, count: int, images: int) -> dict[str, Any]:
    """Write the annotations and the detections; how many of each and the size of both files."""
    draw = np.random.default_rng(0)
    categories: list[dict[str, Any]] = [
        {"id": int(number), "name": name, "frequency": group}
        for number, name, group in vocabulary("lvis")
    ]
    numbers: list[int] = [one["id"] for one in categories]
    pool = shapes(draw)
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        here = draw.choice(numbers, INSTANCES).tolist()
        absent = [one for one in draw.choice(numbers, ABSENT, False).tolist() if one not in here]
        name = f"http://images.cocodataset.org/val2017/{image:012}.jpg"
        entry = {"id": image, "height": HEIGHT, "width": WIDTH, "coco_url": name}
        entry |= {"neg_category_ids": absent, "not_exhaustive_category_ids": here[:1]}
        entries.append(entry)
        taken = draw.integers(MASKS, size=INSTANCES).tolist()
        for category, at in zip(here, taken, strict=True):
            box, mask, area = pool[at]
            one = {"id": len(annotations) + 1, "image_id": image, "category_id": category}
            annotations.append(one | {"bbox": box, "segmentation": mask, "area": area})
        for _ in range(count // images + (image <= count % images)):
            found = int(draw.integers(INSTANCES)) if draw.random() < FOUND else None
            category = int(draw.choice(numbers)) if found is None else here[found]
            box, mask, _ = pool[int(draw.integers(MASKS)) if found is None else taken[found]]
            one = {"image_id": image, "category_id": category, "score": float(draw.random())}
            detections.append(one | {"bbox": box, "segmentation": mask})
    content = {"images": entries, "annotations": annotations, "categories": categories}
    files = {Lvis.annotations: content, "detections.json": detections}
    for place, value in files.items():
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_text(json.dumps(value))
    return {
        "images": images,
        "detections": len(detections),
        "instances": len(annotations),
        "classes": len(categories),
        "bytes": sum((folder / place).stat().st_size for place in files),
    }


def compare(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: the peak of the command cannot be below that of this process.
        words = ["--make", name, "--images", str(options.images)]
        made = run_child(__file__, [*words, "--detections", str(options.detections)])
        command = ["score", "detections.json", "--task", "detection", "--dataset", "lvis"]
        used = measured([*command, "--variant", "made", "--data", name], folder)
    return {**made, **used}


def markdown(result: Mapping[str, Any]) -> list[str]:
    return [
        f"`rppbench score` on generated files of {result['bytes'] / MIB:,.0f} MiB: boxes and masks"
        f" of {WIDTH} x {HEIGHT} pixels in {result['images']:,} images. One process, one run; the"
        " whole command, with its start, the reading of the files and the pages that it writes.",
        "",
        *table(
            ("detections", "instances", "classes", "processor time", "peak memory"),
            [
                [
                    *(f"{result[name]:,}" for name in ("detections", "instances", "classes")),
                    f"{result['cpu']:.1f} s",
                    f"{result['peak'] / GIB:.2f} GiB",
                ]
            ],
        ),
    ]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detections", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.make:
        print(json.dumps(make(options.make, options.detections, options.images)))
        return
    before = machine_load()
    result = {
        **compare(options),
        "load": [before, machine_load()],
        "environment": environment("numpy", "faster-coco-eval"),
    }
    write_report(options.output, "lvis_masks", "Masks of LVIS", result, markdown(result))


if __name__ == "__main__":
    main()
