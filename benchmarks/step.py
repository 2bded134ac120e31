"""The train step (forward, backward, optimizer) of rppbench against the published way.

Ours is a step of the real training loop. The plain step runs every candidate class in 77 tokens
and every image through the image tower, in one graph, as the official codes do, without data
loading. It is measured in one piece with `--whole` classes. For more classes its text part is
counted several times, since classes do not interact there; the report says how many times.

    python benchmarks/step.py --models ViT-B-16 --methods coop maple
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from generated_inputs import FilledStore, GeneratedDataset, class_names, make_clip
from plain_step import RECIPES, MethodSetting, PlainStep, official_texts
from report import GIB, RESULTS, Goal, environment, machine_load, table, write_report
from usage import Usage, quickest, run_child, usage_of

from rppbench.evaluation.scorer import Scorer
from rppbench.models.class_names import Names
from rppbench.models.clip import embed_width
from rppbench.records.cell import Choice, Training
from rppbench.training.trainer import Trainer

MODELS = ("ViT-B-16", "ViT-B-32")
CLASSES = (100, 1000, 10450)
FASTER, LESS, CLASSIFIER = {"coop": 12, "maple": 4, "rpp": 4}, 10, 12
"""Goals of speed and memory at 1,000 classes, and of the classifier."""


class Enough(Exception):  # noqa: N818  not an error: the steps to be timed are done
    """Ends a training after the steps that are timed."""


def our_steps(setting: MethodSetting, classes: int, steps: int) -> list[Usage]:
    """Usage of each of the first steps of the training loop, without the work before them."""
    clip, recipe = setting.clip, setting.recipe
    dataset = GeneratedDataset(classes, recipe.batch * steps, clip.preprocess.size)
    training = Training(
        method=Choice(setting.name),
        recipe=recipe.choice(),
        source=dataset.name,
        classes="all",
        shots=recipe.batch * steps,
        seed=0,
        backbone=clip.name,
        teacher=None,
        precision="fp32",
    )
    method = setting.method(classes)
    moments: list[tuple[float, float]] = []

    def notify(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        moments.append((time.process_time(), time.perf_counter()))
        if done == steps:
            raise Enough

    scorer = Scorer(clip, FilledStore(Path(), width=embed_width(clip.model)), 128, 0, notify)
    trainer = Trainer(training, method, setting.supervision, clip, None, dataset, scorer)

    def run() -> None:
        moments.append((time.process_time(), time.perf_counter()))
        with tempfile.TemporaryDirectory() as folder:
            try:
                trainer.run(Path(folder) / "prompts")
            except Enough:
                return

    peak = usage_of(run).peak
    return [Usage(b[0] - a[0], b[1] - a[1], peak) for a, b in pairwise(moments)]


def compare_with_official(plain: PlainStep, names: Names, repeats: int) -> dict[str, float]:
    """The plain text pass against CoOp's own code: largest difference, and ratio of times."""
    context = plain.method.prompts().text.input  # type: ignore[union-attr]
    with torch.no_grad():
        difference = plain.texts(names) - official_texts(plain.clip.text, context, names)
    runs: dict[str, list[Usage]] = {"plain": [], "official": []}
    for _ in range(repeats):
        runs["plain"].append(usage_of(lambda: plain.texts(names).sum().backward()))
        runs["official"].append(
            usage_of(lambda: official_texts(plain.clip.text, context, names).sum().backward())
        )
    return {
        "largest_difference": float(difference.abs().max()),
        "official_over_plain": quickest(runs["official"]).cpu / quickest(runs["plain"]).cpu,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One method on all models, in this process."""
    torch.set_num_threads(options.threads)
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {"rows": rows}
    known: dict[tuple[object, int], Usage] = {}
    for model in options.models:
        clip = make_clip(model)
        setting = MethodSetting.of(options.only, clip)
        part = min(options.whole, setting.candidates(max(options.classes)))
        plain, names = PlainStep(setting), clip.names(class_names(part))
        plain.step(names.select(torch.arange(2)))  # warm-up of libraries
        image = quickest([usage_of(partial(plain.step, None)) for _ in range(2)])
        whole: list[Usage] = []
        for classes in options.classes:
            # Without image prompts our step reads stored features: only the text tower counts.
            towers = (str(clip.model.transformer), 0 if not setting.prompts_images else model)
            steps = 1 if classes > 1000 else options.steps
            if (key := (towers, classes)) not in known:
                known[key] = quickest(our_steps(setting, classes, steps))
            while len(whole) < options.repeats:
                whole.append(usage_of(partial(plain.step, names)))
            text = quickest(whole)
            text = Usage(text.cpu - image.cpu, text.wall - image.wall, text.peak - image.peak)
            multiple = setting.candidates(classes) / part
            published = image.plus(text.times(multiple))
            rows.append(
                {
                    "method": setting.name,
                    "model": model,
                    "classes": classes,
                    "candidates": setting.candidates(classes),
                    "batch": setting.recipe.batch,
                    "recipe": setting.recipe.name,
                    "prompted": setting.prompts_images,
                    "text_times": multiple,
                    "ours": known[key].json(),
                    "plain": published.json(),
                    "plain_images": image.json(),
                    "faster": published.cpu / known[key].cpu,
                    "less_memory": published.peak / max(known[key].peak, 1),
                }
            )
        if options.only == "coop" and model == options.models[-1]:
            few = names.select(torch.arange(min(25, options.whole)))
            result["control"] = compare_with_official(plain, few, options.repeats)
            result["linear"] = class_seconds(plain, names, options.repeats)
            result["classifier"] = classifier(setting, plain, names, max(options.classes))
    return result


def share_text_part(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows, with the quickest plain text part among those whose text part is the same work.

    Otherwise its noise, counted many times, would look like a difference of methods or models.
    All models here have the same text tower; CoOp and POMP, without prompts inside it, are alike.
    """
    texts: dict[tuple[str, float], float] = {}
    keys = [
        (row["method"] if row["prompted"] else "", row["candidates"] / row["text_times"])
        for row in rows
    ]
    for row, key in zip(rows, keys, strict=True):
        text = (row["plain"]["cpu"] - row["plain_images"]["cpu"]) / row["text_times"]
        texts[key] = min(text, texts.get(key, text))
    result = []
    for row, key in zip(rows, keys, strict=True):
        cpu = row["plain_images"]["cpu"] + row["text_times"] * texts[key]
        plain = {**row["plain"], "cpu": cpu}
        result.append({**row, "plain": plain, "faster": cpu / row["ours"]["cpu"]})
    return result


def class_seconds(plain: PlainStep, names: Names, repeats: int) -> dict[str, float]:
    """Seconds per class among a quarter of the names and among all: the cost should be linear."""
    few = names.select(torch.arange(max(1, len(names) // 4)))
    return {
        str(len(some)): quickest(
            [usage_of(lambda some=some: plain.texts(some).sum().backward()) for _ in range(repeats)]
        ).cpu
        / len(some)
        for some in (few, names)
    }


def classifier(
    setting: MethodSetting, plain: PlainStep, part: Names, classes: int
) -> dict[str, Any]:
    """Encoding of all classes without gradients, ours and plain; the latter extrapolated."""
    method = setting.method(classes)
    names = setting.clip.names(class_names(classes))
    text = method.prompts().text
    with torch.no_grad():
        own = usage_of(lambda: setting.clip.text.encode(text, names))  # type: ignore[arg-type]
        some = usage_of(lambda: plain.texts(part))
    multiple = classes / len(part)
    return {
        "classes": classes,
        "ours": own.json(),
        "plain": some.times(multiple).json(),
        "times": multiple,
        "faster": some.cpu * multiple / own.cpu,
    }


def goals(result: Mapping[str, Any]) -> list[Goal]:
    """The goals of this part, with what was measured."""
    goals = []
    for row in result["rows"]:
        subject = f"{row['method']} step, {row['model']}, {row['classes']:,} classes"
        faster, less = row["faster"], row["less_memory"]
        if row["method"] == "pomp" and row["candidates"] == 1000:
            peak = row["ours"]["peak"] / 1e9
            goals.append(Goal(f"{subject}, peak", f"{peak:.2f} GB", "2 GB", peak < 2))
        if row["classes"] == 1000 and row["method"] in FASTER:
            least = FASTER[row["method"]]
            measured = f"{faster:.1f} times faster"
            goals.append(Goal(subject, measured, f"{least} times", faster >= least))
            if row["method"] == "coop":
                measured = f"{less:.1f} times less"
                goals.append(Goal(f"{subject}, peak", measured, f"{LESS} times", less >= LESS))
    if encoding := result.get("classifier"):
        subject, ratio = f"classifier of {encoding['classes']:,} classes", encoding["faster"]
        reached = ratio >= CLASSIFIER
        goals.append(Goal(subject, f"{ratio:.1f} times faster", f"{CLASSIFIER} times", reached))
    return goals


def coop_lines(result: Mapping[str, Any]) -> list[str]:
    """Lines of the report on what is measured once, with CoOp's context."""
    if "control" not in result:
        return []
    official, encoding = result["control"], result["classifier"]
    linear = ", ".join(f"{1000 * s:.0f} ms among {n}" for n, s in result["linear"].items())
    return [
        "",
        f"Classifier of {encoding['classes']:,} classes without gradients:"
        f" {encoding['ours']['cpu']:.1f} s against {encoding['plain']['cpu']:.0f} s"
        f" (x {encoding['times']:g}):"
        f" **{encoding['faster']:.1f} times faster**.",
        "",
        f"A class costs the plain text pass {linear}. Its features are those of open_clip's own"
        f" modules in CoOp's code (largest difference {official['largest_difference']:.0e}), which"
        f" take {official['official_over_plain']:.2f} of its time.",
    ]


def markdown(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for row in result["rows"]:
        own, plain = row["ours"], row["plain"]
        times = row["text_times"]
        rows.append(
            [
                row["method"],
                row["model"],
                f"{row['classes']:,}",
                f"{own['cpu']:.2f} s",
                f"{own['peak'] / GIB:.2f}",
                f"{plain['cpu']:.1f} s" + (f" (text x {times:g})" if times != 1 else ""),
                f"{plain['peak'] / GIB:.1f}",
                f"**{row['faster']:.1f}**",
                f"{row['less_memory']:.1f}",
                f"{min(1, row['plain_images']['cpu'] / own['cpu']):.0%}"
                if row["prompted"]
                else "0%",
            ]
        )
    heads = [
        *("method", "model", "classes", "ours", "GiB", "plain", "GiB"),
        *("times faster", "times less memory", "image tower's share of ours"),
    ]
    return [
        "Forward, backward and optimiser in one thread, float32, random weights, processor"
        " seconds; peak memory above that of the loaded model. Ours is a step of the real training"
        " loop, with features of images that the method leaves alone out of the store. Plain runs"
        f" 77 tokens a class and live images, measured whole with {result['whole']} classes;"
        " '(text x 10)' means that the text part of that step is counted ten times, in seconds"
        " and in memory: this many classes take too long, or do not fit, in one piece here.",
        "",
        "Batches are the recipes': 32 images for CoOp, POMP and RPP, 4 for MaPLe. POMP and RPP"
        " compare 1,000 classes a step at most. They run with one view of each image and without a"
        " teacher; their recipes take four views, which for RPP means four times the image part on"
        " both sides. For CoOp and POMP both models have the same text tower, and it is all that"
        " ours runs: measured once. Of the plain side, too, the quickest text part counts in all"
        " rows that have the same one.",
        "",
        *table(heads, rows),
        *coop_lines(result),
        *missing_lines(result),
    ]


def missing_lines(result: Mapping[str, Any]) -> list[str]:
    """The default methods, models and numbers of classes that the run left out, in one line."""
    rows = result["rows"]
    missing = [
        *(name for name in RECIPES if name not in {row["method"] for row in rows}),
        *(name for name in MODELS if name not in {row["model"] for row in rows}),
        *(f"{n:,} classes" for n in CLASSES if n not in {row["classes"] for row in rows}),
    ]
    return ["", f"Not measured here: {', '.join(missing)}."] if missing else []


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--classes", nargs="+", type=int, default=list(CLASSES))
    parser.add_argument("--whole", type=int, default=100, help="classes of the plain step")
    parser.add_argument("--steps", type=int, default=2, help="of ours; one beyond 1,000 classes")
    parser.add_argument("--repeats", type=int, default=2, help="of the plain step")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.only:
        print(json.dumps(measure(options)))
        return
    arguments = []
    for name in ("models", "classes", "whole", "steps", "repeats", "threads"):
        value = getattr(options, name)
        arguments += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    loads, parts = [machine_load()], []
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = [
            pool.submit(run_child, __file__, [*arguments, "--only", m]) for m in options.methods
        ]
        for done in as_completed(runs):  # results so far are written, as the next may take long
            parts.append(done.result())
            loads.append(machine_load())
            result = {
                "rows": [row for part in parts for row in part["rows"]],
                **{k: v for part in parts for k, v in part.items() if k != "rows"},
                "whole": options.whole,
                "threads": options.threads,
                "load": [min(loads), max(loads)],
                "environment": environment("torch", "open_clip_torch"),
            }
            order = options.methods
            rows = sorted(result["rows"], key=lambda row: order.index(row["method"]))
            result["rows"] = share_text_part(rows)
            write_report(options.output, "step", "Train step", result, markdown(result))


if __name__ == "__main__":
    main()
