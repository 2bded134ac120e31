"""Methods with logits of their own, against plain references written from the papers.

Everything in float32 on the small random CLIP: features from the slow towers, loops in place of
the formulas, and the update rule of the optimiser by hand.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from support.reference import image_features
from support.tiny import make_tiny_clip
from support.toy_data import WithoutVal
from support.training_world import (
    FIT,
    HEADS,
    IMAGES,
    NAMES,
    RECIPE,
    World,
    complete_and_resumed,
    leaves,
    moved_by_sgd,
    plain_images,
    plain_texts,
)
from torch import Tensor

from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.objective import Step
from rppbench.contracts.prompts import Prompt
from rppbench.contracts.recipe import Recipe
from rppbench.errors import UsageError
from rppbench.training.fitting import examples_for
from rppbench.training.state import load_state
from rppbench_methods.clip_adapter import CLIPAdapter
from rppbench_methods.linear_probe import NEVER, LinearProbe, logistic
from rppbench_methods.promptkd import PromptKD
from rppbench_methods.tip_adapter import TipAdapter, TipAdapterF


def test_a_step_of_clip_adapter_equals_the_plain_reference(tmp_path: Path) -> None:
    world = World(tmp_path, CLIPAdapter)
    start = leaves(world.method)
    world.run()
    rows = []
    for feature in world.features[world.order]:
        hidden = (start["narrow.weight"] @ feature).clamp(min=0)
        adapted = (start["widen.weight"] @ hidden).clamp(min=0)
        mixed = 0.2 * adapted + 0.8 * feature
        rows.append(world.scale * (world.texts @ (mixed / mixed.norm())))
    logits = torch.stack(rows)
    assert torch.allclose(world.steps[0].logits, logits, rtol=1e-4, atol=1e-4)
    truth = world.labels[world.order]
    loss = torch.stack([-r.log_softmax(0)[y] for r, y in zip(logits, truth, strict=True)]).mean()
    moved_by_sgd(world.method, start, loss)


@pytest.mark.parametrize("raw", [False, True])
def test_a_step_of_promptkd_equals_the_plain_reference(raw: bool, tmp_path: Path) -> None:
    """With `raw`, the projection sees image features as the tower gives them."""
    kd = Supervision(kd=True, kd_weight=1000.0)
    world = World(tmp_path, PromptKD, supervision=kd, length=2, depth=3, raw=raw)
    start = leaves(world.method)
    world.run()
    pixels = world.pixels[world.order]
    prompt = Prompt(start["image.input"], {1: start["image.blocks.0"], 2: start["image.blocks.1"]})
    images = image_features(world.clip.model.state_dict(), pixels, prompt, HEADS, False, not raw)
    hidden = images @ start["projection.0.weight"].T
    mean, spread = hidden.mean(0), ((hidden - hidden.mean(0)) ** 2).mean(0)
    hidden = (hidden - mean) / (spread + 1e-5).sqrt()
    hidden = (hidden * start["projection.1.weight"] + start["projection.1.bias"]).clamp(min=0)
    projected = hidden @ start["projection.3.weight"].T + start["projection.3.bias"]
    texts = plain_texts(world.teacher, NAMES, None)
    student = world.scale * (projected / projected.norm(dim=1, keepdim=True)) @ texts.T
    teacher_logits = world.teacher.model.logit_scale.detach().exp() * (
        plain_images(world.teacher, pixels, None) @ texts.T
    )
    assert torch.allclose(world.steps[0].logits, student, rtol=1e-3, atol=1e-3)
    target = teacher_logits.softmax(1)
    divergence = (target * (target.log() - student.log_softmax(1))).sum() / student.numel()
    moved_by_sgd(world.method, start, 1000 * divergence)


def test_promptkd_does_not_look_at_labels(tmp_path: Path) -> None:
    ends = []
    for turn in range(2):
        kd = Supervision(kd=True, kd_weight=1000.0)
        world = World(tmp_path / str(turn), PromptKD, supervision=kd, length=2, depth=3)
        world.trainer.inputs.labels = (world.labels + turn) % 5
        world.run()
        ends.append(world.method.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.filterwarnings("ignore:out of memory")
def test_a_step_that_is_taken_again_counts_once_in_the_batch_norm(tmp_path: Path) -> None:
    ends = []
    for refusals in ([], ["one"]):
        kd = Supervision(kd=True, kd_weight=1000.0)
        world = World(tmp_path / str(len(refusals)), PromptKD, supervision=kd, length=2, depth=3)
        loss = world.method.loss

        def refused(step: Step, loss=loss, refusals=refusals) -> Tensor:
            if refusals:
                refusals.pop()
                torch.empty(1 << 60, dtype=torch.uint8)  # no machine has it
            return loss(step)

        world.method.loss = refused  # type: ignore[method-assign]
        world.run()
        assert not refusals
        ends.append(world.method.state_dict())
    assert float(ends[0]["projection.1.running_mean"].abs().sum()) > 0
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_promptkd_without_a_teacher_is_a_mistake_and_says_so() -> None:
    with pytest.raises(UsageError, match="kd=on"):
        PromptKD(make_tiny_clip().space(5, torch.Generator()))


# --- Tip-Adapter ----------------------------------------------------------------------------------


def cache_logits(
    images: Tensor,
    keys: Tensor,
    labels: Tensor,
    texts: Tensor,
    scale: Tensor,
    alpha: float,
    beta: float,
) -> Tensor:
    """100 f W^T + alpha exp(-beta (1 - f F^T)) L, one entry after the other."""
    rows = []
    for image in images:
        sums = [torch.zeros(()) for _ in texts]
        for key, label in zip(keys, labels.tolist(), strict=True):
            sums[label] = sums[label] + torch.exp(-beta * (1 - image @ key))
        rows.append(scale * (texts @ image) + alpha * torch.stack(sums))
    return torch.stack(rows)


def searched(world: World, keys: Tensor, betas: list[float], alphas: list[float]) -> list[float]:
    best, chosen = -1, [0.0, 0.0]
    for beta in betas:
        for alpha in alphas:
            logits = cache_logits(
                world.val, keys, world.labels, world.texts, world.scale, alpha, beta
            )
            right = int((logits.argmax(1) == world.val_labels).sum())
            if right > best:
                best, chosen = right, [alpha, beta]
    return chosen


SMALL = {"betas": 6, "alphas": 4, "beta_scale": 13.0, "alpha_scale": 60.0}
BETAS = [0.1 + i * (13 - 0.1) / 6 for i in range(6)]
ALPHAS = [0.1 + i * (60 - 0.1) / 4 for i in range(4)]


def test_tip_adapter_equals_the_plain_reference(tmp_path: Path) -> None:
    world = World(tmp_path, TipAdapter, FIT, views=1, **SMALL)
    world.run()
    assert not world.steps
    alpha, beta = searched(world, world.features, BETAS, ALPHAS)
    assert [float(world.method.alpha), float(world.method.beta)] == pytest.approx([alpha, beta])
    expected = cache_logits(
        world.val, world.features, world.labels, world.texts, world.scale, alpha, beta
    )
    picked = torch.tensor([3, 0, 4])
    logits = world.method.classify(world.val, world.texts[picked], picked, world.scale)
    assert logits is not None
    torch.testing.assert_close(logits, expected[:, picked], rtol=1e-4, atol=1e-4)


def test_a_step_of_tip_adapter_f_equals_the_plain_reference(tmp_path: Path) -> None:
    """AdamW's first step: the rate times the sign of the gradient, softened by eps, and decay."""
    recipe = replace(RECIPE, optimiser="adamw", lr=0.01, weight_decay=0.01)
    world = World(tmp_path, TipAdapterF, recipe, views=1, **SMALL)
    world.run()
    keys = world.features.clone().requires_grad_()
    images, truth = world.features[world.order], world.labels[world.order]
    logits = cache_logits(images, keys, world.labels, world.texts, world.scale, 1.17, 1.0)
    assert torch.allclose(world.steps[0].logits, logits, rtol=1e-4, atol=1e-4)
    loss = torch.stack([-r.log_softmax(0)[y] for r, y in zip(logits, truth, strict=True)]).mean()
    (gradient,) = torch.autograd.grad(loss, keys)
    moved = keys * (1 - 0.01 * 0.01) - 0.01 * gradient / (gradient.abs() + 1e-4)
    order = world.labels.argsort(stable=True)  # the method keeps the images of a class together
    torch.testing.assert_close(world.method.keys, moved[order], rtol=1e-4, atol=1e-4)
    alpha, beta = searched(world, moved.detach(), BETAS, ALPHAS)
    assert [float(world.method.alpha), float(world.method.beta)] == pytest.approx([alpha, beta])


