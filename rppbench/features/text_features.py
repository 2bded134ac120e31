"""Text features of fixed wordings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from rppbench.features.store import FeatureStore
from rppbench.files.digests import digest
from rppbench.models.clip import Clip
from rppbench.models.memory import with_less


def fixed_texts(
    store: FeatureStore | None,
    clip: Clip,
    names: Sequence[str],
    wordings: Sequence[str],
    raw: bool = False,
) -> Tensor:
    """Unit features (c, e) of `TextTower.templates`, on the model's device, from the store."""

    def compute() -> Tensor:
        run = partial(clip.text.templates, names, wordings, raw=raw)
        return with_less(clip.text, run)

    if store is None:
        return compute()
    key = {
        "kind": "texts",
        "names": digest(list(names), 32),
        "wordings": digest(list(wordings), 32),
        "raw": raw,
        "tower": clip.digest,
        "precision": str(clip.dtype),
    }
    return store.get(key, len(names), compute).to(clip.device)
