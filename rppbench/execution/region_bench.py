"""The bench of tasks that score regions of images; implements `contracts.RegionBench`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Conditional, Prompts
from rppbench.contracts.regions import UNLABELLED, DenseDataset
from rppbench.data.augmentation import normalised
from rppbench.data.checked import checked_samples
from rppbench.data.images import Notify
from rppbench.data.parts import ANNOTATIONS
from rppbench.data.splits import spread
from rppbench.errors import UsageError
from rppbench.evaluation.classify import COSINES, similarities
from rppbench.execution.cell_method import CellMethod
from rppbench.features.store import FeatureStore
from rppbench.files.digests import digest
from rppbench.models.clip import embed_width

T = TypeVar("T")


class Encoder:
    """The image tower with the method's image prompt; implements `contracts.RegionEncoder`."""

    def __init__(self, method: CellMethod, batch_size: int) -> None:
        self.method, self.clip, self.batch_size = method, method.clip, batch_size

    @property
    def image_size(self) -> int:
        return self.clip.preprocess.size

    @property
    def patch_size(self) -> int:
        return self.clip.image.patch

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        red, green, blue = (round(255 * mean) for mean in self.clip.preprocess.mean)
        return red, green, blue

    @property
    def unit(self) -> bool:
        return self.method.prompts.unit_images

    def pixels(self, image: Image.Image) -> Tensor:
        """(3, h, w) normalised pixels of an image, neither scaled nor cropped."""
        return normalised(self.clip.preprocess, image)

    @torch.inference_mode()
    def encode(self, images: Iterable[Image.Image | Tensor], *, prompted: bool = True) -> Tensor:
        """Features (b, e) of any images, crops, or normalised pixels (3, s, s)."""
        prompts = self.method.prompts if prompted else Prompts()
        pending, parts = map(self._square, images), []
        while batch := list(islice(pending, self.batch_size)):
            pixels = torch.stack(batch)
            pixels = pixels.to(self.clip.device)
            features = self.clip.image.encode(pixels, prompts.image, unit=prompts.unit_images)
            parts.append(features.cpu())
        return torch.cat(parts) if parts else torch.zeros(0, embed_width(self.clip.model))

    def _square(self, image: Image.Image | Tensor) -> Tensor:
        return image if isinstance(image, Tensor) else self.clip.preprocess(image)

    @torch.inference_mode()
    def patches(self, images: Sequence[Image.Image]) -> Tensor:
        """Features (b, rows, columns, e) of the patches of images of one size."""
        prompts, size, parts = self.method.prompts, self.batch_size, []
        for start in range(0, len(images), size):
            pixels = [self.pixels(image) for image in images[start : start + size]]
            features = self.clip.image.patches(
                torch.stack(pixels), prompts.image, unit=prompts.unit_images
            )
            parts.append(features.cpu())
        return torch.cat(parts)


class Classifier:
    """The method's text features; implements `contracts.RegionClassifier`."""

    def __init__(self, method: CellMethod, template: str, store: FeatureStore) -> None:
        self.method, self.clip, self.template, self.store = method, method.clip, template, store
        self._texts: dict[tuple[bool, tuple[str, ...]], Tensor] = {}
        """(prompted, names) -> (e, c) text features."""

    @property
    def scale(self) -> float:
        return float(self.clip.scale)

    @property
    def bias(self) -> float | None:
        return None if self.clip.bias is None else float(self.clip.bias)

    @torch.inference_mode()
    def similarities(
        self, features: Tensor, names: Sequence[str], *, prompted: bool = True
    ) -> Tensor:
        """(b, c) cosines of features (b, e) and any class names."""
        prompts = self.method.prompts if prompted else Prompts()
        if prompted and self.method.class_specific:
            raise UsageError(
                f"{self.method.cell.method.name!r} learned a context for each class it was "
                "trained on and has none for other names; set class_specific=off"
            )
        if not len(features):
            return torch.zeros(0, len(names))
        head = self.method.head(self.method.positions(names)) if prompted else COSINES

        def cosines(rows: Tensor) -> Tensor:
            # Without `notify`: tasks count images, and these are the regions of one.
            parts = similarities(
                self.clip,
                prompts,
                names,
                rows,
                wording=self.template,
                head=head,
                store=self.store,
            )
            return torch.cat([part.cpu() for part in parts])

        own_head = prompted and type(self.method.fitted).classify is not Method.classify
        if isinstance(prompts.text, Conditional) or own_head:
            return cosines(features)
        key = (prompted, tuple(names))
        if key not in self._texts:  # tasks call this once per image, with the same names
            self._texts[key] = cosines(torch.eye(embed_width(self.clip.model)))
        return features @ self._texts[key]


