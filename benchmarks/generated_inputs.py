"""Inputs of the benchmarks: models with random weights, ImageNet-21K names, generated images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip, Preprocess, load
from rppbench.models.loading import build
from rppbench.plugins.registry import Registry

# isort: split
import open_clip
from timm.data import ImageNetInfo


def make_clip(model: str, device: str = "cpu", precision: str = "fp32") -> Clip:
    """A model of open_clip with random weights, or a backbone of a plugin with its own."""
    plugin_backbones = Registry.load().all("backbones")
    if model in plugin_backbones:
        return load(model, plugin_backbones, precision, device)
    config = open_clip.get_model_config(model)
    if config is None:
        raise SystemExit(f"open_clip has no model {model!r}")
    torch.manual_seed(0)
    size = config["vision_cfg"]["image_size"]
    facts = Preprocess(size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    built = build(config, precision).to(device)
    return Clip(model, f"random {model}", built, open_clip.SimpleTokenizer(), facts)


def class_names(classes: int) -> list[str]:
    """The first synonyms of ImageNet-21K classes, evenly spaced over all of them."""
    names = [text.split(",")[0] for text in ImageNetInfo("imagenet21k").label_descriptions()]
    return names[:: len(names) // classes][:classes]


class GeneratedDataset(Dataset):
    """Images of noise with the class names of ImageNet-21K.

    classes, images: their numbers. size: width and height of an image in pixels.
    """

    name, title, suite = "generated", "Generated", "generated"

    def __init__(self, classes: int, images: int, size: int) -> None:
        self.names, self.images, self.size = class_names(classes), images, size

    @property
    def classes(self) -> Sequence[str]:
        return self.names

    def samples(self, split: str) -> Sequence[Sample]:
        """`images` samples, whose labels cycle through the classes."""
        return [Sample(f"{split}/{at}", at % len(self.names)) for at in range(self.images)]

    def image(self, sample: Sample) -> Image.Image:
        seed = int.from_bytes(hashlib.sha256(sample.key.encode()).digest()[:8], "big")
        draw = np.random.default_rng(seed)
        return Image.fromarray(draw.integers(0, 256, (self.size, self.size, 3), dtype=np.uint8))

    def fingerprint(self) -> str:
        return f"generated-{len(self.names)}-{self.images}-{self.size}"


@dataclass(frozen=True)
class FilledStore(FeatureStore):
    """A feature store that has every entry: random unit features [N, width], no tower runs."""

    width: int = 0

    def get(self, key: object, rows: int, compute: object) -> torch.Tensor:
        stream = torch.Generator().manual_seed(0)
        random = torch.randn(rows, self.width, generator=stream)
        return torch.nn.functional.normalize(random, dim=-1)

    def rows(self, key: object, names: Sequence[str], compute: object) -> torch.Tensor:
        return self.get(key, len(names), compute)
