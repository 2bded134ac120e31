"""A backbone of a folder, without rppbench's own loading, and its accuracy.

Shapes: n images or texts, c classes, e features.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rppbench.torchvision_shim  # noqa: F401  open_clip cannot be imported before this

# isort: split
import torch
import torch.nn.functional as F
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from rppbench_datasets.world.artwork import WORLD


class Model:
    """A backbone, with the preprocessing that rppbench gives it."""

    def __init__(self, name: str, folder: Path = WORLD) -> None:
        config: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        self.transform = image_transform_v2(PreprocessCfg(**config.pop("preprocess")), False)
        self.clip = CLIP(**config)
        self.clip.load_state_dict(load_file(folder / f"{name}.safetensors"))
        self.clip.eval()
        self.tokenizer = SimpleTokenizer()

    @torch.no_grad()
    def texts(self, texts: list[str]) -> Tensor:
        """Unit features (n, e) of texts."""
        parts = [texts[i : i + 64] for i in range(0, len(texts), 64)]
        rows = [self.clip.encode_text(self.tokenizer(part)) for part in parts]
        return F.normalize(torch.cat(rows), dim=1)

    @torch.no_grad()
    def images(self, images: list[Image.Image]) -> Tensor:
        """Unit features (n, e) of images."""
        parts = [images[i : i + 64] for i in range(0, len(images), 64)]
        pixels = (torch.stack([self.transform(image) for image in part]) for part in parts)
        return F.normalize(torch.cat([self.clip.encode_image(p) for p in pixels]), dim=1)


def top1(features: Tensor, texts: Tensor, labels: Tensor) -> float:
    """Top-1 accuracy in percent, of features (n, e) against texts (c, e), with labels (n,)."""
    return round(100 * float(((features @ texts.T).argmax(1) == labels).float().mean()), 2)
