"""What is left to win in a step with prompts in the image tower: patches, layout, attention.

Time of the parts of a step of ViT-B/16 with random weights, the smallest of several runs, and
whether the alternatives give the same bits.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import rppbench.torchvision_ops  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import open_clip
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from rppbench.contracts import Prompt
from rppbench.runner import environment
from rppbench.towers import ImageTower


def best(action: Callable[[], object], repeats: int) -> float:
    """Milliseconds of the fastest of several runs, after one to warm up."""
    action()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        found.append(1000 * (time.perf_counter() - began))
    return min(found)


def measure(batch: int, length: int, repeats: int) -> dict[str, float | bool]:
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-16", pretrained=None).eval().requires_grad_(False)
    tower, visual = ImageTower(model), model.visual
    images = torch.randn(batch, 3, 224, 224)
    tokens = (torch.randn(length, 768) * 0.02).requires_grad_()

    def step() -> None:
        features = tower.encode(images, Prompt(tokens))
        (features * features.detach().roll(1, 0)).sum().backward()

    last = images.contiguous(memory_format=torch.channels_last)
    conv = copy.deepcopy(visual.conv1).to(memory_format=torch.channels_last)
    shape = (batch, visual.transformer.resblocks[0].attn.num_heads, 197 + length, 64)
    q, k, v = (torch.randn(shape, requires_grad=True) for _ in range(3))

    def spelled_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.transpose(2, 3) * 64**-0.5).softmax(-1) @ v

    return {
        "step_ms": best(step, repeats),
        "patches_ms": best(lambda: visual._embeds(images), repeats),
        "convolution_ms": best(lambda: visual.conv1(images), repeats),
        "convolution_channels_last_ms": best(lambda: conv(last), repeats),
        "channels_last_same_bits": torch.equal(conv(last), visual.conv1(images)),
        "attention_fused_ms": best(
            lambda: scaled_dot_product_attention(q, k, v).sum().backward(), repeats
        ),
        "attention_spelled_out_ms": best(lambda: spelled_out(q, k, v).sum().backward(), repeats),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4, help="MaPLe's")
    parser.add_argument("--length", type=int, default=4, help="learned tokens")
    parser.add_argument("--repeats", type=int, default=5)
    here = Path(__file__).parent / "results" / "image_side.json"
    parser.add_argument("--output", type=Path, default=here)
    said = parser.parse_args()
    found = measure(said.batch, said.length, said.repeats)
    facts = {"batch": said.batch, "length": said.length, "repeats": said.repeats}
    content = {**facts, "environment": environment("cpu"), "measured": found}
    said.output.write_text(json.dumps(content, indent=1) + "\n")
    for name, value in found.items():
        print(f"{name}: {value if isinstance(value, bool) else round(value, 2)}")


if __name__ == "__main__":
    main()
