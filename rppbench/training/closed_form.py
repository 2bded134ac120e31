"""What a method that is fitted to stored features is given, and what is told of its fit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.contracts.method import Method
from rppbench.contracts.objective import Examples
from rppbench.data.splits import few_shot_with_val, of_classes
from rppbench.errors import MissingDataError, UsageError
from rppbench.records.cell import Training


def validation(dataset: Dataset, training: Training, classes: list[int]) -> list[Sample]:
    """CoOp's draw of validation images, at most four a class; none if there is no such split."""
    try:
        val = dataset.samples("val")
    except MissingDataError:
        raise
    except UsageError:
        return []
    _, drawn = few_shot_with_val(dataset.samples("train"), val, training.shots, training.seed)
    return of_classes(drawn, classes)


@torch.no_grad()
def fit_of(method: Method, examples: Examples) -> dict[str, float]:
    """Loss and accuracy on the images of the fit, as an epoch's line of the log has them."""
    classes = torch.arange(len(examples.texts), device=examples.texts.device)
    images = examples.images[0]
    logits: Tensor | None = method.classify(images, examples.texts, classes, examples.scale)
    assert logits is not None, "fitted to examples, but classifies like CLIP"
    right = (logits.argmax(1) == examples.labels).float().mean().item()
    loss = F.cross_entropy(logits, examples.labels).item()
    return {"epoch": 0, "lr": 0.0, "loss": loss, "accuracy": 100 * right}
