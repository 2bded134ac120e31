"""Score the shipped backbones on the test splits, once, after training: python evaluate.py

Writes training/evaluation.json: zero-shot top-1 in percent with each set's own template and on the
true boxes of scenes, and images and texts a second.
"""

from __future__ import annotations

import json
import sys
import time
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

from rppbench_datasets.demo import SETS, Rendered, Vocabulary
from rppbench_datasets.world import scenes
from rppbench_datasets.world.artwork import WORLD

SCENES = 150
"""Test scenes whose boxes are scored."""


class Model:
    """A shipped backbone, loaded as rppbench loads it."""

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


def score(model: Model, data: Rendered) -> dict[str, float]:
    """Zero-shot accuracy on one test split."""
    samples = data.samples("test")
    features = model.images([data.image(sample) for sample in samples])
    texts = model.texts([data.template.format(name) for name in data.classes])
    labels = torch.tensor([sample.label for sample in samples])
    row = {"classes": len(texts), "images": len(labels), "top1": top1(features, texts, labels)}
    if isinstance(data, Vocabulary):
        top5 = (features @ texts.T).topk(5).indices
        row["top5"] = round(100 * float((top5 == labels[:, None]).any(1).float().mean()), 2)
    return row


def boxes(model: Model) -> dict[str, float]:
    """Top-1 accuracy on crops of the true boxes of test scenes."""
    crops: list[Image.Image] = []
    labels: list[int] = []
    for index in range(SCENES):
        scene = scenes.scene(index, "test")
        crops += [scene.image.crop(tuple(box.tolist())) for box in scene.boxes]
        labels += scene.labels
    texts = model.texts([f"a photo of a {name}." for name in scenes.CLASSES])
    # Crops are resized to squares first, or the centre crop would cut long things.
    features = model.images([crop.resize((96, 96), Image.Resampling.BICUBIC) for crop in crops])
    right = top1(features, texts, torch.tensor(labels))
    return {"classes": len(texts), "images": len(labels), "top1": right}


def speed(model: Model) -> dict[str, float]:
    """Images and texts a second, forward only, in batches of 64."""
    size = model.clip.visual.image_size
    side = size[0] if isinstance(size, tuple) else size
    pixels = torch.randn(64, 3, side, side)
    tokens = model.tokenizer(["a photo of a guide dog."] * 64)
    rates = {}
    with torch.no_grad():
        for name, run, batch in (
            ("images_per_s", model.clip.encode_image, pixels),
            ("texts_of_77_tokens_per_s", model.clip.encode_text, tokens),
        ):
            run(batch)
            start = time.perf_counter()
            for _ in range(8):
                run(batch)
            rates[name] = round(512 / (time.perf_counter() - start))
    return {**rates, "threads": torch.get_num_threads()}


def main(out: Path) -> None:
    """Score both backbones and write the results."""
    report: dict[str, Any] = {}
    for name in ("demo", "demo-teacher"):
        model = Model(name)
        rows = {kind.name: score(model, kind()) for kind in SETS if issubclass(kind, Rendered)}
        transfer = [rows[kind.name]["top1"] for kind in SETS if kind.role == "transfer"]
        report[name] = {
            "zero_shot": rows,
            "mean_of_transfer_sets": round(sum(transfer) / len(transfer), 2),
            "scene_boxes": boxes(model),
            "speed": speed(model),
        }
        print(name, json.dumps(report[name], indent=1), flush=True)
    out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
