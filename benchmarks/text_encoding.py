"""Time and memory of encoding class names behind a learned prompt, forward and backward.

`shared` runs the prompt once and only '<name>.<end>' for each class; `plain` runs 77 tokens for
each class, as the published code does. Both are exact, which the run checks. Every measurement is a
process of its own: peak memory is the high-water mark of its resident set during the pass, minus
what was resident before it (model and libraries).

    python benchmarks/text_encoding.py --classes 1000 --length 16 --threads 2
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from generated_inputs import class_names
from report import GIB, RESULTS, environment, table, write_report
from usage import run_child, usage_of

from rppbench.contracts.prompts import Prompt
from rppbench.models.class_names import Names
from rppbench.models.clip import Clip, Preprocess
from rppbench.models.loading import build

# isort: split
import open_clip

PATHS = ("shared", "plain")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--length", type=int, default=16, help="learned tokens")
    parser.add_argument("--model", default="ViT-B-16", help="a model of open_clip; random weights")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3, help="processes for each path")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--path", choices=PATHS, help=argparse.SUPPRESS)
    parser.add_argument("--parts", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


def text_clip(model: str) -> Clip:
    """The model with its complete text tower and a minimal image tower."""
    config = open_clip.get_model_config(model)
    if config is None:
        raise SystemExit(f"open_clip has no model {model!r}")
    config["vision_cfg"] = {"layers": 1, "width": 64, "head_width": 64, "patch_size": 16}
    torch.manual_seed(0)
    facts = Preprocess(224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Clip(model, "random", build(config), open_clip.SimpleTokenizer(), facts)


def prompt_of(clip: Clip, length: int) -> Prompt:
    width = clip.model.token_embedding.embedding_dim
    generator = torch.Generator().manual_seed(0)
    return Prompt((torch.randn(length, width, generator=generator) * 0.02).requires_grad_())


def step(clip: Clip, prompt: Prompt, names: Names, path: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Features, and the gradient of a fixed function of them with respect to the prompt."""
    features = clip.text.encode(prompt, names, plain=path == "plain")
    loss = (features * torch.linspace(-1, 1, features.shape[1])).sum()
    (gradient,) = torch.autograd.grad(loss, [prompt.input])
    return features.detach(), gradient


