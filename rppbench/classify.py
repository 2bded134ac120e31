"""Images against class names, for every kind of prompt: what is scored is what `predict` says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from rppbench.clip import Clip
from rppbench.contracts import Conditional, Prompts, Templates
from rppbench.images import Notify
from rppbench.names import Names

PART = 4096
"""Images whose similarities are held at once."""


def similarities(
    clip: Clip,
    prompts: Prompts,
    names: Sequence[str],
    features: Tensor,
    *,
    wording: str,
    notify: Notify = lambda phase, done, total, metrics: None,
) -> Iterator[Tensor]:
    """(b, c) cosines of image features (n, e) and the named classes, in parts.

    `wording` serves prompts whose text is fixed and that bring no wording of their own. A
    class-specific prompt must have one context for each name, in this order.
    """
    text = prompts.text
    if isinstance(text, Conditional):
        tokens = Names(names, clip.tokenizer)
        for done, image in enumerate(features.to(clip.device).split(1), 1):
            texts = clip.text.encode_each(text.contexts(image), tokens)
            yield image @ texts[0].T
            notify("evaluate", done, len(features), {})
        return
    if isinstance(text, Templates):
        texts = clip.text.templates(names, text.wordings or (wording,))
    else:
        texts = clip.text.encode(text, Names(names, clip.tokenizer))
    yield from (part.to(texts.device) @ texts.T for part in features.split(PART))


@torch.inference_mode()
def probabilities(
    clip: Clip,
    prompts: Prompts,
    names: Sequence[str],
    batches: Iterable[Tensor],
    *,
    wording: str,
) -> Tensor:
    """(b, c) how sure the model is of each class, on the CPU, for batches of pixels."""
    features = torch.cat(
        [clip.image.encode(batch.to(clip.device), prompts.image) for batch in batches]
    )
    parts = similarities(clip, prompts, names, features, wording=wording)
    return torch.cat([(clip.scale * part).softmax(-1).cpu() for part in parts])
