"""The keys of stored features: all that a feature depends on.

A stored feature is used again only if its complete key is equal, so anything that can change a
feature must be in the key. The method is not in the key: only features of frozen towers are stored.

- Image features: `image_key`, and for each row the image itself (`Images.contents`: the sample's
  key, and the digest of its content).
- Norms of image features: `norm_key`, row by row as the features.
- Text features of fixed wordings: `text_key`.
- Features of image parts (crops, windows), for tasks: `part_key` and what the task adds.
- Proposals (boxes, masks), for tasks: `dataset_key` and what the task adds.

`FeatureStore.path` turns a key into a file name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rppbench.contracts.dataset import Dataset
from rppbench.data.images import Images
from rppbench.files.digests import digest
from rppbench.models.clip import Clip


def image_key(clip: Clip, images: Images, epoch: int = 0, view: int = 0) -> dict[str, object]:
    """Data set, its fingerprint, preprocessing, augmentation, tower and precision.

    With augmentation also the epoch and the number of the view. `kind` is 'images' or 'views'.
    """
    return {**images.key(epoch, view), **tower_key(clip)}


def norm_key(clip: Clip, images: Images, epoch: int = 0, view: int = 0) -> dict[str, object]:
    """As `image_key`, of the norms; `kind` is 'norms'."""
    key = image_key(clip, images, epoch, view)
    return {**key, "kind": "norms", "of": key["kind"]}


def text_key(
    clip: Clip, names: Sequence[str], wordings: Sequence[str], raw: bool
) -> dict[str, object]:
    """Class names, wordings, whether features are averaged `raw`, tower and precision."""
    return {
        "kind": "texts",
        "names": digest(list(names), 32),
        "wordings": digest(list(wordings), 32),
        "raw": raw,
        **tower_key(clip),
    }


def part_key(clip: Clip, dataset: Dataset) -> dict[str, object]:
    """Data set, its fingerprint, preprocessing, tower and precision.

    The task that cuts the parts adds which part of which image a feature belongs to.
    """
    return {
        **dataset_key(dataset),
        "kind": "parts",
        "preprocess": digest(asdict(clip.preprocess), 32),
        **tower_key(clip),
    }


def dataset_key(dataset: Dataset) -> dict[str, object]:
    """Name and fingerprint of a data set."""
    return {"dataset": dataset.name, "fingerprint": dataset.fingerprint()}


def tower_key(clip: Clip) -> dict[str, object]:
    """Digest of the model's weights and configuration, and the data type it computes in."""
    return {"tower": clip.digest, "precision": str(clip.dtype)}
