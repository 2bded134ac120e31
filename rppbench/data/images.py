"""The images of a list of samples as a tower's input, decoded in worker processes on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.data.augmentation import training_view
from rppbench.data.checked import checked_image
from rppbench.data.contents import DataContents
from rppbench.data.preprocess import Preprocess
from rppbench.files.digests import digest

KEPT_BYTES = 512 * 1024**2
"""Unaugmented pixels up to this size stay in memory: the next epoch decodes nothing."""

Notify = Callable[[str, int, int, Mapping[str, float]], None]
"""Progress callback: (phase, done, total, metrics); phases are those of `Event`."""

View = tuple[int, int, int]
"""(position in the list, epoch, number of the view)"""


class Images(TorchDataset[Tensor]):
    """Pixel tensors of one list of samples under one augmentation."""

    def __init__(
        self,
        dataset: Dataset,
        samples: Sequence[Sample],
        preprocess: Preprocess,
        augment: str = "none",
        workers: int = 0,
        contents: DataContents | None = None,
    ) -> None:
        self.dataset, self.samples, self.workers = dataset, samples, workers
        self.preprocess, self.augment = preprocess, augment
        self._contents = contents or DataContents()
        self._view = training_view(preprocess, augment)
        size = len(samples) * 3 * preprocess.size**2 * 4
        self._kept: dict[int, Tensor] | None = None
        if augment == "none" and size <= KEPT_BYTES:
            self._kept = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, view: View) -> Tensor:
        """Pixels [3, size, size] of one view."""
        index, epoch, number = view
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        sample = self.samples[index]
        pixels = self._view(checked_image(self.dataset, sample), sample.key, epoch, number)
        if self._kept is not None:
            self._kept[index] = pixels
        return pixels

    def batches(self, views: Sequence[Sequence[View]]) -> Iterator[Tensor]:
        """One tensor [B, 3, size, size] for each list of views, in order."""
        complete = self._kept is not None and len(self._kept) == len(self)
        if not self.workers or complete:
            yield from (torch.stack([self[view] for view in batch]) for batch in views)
            return
        loader: DataLoader[Tensor] = DataLoader(
            self,
            batch_sampler=views,  # type: ignore[arg-type]  # any iterable of index lists works
            num_workers=self.workers,
        )
        for batch, pixels in zip(views, loader, strict=True):
            if self._kept is not None:  # what a worker decoded stays in this process
                self._kept.update(zip((index for index, _, _ in batch), pixels, strict=True))
            yield pixels

    def in_order(
        self, size: int, epoch: int = 0, view: int = 0, picks: Sequence[int] | None = None
    ) -> Iterator[Tensor]:
        """The images at `picks` (None: all, in list order), `size` at a time."""
        picks = range(len(self)) if picks is None else picks
        return self.batches(
            [
                [(index, epoch, view) for index in picks[start : start + size]]
                for start in range(0, len(picks), size)
            ]
        )

    def key(self, epoch: int = 0, view: int = 0) -> dict[str, object]:
        """All that the pixels depend on besides the image; if augmented, also epoch and view."""
        key: dict[str, object] = {
            "kind": "images" if self.augment == "none" else "views",
            "dataset": self.dataset.name,
            "fingerprint": self.dataset.fingerprint(),
            "preprocess": digest(asdict(self.preprocess), 32),
            "augment": self.augment,
        }
        return key if self.augment == "none" else {**key, "epoch": epoch, "view": view}

    @cached_property
    def contents(self) -> list[str]:
        """An identifying text for each image: its key and the digest of its content."""
        if self.dataset.generated:  # the fingerprint, which is part of `key`, says it all
            return [f"{sample.key}\0" for sample in self.samples]
        digests = self._contents.images(self.dataset, self.samples)
        pairs = zip(self.samples, digests, strict=True)
        return [f"{sample.key}\0{content.hex()}" for sample, content in pairs]

    def check(self, picks: Sequence[int]) -> None:
        """DataChangedError if images at these positions are not what `contents` says any more."""
        self._contents.check(self.dataset, [self.samples[index] for index in picks])
