"""Other names of data sets that rppbench has: those of CLIP_benchmark, with and without 'vtab/'."""

from __future__ import annotations

from collections.abc import Mapping

SYNONYMS: Mapping[str, str] = {
    "imagenet1k": "imagenet",
    "imagenet-1k": "imagenet",
    "imagenet-a": "imagenet_a",
    "imagenet-r": "imagenet_r",
    "imagenet-sketch": "imagenet_sketch",
    "imagenet-v2": "imagenetv2",
    "imagenet_v2": "imagenetv2",
    "cars": "stanford_cars",
    "pets": "oxford_pets",
    "flowers": "oxford_flowers",
    "renderedsst2": "rendered-sst2",
    "rendered_sst2": "rendered-sst2",
    "sst2": "rendered-sst2",
}
PREFIX = "vtab/"
"""CLIP_benchmark's copies by way of TensorFlow Datasets; here the files of the data set itself."""


def usual_name(name: str) -> str:
    """The name that a data set has here, in capitals or not; any other name as it is."""
    plain = name.removeprefix(PREFIX)
    return SYNONYMS.get(plain.lower(), plain)
