"""Runs of other harnesses as records: logs of Dassl, and results of CLIP_benchmark.

Such a cell says 'imported' among its inputs, so it shares no table with what was measured here.
Formats: Dassl's evaluator (github.com/KaiyangZhou/Dassl.pytorch, dassl/evaluation/evaluator.py) and
CoOp's train.py; github.com/LAION-AI/CLIP_benchmark, clip_benchmark/cli.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from rppbench.files.atomic import Problem
from rppbench.records.cell import Cell, Choice, Option, Training
from rppbench.records.record import Record, Score
from rppbench.stats.intervals import harmonic_mean

R = TypeVar("R")

LARGEST = 64 * 2**20
"""Bytes; a log of a long training has a few million."""
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
"""Dassl's names of what is learned and scored on itself."""
SHIFTS = {
    "ImageNetV2": "imagenetv2",
    "ImageNetSketch": "imagenet_sketch",
    "ImageNetA": "imagenet_a",
    "ImageNetR": "imagenet_r",
}
"""Its names of what is only scored."""
TEST_IMAGES = {
    "imagenet1k": 50_000,
    "imagenetv2": 10_000,
    "imagenet_sketch": 50_889,
    "imagenet-a": 7_500,
    "imagenet-r": 30_000,
    "cars": 8_041,
    "fgvc_aircraft": 3_333,
}
"""Of CLIP_benchmark's sets; others have no counts."""
TESTED = "Evaluate on the *test* set"
RESULT = re.compile(
    r"=> result\n\* total: ([\d,]+)\n\* correct: ([\d,]+)\n\* accuracy: (\d+\.?(\d*))%"
)
SETTING = re.compile(r"^( *)([A-Z][A-Z0-9_]*):(?: (.*))?$")


def dassl(folder: Path) -> tuple[list[Record], list[Problem]]:
    """What the logs below a folder say, and the logs that give no record.

    A run on all classes of a set is a few-shot cell; prompts of ImageNet scored on another set a
    cell of cross-dataset or cross-domain; and the two halves of a set, of which the first was
    learned on, are one cell of base-to-new, which takes both logs.
    """
    found, problems = _each(folder, "log.txt*", _dassl)
    records = [log.record for log in found if not log.half]
    pairs: dict[str, dict[str, list[_Log]]] = {}
    for log in found:
        if log.half:
            pairs.setdefault(log.record.cell.key, {}).setdefault(log.half, []).append(log)
    for halves in pairs.values():
        base, new = halves.get("base", []), halves.get("new", [])
        logs = [*base, *new]
        if len(base) == len(new) == 1:
            records.append(_both_halves(base[0], new[0]))
            continue
        lacking = " and ".join(half for half in ("base", "new") if half not in halves)
        reason = (
            f"scores half of the classes; no log here has the {lacking} half of the same run"
            if lacking
            else f"{len(logs)} logs are of the same halves and seed; keep one of each"
        )
        problems += [Problem(log.path, reason) for log in logs]
    return records, problems


def clip_benchmark(folder: Path) -> tuple[list[Record], list[Problem]]:
    """Every JSON result below a folder, and the files that give no record."""
    return _each(folder, "*.json", lambda text, origin, _: _clip_benchmark(text, origin))


@dataclass(frozen=True)
class _Log:
    """What one log says."""

    record: Record
    half: str
    """'base' or 'new'; '' where all classes are scored."""
    path: Path


def _both_halves(base: _Log, new: _Log) -> Record:
    scores = [
        replace(log.record.scores[0], metric=half) for half, log in (("base", base), ("new", new))
    ]
    mean = Score("harmonic_mean", harmonic_mean(scores[0].value, scores[1].value))
    origin = {
        **{f"{name} (base)": value for name, value in base.record.environment.items()},
        **{f"{name} (new)": value for name, value in new.record.environment.items()},
        "imported file": base.record.environment["imported file"],
    }
    return replace(base.record, metric="harmonic_mean", scores=(mean, *scores), environment=origin)


def _each(
    folder: Path, pattern: str, read: Callable[[str, dict[str, str], Path], R]
) -> tuple[list[R], list[Problem]]:
    records: list[R] = []
    problems: list[Problem] = []
    for path in [folder] if folder.is_file() else sorted(folder.rglob(pattern)):
        try:
            if path.stat().st_size > LARGEST:
                raise ValueError(f"larger than {LARGEST} bytes")
            content = path.read_bytes()
            name = path.name if folder.is_file() else str(path.relative_to(folder))
            origin = {"imported file": name, "imported sha256": sha256(content).hexdigest()}
            records.append(read(content.decode("utf-8"), origin, path))
        except OSError as error:
            problems.append(Problem(path, f"cannot be read: {error.strerror}"))
        except (KeyError, TypeError, RecursionError) as error:
            problems.append(Problem(path, f"not a result of this kind: {error}"))
        except ValueError as error:
            problems.append(Problem(path, str(error)))
    return records, problems


