"""Ways to run class names through the text tower, forward and backward, in one table.

Each way runs in a process of its own. Its features and gradient must equal rppbench's, which is
checked on some of the names. The table shows what each idea brings on its own: cutting the
padding, grouping names of like length, running the prompt once, packing without any
padding, copying the prefix for the fused attention, and compiling.

    python benchmarks/attention.py --classes 1000 --length 16
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from generated_inputs import class_names
from plain_step import cut_to_longest
from report import GIB, RESULTS, environment, machine_load, table, write_report
from text_encoding import prompt_of, text_clip
from torch import Tensor
from usage import quickest, run_child, usage_of

from rppbench.contracts.prompts import Prompt
from rppbench.models import text_tower
from rppbench.models.blocks import attend_with_prefix, finish_block, normalise
from rppbench.models.class_names import Names
from rppbench.models.clip import Clip
from rppbench.models.tokens import ClipTokens

# isort: split
import open_clip

Way = Callable[[Clip, Prompt, Names], Tensor]
"""Unit features (c, e) of the names behind the prompt."""

SOME = 16
"""Number of names on which every way is compared with rppbench's."""

TOLERANCE = 1e-4
"""Largest difference of the features, and of the gradient relative to its largest entry."""


def plain(clip: Clip, prompt: Prompt, names: Names) -> Tensor:
    return clip.text.encode(prompt, names, plain=True)


def cut(clip: Clip, prompt: Prompt, names: Names) -> Tensor:
    return cut_to_longest(clip.text, prompt, names)


def grouped(clip: Clip, prompt: Prompt, names: Names) -> Tensor:
    each = Prompt(prompt.input.expand(len(names), -1, -1))  # one prompt per class: none is shared
    return clip.text.encode(each, names)


def shared(clip: Clip, prompt: Prompt, names: Names) -> Tensor:
    return normalise(clip.text._run_suffixes(names.ids, names.ids, clip.text._run_prefix(prompt)))


def ours(clip: Clip, prompt: Prompt, names: Names) -> Tensor:
    return clip.text.encode(prompt, names)


def copied(clip: Clip, prompt: Prompt, names: Names) -> Tensor:
    def attend(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, _: None) -> Tensor:
        count, s, p = len(q), q.shape[2], keys.shape[2]
        k, v = (
            torch.cat([before.expand(count, -1, -1, -1), own], 2)
            for before, own in ((keys, k), (values, v))
        )
        seen = torch.ones(s, p + s, dtype=torch.bool, device=q.device).tril(p)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)

    with patch.object(text_tower, "attend_with_prefix", attend):
        return ours(clip, prompt, names)


