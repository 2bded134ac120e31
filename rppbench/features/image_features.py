"""Image features of a frozen tower: from the store where they are, else encoded in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from rppbench.data.images import Images, Notify
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip, embed_width


def frozen_features(
    store: FeatureStore,
    clip: Clip,
    images: Images,
    compute: Callable[[Sequence[int]], Iterable[Tensor]],
    epoch: int = 0,
    view: int = 0,
) -> Tensor:
    """(n, e) features of the frozen image tower, on the CPU; each image's view runs once, ever.

    `compute` gives those of the images at some positions, as `encode` does.
    """
    key = {**images.key(epoch, view), "tower": clip.digest, "precision": str(clip.dtype)}
    return store.rows(key, images.contents, compute)


def encode(
    clip: Clip,
    images: Images,
    size: int,
    notify: Notify,
    epoch: int = 0,
    view: int = 0,
    picks: Sequence[int] | None = None,
    done: int = 0,
    total: int | None = None,
) -> Iterator[Tensor]:
    """(b, e) features of the images at `picks` (None: all), `size` at a time, not stored.

    The first block is empty, so that those of no images have a width too. `done` and `total` tell
    where these images stand in a longer list.
    """
    yield torch.zeros(0, embed_width(clip.model))
    if total is None:
        total = len(images) if picks is None else len(picks)
    for batch in images.in_order(size, epoch, view, picks):
        with torch.no_grad():
            features = clip.image.encode(batch, alone=True).cpu()
        yield features
        done += len(features)
        notify("encode", done, total, {})