def _dassl(text: str, origin: dict[str, str], path: Path) -> _Log:
    config = dict(_settings(text))
    if "DATASET.NAME" not in config or "TRAINER.NAME" not in config:
        raise ValueError("no configuration is printed in this log")
    name, trainer = config["DATASET.NAME"], config["TRAINER.NAME"]
    known = {**DATASETS, **SHIFTS}
    if name not in known:
        raise ValueError(f"data set {name!r} is none of {', '.join(known)}")
    half = config.get("DATASET.SUBSAMPLE_CLASSES", "all")
    task, learned = _protocol(text, name, half)
    last = text.replace("\r\n", "\n").rpartition(TESTED)[2].partition("Evaluate on")[0]
    found = RESULT.search(last)
    if TESTED not in text or found is None:
        raise ValueError("no result on the test images: was the run finished?")
    total, correct = (int(number.replace(",", "")) for number in found.groups()[:2])
    if not 0 <= correct <= total or not total:
        raise ValueError(f"{correct} of {total} images cannot be right")
    if abs(100 * correct / total - float(found[3])) > 0.51 * 10.0 ** -len(found[4]):
        raise ValueError(f"{correct} of {total} images are right, but {found[3]}% are printed")
    seed = int(config.get("SEED", "-1"))
    if seed < 0:
        raise ValueError("the run has no seed (SEED: -1), so nothing tells its draw from others")
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
        shots = int(named[1] or named[2])  # the scripts of transfer do not say it again
    loaded = re.search(r"^model_dir: .*seed(\d+)", text, re.M)
    if loaded and int(loaded[1]) != seed:
        raise ValueError(f"SEED is {seed}, but the prompts are of seed {loaded[1]}")
    recipe = Choice(_stem(text) or "unknown", tuple(sorted(optim.items())))
    mark = ("imported", "Dassl log")
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
        ((f"dataset:{learned}", "imported"), mark),
    )
    inputs = ((f"dataset:{dataset}", "imported"), mark)
    choice = Choice(task, (("shots", shots), ("suite", "coop")))
    cell = Cell(choice, dataset, method, backbone, precision, seed, None, training, inputs)
    score = Score("top1", 100 * correct / total, correct, total)
    record = _record(cell, score, f"{trainer}, imported from Dassl log", name, origin)
    source = next(title for title, key in DATASETS.items() if key == learned)
    record = replace(record, labels={**record.labels, "source": source})
    return _Log(record, "" if half == "all" else half, path)


def _protocol(text: str, name: str, half: str) -> tuple[str, str]:
    """The task of a log and what was learned on.

    Prompts of another run are named by their folder (`model_dir`), in which the scripts of CoOp,
    CoCoOp and MaPLe have the name of its data set: output/imagenet/..., output/base2new/
    train_base/caltech101/... ValueError where that says something else or nothing.
    """
    folder = re.search(r"^model_dir: *(\S*)$", text, re.MULTILINE)
    parts = folder[1].replace("\\", "/").lower().split("/") if folder else []
    scored = {**DATASETS, **SHIFTS}[name]
    another = "eval_only: True" in text.splitlines()
    if half in ("base", "new"):
        if name in SHIFTS:
            raise ValueError(f"scores half of the classes of {name}, which no protocol does")
        if another and ("train_base" not in parts or scored not in _sets(parts)):
            raise ValueError(
                f"scores half of {name} with prompts of {folder[1] if folder else 'nowhere'!r}, "
                f"whose path does not say train_base and {scored}"
            )
        if half == "new" and not another:
            raise ValueError("learned on the new half of the classes, which no protocol does")
        return "base-to-new", scored
    if half != "all":
        raise ValueError(f"SUBSAMPLE_CLASSES is {half!r}, none of all, base and new")
    if not another:
        if name in SHIFTS:
            raise ValueError(f"learned on {name}, which has no training images")
        return "few-shot", scored
    if _sets(parts) != {"imagenet"} or "train_base" in parts:
        raise ValueError(
            "scores prompts of another run, and its model_dir does not say that all classes of "
            "imagenet were learned on"
        )
    if name == "ImageNet":
        return "few-shot", scored
    return ("cross-domain" if name in SHIFTS else "cross-dataset"), "imagenet"


def _sets(parts: list[str]) -> set[str]:
    """The data sets that folders are named after."""
    return {*DATASETS.values(), *SHIFTS.values()} & set(parts)


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """('TRAINER.COOP.N_CTX', '16') of the configuration that the log prints."""
    _, _, printed = text.partition("** Config **")
    above: list[tuple[int, str]] = []
    for line in printed.splitlines()[2:]:
        found = SETTING.match(line)
        if found is None:
            return
        depth, key, value = len(found[1]), found[2], found[3]
        above = [(d, k) for d, k in above if d < depth] + [(depth, key)]
        if value is not None:
            yield ".".join(k for _, k in above), value.strip()


def _stem(text: str) -> str:
    found = re.search(r"^config_file: (\S+)$", text, re.MULTILINE)
    return Path(found[1]).stem if found else ""


def _clip_benchmark(text: str, origin: dict[str, str]) -> Record:
    data: dict[str, Any] = json.loads(text)
    task, named, metrics = data["task"], data["dataset"], data["metrics"]
    if task != "zeroshot_classification":
        raise ValueError(f"task {task!r}; only zeroshot_classification is imported")
    accuracy = metrics["acc1"]
    if type(accuracy) not in (int, float) or not 0 <= accuracy <= 1:  # NaN too is not between
        raise ValueError(f"acc1 is {accuracy!r}, which is no fraction")
    total = TEST_IMAGES.get(str(named).removeprefix("wds/"))
    correct = None if total is None else round(accuracy * total)
    if total is None or correct is None or correct / total != accuracy:
        total = correct = None  # the fraction of other images, or rounded
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
