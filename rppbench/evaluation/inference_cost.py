"""The cost of live predictions: what one image and one set of classes take, past stored features.

A run computes features of frozen towers once and reads them afterwards, so its own time says little
about what a prediction costs. Here the towers always run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.contracts.prompts import Conditional, Prompts
from rppbench.data.images import Images
from rppbench.evaluation.classify import Head, class_features, compare, similarities
from rppbench.models.clip import Clip

COUNTED_IMAGES = 2
"""Images whose operations are counted: a batch of one may be computed in another way."""
TIMED_IMAGES = 32
"""Most images of a timed batch."""
TIMED_CONDITIONAL = 4
"""Most images where each encodes all classes: they are predicted one by one, and slowly."""
SECONDS = 1.0
"""Batches are timed until they have taken this long."""


@dataclass(frozen=True)
class InferenceCost:
    """Fields of `Cost` of the same names."""

    flops_per_image: int
    flops_per_class_set: int
    images_per_second: float


@torch.inference_mode()
def inference_cost(
    clip: Clip,
    prompts: Prompts,
    dataset: Dataset,
    samples: Sequence[Sample],
    names: Sequence[str],
    head: Head,
) -> InferenceCost:
    """Count and time predictions of the first of `samples` among the named classes.

    Reading files and preprocessing do not count. Prompts that depend on the image (`Conditional`)
    encode all classes for each image: their operations are the image's, and the class set has none.
    """
    most = TIMED_CONDITIONAL if isinstance(prompts.text, Conditional) else TIMED_IMAGES
    images = Images(dataset, samples[:most], clip.preprocess)
    pixels = torch.cat(list(images.in_order(most))).to(clip.device)
    wording = dataset.template

    if isinstance(prompts.text, Conditional):
        of_classes = 0

        def predict(batch: Tensor) -> Tensor:
            features = clip.image.encode(batch, prompts.image, unit=prompts.unit_images)
            parts = similarities(clip, prompts, names, features, wording=wording, head=head)
            return torch.cat(list(parts)).argmax(-1).cpu()
    else:
        texts, of_classes = counted(
            lambda: class_features(clip, prompts, names, wording=wording, head=head)
        )

        def predict(batch: Tensor) -> Tensor:
            features = clip.image.encode(batch, prompts.image, unit=prompts.unit_images)
            return compare(clip, features.to(texts.device), texts, head).argmax(-1).cpu()

    few = pixels[:COUNTED_IMAGES]
    _, of_images = counted(lambda: predict(few))  # also the warm-up
    return InferenceCost(of_images // len(few), of_classes, len(pixels) / _seconds(predict, pixels))


def counted(run: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """What `run` returns, and its floating-point operations by torch's `FlopCounterMode`.

    A multiplication and its addition are two. Matrix products, convolutions and attention count;
    norms, activations and other operations on single elements do not.
    """
    attention: dict[Any, Any] = {
        # Torch counts attention on GPUs alone; without this, the same model would cost less here.
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention
    }
    with FlopCounterMode(display=False, custom_mapping=attention) as counter, _plain_attention():
        result = run()
    return result, counter.get_total_flops()


def _attention(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """From the shapes of the operands, as torch passes them."""
    return int(sdpa_flop_count(query, key, value))


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Without the fused layer of `nn.MultiheadAttention`, whose operations torch does not count."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _seconds(predict: Callable[[Tensor], Tensor], pixels: Tensor) -> float:
    """Median time of a batch."""
    times: list[float] = []
    while not times or sum(times) < SECONDS:
        begin = time.perf_counter()
        predict(pixels)  # its result is on the CPU: a GPU is done with it
        times.append(time.perf_counter() - begin)
    return median(times)
