"""Readers of the runs of other harnesses: logs of Dassl and results of CLIP_benchmark as records.

Their cells have 'imported' among their inputs, so they share no table with cells measured here.
Formats: Dassl's evaluator (github.com/KaiyangZhou/Dassl.pytorch, dassl/evaluation/evaluator.py) and
CoOp's train.py; github.com/LAION-AI/CLIP_benchmark, clip_benchmark/cli.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from msgspec import structs

from rppbench.contracts.dataset import Dataset
from rppbench.files.atomic import Problem
from rppbench.files.lines import split_lines
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, Choice, Option, Training
from rppbench.records.record import Record, Score
from rppbench.stats.intervals import harmonic_mean

R = TypeVar("R")

MAX_FILE_BYTES = 64 * 2**20
"""Larger files are refused; the log of a long training has a few million bytes."""
DATASETS = {
    "ImageNet": "imagenet",
    "Caltech101": "caltech101",
    "OxfordPets": "oxford_pets",
    "StanfordCars": "stanford_cars",
    "OxfordFlowers": "oxford_flowers",
    "Food101": "food101",
    "FGVCAircraft": "fgvc_aircraft",
    "SUN397": "sun397",
    "DescribableTextures": "dtd",
    "EuroSAT": "eurosat",
    "UCF101": "ucf101",
}
"""Dassl's name -> ours, for data sets with training images."""
SHIFTS = {
    "ImageNetV2": "imagenetv2",
    "ImageNetSketch": "imagenet_sketch",
    "ImageNetA": "imagenet_a",
    "ImageNetR": "imagenet_r",
}
"""Dassl's name -> ours, for data sets with test images only."""
CLIP_BENCHMARK = {
    "imagenet1k": "imagenet",
    "imagenetv2": "imagenetv2",
    "imagenet_sketch": "imagenet_sketch",
    "imagenet-a": "imagenet_a",
    "imagenet-r": "imagenet_r",
    "cars": "stanford_cars",
    "fgvc_aircraft": "fgvc_aircraft",
}
"""CLIP_benchmark's name -> ours, where the test images are the same."""
ROUNDED_DIGITS = 8
"""A fraction with more decimals was not rounded."""
TEST_HEADING = "Evaluate on the *test* set"
RESULT = re.compile(
    r"=> result\n\* total: ([\d,]+)\n\* correct: ([\d,]+)\n\* accuracy: (\d+\.?(\d*))%"
)
"""Groups: total, correct, percent, the decimals of the percent."""
SETTING = re.compile(r"^( *)([A-Z][A-Z0-9_]*):(?: (.*))?$")
"""A line of the printed configuration. Groups: indent, key, value."""


def dassl_records(folder: Path) -> tuple[list[Record], list[Problem]]:
    """Records from the Dassl logs below a folder, and the logs that give none, with the reason.

    A log is refused if it does not score as many test images as the data set has.
    A run on all classes of a set is a few-shot cell; prompts of ImageNet scored on another set
    are a cell of cross-dataset or cross-domain; the base and the new half of a set are one cell of
    base-to-new, which takes both logs.
    """
    logs, problems = _read_files(folder, "log.txt*", _dassl_log)
    images = _test_images()
    records = []
    for log in (log for log in logs if not log.half):
        total, known = log.record.scores[0].total, images.get(log.record.cell.dataset)
        if known is not None and total != known:
            problems.append(Problem(log.path, _other_total(log.record.cell.dataset, total, known)))
        else:
            records.append(log.record)
    pairs: dict[str, dict[str, list[_Log]]] = {}
    for log in logs:
        if log.half:
            pairs.setdefault(log.record.cell.key, {}).setdefault(log.half, []).append(log)
    for halves in pairs.values():
        base, new = halves.get("base", []), halves.get("new", [])
        if len(base) == len(new) == 1:
            cell = base[0].record.cell
            total = sum(log.record.scores[0].total or 0 for log in (*base, *new))
            known = images.get(cell.dataset)
            if known is None or total == known:
                records.append(_both_halves(base[0], new[0]))
            else:
                reason = _other_total(cell.dataset, total, known, "both halves together score")
                problems += [Problem(log.path, reason) for log in (*base, *new)]
            continue
        lacking = " and ".join(half for half in ("base", "new") if half not in halves)
        reason = (
            f"scores half of the classes; no log here has the {lacking} half of the same run"
            if lacking
            else f"{len(base) + len(new)} logs are of the same halves and seed; keep one of each"
        )
        problems += [Problem(log.path, reason) for log in (*base, *new)]
    return records, problems


