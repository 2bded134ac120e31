"""What the recipes for learning a few images of the embedded world's sets have in common."""

from __future__ import annotations

from rppbench.contracts import Option, Recipe

FEW = ("few-shot", "base-to-new", "fine-tune")
"""Tasks that learn on each transfer set itself."""


_ORIGIN = (
    "rppbench: short enough for two cores; ten times the published transfer rate and no "
    "warm-up, because there are few steps; not tuned on any image"
)


def few_recipe(
    name: str,
    *,
    epochs: int,
    batch: int,
    lr: float,
    options: tuple[tuple[str, Option], ...],
    origin: str = _ORIGIN,
) -> Recipe:
    """A method's recipe for these tasks on the embedded world."""
    return Recipe(
        name,
        epochs=epochs,
        batch=batch,
        lr=lr,
        warmup_epochs=0,
        augment="none",
        shots=4,
        options=options,
        tasks=FEW,
        suite="demo",
        origin=origin,
    )
