"""The examples that a `FittedMethod` is fitted to, and the log entry of its fit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts.fitted import Examples, FittedMethod
from rppbench.data.images import Images
from rppbench.data.parts import val_shots_of
from rppbench.errors import UsageError
from rppbench.training.step_inputs import StepInputs


def examples_for(method: FittedMethod, inputs: StepInputs) -> Examples:
    """The training images in the method's number of views, and its validation images.

    UsageError for a method whose prompts change what the towers compute.
    """
    prompts = method.prompts()
    if inputs.template_texts is None or prompts.image is not None:
        raise UsageError(
            f"{method.name!r} is fitted to features of frozen towers: it must use fixed wordings "
            "and no prompt of the image tower"
        )
    clip, device = inputs.clip, inputs.clip.device

    def views(unit: bool) -> Tensor:
        features = [
            inputs.view_features(clip, inputs.images, 0, view, unit) for view in range(method.views)
        ]
        return torch.stack(features)

    images = views(prompts.unit_images)
    samples = val_shots_of(inputs.dataset, inputs.training) if method.searches else []
    val_images = torch.zeros(0, images.shape[2])
    if samples:
        val = Images(inputs.dataset, samples, clip.preprocess, contents=inputs.contents)
        val_images = inputs.view_features(clip, val, 0, 0, prompts.unit_images)
    return Examples(
        images=images.to(device),
        labels=inputs.labels.to(device),
        val_images=val_images.to(device),
        val_labels=torch.tensor([s.label for s in samples], dtype=torch.int64).to(device),
        texts=inputs.template_texts,
        scale=clip.scale,
        raw_images=views(unit=False).to(device) if method.raw_images else None,
    )


@torch.no_grad()
def fit_entry(method: FittedMethod, examples: Examples) -> dict[str, float]:
    """Loss and accuracy on the images of the fit, in the form of an epoch's log entry."""
    classes = torch.arange(len(examples.texts), device=examples.texts.device)
    images = examples.images[0]
    logits: Tensor | None = method.classify(images, examples.texts, classes, examples.scale)
    assert logits is not None, "a fitted method has logits of its own"
    right = (logits.argmax(1) == examples.labels).float().mean().item()
    loss = F.cross_entropy(logits, examples.labels).item()
    return {"epoch": 0, "lr": 0.0, "loss": loss, "accuracy": 100 * right}