class Cache:
    """The feature store for one data set and tower; implements `contracts.RegionCache`."""

    def __init__(self, method: CellMethod, dataset: Dataset, store: FeatureStore) -> None:
        self.method, self.dataset, self.store = method, dataset, store

    def features(
        self,
        key: Mapping[str, object],
        rows: int,
        compute: Callable[[], Tensor],
        *,
        prompted: bool = True,
    ) -> Tensor:
        """Features (rows, e) from the store, or computed, and stored if the tower is frozen."""
        if prompted and not self.method.frozen_images:
            return compute()
        clip = self.method.clip
        own = {
            **self._data(key),
            "kind": "parts",
            "preprocess": digest(asdict(clip.preprocess), 32),
            "tower": clip.digest,
            "precision": str(clip.dtype),
            **({} if not prompted or self.method.prompts.unit_images else {"unit": False}),
        }
        return self.store.get({**key, **own}, rows, lambda: self._checked(key, compute))

    def arrays(
        self, key: Mapping[str, object], compute: Callable[[], Mapping[str, NDArray[Any]]]
    ) -> Mapping[str, NDArray[Any]]:
        """Arrays from the store, or computed and stored."""
        return self.store.arrays({**key, **self._data(key)}, lambda: self._checked(key, compute))

    def _checked(self, key: Mapping[str, object], compute: Callable[[], T]) -> T:
        """What `compute` gives. DataChangedError if its images changed meanwhile."""
        result = compute()
        self.method.resources.contents.check(self.dataset, self._samples(key))
        return result

    def _samples(self, key: Mapping[str, object]) -> Sequence[Sample]:
        """The image whose key is `key["sample"]`, or all test images."""
        if "sample" in key:
            return [Sample(str(key["sample"]), UNLABELLED)]
        return self.dataset.samples("test")

    @cached_property
    def _code(self) -> dict[str, str]:
        """Digests of the source of the task and its parts, which compute what is stored."""
        task = self.method.resources.code.of_task(self.method.cell)
        return {"task code": " ".join(task.values())} if task else {}

    def _data(self, key: Mapping[str, object]) -> dict[str, str]:
        """What identifies the data and the images of a key."""
        data = {
            "dataset": self.dataset.name,
            "fingerprint": self.dataset.fingerprint(),
            **self._code,
        }
        if self.dataset.generated:
            return data
        samples, contents = self._samples(key), self.method.resources.contents
        data["content"], _ = contents.of_samples(self.dataset, samples)
        if isinstance(self.dataset, DenseDataset):  # proposals may be made from the annotations
            data["annotations"], _ = contents.of_samples(self.dataset, samples, ANNOTATIONS)
        return data


class CellRegions:
    """The images of a cell, and what is needed to score regions of them."""

    def __init__(
        self, method: CellMethod, dataset: Dataset, notify: Notify, scored: dict[str, str]
    ) -> None:
        """`scored` receives the digests of the data that are scored, by part."""
        store = method.resources.features
        self._contents, self._scored = method.resources.contents, scored
        self.dataset, self.limit, self.notify = dataset, method.cell.limit, notify
        self.encoder = Encoder(method, method.resources.batch_size)
        self.classifier = Classifier(method, dataset.template, store)
        self.cache = Cache(method, dataset, store)

    def samples(self) -> Sequence[Sample]:
        """The test images to score. What they and their annotations hold is recorded."""
        samples = spread(checked_samples(self.dataset, "test", scenes=True), self.limit)
        parts = ["test", *([ANNOTATIONS] if isinstance(self.dataset, DenseDataset) else [])]
        self._scored |= dict(self._contents.record(self.dataset, part, samples) for part in parts)
        return samples

    def report_progress(self, done: int, total: int) -> None:
        """Report how many of the images are scored."""
        self.notify("evaluate", done, total, {})
