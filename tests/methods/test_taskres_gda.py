"""TaskRes and GDA against plain references written from their papers and official code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny import tokenizer
from support.training_world import FIT, NAMES, RECIPE, SEVEN, World, leaves
from torch import Tensor

from rppbench.contracts.recipe import Recipe
from rppbench.training.fitting import examples_for
from rppbench_methods.gda import GDA, GRID
from rppbench_methods.taskres import TaskRes


def raw_texts(world: World, wordings: tuple[str, ...]) -> Tensor:
    """The mean over wordings of what open_clip itself makes of the sentences, of any length."""
    sentences = [[wording.replace("{}", name) for name in NAMES] for wording in wordings]
    with torch.no_grad():
        each = [world.clip.model.encode_text(tokenizer()(rows)) for rows in sentences]
    return torch.stack(each).mean(0)


def adam(recipe: Recipe, start: Tensor, gradient: Tensor, eps: float) -> Tensor:
    """The first step: the rate times the gradient, decay included, over its own size."""
    gradient = gradient + recipe.weight_decay * start
    return start - recipe.lr * gradient / (gradient.abs() + eps)


@pytest.mark.parametrize("template", ["dataset", "select"])
def test_a_step_of_taskres_equals_the_plain_reference(tmp_path: Path, template: str) -> None:
    recipe = replace(RECIPE, optimiser="adam", lr=0.01, weight_decay=5e-4, eps=1e-6)
    world = World(tmp_path, TaskRes, recipe, alpha=0.7, template=template)
    with torch.no_grad():  # away from the start
        world.method.residual.normal_(generator=torch.Generator().manual_seed(3))
    start = leaves(world.method)["residual"]
    world.run()
    wordings = ("a photo of a {}.",) if template == "dataset" else (*SEVEN, "a photo of a {}.")
    base = raw_texts(world, wordings)
    assert (base.norm(dim=1) - 1).abs().min() > 0.1, "the length of the base matters"
    moved = base + 0.7 * start
    rows = [
        world.scale * torch.stack([image @ text / text.norm() for text in moved])
        for image in world.features[world.order]
    ]
    logits = torch.stack(rows)
    torch.testing.assert_close(world.steps[0].logits, logits, rtol=1e-4, atol=1e-4)
    truth = world.labels[world.order]
    loss = torch.stack([-r.log_softmax(0)[y] for r, y in zip(logits, truth, strict=True)]).mean()
    (gradient,) = torch.autograd.grad(loss, start)
    expected = adam(recipe, start.detach(), gradient, 1e-6)
    torch.testing.assert_close(world.method.residual.detach(), expected, rtol=1e-4, atol=2e-5)
    picked = torch.tensor([3, 0])
    chosen = world.method.classify(world.val, base[picked], picked, world.scale)
    every = world.method.classify(world.val, base, torch.arange(5), world.scale)
    torch.testing.assert_close(chosen, every[:, picked])


def test_residuals_start_at_zero_and_give_zero_shot_logits(tmp_path: Path) -> None:
    world = World(tmp_path, TaskRes)
    base = raw_texts(world, ("a photo of a {}.",))
    logits = world.method.classify(world.val, base, torch.arange(5), world.scale)
    torch.testing.assert_close(logits, world.scale * world.val @ world.texts.T)


# --- GDA ------------------------------------------------------------------------------------------


def plain_gaussians(views: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """w and b of the official code, one class and one feature after the other, in float64."""
    rows = [(view[i], int(labels[i])) for view in views.double() for i in range(len(labels))]
    means = [
        torch.stack([x for x, y in rows if y == k]).mean(0)
        if any(y == k for _, y in rows)
        else torch.stack([x for x, _ in rows]).mean(0)
        for k in range(classes)
    ]
    n, width = len(rows), views.shape[2]
    scatter = torch.zeros(width, width, dtype=torch.float64)
    for x, y in rows:
        scatter += torch.outer(x - means[y], x - means[y])
    trace = sum(scatter[i, i] for i in range(width)) / (n - 1)
    precision = width * torch.linalg.inv(scatter + trace * torch.eye(width, dtype=torch.float64))
    weight = torch.stack([precision @ mean for mean in means])
    prior = torch.log(torch.tensor(1 / classes, dtype=torch.float64))
    return weight, torch.stack([prior - mean @ precision @ mean / 2 for mean in means])


def test_gda_equals_the_plain_reference(tmp_path: Path) -> None:
    world = World(tmp_path, GDA, replace(FIT, augment="half-crop-flip"), views=3)
    world.run()
    assert not world.steps
    views = examples_for(world.method, world.trainer.inputs).images
    assert views.shape[:2] == (3, len(world.labels))
    weight, bias = plain_gaussians(views, world.labels, 5)
    torch.testing.assert_close(world.method.weight.double(), weight, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(world.method.bias.double(), bias, rtol=1e-5, atol=1e-4)
    best, chosen = 0, 0.1
    for alpha in GRID:
        zero_shot = world.scale * world.val @ world.texts.T
        logits = zero_shot + alpha * (world.val @ weight.float().T + bias.float())
        right = int((logits.argmax(1) == world.val_labels).sum())
        if right > best:
            best, chosen = right, alpha
    assert float(world.method.alpha) == pytest.approx(chosen)
    picked = torch.tensor([3, 0, 4])
    expected = world.scale * world.val @ world.texts[picked].T
    expected = expected + chosen * (world.val.double() @ weight[picked].T + bias[picked]).float()
    given = world.method.classify(world.val, world.texts[picked], picked, world.scale)
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-3)


def test_gda_gives_a_class_without_images_the_mean_of_all_and_searches_nothing(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, GDA, FIT, views=1)
    examples = examples_for(world.method, world.trainer.inputs)
    keep = examples.labels != 2
    few = replace(
        examples,
        images=examples.images[:, keep],
        labels=examples.labels[keep],
        val_images=examples.val_images[:0],
        val_labels=examples.val_labels[:0],
    )
    world.method.finish(few)
    weight, bias = plain_gaussians(few.images, few.labels, 5)
    torch.testing.assert_close(world.method.weight.double(), weight, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(world.method.bias.double(), bias, rtol=1e-5, atol=1e-4)
    assert float(world.method.alpha) == pytest.approx(0.1)