def kept_bytes(clip: Clip, prompt: Prompt, names: Names, path: str) -> int:
    """Bytes that autograd keeps for the backward pass, without weights; a storage counts once."""
    weights = {part.untyped_storage().data_ptr() for part in clip.model.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # otherwise its address could be reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        clip.text.encode(prompt, names, plain=path == "plain")
    return sum(kept.values())


def measure(options: argparse.Namespace) -> dict[str, float]:
    """One pass of one path in this process."""
    torch.set_num_threads(options.threads)
    clip = text_clip(options.model)
    prompt = prompt_of(clip, options.length)
    names = clip.names(class_names(options.classes))
    step(clip, prompt, names.select(torch.arange(4)), options.path)  # warm-up of libraries
    rows = torch.arange(len(names)).chunk(options.parts)

    def run() -> None:
        for part in rows:  # a training would sum the gradients of the parts
            step(clip, prompt, names.select(part), options.path)

    spent = usage_of(run)
    return {"seconds": spent.wall, "peak_bytes": spent.peak}


def spawn(options: argparse.Namespace, path: str, parts: int) -> dict[str, float]:
    words = ["--path", path, "--parts", str(parts)]
    for name in ("classes", "length", "model", "threads"):
        words += [f"--{name}", str(getattr(options, name))]
    result = run_child(__file__, words)
    print(f"{path:7} {result['seconds']:8.2f} s {result['peak_bytes'] / GIB:8.2f} GiB", flush=True)
    return result


def available_bytes() -> int:
    """Memory that is free without swapping (Linux); elsewhere no limit is known."""
    table = Path("/proc/meminfo")
    if not table.exists():
        return sys.maxsize
    line = next(row for row in table.read_text().splitlines() if row.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """All measurements, paths in turn, and their ratios."""
    clip = text_clip(options.model)
    prompt = prompt_of(clip, options.length)
    few = clip.names(class_names(options.classes)).select(torch.arange(8))
    (features, gradient), (plain_features, plain_gradient) = (
        step(clip, prompt, few, path) for path in PATHS
    )
    plain_kept = kept_bytes(clip, prompt, few, "plain") / 8  # a class
    # The peak is higher than what is kept: 1.4 times in a run of 100 classes.
    needed, parts = 1.6 * plain_kept * options.classes, 1
    while parts < options.classes and needed / parts > available_bytes():
        parts *= 2
    if parts > 1:
        print(
            f"plain may need {needed / GIB:.1f} GiB for {options.classes} classes, more than is"
            f" free: it runs in {parts} parts"
        )
    names = clip.names(class_names(options.classes))
    shared_kept = kept_bytes(clip, prompt, names, "shared")
    runs: dict[str, list[dict[str, float]]] = {path: [] for path in PATHS}
    for _ in range(options.repeats):
        for path in PATHS:
            runs[path].append(spawn(options, path, parts if path == "plain" else 1))
    median = {
        path: {key: statistics.median(run[key] for run in runs[path]) for key in runs[path][0]}
        for path in PATHS
    }
    return {
        "model": options.model,
        "classes": options.classes,
        "plain_parts": parts,
        "length": options.length,
        "threads": options.threads,
        "tokens_in_names": float(names.lengths.float().mean()),
        "median": median,
        "runs": runs,
        "faster": median["plain"]["seconds"] / median["shared"]["seconds"],
        "less_peak_memory": median["plain"]["peak_bytes"] / median["shared"]["peak_bytes"],
        "kept_bytes": {"shared": shared_kept, "plain": int(options.classes * plain_kept)},
        "largest_difference": {
            "features": float((features - plain_features).abs().max()),
            "gradient_relative": float(
                (gradient - plain_gradient).abs().max() / plain_gradient.abs().max()
            ),
        },
        "environment": environment("torch", "open_clip_torch"),
    }


def markdown(result: dict[str, Any]) -> list[str]:
    rows = [
        [
            path,
            f"{result['median'][path]['seconds']:.2f}",
            f"{result['median'][path]['peak_bytes'] / GIB:.2f}",
            f"{result['kept_bytes'][path] / GIB:.2f}",
        ]
        for path in PATHS
    ]
    difference = result["largest_difference"]
    parts = (
        f" Plain does not fit into memory: it runs in {result['plain_parts']} parts, so"
        " its peak is that of one part and the ratio of peaks a lower bound."
    )
    return [
        f"Forward and backward of {result['classes']} ImageNet-21K class names behind"
        f" {result['length']} learned tokens, text tower of {result['model']} with random"
        f" weights, float32, {result['threads']} thread(s), median of"
        f" {len(result['runs']['shared'])} process(es) for each path."
        + (parts if result["plain_parts"] > 1 else ""),
        "",
        *table(("path", "seconds", "peak GiB", "kept for backward GiB"), rows),
        "",
        f"**{result['faster']:.1f} times faster, {result['less_peak_memory']:.1f} times less"
        " peak memory.** Names have"
        f" {result['tokens_in_names']:.1f} tokens on average, full stop and end token"
        " included. What plain keeps is extrapolated from 8 classes; time and peak are"
        " measured.",
        f"Largest difference between the paths on 8 classes: {difference['features']:.1e} in"
        f" the features, {difference['gradient_relative']:.1e} of the largest gradient entry.",
    ]


def main() -> None:
    options = arguments()
    if options.path:
        print(json.dumps(measure(options)))
        return
    result = compare(options)
    name = f"text_encoding-{options.classes}"
    write_report(options.output, name, "Text encoding", result, markdown(result))


if __name__ == "__main__":
    main()
