"""Images per second and core from JPEG files to tensors: rppbench against PIL and torchvision v1.

Images are generated (500 x 375, smooth noise of four scales, JPEG quality 90). Both sides run in
this process on one thread, in turn, and are timed in processor seconds, so that a busy machine
matters less. Test pixels must be bit-identical.

    python benchmarks/input_pipeline.py
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from report import RESULTS, environment, table, write_report

from rppbench.data.augmentation import training_view
from rppbench.data.preprocess import Preprocess
from rppbench_datasets import image_files

# isort: split
from torchvision import transforms

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIZE, WIDTH, HEIGHT = 224, 500, 375
BICUBIC = transforms.InterpolationMode.BICUBIC


def picture(number: int) -> Image.Image:
    draw = np.random.default_rng(number)
    total = np.zeros((HEIGHT, WIDTH, 3))
    for scale, weight in ((64, 0.5), (16, 0.25), (4, 0.15), (1, 0.1)):
        shape = (HEIGHT // scale + 2, WIDTH // scale + 2, 3)
        noise = Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8))
        total += weight * np.asarray(noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def plain(*steps: Any) -> Callable[[Path], torch.Tensor]:
    tensor = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    transform = transforms.Compose([*steps, *tensor])
    return lambda path: transform(Image.open(path).convert("RGB"))


def seconds(run: Callable[[Path], Any], paths: list[Path]) -> float:
    """Processor seconds of one image."""
    started = time.process_time()
    for path in paths:
        run(path)
    return (time.process_time() - started) / len(paths)


def measure(paths: list[Path], repeats: int) -> dict[str, Any]:
    facts = Preprocess(SIZE, MEAN, STD)
    view = training_view(facts, "crop-flip")
    image = image_files.read_image(paths[0])
    short = image.resize((int(SIZE * WIDTH / HEIGHT), SIZE), Image.Resampling.BICUBIC)
    runs: dict[str, Callable[[Path], Any]] = {
        "test, rppbench": lambda path: facts(image_files.read_image(path)),
        "test, plain": plain(transforms.Resize(SIZE, BICUBIC), transforms.CenterCrop(SIZE)),
        "training, rppbench": lambda path: view(image_files.read_image(path), path.name, 0, 0),
        "training, plain": plain(
            transforms.RandomResizedCrop(SIZE, (0.08, 1.0), interpolation=BICUBIC),
            transforms.RandomHorizontalFlip(),
        ),
        "part: decode": image_files.read_image,
        "part: resize": lambda path: image.resize(short.size, Image.Resampling.BICUBIC),
        "part: crop, tensor, normalise": lambda path: facts(short),
    }
    for path in paths:
        if not torch.equal(runs["test, rppbench"](path), runs["test, plain"](path)):
            raise SystemExit(f"the test pixels of {path} are not equal")
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(seconds(run, paths))
    return {name: 1000 * statistics.median(each) for name, each in times.items()}


def markdown(result: dict[str, Any]) -> list[str]:
    milliseconds = result["milliseconds"]
    rows = [[name, f"{ms:.2f}", f"{1000 / ms:.0f}"] for name, ms in milliseconds.items()]
    ratios = ", ".join(f"{name} {value:.2f}" for name, value in result["ratio"].items())
    return [
        f"{result['images']} generated JPEG files of {WIDTH} x {HEIGHT} to tensors of {SIZE},"
        f" one thread, processor time, median of {result['repeats']} rounds in turn.",
        "Test pixels of both sides are equal to the last bit.",
        "",
        *table(("", "ms an image", "images a second and core"), rows),
        "",
        f"Plain time over rppbench's: {ratios}.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.jpg" for number in range(options.images)]
        for number, path in enumerate(paths):
            picture(number).save(path, "JPEG", quality=90)
        milliseconds = measure(paths, options.repeats)
    result = {
        "images": options.images,
        "repeats": options.repeats,
        "milliseconds": milliseconds,
        "ratio": {
            part: milliseconds[f"{part}, plain"] / milliseconds[f"{part}, rppbench"]
            for part in ("test", "training")
        },
        "environment": environment("pillow", "torch", "torchvision"),
    }
    write_report(options.output, "input_pipeline", "Input pipeline", result, markdown(result))


if __name__ == "__main__":
    main()
