"""A backbone's own preprocessing of test images, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor

from rppbench.errors import UsageError


@dataclass(frozen=True)
class Preprocess:
    """Turns an image into a tower's input, with the settings its weights were trained with."""

    size: int
    """Side length in pixels."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize: str = "shortest"
    """'shortest' scales the short side and crops the centre; 'squash' ignores the aspect ratio."""

    @cached_property
    def transform(self) -> Any:
        """open_clip's own test transform."""
        facts = PreprocessCfg(
            size=self.size,
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
            resize_mode=self.resize,
        )
        return image_transform_v2(facts, is_train=False)

    def __call__(self, image: Image.Image) -> Tensor:
        """Pixels [3, size, size], float32."""
        return self.transform(image)


def preprocess(facts: Mapping[str, Any]) -> Preprocess:
    """The preprocessing in an open_clip configuration. UsageError if its images are not square."""
    size = facts["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise UsageError(
            f"the image tower takes {height} x {width} pixels; only squares are supported"
        )
    return Preprocess(
        size=height,
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        interpolation=facts.get("interpolation", "bicubic"),
        resize=facts.get("resize_mode", "shortest"),
    )
