"""How a method is learned: from which labels or teacher, on what kind of source, by which recipes.

This module does not load torch, since planning imports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from rppbench.contracts.ranges import Range
from rppbench.contracts.recipe import Recipe


@dataclass(frozen=True)
class Supervision:
    """What a loss learns from; every field is an option of every method that is learned.

    A method class sets its published defaults: any structure goes with any supervision.
    """

    sampled: Annotated[int, Range(0)] = 0
    """Candidate classes per step (POMP's K: the true class and K - 1 negatives); 0 takes all."""
    correction: bool = True
    """POMP's local correction of the missing negatives, eq. 4-5 with log10 as in its code."""
    kd: bool = False
    """Learn from a frozen teacher's zero-shot probabilities too (RPP)."""
    kd_weight: Annotated[float, Range(0)] = 1.0
    """Weight of the distillation term, batch mean."""
    temperature: Annotated[float, Range(1e-6)] = 1.0
    """Softens both distributions of the distillation term, on top of CLIP's logit scale."""


@dataclass(frozen=True)
class Learning:
    """How a method is learned as it was published."""

    recipes: tuple[Recipe, ...] = ()
    """In order of preference; `recipe.select` chooses among them."""
    supervision: Supervision = Supervision()
    """Published defaults."""
    large_source: bool = False
    """Whether it was made for pretraining on a large vocabulary."""
