"""Predictions on a list of test images, and their scores."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from msgspec import structs
from torch import Tensor

from rppbench.records.outcomes import IMAGE, PerImage
from rppbench.records.record import Score
from rppbench.stats.calibration import calibration_error


@dataclass(frozen=True)
class Evaluation:
    """Predictions on one list of test images."""

    labels: Tensor
    """(b,) int64, true classes."""
    ranked: Tensor
    """(b, <=5) int64, predicted classes, best first."""
    classes: int
    """Number of candidate classes."""
    confidence: Tensor | None = None
    """(b,) probability of the best class; None if unknown."""
    losses: Tensor | None = None
    """(b,) cross-entropy of each image among the classes, in nats; None if unknown."""
    train_loss: float | None = None
    """Mean cross-entropy of images that the prompts were learned on, among their classes."""
    groups: tuple[str, ...] = ()
    """(b,) `Dataset.group` of each image; () if every image is on its own."""
    unit: str = IMAGE
    """`Dataset.unit`: what a group is."""
    group_space: str = ""
    """`Dataset.group_space`: where groups of one name are the same."""

    def scores(self, name: str = "") -> tuple[Score, ...]:
        """top1 (with counts and outcomes), top5, per_class, ece and losses.

        With a `name`, top1 is called `name`, and the others are called 'name_top5', ...
        """
        return scores(self, name)


def scores(evaluation: Evaluation, name: str = "") -> tuple[Score, ...]:
    """top1 (with counts and outcome bits), top5, per_class, ece, test_loss, train_loss, loss_gap.

    per_class is the mean over classes of the accuracy within the class, without classes that have
    no test image. top5 is left out where there are five candidate classes or fewer, and scores that
    need probabilities where these are unknown. Losses are mean cross-entropies in nats: test_loss
    of the test images, train_loss of images that were learned on. loss_gap is test_loss minus
    train_loss (the generalisation gap of RPP's theorem; where another data set is scored, it
    includes the change of task). `name` is the name of top1 and the prefix of the others.
    """
    labels, ranked = evaluation.labels, evaluation.ranked
    right, total = ranked[:, 0] == labels, len(labels)  # (b,)
    start = f"{name}_" if name else ""
    per_image = PerImage.of(
        right.tolist(), evaluation.groups, evaluation.unit, evaluation.group_space
    )
    result = [_score(name or "top1", right, per_image)]
    sure = None if evaluation.confidence is None else evaluation.confidence.float().numpy()
    if sure is not None:
        result[0] = structs.replace(result[0], confidence=sure.astype("<f4").tobytes())
    if ranked.shape[1] == 5 and evaluation.classes > 5:
        within = (ranked == labels[:, None]).any(1)
        result.append(_score(f"{start}top5", within))
    totals = torch.bincount(labels)
    correct = torch.bincount(labels, weights=right.double())
    present = totals > 0
    per_class = 100 * (correct[present] / totals[present]).mean().item()
    result.append(Score(f"{start}per_class", per_class, total=total))
    # Rounded to the printed digits: further digits differ between machines.
    if sure is not None:
        error = calibration_error(sure, right.numpy())
        result.append(Score(f"{start}ece", round(100 * error, 2), total=total))
    if evaluation.losses is not None:
        loss = round(evaluation.losses.double().mean().item(), 3)
        result.append(Score(f"{start}test_loss", loss, total=total))
        if evaluation.train_loss is not None:
            learned = round(evaluation.train_loss, 3)
            result.append(Score(f"{start}train_loss", learned))
            result.append(Score(f"{start}loss_gap", round(loss - learned, 3)))
    return tuple(result)


def _score(metric: str, right: torch.Tensor, per_image: PerImage | None = None) -> Score:
    correct, total = int(right.sum()), len(right)
    return Score(metric, 100 * correct / total, correct, total, per_image)
