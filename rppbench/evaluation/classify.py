"""Similarities of images and class names, for every kind of prompt: for scoring and `predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Conditional, Prompts, Templates
from rppbench.data.images import Notify
from rppbench.errors import UsageError
from rppbench.evaluation.checked import checked_logits, refuse_nan
from rppbench.features.store import FeatureStore
from rppbench.features.text_features import learned_prompt, template_features
from rppbench.models.clip import Clip
from rppbench.models.out_of_memory import retry_with_less_memory


@dataclass(frozen=True)
class Head:
    """How logits are computed from features: by a function of the method, or as CLIP's cosines."""

    logits: Callable[[Tensor, Tensor], Tensor | None] = lambda images, texts: None
    """(b, e), (k, e) -> (b, k); None for scaled cosines."""
    teacher: Clip | None = None
    """The frozen teacher, for `Templates` that it encodes."""
    method: str = ""
    """The method's name, for errors."""


COSINES = Head()


def similarities(
    clip: Clip,
    prompts: Prompts,
    names: Sequence[str],
    features: Tensor,
    *,
    wording: str,
    head: Head = COSINES,
    notify: Notify = lambda phase, done, total, metrics: None,
    store: FeatureStore | None = None,
) -> Iterator[Tensor]:
    """(b, c) cosines of image features (n, e) and the named classes, in parts.

    Logits of a `head` are divided by CLIP's scale. `wording` is the data set's own template: for
    fixed text without a wording of its own, and for `Prompts.wording`. A class-specific prompt must
    have one context for each name, in this order.
    A `store` keeps the features of fixed text.
    """
    text = prompts.text
    if isinstance(text, Conditional):
        tokens = clip.names(names, prompts.wording(wording))
        done = 0
        for images in features.to(clip.device).split(clip.text.contexts_at_once(tokens)):
            each = partial(clip.text.encode_each, text.contexts(images), tokens)
            texts = retry_with_less_memory(clip.text, each)
            yield refuse_nan(head.method, torch.einsum("be,bce->bc", images, texts))
            done += len(images)
            notify("evaluate", done, len(features), {})
        return
    texts = class_features(clip, prompts, names, wording=wording, head=head, store=store)
    yield from compared(clip, features, texts, head)


def compared(clip: Clip, features: Tensor, texts: Tensor, head: Head) -> Iterator[Tensor]:
    """As `compare`, (b', c) for as many images at once as fit into memory."""
    for part in features.split(clip.scored_images_at_once(len(texts))):
        yield compare(clip, part.to(texts.device), texts, head)


def class_features(
    clip: Clip,
    prompts: Prompts,
    names: Sequence[str],
    *,
    wording: str,
    head: Head = COSINES,
    store: FeatureStore | None = None,
) -> Tensor:
    """(c, e) text features of the named classes, for all prompts but `Conditional` ones."""
    text = prompts.text
    assert not isinstance(text, Conditional), "each image has texts of its own"
    if isinstance(text, Templates):
        encoder = template_encoder(text, clip, head.teacher)
        wordings = text.wordings or (wording,)
        return template_features(store, encoder, names, wordings, unit=text.unit)
    words = clip.names(names, prompts.wording(wording))
    prompt = learned_prompt(store, clip, names, text, wording)
    return retry_with_less_memory(clip.text, partial(clip.text.encode, prompt, words))


def compare(clip: Clip, images: Tensor, texts: Tensor, head: Head) -> Tensor:
    """(b, c) cosines of features (b, e) and (c, e); logits of a `head`, divided by CLIP's scale."""
    logits = head.logits(images, texts)
    logits = checked_logits(head.method, logits, len(images), len(texts))
    cosines = images @ texts.T if logits is None else logits / clip.scale
    return refuse_nan(head.method, cosines)


def head_of(
    method: Method, clip: Clip, classes: Sequence[int], teacher: Clip | None = None
) -> Head:
    """The method's head for candidate `classes`, given as ids among those that it learned."""
    ids = torch.tensor(classes, device=clip.device)
    return Head(
        lambda images, texts: method.classify(images, texts, ids, clip.scale),
        teacher,
        method.name,
    )


def template_encoder(text: Templates, clip: Clip, teacher: Clip | None) -> Clip:
    """The model whose text tower encodes a fixed wording. UsageError if the teacher is missing."""
    if not text.teacher:
        return clip
    if teacher is None:
        raise UsageError("the teacher's text features are the classifier: set kd=on")
    return teacher


@torch.inference_mode()
def probabilities(
    clip: Clip,
    prompts: Prompts,
    names: Sequence[str],
    batches: Iterable[Tensor],
    *,
    wording: str,
    head: Head,
) -> Iterator[Tensor]:
    """(b, c) probabilities of the classes, on the CPU, for each batch of pixels.

    Texts that do not depend on the image are encoded once.
    """
    texts = None
    if not isinstance(prompts.text, Conditional):
        texts = class_features(clip, prompts, names, wording=wording, head=head)
    for batch in batches:
        pixels = batch.to(clip.device)
        features = clip.image.encode(pixels, prompts.image, unit=prompts.unit_images)
        if texts is None:
            parts = similarities(clip, prompts, names, features, wording=wording, head=head)
        else:
            parts = compared(clip, features, texts, head)
        yield torch.cat([(clip.scale * part).softmax(-1).cpu() for part in parts])
