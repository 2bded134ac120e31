"""Image features of a frozen tower: read from the store, or computed in batches and stored.

The store keeps unit features, and their norms under a key of their own: the lengths that the tower
gave them. Methods that need features as the tower gives them get the product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from rppbench.data.images import Images, Notify
from rppbench.features.keys import image_key, norm_key
from rppbench.features.store import FeatureStore
from rppbench.models.blocks import normalise
from rppbench.models.clip import Clip, embed_width


def frozen_image_features(
    store: FeatureStore,
    clip: Clip,
    images: Images,
    compute: Callable[[Sequence[int]], Iterable[Tensor]],
    epoch: int = 0,
    view: int = 0,
    unit: bool = True,
) -> Tensor:
    """(n, e) features of the images without a prompt, on the CPU.

    They are of unit length; with `unit` off, as the tower gives them, up to float32 rounding.
    Missing features are computed and stored, so each view of an image passes the tower only once;
    features whose norms are missing (an older version stored none) are computed again for them.
    `compute` yields blocks (b, e + 1) for the images at the given positions, as `encode_images`
    does. DataChangedError, before anything is stored, if an image changes while it is encoded.
    """

    def checked(picks: Sequence[int]) -> Iterator[Tensor]:
        done = 0
        for block in compute(picks):
            images.check(picks[done : done + len(block)])
            done += len(block)
            yield block

    computed: list[Tensor] = []
    computed_names: list[str] = []

    def units(picks: Sequence[int]) -> Iterator[Tensor]:
        computed_names.extend(images.contents[pick] for pick in picks)
        for block in checked(picks):
            computed.append(block[:, -1:])
            yield block[:, :-1].contiguous()

    features = store.rows(image_key(clip, images, epoch, view), images.contents, units)
    key = norm_key(clip, images, epoch, view)
    if computed:
        norms = torch.cat(computed)
        store.rows(key, computed_names, lambda missing: [norms[list(missing)]])
    if unit:
        return features
    return features * store.rows(
        key, images.contents, lambda picks: (block[:, -1:] for block in checked(picks))
    )


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
    """Blocks (b, e + 1) of unit features without a prompt, then their norm; nothing is stored.

    Blocks are on the CPU. The images are those at positions `picks` (None: all), encoded `size` at
    a time. The first block has no rows, so that the result has a width even if there are no images.
    `notify` counts from `done`, the number of images encoded before, to `total`.
    """
    yield torch.zeros(0, embed_width(clip.model) + 1)
    if total is None:
        total = len(images) if picks is None else len(picks)
    for batch in images.in_order(size, epoch, view, picks):
        with torch.no_grad():
            features = clip.image.encode(batch, batch_invariant=True, unit=False)
            norms = features.norm(dim=1, keepdim=True)
            block = torch.cat([normalise(features), norms], 1).cpu()
        yield block
        done += len(block)
        notify("encode", done, total, {})
