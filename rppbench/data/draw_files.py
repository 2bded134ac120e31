"""Few-shot draws in files: those that others published, and our own in the same forms.

Two forms are in use, both with a class label and a path for each image:

- `json`, of linzhiqiu/cross_modal_adaptation: {"train": {"data": [{"impath", "label", "classname"},
  ...], "indices": [...]}, "val": ...};
- `jsonl`, of FarinaMatteo/rethinking_fewshot_vlms (2SFS): a line {"_impath", "_label", "_domain",
  "_classname"} for each image, in one file for training (`..._train.jsonl`) and one for validation
  (`..._val.jsonl`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.data.checked import samples_if_any
from rppbench.errors import UsageError
from rppbench.files.atomic import write_atomically
from rppbench.files.cache_folder import cache_folder
from rppbench.files.digests import digest
from rppbench.files.lines import split_lines

FORMS = ("json", "jsonl")
TRAIN_ENDING, VAL_ENDING = "_train.jsonl", "_val.jsonl"
MOST_BYTES = 2**30
"""Largest file of a draw."""


@dataclass(frozen=True)
class Draw:
    """Images of a data set to learn from, and to choose on; in the order of the file."""

    train: tuple[Sample, ...]
    val: tuple[Sample, ...] | None
    """None if the file has no validation images."""


Listed = tuple[str, int]
"""Path and label of an image, as a file has them."""


def read_draw(path: Path, dataset: Dataset) -> Draw:
    """The draw of a file as images of a data set.

    A path matches an image whose key it is, or ends in after a slash: the folders before it are
    those of another machine. UsageError, which names the file, for one that is in neither form, for
    images that the data set does not have or labels otherwise, and for test images.
    """
    train, val = _listed(path)
    known = {sample.key: sample for sample in samples_if_any(dataset, "train")}
    tested = {sample.key for sample in samples_if_any(dataset, "test")}
    learned = _matched(path, dataset, train, known, tested)
    if val is None:
        return Draw(learned, None)
    # Published draws of ImageNet take their validation images from the training split.
    known |= {sample.key: sample for sample in samples_if_any(dataset, "val")}
    return Draw(learned, _matched(path, dataset, val, known, tested))


def check_shots(draw: Draw, dataset: Dataset, path: Path, shots: int) -> None:
    """UsageError unless the draw has `shots` images of each class that has so many, and no more."""
    drawn = Counter(sample.label for sample in draw.train)
    most = max(drawn.values())
    available = Counter(sample.label for sample in samples_if_any(dataset, "train"))
    for label, name in enumerate(dataset.classes):
        if drawn[label] > shots or drawn[label] < min(shots, available[label]):
            raise UsageError(
                f"{path} has {drawn[label]} training images of {name!r}, not {shots}; "
                f"the most of a class are {most}: --shots {most}"
            )


def keep(draw: Draw) -> str:
    """Store a draw in the cache; returns its digest, by which `kept` finds it."""
    name = _digest(draw)
    path = _place(name)
    if not path.exists():
        content = {"train": _pairs(draw.train), "val": draw.val and _pairs(draw.val)}
        write_atomically(path, json.dumps(content).encode())
    return name


@lru_cache(maxsize=8)
def kept(name: str) -> Draw:
    """The draw with this digest. UsageError if it is not in the cache, or damaged."""
    try:
        content = json.loads(_place(name).read_bytes())
        train, val = (
            None if part is None else tuple(Sample(key, label) for key, label in part)
            for part in (content["train"], content["val"])
        )
        draw = Draw(train or (), val)
    except (OSError, ValueError, TypeError, KeyError):
        draw = Draw((), None)
    if _digest(draw) != name:
        raise UsageError(
            f"the draw {name} is not on this machine; give its file again: --draw FILE"
        )
    return draw


def write_draw(folder: Path, stem: str, form: str, draw: Draw, dataset: Dataset) -> list[Path]:
    """Write a draw as FOLDER/STEM.json, or as STEM_train.jsonl and STEM_val.jsonl; the paths."""
    parts = {"train": draw.train} | ({} if draw.val is None else {"val": draw.val})
    if form == "json":
        content = {name: _of_json(dataset, name, samples) for name, samples in parts.items()}
        texts = {f"{stem}.json": json.dumps(content, indent=4, ensure_ascii=False) + "\n"}
    else:
        endings = {"train": TRAIN_ENDING, "val": VAL_ENDING}
        texts = {
            f"{stem}{endings[name]}": "".join(
                json.dumps(_of_line(dataset, sample), ensure_ascii=False) + "\n"
                for sample in samples
            )
            for name, samples in parts.items()
        }
    paths = [folder / name for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_atomically(path, text.encode())
    return paths


def _of_json(dataset: Dataset, split: str, samples: Sequence[Sample]) -> dict[str, Any]:
    places = {sample.key: at for at, sample in enumerate(samples_if_any(dataset, split))}
    data = [
        {"impath": s.key, "label": s.label, "classname": dataset.classes[s.label]} for s in samples
    ]
    return {"data": data, "indices": [places[sample.key] for sample in samples]}


def _of_line(dataset: Dataset, sample: Sample) -> dict[str, Any]:
    name = dataset.classes[sample.label]
    return {"_impath": sample.key, "_label": sample.label, "_domain": 0, "_classname": name}


def _listed(path: Path) -> tuple[list[Listed], list[Listed] | None]:
    """The images of a file in either form, for training and for validation."""
    if path.suffix == ".jsonl":
        beside = path.with_name(path.name.removesuffix(TRAIN_ENDING) + VAL_ENDING)
        both = path.name.endswith(TRAIN_ENDING) and beside.is_file()
        return _lines(path), _lines(beside) if both else None
    content = _parsed(path, _text(path))
    if not isinstance(content, dict) or "train" not in content:
        raise UsageError(f"{path} is not a draw: a JSON object with 'train' and 'val' is expected")
    train, val = (
        None if part is None else _entries(path, part.get("data") if isinstance(part, dict) else 0)
        for part in (content["train"], content.get("val"))
    )
    return train or _empty(path), val


def _lines(path: Path) -> list[Listed]:
    lines = [line for line in split_lines(_text(path)) if line.strip()]
    entries = [_parsed(path, line) for line in lines]
    plain = [
        {name.removeprefix("_"): value for name, value in entry.items()}
        if isinstance(entry, dict)
        else entry
        for entry in entries
    ]
    return _entries(path, plain)


def _entries(path: Path, entries: object) -> list[Listed]:
    if not isinstance(entries, list):
        raise UsageError(f"{path} is not a draw: its images must be a list")
    listed = []
    for number, entry in enumerate(entries, 1):
        values: Mapping[str, object] = entry if isinstance(entry, dict) else {}
        key, label = values.get("impath"), values.get("label")
        if not isinstance(key, str) or type(label) is not int:
            raise UsageError(
                f"{path} is not a draw: image {number} needs a path ('impath') and a 'label', "
                f"not {entry!r:.80}"
            )
        listed.append((key, label))
    return listed or _empty(path)


def _empty(path: Path) -> list[Listed]:
    raise UsageError(f"{path} lists no image")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} is too large for a draw: more than 1 GiB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the draw {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error}") from error


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error


def _matched(
    path: Path,
    dataset: Dataset,
    listed: Sequence[Listed],
    known: Mapping[str, Sample],
    tested: set[str],
) -> tuple[Sample, ...]:
    samples, strange = [], []
    for place, label in listed:
        ends = list(_endings(place))
        if test := next((end for end in ends if end in tested), None):
            raise UsageError(f"{path}: {test} is a test image of {dataset.name!r}")
        sample = next((known[end] for end in ends if end in known), None)
        if sample is None:
            strange.append(place)
            continue
        if sample.label != label:
            name = dataset.classes[sample.label]
            raise UsageError(
                f"{path}: {place} has label {label}, but is of class {sample.label} ({name!r}) of "
                f"{dataset.name!r}"
            )
        samples.append(sample)
    if strange:
        raise UsageError(
            f"{len(strange)} of {len(listed)} images of {path} are not among the images of "
            f"{dataset.name!r} to learn from, for example {strange[0]}\n"
            "is it the draw of another data set, or of another split?"
        )
    return tuple(samples)


def _endings(place: str) -> Iterable[str]:
    """The path, and what is left of it without the first folder, the first two, ..."""
    parts = place.replace("\\", "/").split("/")
    return ("/".join(parts[at:]) for at in range(len(parts)))


def _pairs(samples: Iterable[Sample]) -> list[Listed]:
    return [(sample.key, sample.label) for sample in samples]


def _digest(draw: Draw) -> str:
    return digest([_pairs(draw.train), None if draw.val is None else _pairs(draw.val)], 16)


def _place(name: str) -> Path:
    return cache_folder() / "draws" / f"{name}.json"
