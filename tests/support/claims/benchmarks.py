"""Numbers of claims that follow from the committed results of `benchmarks`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from support.claims.numbers import numbers

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def _printed(*lines: str) -> list[float]:
    """All numbers on lines of pages of results; a line is PAGE:WORDS, with words that it holds."""
    values = []
    for line in lines:
        page, _, words = line.partition(":")
        text = (RESULTS / f"{page}.md").read_text(encoding="utf-8").replace("*", "")
        found = [one for one in text.replace("`", "").splitlines() if words in one]
        assert found, f"no line of {page}.md holds: {words}"
        values += [float(number) for one in found for number in numbers(one)]
    return values


def _result(file: str) -> Any:
    return json.loads((RESULTS / f"{file}.json").read_text(encoding="utf-8"))


def _steps(*cases: str) -> list[dict[str, Any]]:
    """Rows of step.py; a case is METHOD/MODEL/CLASSES."""
    rows = _result("step")["rows"]
    found = {f"{row['method']}/{row['model']}/{row['classes']}": row for row in rows}
    return [found[case] for case in cases]


def _images_too(*cases: str) -> list[float]:
    """How many times faster a step is with our images encoded too, and its number of classes."""
    values = []
    for row in _steps(*cases):
        ours, plain, images = (row[side]["cpu"] for side in ("ours", "plain", "plain_images"))
        values += [plain / (ours + images), float(row["classes"])]
    return values


def _plain_text(*cases: str) -> list[float]:
    """Seconds of the plain side's text part in a step, and its number of classes."""
    values = []
    for row in _steps(*cases):
        values += [row["plain"]["cpu"] - row["plain_images"]["cpu"], float(row["classes"])]
    return values


def _a_class(*cases: str) -> list[float]:
    """Milliseconds of a step for each of its classes."""
    return [1000 * row["ours"]["cpu"] / row["classes"] for row in _steps(*cases)]


def _ways(*ways: str) -> list[float]:
    """Seconds of ways of attention.py, and how many times rppbench's they are."""
    seconds = {way: result["cpu"] for way, result in _result("attention")["ways"].items()}
    return [value for way in ways for value in (seconds[way], seconds[way] / seconds["ours"])]


def _familywise() -> list[float]:
    """Least and most tables of equal methods, in percent, in which any pair is separated."""
    rows = _result("interval_coverage")["familywise"]
    errors = [error for row in rows for error in row["errors"]]
    return [min(errors), max(errors), 13.0]


def _luck() -> list[float]:
    """Seeds, and the least and most ratio of variances that they share over data sets."""
    rows = _result("seed_luck")["rows"]
    ratios = [row["ratio"] for row in rows]
    return [rows[0]["seeds"], min(ratios), max(ratios)]


def _linear() -> list[float]:
    """By how many percent a class of the plain text pass costs more among many than among few."""
    few, many = _result("step")["linear"].values()
    return [*_printed("step:A class costs"), 100 * (many / few - 1)]


def _extrapolated() -> list[float]:
    """How many times the plain text pass of attention.py counts; epochs of fewshot.py that count
    without having run, and those that ran."""
    ways, run = _result("attention"), _result("fewshot")["rows"][1]["runs"]["plain"]
    ran = run["epochs_ran"]
    return [ways["classes"] / ways["whole"], run["epochs"] - ran, ran]


def _fewshot() -> list[float]:
    """What the rows of fewshot.py say together.

    Seconds of a warm run without augmentation outside of its epochs; of a warm step without and
    with augmentation; of an epoch of a cold run with augmentation, and of its images in it;
    milliseconds of a cold and a warm step on the embedded world.
    """
    world, same, views = (row["runs"] for row in _result("fewshot")["rows"])
    warm, again, cold = same["warm"], views["warm"], views["cold"]

    def step(run: dict[str, Any]) -> float:
        return run["epoch"] * run["epochs_ran"] / run["steps"]

    return [
        warm["cpu"] - warm["epochs"] * warm["epoch"],
        step(warm),
        step(again),
        cold["epoch"],
        cold["epoch"] - again["epoch"],
        1000 * step(world["cold"]),
        1000 * step(world["warm"]),
    ]


def _operations_before() -> list[float]:
    """By how many percent a step runs more tensor operations than before, at most."""
    rows = [_printed(f"before_after:{method} | 4") for method in ("coop", "maple", "rpp")]
    return [max(100 * (row[2] / row[1] - 1) for row in rows)]


def _an_image() -> list[float]:
    """Milliseconds for an image of the embedded world, cold and warm, mean of both numbers."""
    rows = [_printed(f"scaling:{images} | 1") for images in ("1,000", "4,000")]
    return [fmean(row[at] for row in rows) for at in (1, 2)]


def _pipeline() -> list[float]:
    """Milliseconds of decoding, resizing and the rest of an image; the ratio without the rest."""
    ours, plain, decode, resize = (
        _printed(f"input_pipeline:{part}")[0]
        for part in ("test, rppbench", "test, plain", "part: decode", "part: resize")
    )
    return [decode, resize, ours - decode - resize, plain / (decode + resize)]


def _image_step() -> list[float]:
    """Seconds of a step, and what channels last gains in its patches, in percent of it."""
    seconds = _result("image_side")["seconds"]
    gain = seconds["convolution"] - seconds["channels_last"]
    return [seconds["step"], 100 * gain / seconds["step"]]


def _weights(tokens: int, width: int) -> float:
    """Tera floating-point operations of 12 blocks' weights (12 d² each) on this many tokens."""
    return 2 * 12 * 12 * width**2 * tokens / 1e12


def _operations() -> list[float]:
    """TFLOP of 1,000 short names, of 4 images of 201 tokens, and of 77 tokens for each name."""
    return [
        _weights(1_000 * 6, 512),
        _weights(4 * 201, 768),
        _weights(1_000 * 77, 512),
        *(1_000, 6, 4, 201, 77),
    ]


CHECKS: dict[str, Callable[..., list[float]]] = {
    "printed": _printed,
    "images_too": _images_too,
    "plain_text": _plain_text,
    "ways": _ways,
    "luck": _luck,
    "familywise": _familywise,
    "linear": _linear,
    "extrapolated": _extrapolated,
    "fewshot": _fewshot,
    "image_step": _image_step,
    "a_class": _a_class,
    "operations_before": _operations_before,
    "an_image": _an_image,
    "pipeline": _pipeline,
    "operations": _operations,
}