def clip_benchmark_records(folder: Path) -> tuple[list[Record], list[Problem]]:
    """Records from the JSON results below a folder, and the files that give none, with the reason.

    A result is a cell of cross-dataset with a zero-shot method.
    """
    return _read_files(folder, "*.json", _clip_benchmark_record)


def _test_images() -> dict[str, int]:
    """Number of test images of each data set that has a known one."""
    sets: Mapping[str, type[Dataset]] = Registry.load().all("datasets")
    return {name: one.counts["test"] for name, one in sets.items() if "test" in one.counts}


def _other_total(dataset: str, total: int | None, known: int, what: str = "scores") -> str:
    return f"{what} {total:,} images, but {dataset} has {known:,} test images"


@dataclass(frozen=True)
class _Log:
    """The content of one Dassl log."""

    record: Record
    half: str
    """'base' or 'new'; '' where all classes are scored."""
    path: Path


def _both_halves(base: _Log, new: _Log) -> Record:
    """The record of a base-to-new cell; its main score is the harmonic mean of the two logs'."""
    scores = [
        structs.replace(log.record.scores[0], metric=half)
        for half, log in (("base", base), ("new", new))
    ]
    mean = Score("harmonic_mean", harmonic_mean(scores[0].value, scores[1].value))
    origin = {
        **{f"{name} (base)": value for name, value in base.record.environment.items()},
        **{f"{name} (new)": value for name, value in new.record.environment.items()},
        "imported file": base.record.environment["imported file"],
    }
    return replace(base.record, metric="harmonic_mean", scores=(mean, *scores), environment=origin)


def _read_files(
    folder: Path, pattern: str, read: Callable[[str, dict[str, str], Path], R]
) -> tuple[list[R], list[Problem]]:
    """The results of `read` for all matching files below a folder, and the files it refused.

    `read` gets a file's text, the facts about the file that a record keeps, and its path.
    """
    results: list[R] = []
    problems: list[Problem] = []
    for path in [folder] if folder.is_file() else sorted(folder.rglob(pattern)):
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
            content = path.read_bytes()
            name = path.name if folder.is_file() else str(path.relative_to(folder))
            origin = {"imported file": name, "imported sha256": sha256(content).hexdigest()}
            results.append(read(content.decode("utf-8"), origin, path))
        except OSError as error:
            problems.append(Problem(path, f"cannot be read: {error.strerror}"))
        except (KeyError, TypeError, RecursionError) as error:
            problems.append(Problem(path, f"not a result of this kind: {error}"))
        except ValueError as error:
            problems.append(Problem(path, str(error)))
    return results, problems


