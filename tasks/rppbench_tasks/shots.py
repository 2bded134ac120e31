"""The option `shots` of the tasks: the number of training images of each class."""

from __future__ import annotations

from typing import Annotated

from rppbench.contracts import Range

Shots = Annotated[int, Range(1, 1_000_000)]
ShotsOfRecipe = Annotated[int, Range(0, 1_000_000)]
"""0 leaves the number to the recipe."""
