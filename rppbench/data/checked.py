"""What a data set must give: the same samples at every call, labels of its classes, RGB images."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from PIL import Image

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.data.splits import spread
from rppbench.errors import ContractError, MissingDataError, UsageError
from rppbench.files.digests import digest

CHECKED = 1000
"""Samples of a split that are compared between two calls; more would slow down large sets."""

_seen: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()
"""Data set -> digest of each of its splits at the first call."""


def checked_samples(data: Dataset, split: str, scenes: bool = False) -> Sequence[Sample]:
    """The images of a split. ContractError, which names the data set, if they cannot be right.

    The labels of `scenes`, which have no single class, may be any integer.
    """
    who = f"data set {data.name!r}"
    try:
        known = _seen.setdefault(data, {})
    except TypeError:  # a class with `__eq__` alone has no hash: nothing is remembered of it
        known = {}
    classes = None if scenes else len(data.classes)
    samples = data.samples(split)
    if split not in known:
        known[split] = _samples_digest(samples, classes, f"{who}, {split!r}")
        samples = data.samples(split)
    if _samples_digest(samples, classes, f"{who}, {split!r}") != known[split]:
        raise ContractError(f"{who} has other {split!r} samples, or another order, at every call")
    return samples


def samples_if_any(data: Dataset, split: str) -> Sequence[Sample]:
    """As `checked_samples`; () if the data set has no such split. MissingDataError as there."""
    try:
        return checked_samples(data, split)
    except MissingDataError:
        raise
    except UsageError:
        return ()


def checked_image(data: Dataset, sample: Sample) -> Image.Image:
    """The image of a sample. ContractError, which names both, unless it is a PIL image in RGB."""
    image = data.image(sample)
    what = f"data set {data.name!r}: image {sample.key!r}"
    if not isinstance(image, Image.Image):
        raise ContractError(f"{what} is {type(image).__name__}, not a PIL image")
    if image.mode != "RGB":
        raise ContractError(f"{what} has mode {image.mode!r}, not 'RGB'")
    if 0 in image.size:
        raise ContractError(f"{what} has {image.size[0]} x {image.size[1]} pixels")
    return image


def checked_classes(data: Dataset) -> Dataset:
    """The data set. ContractError, which names it, unless its classes are fixed names."""
    who = f"data set {data.name!r}"
    if _classes_digest(data, who) != _classes_digest(data, who):
        raise ContractError(f"{who} has other classes at every call")
    return data


def _classes_digest(data: Dataset, who: str) -> str:
    names = data.classes
    if isinstance(names, str) or not isinstance(names, Sequence) or not len(names):
        raise ContractError(f"{who}: classes must be a list of names, not {names!r:.60}")
    for label, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise ContractError(f"{who}: class {label} is named {name!r:.60}, which is not a name")
    return digest(list(names), 32)


def _samples_digest(samples: Sequence[Sample], classes: int | None, what: str) -> str:
    """Digest of a spread of samples, after a check of each of them."""
    if not hasattr(samples, "__len__") or not hasattr(samples, "__getitem__"):
        raise ContractError(f"{what}: samples must be a sequence, not {type(samples).__name__}")
    pairs = []
    for at, sample in enumerate(spread(samples, CHECKED)):
        if not isinstance(sample, Sample) or type(sample.key) is not str:
            raise ContractError(f"{what}: {sample!r:.80} ({at}) is not a sample with a text as key")
        try:
            label = operator.index(sample.label)
        except TypeError:
            raise ContractError(
                f"{what}: image {sample.key!r} has label {sample.label!r:.40}, not an integer"
            ) from None
        if classes is not None and not 0 <= label < classes:
            raise ContractError(
                f"{what}: image {sample.key!r} has label {label}, but there are {classes} classes"
            )
        pairs.append([sample.key, label])
    return digest([len(samples), pairs], 32)
