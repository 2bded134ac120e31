"""Absolute speed on a GPU: steps and images a second, and the share of the card's peak.

The card's peak is measured too, by a product of large matrices in the same precision; the
operations of a step are counted by torch. Without CUDA it says so and writes no results.

    python benchmarks/gpu.py --precision bf16
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from generated_inputs import class_names, make_clip
from plain_step import RECIPES, MethodSetting, PlainStep
from report import GIB, RESULTS, environment, table, write_report
from torch.utils.flop_counter import FlopCounterMode

from rppbench.contracts.prompts import Prompt
from rppbench.execution.peak_memory import peak_bytes, reset_peak
from rppbench.models.loading import DTYPES

MODELS = ("ViT-B-16", "ViT-B-32")
CLASSES = (100, 1000, 10450)


def seconds(run: Callable[[], Any], device: str, repeats: int) -> float:
    """Wall-clock seconds of a run, the mean of several after one to warm up."""
    run()
    _synchronise(device)
    started = time.perf_counter()
    for _ in range(repeats):
        run()
    _synchronise(device)
    return (time.perf_counter() - started) / repeats


def flops(run: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products and attention in one run."""
    counter = FlopCounterMode(display=False)
    with counter:
        run()
    return counter.get_total_flops()


def peak_rate(device: str, dtype: torch.dtype, side: int, repeats: int) -> float:
    """Floating-point operations a second of a product of square matrices."""
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    return 2 * side**3 / seconds(lambda: matrix @ matrix, device, repeats)


def step(plain: PlainStep, classes: int) -> Callable[[], None]:
    """Our complete step: a shared prefix; images pass the image tower only if it has prompts."""
    clip, method, setting = plain.clip, plain.method, plain.setting
    names = clip.names(class_names(classes)).select(torch.arange(setting.candidates(classes)))
    stored = plain.images().detach()
    labels = torch.arange(len(stored), device=stored.device) % len(names)

    def run() -> None:
        prompts = method.prompts()
        images = stored if prompts.image is None else plain.images()
        assert isinstance(prompts.text, Prompt)
        texts = clip.text.encode(prompts.text, names)
        plain.optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(clip.scale * images @ texts.T, labels).backward()
        plain.optimizer.step()

    return run


def measure(options: argparse.Namespace, device: str) -> list[dict[str, Any]]:
    """Every method on every model with every number of classes."""
    rows = []
    best = peak_rate(device, DTYPES[options.precision], options.side, options.repeats)
    for model in options.models:
        clip = make_clip(model, device, options.precision)
        for name in options.methods:
            plain = PlainStep(MethodSetting.of(name, clip))
            with torch.no_grad():
                spent = seconds(partial(clip.image.encode, plain.pixels), device, options.repeats)
            for classes in options.classes:
                run = step(plain, classes)
                reset_peak(device)
                each = seconds(run, device, options.repeats)
                rows.append(
                    {
                        "method": name,
                        "model": model,
                        "classes": classes,
                        "steps_a_second": 1 / each,
                        "images_a_second": len(plain.pixels) / spent,
                        "share_of_peak": flops(run) / each / best,
                        "peak_rate": best,
                        "peak_bytes": peak_bytes(device),
                    }
                )
    return rows


def markdown(result: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            row["method"],
            row["model"],
            f"{row['classes']:,}",
            f"{row['steps_a_second']:.1f}",
            f"{row['images_a_second']:.0f}",
            f"{row['share_of_peak']:.0%}",
            f"{row['peak_bytes'] / GIB:.2f}",
        ]
        for row in result["rows"]
    ]
    best = result["rows"][0]["peak_rate"] / 1e12
    heads = ("method", "model", "classes", "steps/s", "images/s", "share of peak", "peak GiB")
    return [
        f"{result['card']}, {result['precision']}, random weights, time on the clock. Images a"
        " second are those of the frozen tower at the method's batch. The peak is that of a large"
        f" product of matrices in the same run: {best:.1f} TFLOP/s.",
        "",
        *table(heads, rows),
    ]


def _synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--classes", nargs="+", type=int, default=list(CLASSES))
    parser.add_argument("--precision", choices=DTYPES, default="fp16")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--side", type=int, default=8192, help="of the matrices for the peak")
    parser.add_argument("--device", default="cuda", help="cpu tries the program, not the machine")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(words)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: absolute speed was not measured")
        return
    card = torch.cuda.get_device_name() if options.device == "cuda" else "the processor"
    result = {
        "rows": measure(options, options.device),
        "card": card,
        "precision": options.precision,
        "environment": environment("torch", "open_clip_torch"),
    }
    write_report(options.output, "gpu", "Absolute speed", result, markdown(result))


if __name__ == "__main__":
    main()
