"""Text features of class names in fixed wordings: read from the store, or computed and stored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from rppbench.contracts.prompts import ClassAware, Prompt
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
    unit: bool = True,
) -> Tensor:
    """Unit features (c, e) of the names, averaged over the wordings, on the model's device.

    `TextTower.encode_templates` computes them; without a `store`, on every call. With `unit` off,
    they are the means of what the tower returns, of any length.
    """

    def compute() -> Tensor:
        run = partial(clip.text.encode_templates, names, wordings, raw=raw, unit=unit)
        return retry_with_less_memory(clip.text, run)

    if store is None:
        return compute()
    key = text_key(clip, names, wordings, raw)
    if not unit:
        key["unit"] = False
    return store.get(key, len(names), compute).to(clip.device)


def learned_prompt(
    store: FeatureStore | None,
    clip: Clip,
    names: Sequence[str],
    text: Prompt | ClassAware,
    wording: str,
) -> Prompt:
    """The prompt of learned text for these classes.

    `wording` is that of frozen features where the text brings none.
    """
    if isinstance(text, Prompt):
        return text
    return text.prompt(template_features(store, clip, names, text.wordings or (wording,)))
