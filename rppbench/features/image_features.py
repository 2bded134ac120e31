"""Image features of a frozen tower: read from the store, or computed in batches and stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from rppbench.data.images import Images, Notify
from rppbench.features.keys import image_key
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip, embed_width


def frozen_image_features(
    store: FeatureStore,
    clip: Clip,
    images: Images,
    compute: Callable[[Sequence[int]], Iterable[Tensor]],
    epoch: int = 0,
    view: int = 0,
) -> Tensor:
    """(n, e) unit features of the images without a prompt, on the CPU.

    Missing features are computed and stored, so each view of an image passes the tower only once.
    `compute` yields blocks (b, e) for the images at the given positions, as `encode_images` does.
    DataChangedError, before anything is stored, if an image changes while it is encoded.
    """

    def checked(picks: Sequence[int]) -> Iterator[Tensor]:
        done = 0
        for block in compute(picks):
            images.check(picks[done : done + len(block)])
            done += len(block)
            yield block

    return store.rows(image_key(clip, images, epoch, view), images.contents, checked)


def encode_images(
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
    """Blocks (b, e) of unit features without a prompt, on the CPU; nothing is stored.

    The images are those at positions `picks` (None: all), encoded `size` at a time. The first block
    has no rows, so that the result has a width even if there are no images. `notify` counts from
    `done`, the number of images encoded before, to `total`.
    """
    yield torch.zeros(0, embed_width(clip.model))
    if total is None:
        total = len(images) if picks is None else len(picks)
    for batch in images.in_order(size, epoch, view, picks):
        with torch.no_grad():
            features = clip.image.encode(batch, batch_invariant=True).cpu()
        yield features
        done += len(features)
        notify("encode", done, total, {})