def _dassl_log(text: str, origin: dict[str, str], path: Path) -> _Log:
    """The log as a record of imported numbers. ValueError if it does not give a cell."""
    config = dict(_settings(text))
    if "DATASET.NAME" not in config or "TRAINER.NAME" not in config:
        raise ValueError("no configuration is printed in this log")
    name, trainer = config["DATASET.NAME"], config["TRAINER.NAME"]
    known = {**DATASETS, **SHIFTS}
    if name not in known:
        raise ValueError(f"data set {name!r} is not one of {', '.join(known)}")
    half = config.get("DATASET.SUBSAMPLE_CLASSES", "all")
    task, learned = _protocol(text, name, half)
    last = text.replace("\r\n", "\n").rpartition(TEST_HEADING)[2].partition("Evaluate on")[0]
    result = RESULT.search(last)
    if TEST_HEADING not in text or result is None:
        raise ValueError("no result on the test images: was the run finished?")
    total, correct = (int(number.replace(",", "")) for number in result.groups()[:2])
    if not 0 <= correct <= total or not total:
        raise ValueError(f"{correct} of {total} images is not a valid result")
    if abs(100 * correct / total - float(result[3])) > 0.51 * 10.0 ** -len(result[4]):
        raise ValueError(f"{correct} of {total} images are right, but {result[3]}% is printed")
    seed = int(config.get("SEED", "-1"))
    if seed < 0:
        raise ValueError(
            "the run has no seed (SEED: -1), so its draw cannot be distinguished from others"
        )
    section = f"TRAINER.{trainer.upper()}."
    own = {key[len(section) :].lower(): v for key, v in config.items() if key.startswith(section)}
    precision = own.pop("prec", "unknown")
    optim = {k.lower(): v for k, v in config.items() if k.startswith(("OPTIM.", "DATALOADER.T"))}
    options: tuple[tuple[str, Option], ...] = tuple(sorted(own.items()))
    method = Choice(trainer.lower(), options)
    dataset = known[name]
    backbone = config.get("MODEL.BACKBONE.NAME", "unknown").replace("/", "-") + "/openai"
    shots = int(config.get("DATASET.NUM_SHOTS", "-1"))
    if shots < 0 and (named := re.search(r"^model_dir: .*?(?:shots_(\d+)|(\d+)shots)", text, re.M)):
        shots = int(named[1] or named[2])  # scripts that only evaluate do not repeat it
    loaded = re.search(r"^model_dir: .*seed(\d+)", text, re.M)
    if loaded and int(loaded[1]) != seed:
        raise ValueError(f"SEED is {seed}, but the prompts are of seed {loaded[1]}")
    recipe = Choice(_config_name(text) or "unknown", tuple(sorted(optim.items())))
    imported = ("imported", "Dassl log")
    classes = "base" if task == "base-to-new" else "all"
    training = Training(
        method,
        recipe,
        learned,
        classes,
        max(shots, 0),
        seed,
        backbone,
        None,
        precision,
        ((f"dataset:{learned}", "imported"), imported),
    )
    inputs = ((f"dataset:{dataset}", "imported"), imported)
    choice = Choice(task, (("shots", shots), ("suite", "coop")))
    cell = Cell(choice, dataset, method, backbone, precision, seed, None, training, inputs)
    score = Score("top1", 100 * correct / total, correct, total)
    record = _record(cell, score, f"{trainer}, imported from Dassl log", name, origin)
    source = next(title for title, key in DATASETS.items() if key == learned)
    record = replace(record, labels={**record.labels, "source": source})
    return _Log(record, "" if half == "all" else half, path)


def _protocol(text: str, name: str, half: str) -> tuple[str, str]:
    """The task that a log is a run of, and the data set that its prompts were learned on.

    A log that only evaluates names the folder of the run that learned the prompts (`model_dir`).
    The scripts of CoOp, CoCoOp and MaPLe put the name of that run's data set into the path:
    output/imagenet/..., output/base2new/train_base/caltech101/... ValueError if no task fits.
    """
    folder = re.search(r"^model_dir: *(\S*)$", text, re.MULTILINE)
    parts = folder[1].replace("\\", "/").lower().split("/") if folder else []
    scored = {**DATASETS, **SHIFTS}[name]
    evaluates_only = "eval_only: True" in split_lines(text)
    if half in ("base", "new"):
        if name in SHIFTS:
            raise ValueError(f"scores half of the classes of {name}, which no protocol does")
        if evaluates_only and ("train_base" not in parts or scored not in _datasets_named(parts)):
            raise ValueError(
                f"scores half of {name} with prompts of {folder[1] if folder else 'nowhere'!r}, "
                f"whose path does not say train_base and {scored}"
            )
        if half == "new" and not evaluates_only:
            raise ValueError("trained on the new half of the classes, which no protocol does")
        return "base-to-new", scored
    if half != "all":
        raise ValueError(f"SUBSAMPLE_CLASSES is {half!r}, not one of all, base and new")
    if not evaluates_only:
        if name in SHIFTS:
            raise ValueError(f"trained on {name}, which has no training images")
        return "few-shot", scored
    if _datasets_named(parts) != {"imagenet"} or "train_base" in parts:
        raise ValueError(
            "scores prompts of another run, and its model_dir does not say that all classes of "
            "imagenet were learned on"
        )
    if name == "ImageNet":
        return "few-shot", scored
    return ("cross-domain" if name in SHIFTS else "cross-dataset"), "imagenet"


