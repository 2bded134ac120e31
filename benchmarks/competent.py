"""A train step against what a competent user does with the published modules.

A competent user stores the features of an image tower without prompts, as rppbench does, and cuts
the text to the longest name instead of 77 tokens. What is left is the shared prompt and the
grouping of names by length. The text of CoOp and POMP passes open_clip's own modules as CoOp's code
calls them, that of deep prompts our towers with every class whole. The two sides take their steps
in turn, in one thread; their gradients must agree.

    python benchmarks/competent.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from generated_inputs import class_names, make_clip
from plain_step import MethodSetting, competent_texts
from report import RESULTS, environment, machine_load, ratio, table, write_report
from torch import Tensor
from usage import usage_of

from rppbench.contracts.prompts import Prompt

CASES = (
    ("coop", "ViT-B-16", 100),
    ("coop", "ViT-B-16", 1000),
    ("coop", "ViT-B-32", 1000),
    ("pomp", "ViT-B-32", 1000),
    ("maple", "ViT-B-16", 1000),
    ("rpp", "ViT-B-16", 1000),
    ("rpp", "ViT-B-32", 1000),
)
"""Method, model and number of classes, as in `step.py`."""
TOLERANCE = 1e-4
"""Largest difference of the gradients, relative to the largest entry."""


class Steps:
    """A method's step with the text pass of either side."""

    def __init__(self, method: str, model: str, classes: int) -> None:
        self.clip = make_clip(model)
        setting = MethodSetting.of(method, self.clip)
        self.names = self.clip.names(class_names(classes))
        self.method = setting.method(classes)
        self.optimizer = torch.optim.SGD(self.method.parameters(), lr=0.001, momentum=0.9)
        self.stored = not setting.prompts_images
        """Whether both sides read stored image features, since no prompt enters the image tower."""
        stream = torch.Generator().manual_seed(0)
        size, batch = self.clip.preprocess.size, setting.recipe.batch
        self.pixels = torch.randn(batch, 3, size, size, generator=stream)
        with torch.no_grad():
            self.features = self.clip.image.encode(self.pixels)
        self.labels = torch.arange(batch) % classes

    def images(self) -> Tensor:
        """Features [B, E] of the batch."""
        image = self.method.prompts().image
        return self.features if self.stored else self.clip.image.encode(self.pixels, image)

    def ours(self) -> Tensor:
        """Features [C, E] by rppbench's text tower."""
        return self.clip.text.encode(self._prompt(), self.names)

    def competent(self) -> Tensor:
        """The same with every class whole, in as many tokens as the longest name needs."""
        return competent_texts(self.clip.text, self._prompt(), self.names)

    def loss(self, texts: Callable[[], Tensor]) -> Tensor:
        """The loss of a batch, with its gradient."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.clip.scale * self.images() @ texts().T, self.labels)
        loss.backward()
        return loss

    def step(self, texts: Callable[[], Tensor]) -> float:
        """Processor seconds of a step."""

        def run() -> None:
            self.loss(texts)
            self.optimizer.step()

        return usage_of(run).cpu

    def gradient(self, texts: Callable[[], Tensor]) -> Tensor:
        self.loss(texts)
        return torch.cat([p.grad.flatten() for p in self.method.parameters() if p.grad is not None])

    def _prompt(self) -> Prompt:
        text = self.method.prompts().text
        assert isinstance(text, Prompt)
        return text


def measure(method: str, model: str, classes: int, rounds: int) -> dict[str, Any]:
    """Seconds of both sides, round by round. SystemExit if their gradients differ."""
    steps = Steps(method, model, classes)
    own, other = steps.gradient(steps.ours), steps.gradient(steps.competent)
    apart = float((own - other).abs().max() / own.abs().max())
    if apart > TOLERANCE:
        raise SystemExit(f"the gradients of the two sides differ: {apart:.1e}")
    pairs = []
    for at in range(rounds):
        order = (steps.ours, steps.competent) if at % 2 else (steps.competent, steps.ours)
        seconds = {side.__name__: steps.step(side) for side in order}
        pairs.append((seconds["ours"], seconds["competent"]))
    tokens = 1 + steps._prompt().input.shape[0] + steps.names.ids.shape[1]
    return {
        "method": method,
        "model": model,
        "classes": classes,
        "stored": steps.stored,
        "tokens": tokens,
        "apart": apart,
        "pairs": pairs,
        **ratio([b / a for a, b in pairs]),
    }


def markdown(result: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            f"{row['method']}, {row['model']}",
            f"{row['classes']:,}",
            "stored" if row["stored"] else "encoded",
            str(row["tokens"]),
            f"{min(a for a, _ in row['pairs']):.2f} s",
            f"{min(b for _, b in row['pairs']):.2f} s",
            f"**{row['ratio']:.1f}**",
            f"{row['low']:.1f} to {row['high']:.1f}",
            str(len(row["pairs"])),
        ]
        for row in result["rows"]
    ]
    apart = max(row["apart"] for row in result["rows"])
    return [
        "A step of the published recipe with random weights: forward, backward and optimizer, in "
        "processor seconds of one thread. Where the image tower has no prompts, both sides read "
        "stored image features; elsewhere both encode the images of the batch. The competent "
        "user's text has as many tokens as the longest name needs. Pairs of steps in turn, "
        "quickest of each side, mean ratio; gradients of the two sides differ by at most "
        f"{apart:.0e} of the largest entry.",
        "",
        *table(
            [
                "step of",
                "classes",
                "images",
                "tokens a class",
                "rppbench",
                "competent user",
                "times",
                "95 % interval",
                "pairs",
            ],
            rows,
        ),
    ]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=[], metavar="METHOD,MODEL,CLASSES")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of steps")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    load = machine_load()
    named = [case.split(",") for case in options.cases]
    cases = [(method, model, int(count)) for method, model, count in named] or CASES
    rows = []
    for case in cases:
        rows.append(measure(*case, options.rounds))
        print(f"{case}: {rows[-1]['ratio']:.2f}", flush=True)
    result = {
        "rounds": options.rounds,
        "rows": rows,
        "load": [load, machine_load()],
        "environment": environment("torch", "open_clip_torch"),
    }
    write_report(
        options.output,
        "competent",
        "A train step against a competent user",
        result,
        markdown(result),
    )


if __name__ == "__main__":
    main()
