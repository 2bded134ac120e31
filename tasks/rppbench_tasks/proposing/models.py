"""Proposals of Hugging Face transformers models, from a local folder with safetensors.

The models' own classes are ignored: only the places of objects are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from rppbench.contracts import Sample
from rppbench.errors import MissingDataError, UsageError
from rppbench.files.digests import content_digest
from rppbench_tasks.proposing.boxes import Boxes, distinct
from rppbench_tasks.proposing.masks import Mask, SoftMask
from rppbench_tasks.proposing.sam import everything


class LocalModel:
    """A model and its image processor, loaded at first use."""

    loaders: tuple[str, ...]
    """Classes of transformers that can load it."""

    def __init__(self, path: str) -> None:
        if not path:
            raise UsageError("proposals=transformers needs the folder of a model: path=DIR")
        self.folder = Path(path).expanduser()
        if not self.folder.is_dir():
            raise MissingDataError(f"no model folder {self.folder}")

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """(image processor, model). UsageError if the folder has no such model."""
        import rppbench.torchvision_shim  # noqa: F401  # transformers imports torchvision

        try:
            import transformers
        except ImportError as error:
            raise UsageError(
                "proposals=transformers needs the package transformers: "
                "pip install 'rppbench[proposals]'"
            ) from error
        transformers.utils.logging.disable_progress_bar()  # it would mix with ours
        known: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            config = transformers.AutoConfig.from_pretrained(self.folder, **known)
            loaders = [getattr(transformers, name) for name in self.loaders]
            fitting = [loader for loader in loaders if type(config) in loader._model_mapping]
            if not fitting:
                raise ValueError(f"a {config.model_type!r} model gives no proposals for this task")
            processor = transformers.AutoImageProcessor.from_pretrained(self.folder, **known)
            model, info = fitting[0].from_pretrained(
                self.folder, use_safetensors=True, output_loading_info=True, **known
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            where = f"no proposal model can be loaded from {self.folder}"
            raise UsageError(f"{where}: {error}") from error
        if missing := sorted(info["missing_keys"]):  # these would be random
            raise UsageError(
                f"the weights in {self.folder} are incomplete: {len(missing)} tensors are missing, "
                f"for example {missing[0]}"
            )
        return processor, model.eval()

    def identity(self, key: str = "") -> str:
        return f"transformers {content_digest(self.folder)} 1"


class Detector(LocalModel):
    """Boxes of a DETR-like detector; its best class probability is the score of a box."""

    loaders = ("AutoModelForObjectDetection",)

    @torch.inference_mode()
    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        processor, model = self.loaded
        output = model(**processor(images=image, return_tensors="pt"))
        logits = output.logits[0].float()  # (n, c)
        # DETR's last class is 'no object'; Deformable DETR and similar models use sigmoids instead.
        softmax = logits.shape[-1] == model.config.num_labels + 1
        probabilities = logits.softmax(-1)[:, :-1] if softmax else logits.sigmoid()
        centres = output.pred_boxes[0].float().numpy()  # (n, 4) cx, cy, w, h in 0..1
        boxes = np.concatenate([centres[:, :2] - centres[:, 2:] / 2, centres[:, 2:]], 1)
        boxes *= np.array([*image.size, *image.size], np.float32)
        return distinct(boxes.astype(np.float32), probabilities.max(-1).values.numpy(), 0.9)


class Segmenter(LocalModel):
    """Masks of a MaskFormer-like model's queries, or of SAM's automatic mode."""

    loaders = ("AutoModelForUniversalSegmentation", "AutoModelForMaskGeneration")

    def __call__(self, image: Image.Image, key: str, original: tuple[int, int]) -> Iterator[Mask]:
        size = (image.height, image.width)
        # Enlarged one at a time: together they would be gigabytes.
        for logits, confidence in self.soft(image):
            if confidence > 0.5:
                large = torch.nn.functional.interpolate(logits[None, None], size, mode="bilinear")
                yield (large[0, 0] > 0).numpy()

    def soft(self, image: Image.Image) -> Sequence[SoftMask]:
        """All masks, the surest first. SAM judges no mask to be of nothing: confidence is 1."""
        processor, model = self.loaded
        if hasattr(model, "get_image_embeddings"):
            return [SoftMask(logits, 1.0) for logits in everything(processor, model, image)]
        return self._queries(processor, model, image)

    @torch.inference_mode()
    def _queries(self, processor: Any, model: Any, image: Image.Image) -> list[SoftMask]:
        """The masks of all queries; each is as sure as its 'no object' is improbable."""
        inputs = processor(images=image, return_tensors="pt")
        output = model(**inputs)
        nothing = output.class_queries_logits[0].float().softmax(-1)[:, -1]
        order = nothing.argsort(stable=True)
        logits = output.masks_queries_logits[0].float()
        if "pixel_mask" in inputs:  # the padding to the right and below is not part of the image
            inside = inputs["pixel_mask"][0]
            rows, columns = inside.any(1).float().mean(), inside.any(0).float().mean()
            height, width = logits.shape[1:]
            logits = logits[:, : max(1, round(height * float(rows)))]
            logits = logits[:, :, : max(1, round(width * float(columns)))]
        return [SoftMask(logits[at], 1 - float(nothing[at])) for at in order]
