"""CoOp's step against what a competent user does with the published modules.

A competent user stores the features of the frozen image tower, as rppbench does, and cuts the text
to the longest name instead of 77 tokens; the text then passes open_clip's own modules as CoOp's
code calls them. What is left is the shared prompt and the grouping of names by length. The two
sides take their steps in turn, in one thread; features and gradients must agree.

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
from plain_step import MethodSetting, official_texts
from report import RESULTS, environment, machine_load, ratio, table, write_report
from torch import Tensor
from usage import usage_of

from rppbench.contracts.prompts import Prompt

TOLERANCE = 1e-4
"""Largest difference of the gradients, relative to the largest entry."""


class Steps:
    """CoOp's step on stored image features, with the text pass of either side."""

    def __init__(self, model: str, classes: int) -> None:
        self.clip = make_clip(model)
        setting = MethodSetting.of("coop", self.clip)
        self.names = self.clip.names(class_names(classes))
        self.method = setting.method(classes)
        self.optimizer = torch.optim.SGD(self.method.parameters(), lr=0.001, momentum=0.9)
        prompt = self._prompt()
        with torch.no_grad():
            width = self.clip.text.encode(prompt, self.names.select(torch.arange(1))).shape[1]
        stream = torch.Generator().manual_seed(0)
        images = torch.randn(setting.recipe.batch, width, generator=stream)
        self.images = F.normalize(images, dim=-1)
        self.labels = torch.arange(len(images)) % classes

    def ours(self) -> Tensor:
        """Features [C, E] by rppbench's text tower."""
        return self.clip.text.encode(self._prompt(), self.names)

    def competent(self) -> Tensor:
        """The same by open_clip's modules, in as many tokens as the longest name needs."""
        return official_texts(self.clip, self._prompt().input, self.names, cut=True)

    def loss(self, texts: Callable[[], Tensor]) -> Tensor:
        """The loss of a batch, with its gradient."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.clip.scale * self.images @ texts().T, self.labels)
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


def measure(model: str, classes: int, rounds: int) -> dict[str, Any]:
    """Seconds of both sides, round by round. SystemExit if their gradients differ."""
    steps = Steps(model, classes)
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
        "classes": classes,
        "tokens": tokens,
        "apart": apart,
        "pairs": pairs,
        **ratio([b / a for a, b in pairs]),
    }


def markdown(result: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            f"{row['classes']:,}",
            str(row["tokens"]),
            f"{min(a for a, _ in row['pairs']):.2f} s",
            f"{min(b for _, b in row['pairs']):.2f} s",
            f"**{row['ratio']:.1f}**",
            f"{row['low']:.1f} to {row['high']:.1f}",
        ]
        for row in result["rows"]
    ]
    apart = max(row["apart"] for row in result["rows"])
    return [
        f"A step of CoOp ({result['model']}, random weights, 32 images, 16 learned tokens): "
        "forward, backward and optimizer, in processor seconds of one thread. Both sides read "
        "stored image features. The competent user's text has as many tokens as the longest name "
        f"needs, and passes open_clip's own modules. {result['rounds']} pairs of steps, in turn, "
        "quickest of each; "
        f"gradients of the two sides differ by at most {apart:.0e} of the largest entry.",
        "",
        *table(
            ["classes", "tokens a class", "rppbench", "competent user", "times", "95 % interval"],
            rows,
        ),
    ]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViT-B-16")
    parser.add_argument("--classes", nargs="+", type=int, default=[100])
    parser.add_argument("--rounds", type=int, default=7, help="pairs of steps")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    load = machine_load()
    result = {
        "model": options.model,
        "rounds": options.rounds,
        "rows": [measure(options.model, count, options.rounds) for count in options.classes],
        "load": [load, machine_load()],
        "environment": environment("torch", "open_clip_torch"),
    }
    write_report(
        options.output,
        "competent",
        "CoOp's step against a competent user",
        result,
        markdown(result),
    )


if __name__ == "__main__":
    main()