def test_keys_are_means_of_augmented_views(tmp_path: Path) -> None:
    recipe = replace(FIT, augment="half-crop-flip")
    world = World(tmp_path, TipAdapter, recipe, views=3, **SMALL)
    world.run()
    views = [
        torch.cat(list(world.trainer.inputs.images.in_order(IMAGES, 0, view))) for view in range(3)
    ]
    mean = torch.stack([plain_images(world.clip, pixels, None) for pixels in views]).mean(0)
    expected = (mean / mean.norm(dim=1, keepdim=True))[world.labels.argsort(stable=True)]
    torch.testing.assert_close(world.method.keys, expected, rtol=1e-4, atol=1e-5)


def test_a_class_with_fewer_images_leaves_rows_empty(tmp_path: Path) -> None:
    world = World(tmp_path, TipAdapter, FIT, views=1, **SMALL)
    examples = examples_for(world.method, world.trainer.inputs)
    few = replace(
        examples,
        images=examples.images[:, 2:],
        labels=examples.labels[2:],
        val_images=examples.val_images[:0],
        val_labels=examples.val_labels[:0],
    )
    world.method.start(few)
    world.method.finish(few)
    assert world.method.filled.sum() == IMAGES - 2
    ids = torch.arange(5)
    logits = world.method.classify(world.val, world.texts, ids, world.scale)
    expected = cache_logits(
        world.val, world.features[2:], world.labels[2:], world.texts, world.scale, 1.17, 1.0
    )
    assert logits is not None
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


