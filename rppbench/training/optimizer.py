"""A recipe's optimiser, its learning rate in each epoch, and the average over epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from rppbench.errors import unknown

OPTIMISERS = ("sgd", "adam", "adamw")
BY_STEP = "cosine-steps"
"""The schedule that changes the rate after each step; the others change it after each epoch."""
SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "cosine": lambda passed: (1 + math.cos(math.pi * passed)) / 2,
    "cosine-squared": lambda passed: ((1 + math.cos(math.pi * passed)) / 2) ** 2,
}
"""Fraction of the peak rate by the fraction of epochs that have passed."""


def learning_rate(recipe: Mapping[str, object], epoch: int, passed: float = 0.0) -> float:
    """Learning rate of an epoch (from 0): constant warm-up, then a cosine over all epochs.

    `passed` is the fraction of all steps that were taken, which alone counts for 'cosine-steps'.

    The cosine starts at its full rate after the warm-up and is stepped once per epoch, so the rate
    of the last epoch is not zero, as in KaiyangZhou/Dassl.pytorch `optim/lr_scheduler.py`. Raises
    UsageError for a schedule that does not exist.
    """
    warmup, epochs = int(recipe["warmup_epochs"]), int(recipe["epochs"])  # type: ignore[call-overload]
    schedule, peak = str(recipe["schedule"]), float(recipe["lr"])  # type: ignore[arg-type]
    if schedule == BY_STEP:
        lowest = float(recipe.get("min_lr", 0.0))  # type: ignore[arg-type]
        return lowest + (peak - lowest) * SCHEDULES["cosine"](passed)
    if schedule not in SCHEDULES:
        raise unknown("schedule is named", schedule, [*SCHEDULES, BY_STEP], "schedules")
    if epoch < warmup:
        return float(recipe["warmup_lr"])  # type: ignore[arg-type]
    return peak * SCHEDULES[schedule]((epoch - warmup) / epochs)


def optimiser_of(
    recipe: Mapping[str, object], parameters: Sequence[Tensor]
) -> torch.optim.Optimizer:
    """The recipe's optimiser; its rate is set each epoch. UsageError for an unknown name."""
    name = str(recipe["optimiser"])
    decay = float(recipe["weight_decay"])  # type: ignore[arg-type]
    learned = parameters or [torch.zeros(0)]  # torch refuses an empty list
    eps = float(recipe.get("eps", 0.0))  # type: ignore[arg-type]
    if name == "adam":  # the decay is part of the gradient
        return torch.optim.Adam(learned, eps=eps or 1e-8, weight_decay=decay)
    if name == "adamw":  # the usual eps is the one that Tip-Adapter sets
        return torch.optim.AdamW(learned, eps=eps or 1e-4, weight_decay=decay)
    if name != "sgd":
        raise unknown("optimiser is named", name, OPTIMISERS, "optimisers")
    momentum = float(recipe["momentum"])  # type: ignore[arg-type]
    return torch.optim.SGD(learned, lr=1.0, momentum=momentum, weight_decay=decay)


def scaler_of(device: str, dtype: torch.dtype) -> torch.amp.GradScaler:
    """A scaler that keeps small gradients from vanishing in float16 towers; else disabled.

    Prompts and the loss are float32, but gradients pass through the towers in the towers' type,
    and float16 has no values below 6e-8. The loss is multiplied by a factor and the gradients are
    divided by it; a step whose gradients overflow is skipped and the factor halved. bfloat16 has
    float32's range.
    """
    return torch.amp.GradScaler(device, enabled=dtype == torch.float16)


@torch.no_grad()
def add_to_average(
    optimiser: torch.optim.Optimizer, parameters: Sequence[Tensor], weight: float
) -> None:
    """Add the weighted parameters to their average, which is stored with the optimiser's state."""
    for parameter in parameters:
        state = optimiser.state[parameter]
        state["average"] = state.get("average", torch.zeros_like(parameter)) + weight * parameter
