"""Parts of a step with prompts in the image tower, and alternatives: patches, layout, attention.

The model has random weights; forward, and backward where the step needs it. The run checks
which alternatives give the same bits.

    python benchmarks/image_side.py --batch 4 --length 4
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from generated_inputs import make_clip
from report import RESULTS, environment, machine_load, table, write_report
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from usage import quickest, usage_of

from rppbench.contracts.prompts import Prompt


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Processor seconds of the quickest run, after one to warm up."""
    run()
    return quickest([usage_of(run) for _ in range(repeats)]).cpu


def spelled_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(-1) @ v


def measure(options: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    clip = make_clip(options.model)
    tower, visual = clip.image, clip.model.visual
    blocks, size = visual.transformer.resblocks, clip.preprocess.size
    stream = torch.Generator().manual_seed(0)
    images = torch.randn(options.batch, 3, size, size, generator=stream)
    tokens = (torch.randn(options.length, visual.conv1.out_channels) * 0.02).requires_grad_()

    def step() -> None:
        features = tower.encode(images, Prompt(tokens))
        (features * features.detach().roll(1, 0)).sum().backward()

    last = images.contiguous(memory_format=torch.channels_last)
    convolution = copy.deepcopy(visual.conv1).to(memory_format=torch.channels_last)
    heads = blocks[0].attn.num_heads
    count = len(visual.positional_embedding) + options.length
    shape = (options.batch, heads, count, visual.conv1.out_channels // heads)
    q, k, v = (torch.randn(shape, generator=stream).requires_grad_() for _ in range(3))
    parts: dict[str, Callable[[], object]] = {
        "step": step,
        "patches": lambda: visual._embeds(images),
        "convolution": lambda: visual.conv1(images),
        "channels_last": lambda: convolution(last),
        "fused": lambda: scaled_dot_product_attention(q, k, v).sum().backward(),
        "spelled_out": lambda: spelled_out(q, k, v).sum().backward(),
    }
    with torch.no_grad():
        same = torch.equal(convolution(last), visual.conv1(images))
    return {
        "seconds": {name: seconds(part, options.repeats) for name, part in parts.items()},
        "blocks": len(blocks),
        "same_bits": same,
    }


def markdown(result: Mapping[str, Any]) -> list[str]:
    spent, blocks = result["seconds"], result["blocks"]
    attention = f"attention of {blocks} blocks"
    rows = [
        ["a step, forward and backward", spent["step"]],
        ["what lies below the first prompted block: patches and positions", spent["patches"]],
        ["of it the convolution", spent["convolution"]],
        ["the convolution, channels last", spent["channels_last"]],
        [f"{attention}, fused, forward and backward", blocks * spent["fused"]],
        [f"{attention}, spelled out", blocks * spent["spelled_out"]],
    ]
    return [
        f"{result['model']} with random weights, {result['batch']} images, {result['length']}"
        " learned tokens in the first block, float32, one thread, processor time, the quickest of"
        f" {result['repeats']} after one to warm up. Channels last gives"
        f" {'the same' if result['same_bits'] else 'other'} bits.",
        "",
        *table(
            ("part", "time", "of the step"),
            [[part, f"{1000 * s:.1f} ms", f"{s / spent['step']:.2%}"] for part, s in rows],
        ),
    ]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViT-B-16", help="a model of open_clip")
    parser.add_argument("--batch", type=int, default=4, help="MaPLe's")
    parser.add_argument("--length", type=int, default=4, help="learned tokens")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(words)
    before = machine_load()
    result = {
        **measure(options),
        **{name: getattr(options, name) for name in ("model", "batch", "length", "repeats")},
        "load": [before, machine_load()],
        "environment": environment("torch", "open_clip_torch"),
    }
    write_report(
        options.output, "image_side", "The image side, part by part", result, markdown(result)
    )


if __name__ == "__main__":
    main()
