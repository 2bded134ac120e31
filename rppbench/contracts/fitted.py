"""Methods that are fitted to the frozen features of all training images at once.

Shapes: n training images, m validation images, c classes, e width of the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rppbench.contracts.method import Method


@dataclass(frozen=True)
class Examples:
    """The images of a training as the frozen tower sees them.

    Features have unit length; of images, unless `Prompts.unit_images` is off.
    """

    images: Tensor
    """(views, n, e)"""
    labels: Tensor
    """(n,)"""
    val_images: Tensor
    """(m, e), without augmentation, drawn by the harness as the recipe's `validation` says; m is 0
    for a method that does not search, for 'none' and for a data set without validation images."""
    val_labels: Tensor
    """(m,)"""
    texts: Tensor
    """(c, e) text features of all classes, in the method's wording."""
    scale: Tensor
    """() exp(logit_scale), frozen."""
    raw_images: Tensor | None = None
    """(views, n, e) `images` with the length that the tower gives them, if the method asks for
    them (`FittedMethod.raw_images`)."""


class FittedMethod(Method):
    """A method that solves or searches for values on stored features; both towers stay frozen.

    With `epochs = 0` in its recipe it has no training steps.
    """

    searches: ClassVar[bool] = True
    views: int = 1
    """Number of views of each training image in `Examples.images`."""
    raw_images: bool = False
    """Whether it needs `Examples.raw_images`."""

    def start(self, examples: Examples) -> None:
        """Set the values that parameters and buffers start from, before the first step."""

    def finish(self, examples: Examples) -> None:
        """Set the values that are solved or searched for, after the last step."""
