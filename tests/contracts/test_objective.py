"""The loss of a step against POMP's and PromptKD's own loops, written out image by image."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts.learning import Supervision
from rppbench.contracts.objective import Step

B, E = 6, 16


def unit(*shape: int, seed: int) -> Tensor:
    draw = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(draw, dim=-1)


def sampled_step(
    supervision: Supervision, total: int = 40, teacher: bool = False, scale: float = 20.0
) -> Step:
    """Candidates as training draws them: the batch's classes and 12 shared negatives."""
    labels = torch.tensor([3, 7, 7, 21, 30, 39])
    negatives = torch.tensor([1, 3, 5, 8, 13, 21, 22, 25, 28, 31, 33, 36])  # holds 3 and 21
    candidates = torch.cat([labels, negatives]).unique()
    return Step(
        images=unit(B, E, seed=1),
        texts=unit(len(candidates), E, seed=2),
        classes=candidates,
        labels=torch.searchsorted(candidates, labels),
        negatives=torch.isin(candidates, negatives),
        total=total,
        scale=torch.tensor(scale, dtype=torch.float64),
        supervision=supervision,
        teacher=10 * unit(B, len(candidates), seed=3) if teacher else None,
    )


def pomp(step: Step, correction: bool = True) -> Tensor:
    """trainers/pomp.py, one image at a time: positive first, collisions at -1e6, log10 margin."""
    negatives = step.negatives.nonzero()[:, 0].tolist()
    losses = []
    for image, label in zip(step.images, step.labels.tolist(), strict=True):
        positive = step.scale * image @ step.texts[label]
        others = torch.stack([step.scale * image @ step.texts[n] for n in negatives])
        collides = torch.tensor([n == label for n in negatives])
        others = others - 1e6 * collides
        if correction:
            others = others + math.log10(step.total - 1) - math.log10((~collides).sum())
        logits = torch.cat([positive[None], others])
        losses.append(-F.log_softmax(logits, 0)[0])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("correction", [True, False])
def test_cross_entropy_is_pomps(correction: bool) -> None:
    step = sampled_step(Supervision(correction=correction))
    torch.testing.assert_close(step.cross_entropy, pomp(step, correction), rtol=1e-10, atol=1e-10)


def test_the_margin_of_pomps_setting_is_1_0195() -> None:
    """N = 10,450 and K = 1,000: log10 gives 1.0195, the natural log would give 2.3475."""
    total, negatives = 10_450, 999
    step = Step(
        images=unit(1, E, seed=1),
        texts=torch.zeros(negatives + 1, E, dtype=torch.float64),
        classes=torch.arange(negatives + 1),
        labels=torch.tensor([0]),
        negatives=torch.arange(negatives + 1) > 0,
        total=total,
        scale=torch.tensor(100.0, dtype=torch.float64),
        supervision=Supervision(),
    )
    # All cosines are 0, so the loss is log(1 + negatives * exp(m)).
    margin = math.log((math.exp(step.cross_entropy) - 1) / negatives)
    assert margin == pytest.approx(1.0195, abs=5e-5)


def test_without_sampling_it_is_plain_cross_entropy() -> None:
    count = 9
    step = Step(
        images=unit(B, E, seed=1),
        texts=unit(count, E, seed=2),
        classes=torch.arange(count),
        labels=torch.arange(B),
        negatives=torch.ones(count, dtype=torch.bool),
        total=count,
        scale=torch.tensor(20.0, dtype=torch.float64),
        supervision=Supervision(),
    )
    expected = F.cross_entropy(20 * step.images @ step.texts.T, torch.arange(B))
    torch.testing.assert_close(step.loss, expected, rtol=1e-10, atol=1e-10)


def test_without_sampling_the_short_path_gives_the_same_bits() -> None:
    """Value and gradient in float32, as in trainings: records must not depend on the path."""
    losses = []
    for complete in (True, False):
        texts = unit(9, E, seed=2).float().requires_grad_()
        step = Step(
            images=unit(B, E, seed=1).float(),
            texts=texts,
            classes=torch.arange(9),
            labels=torch.arange(B),
            negatives=torch.ones(9, dtype=torch.bool),
            total=9,
            scale=torch.tensor(20.0),
            supervision=Supervision(),
        )
        assert step.complete
        step.__dict__["complete"] = complete
        step.loss.backward()
        assert texts.grad is not None
        losses.append((step.loss.detach(), texts.grad))
    assert torch.equal(losses[0][0], losses[1][0])
    assert torch.equal(losses[0][1], losses[1][1])


def test_few_candidates_that_are_all_negatives_keep_their_margin() -> None:
    step = sampled_step(Supervision())
    every = Step(**{**vars_of(step), "negatives": torch.ones_like(step.negatives)})
    assert not every.complete
    torch.testing.assert_close(every.cross_entropy, pomp(every), rtol=1e-10, atol=1e-10)


def test_classes_of_other_images_are_not_negatives() -> None:
    """Class 7 is in the step for two images; the others must not be pushed away from it."""
    step = sampled_step(Supervision())
    texts = step.texts.clone().requires_grad_()
    moved = Step(**{**vars_of(step), "texts": texts})
    per_image = moved.logits.masked_fill(~moved.compared, -torch.inf)[0]
    per_image[per_image.isfinite()].sum().backward()
    seven = int((step.classes == 7).nonzero())
    assert texts.grad is not None
    assert texts.grad[seven].abs().max() == 0


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_distillation_is_the_batch_mean_of_kl_over_the_compared_classes(temperature: float) -> None:
    step = sampled_step(Supervision(kd=True, temperature=temperature), teacher=True)
    assert step.teacher is not None
    total = 0.0
    for row in range(B):
        seen = step.compared[row]
        p = ((step.teacher[row][seen]) / temperature).softmax(0)
        q = ((step.scale * step.images[row] @ step.texts.T)[seen] / temperature).softmax(0)
        total += float((p * (p.log() - q.log())).sum()) * temperature**2
    assert float(step.distillation) == pytest.approx(total / B, rel=1e-10)


def test_a_student_that_equals_its_teacher_has_no_distillation_loss() -> None:
    step = sampled_step(Supervision(kd=True))
    same = Step(**{**vars_of(step), "teacher": step.logits})
    assert float(same.distillation) == pytest.approx(0, abs=1e-12)
    assert float(same.loss) == pytest.approx(float(step.cross_entropy), rel=1e-10)


def test_the_loss_adds_the_weighted_distillation() -> None:
    step = sampled_step(Supervision(kd=True, kd_weight=0.25), teacher=True)
    expected = step.cross_entropy + 0.25 * step.distillation
    torch.testing.assert_close(step.loss, expected)
    assert float(step.distillation) > 0.01


def test_gradients_of_a_distilled_step_are_finite() -> None:
    step = sampled_step(Supervision(kd=True), teacher=True, scale=100.0)
    texts = step.texts.clone().requires_grad_()
    Step(**{**vars_of(step), "texts": texts}).loss.backward()
    assert texts.grad is not None
    assert torch.isfinite(texts.grad).all()


def vars_of(step: Step) -> dict[str, object]:
    return {name: getattr(step, name) for name in Step.__dataclass_fields__}