# --- linear probe ---------------------------------------------------------------------------------


def plain_fit(images: Tensor, labels: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """argmin |W|^2 / 2 + C sum of cross-entropies, bias free, by another solver."""
    data, classes = images.double(), 5
    width = data.shape[1]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        both = torch.tensor(flat, requires_grad=True)
        weight, bias = both[: classes * width].view(classes, width), both[classes * width :]
        rows = (data @ weight.T + bias).log_softmax(1)
        value = weight.square().sum() / 2 - strength * rows[range(len(labels)), labels].sum()
        value.backward()  # type: ignore[no-untyped-call]
        assert both.grad is not None
        return value.item(), both.grad.numpy()

    start = np.zeros(classes * (width + 1))
    solution = minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-8})
    flat = torch.tensor(solution.x)
    weight, bias = flat[: classes * width].view(classes, width), flat[classes * width :]
    return weight.float(), (bias - bias.mean()).float()


def test_the_fit_is_the_minimum_of_the_penalised_likelihood(tmp_path: Path) -> None:
    world = World(tmp_path, LinearProbe, FIT)
    weight, bias = logistic(world.features, world.labels, 3.0, 5)
    expected = plain_fit(world.features, world.labels, 3.0)
    torch.testing.assert_close(weight, expected[0], rtol=1e-2, atol=2e-3)
    torch.testing.assert_close(bias - bias.mean(), expected[1], rtol=1e-2, atol=2e-3)