def _datasets_named(parts: list[str]) -> set[str]:
    """The data sets that parts of a path are named after."""
    return {*DATASETS.values(), *SHIFTS.values()} & set(parts)


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """The configuration that a log prints, as pairs such as ('TRAINER.COOP.N_CTX', '16')."""
    _, _, printed = text.partition("** Config **")
    sections: list[tuple[int, str]] = []  # indent and key of each
    for line in split_lines(printed)[2:]:
        setting = SETTING.match(line)
        if setting is None:
            return
        depth, key, value = len(setting[1]), setting[2], setting[3]
        sections = [(d, k) for d, k in sections if d < depth] + [(depth, key)]
        if value is not None:
            yield ".".join(k for _, k in sections), value.strip()


def _config_name(text: str) -> str:
    """'vit_b16_ep50' of configs/trainers/CoOp/vit_b16_ep50.yaml; '' if the log names no file."""
    config_file = re.search(r"^config_file: (\S+)$", text, re.MULTILINE)
    return Path(config_file[1]).stem if config_file else ""


def _clip_benchmark_record(text: str, origin: dict[str, str], path: Path) -> Record:
    """A JSON result as a record. KeyError, TypeError or ValueError if it is not one."""
    data: dict[str, Any] = json.loads(text)
    task, named, metrics = data["task"], data["dataset"], data["metrics"]
    if task != "zeroshot_classification":
        raise ValueError(f"task {task!r}; only zeroshot_classification is imported")
    accuracy = metrics["acc1"]
    if type(accuracy) not in (int, float) or not 0 <= accuracy <= 1:  # NaN fails the comparison too
        raise ValueError(f"acc1 is {accuracy!r}, which is not a fraction from 0 to 1")
    total = _test_images().get(CLIP_BENCHMARK.get(str(named).removeprefix("wds/"), ""))
    correct = None if total is None else round(accuracy * total)
    if total is None or correct is None or correct / total != accuracy:
        if total is not None and len(repr(accuracy).partition(".")[2]) > ROUNDED_DIGITS:
            raise ValueError(f"acc1 is {accuracy!r}, which is not a count out of {total:,} images")
        total = correct = None  # acc1 was rounded, or the number of images is not known
    dataset = f"clip-benchmark:{named}"
    backbone = f"{data['model']}/{data['pretrained']}"
    method = Choice("zeroshot", (("template", f"clip-benchmark, {data.get('language', 'en')}"),))
    inputs = ((f"dataset:{dataset}", "imported"), ("imported", "CLIP_benchmark result"))
    choice = Choice("cross-dataset", (("suite", "clip-benchmark"),))
    cell = Cell(choice, dataset, method, backbone, "unknown", 1, None, None, inputs)
    score = Score("top1", 100 * accuracy, correct, total)
    return _record(cell, score, "Zero-shot CLIP, imported from CLIP_benchmark", str(named), origin)


def _record(cell: Cell, score: Score, method: str, title: str, origin: dict[str, str]) -> Record:
    labels = {"method": method, "dataset": title}
    if cell.training:
        labels |= {"recipe": cell.training.recipe.name, "source": title}
    return Record(cell, "ok", "top1", (score,), labels=labels, environment=origin)
