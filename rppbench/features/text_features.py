"""Text features of class names in fixed wordings: read from the store, or computed and stored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from rppbench.features.keys import text_key
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip
from rppbench.models.out_of_memory import retry_with_less_memory


def template_features(
    store: FeatureStore | None,
    clip: Clip,
    names: Sequence[str],
    wordings: Sequence[str],
    raw: bool = False,
) -> Tensor:
    """Unit features (c, e) of the names, averaged over the wordings, on the model's device.

    `TextTower.encode_templates` computes them; without a `store`, on every call.
    """

    def compute() -> Tensor:
        run = partial(clip.text.encode_templates, names, wordings, raw=raw)
        return retry_with_less_memory(clip.text, run)

    if store is None:
        return compute()
    return store.get(text_key(clip, names, wordings, raw), len(names), compute).to(clip.device)