def test_the_search_is_that_of_the_published_script(tmp_path: Path) -> None:
    world = World(tmp_path, LinearProbe, FIT)
    world.run()

    def right(strength: float) -> int:
        weight, bias = logistic(world.features, world.labels, strength, 5)
        return int(((world.val @ weight.T + bias).argmax(1) == world.val_labels).sum())

    grid = [1e6, 1e4, 1e2, 1, 1e-2, 1e-4, 1e-6]
    peak = grid[int(np.argmax([right(strength) for strength in grid]))]
    left, rest, final = 1e-1 * peak, 1e1 * peak, 0.0
    for _ in range(8):
        middle = 10 ** (0.5 * (math.log10(left) + math.log10(rest)))
        if right(left) < right(rest):
            final, left = rest, middle
        else:
            final, rest = left, middle
    assert float(world.method.inverse_penalty) == pytest.approx(final, rel=1e-4)
    weight, _ = logistic(world.features, world.labels, final, 5)
    torch.testing.assert_close(world.method.weight.detach(), weight, rtol=1e-2, atol=1e-3)


def test_two_classes_and_classes_without_images_have_rows_too() -> None:
    images = torch.eye(4)
    weight, bias = logistic(images, torch.tensor([1, 1, 3, 3]), 10.0, 4)
    logits = images @ weight.T + bias
    assert logits.argmax(1).tolist() == [1, 1, 3, 3]
    assert bias[[0, 2]].tolist() == [NEVER, NEVER]


@pytest.mark.parametrize("component", [LinearProbe, TipAdapter])
def test_without_validation_images_the_published_values_serve(
    tmp_path: Path, component: type[Method]
) -> None:
    world = World(tmp_path, component, FIT, dataset=WithoutVal())
    world.run()
    if isinstance(world.method, LinearProbe):
        assert float(world.method.inverse_penalty) == pytest.approx(0.316)
    else:
        assert float(world.method.alpha) == pytest.approx(1.17)
        assert float(world.method.beta) == 1.0


# --- what all share -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("component", "recipe"),
    [
        (LinearProbe, FIT),
        (TipAdapter, FIT),
        (TipAdapterF, replace(RECIPE, optimiser="adamw", lr=0.01)),
        (CLIPAdapter, RECIPE),
    ],
)
def test_what_was_fitted_is_read_back_as_it_was(
    tmp_path: Path, component: type[Method], recipe: Recipe
) -> None:
    world = World(tmp_path, component, recipe)
    world.run()
    fresh = World(tmp_path, component, recipe).method
    progress = load_state(tmp_path / "prompts.safetensors", world.trainer.training.key, fresh)
    assert progress.log
    ids = torch.arange(5)
    one, two = (m.classify(world.val, world.texts, ids, world.scale) for m in (world.method, fresh))
    assert one is not None
    assert two is not None
    assert torch.equal(one, two)


@pytest.mark.parametrize("stop", [1, 4, 8])
def test_an_interrupted_adamw_ends_in_the_same_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    recipe = replace(RECIPE, epochs=3, batch=4, optimiser="adamw", lr=0.01)
    complete, again = complete_and_resumed(
        lambda name: World(tmp_path / name, TipAdapterF, recipe), stop, monkeypatch
    )
    assert torch.equal(again.method.keys, complete.method.keys)
    assert torch.equal(again.method.alpha, complete.method.alpha)


def test_an_unknown_optimiser_is_a_mistake_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'adam'"):
        World(tmp_path, CLIPAdapter, replace(RECIPE, optimiser="adamm")).run()


def test_a_linear_probe_on_one_image_a_class_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weight, bias = logistic(torch.eye(4), torch.arange(4), 1.0, 4)
    assert (torch.eye(4) @ weight.T + bias).argmax(1).tolist() == [0, 1, 2, 3]