def packed(clip: Clip, prompt: Prompt, names: Names) -> Tensor:
    """All suffixes in one row of tokens for the token-wise layers; attention by length.

    Names of equal length have no padding, so this computes nothing that is not needed.
    """
    text, steps = clip.model, clip.text.kind.steps
    prefix = clip.text._run_prefix(prompt)
    groups = [(names.lengths == s).nonzero()[:, 0] for s in names.lengths.unique()]
    shapes = [(len(rows), int(names.lengths[rows[0]])) for rows in groups]
    suffixes = [
        clip.text._embed(names.ids[rows, :s], at=prefix.tokens)
        for rows, (_, s) in zip(groups, shapes, strict=True)
    ]
    sizes = [c * s for c, s in shapes]
    x = torch.cat([part.flatten(0, 1) for part in suffixes])[None]  # (1, tokens, d)
    blocks = zip(text.transformer.resblocks, prefix.keys, prefix.values, strict=True)
    for block, keys, values in blocks:
        attention = block.attn
        inside = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)[0]
        heads = []
        for part, shape in zip(inside.split(sizes), shapes, strict=True):
            q, k, v = part.view(*shape, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
            mixed = attend_with_prefix(q, k, v, keys, values)  # (c, h, s, d/h)
            heads.append(mixed.transpose(0, 1).flatten(1, 2))
        x = finish_block(steps, block, x, torch.cat(heads, 1)[None])
    ends = [
        part.view(*shape, -1)[:, -1] for part, shape in zip(x[0].split(sizes), shapes, strict=True)
    ]
    features = text.ln_final(torch.cat(ends)) @ text.text_projection
    return normalise(features[torch.cat(groups).argsort()])


def compiled(clip: Clip, prompt: Prompt, names: Names) -> Tensor:
    if clip.text.finish_block is finish_block:
        clip.compile("inductor")
    return ours(clip, prompt, names)


WAYS: dict[str, tuple[str, Way]] = {
    "plain": ("every class in the full context, the published way", plain),
    "cut": ("every class whole, padded to the longest name", cut),
    "grouped": ("every class whole, names of like length together", grouped),
    "shared": ("the prompt once; names padded to the longest", shared),
    "ours": ("**the prompt once; names of like length together: rppbench**", ours),
    "packed": ("the same, in one row of tokens without padding", packed),
    "copied": ("as rppbench, fused attention on a copy of the prefix for each class", copied),
    "compiled": ("as rppbench, `--compile` (inductor)", compiled),
}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Usage of one way in this process, and its largest difference from rppbench's numbers."""
    torch.set_num_threads(1)
    clip, names = text_clip(options.model), class_names(options.classes)
    clip.text.checkpoint = False  # recomputation would blur the comparison
    prompt = prompt_of(clip, options.length)
    run = WAYS[options.way][1]

    def step(run: Way, names: Names) -> tuple[Tensor, Tensor]:
        features = run(clip, prompt, names)
        weight = torch.linspace(-1, 1, features.shape[1])
        (gradient,) = torch.autograd.grad((features * weight).sum(), [prompt.input])
        return features.detach(), gradient

    some = clip.names(names[:: max(1, len(names) // SOME)][:SOME])
    (wanted, wanted_gradient), (features, gradient) = step(ours, some), step(run, some)
    apart = max(
        float((features - wanted).abs().max()),
        float((gradient - wanted_gradient).abs().max() / wanted_gradient.abs().max()),
    )
    if apart > TOLERANCE:
        raise SystemExit(f"{options.way} is {apart:.1e} away from what rppbench computes")
    part = clip.names(names[: options.whole] if options.way == "plain" else names)
    step(run, part)  # warm-up: compiling and reserving memory are not timed
    spent = quickest([usage_of(partial(step, run, part)) for _ in range(options.repeats)])
    return {**spent.times(len(names) / len(part)).json(), "apart": apart}


def common_prefixes(counts: Sequence[int]) -> list[dict[str, float]]:
    """Share of tokens left if names with a common beginning ran that beginning once."""
    rows_by_count = []
    tokens = ClipTokens(open_clip.SimpleTokenizer())
    for count in counts:
        ids = Names(class_names(count), tokens)
        rows = [
            tuple(row[:length])
            for row, length in zip(ids.ids.tolist(), ids.lengths.tolist(), strict=True)
        ]
        distinct = {row[:end] for row in rows for end in range(1, len(row) + 1)}
        tokens = int(ids.lengths.sum())
        rows_by_count.append(
            {"classes": len(rows), "tokens": tokens / len(rows), "left": len(distinct) / tokens}
        )
    return rows_by_count


def markdown(result: Mapping[str, Any]) -> list[str]:
    base = result["ways"]["ours"]
    rows = [
        [
            title,
            f"{one['cpu']:.2f} s",
            f"{one['cpu'] / base['cpu']:.2f}",
            f"{one['peak'] / GIB:.2f}",
            f"{one['apart']:.0e}",
        ]
        for way, (title, _) in WAYS.items()
        if (one := result["ways"].get(way))
    ]
    prefixes = [
        [f"{row['classes']:,}", f"{row['tokens']:.2f}", f"{1 - row['left']:.0%}"]
        for row in result["prefixes"]
    ]
    return [
        f"Text tower of {result['model']} with random weights, {result['classes']:,} ImageNet-21K"
        f" names behind {result['length']} learned tokens, forward and backward, float32, one"
        f" thread, processor seconds, the quickest of {result['repeats']} after one to warm up;"
        f" nothing is computed twice to save memory. The published way ran {result['whole']} names"
        " and is counted as often as they fit in. Differences are those of"
        f" {SOME} names, in the features and of the largest gradient entry.",
        "",
        *table(("way", "time", "of rppbench's", "peak GiB", "largest difference"), rows),
        "",
        "`scaled_dot_product_attention` of jagged tensors has no backend on a CPU (torch 2.13:"
        " 'No viable backend'), so packing is written out here: attention by groups of equal"
        " length, everything else on one row of tokens.",
        "",
        "Tokens that names share with others that begin alike, in addition to the prompt:",
        "",
        *table(("classes", "tokens a name", "shared with others"), prefixes),
    ]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--model", default="ViT-B-32", help="a model of open_clip")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--length", type=int, default=16, help="learned tokens")
    parser.add_argument("--whole", type=int, default=50, help="names of the published way")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--names", nargs="+", type=int, default=[1000, 10450, 21841])
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.way:
        print(json.dumps(measure(options)))
        return
    arguments = []
    for name in ("model", "classes", "length", "whole", "repeats"):
        arguments += [f"--{name}", str(getattr(options, name))]
    before, ways = machine_load(), {}
    for way in dict.fromkeys([*options.ways, "ours"]):
        ways[way] = run_child(__file__, [*arguments, "--way", way])
        print(f"{way}: {ways[way]['cpu']:.2f} s", flush=True)
    result = {
        "ways": ways,
        "prefixes": common_prefixes(options.names),
        **{name: getattr(options, name) for name in ("model", "classes", "length", "whole")},
        "repeats": options.repeats,
        "load": [before, machine_load()],
        "environment": environment("torch", "open_clip_torch"),
    }
    write_report(options.output, "attention", "The text side, way by way", result, markdown(result))


if __name__ == "__main__":
    main()
