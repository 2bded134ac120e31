"""Cells whose backbone does not take what their method learns: known before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from rppbench.contracts.method import Method
from rppbench.contracts.ranges import words
from rppbench.errors import UsageError
from rppbench.models.identity import resolve
from rppbench.models.promptable import Obstacles, obstacles
from rppbench.plugins.containment import contained, uncontained
from rppbench.plugins.options import kinds, options
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, Option, spell

LISTED_METHODS = 4
"""Maximum number of methods in the advice of a refusal."""


class Refusals:
    """Why cells cannot run on their backbone. Each backbone is looked at once."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.obstacles_of = cache(self._obstacles)

    def __call__(self, cell: Cell) -> str:
        """Why the cell cannot run, and on a second line what can.

        '' if it can, or if the backbone is not known. What the code of a method raises is raised.
        """
        method: type[Method] = self.registry.get("methods", cell.method.name)
        chosen = {**options(method), **dict(cell.method.options)}
        towers = method.prompted_towers(chosen)
        if not towers:
            return ""
        known = self.obstacles_of(cell.backbone)
        reasons = [
            f"the {tower} tower of {cell.backbone} cannot be prompted: {getattr(known, tower)}"
            for tower in towers
            if getattr(known, tower)
        ]
        if not reasons:
            return ""
        able = list(self._able(method, chosen, known))
        advice = [f"these run on it: {', '.join(able)}"] if able else []
        return "\n".join(["; ".join(reasons), *advice])

    def _obstacles(self, backbone: str) -> Obstacles:
        shipped = self.registry.all("backbones")
        try:
            return obstacles(resolve(backbone, shipped), shipped, self.registry.towers())
        except UsageError:  # loading it will report what is wrong
            return Obstacles()

    def _able(
        self, method: type[Method], chosen: dict[str, Option], known: Obstacles
    ) -> Iterator[str]:
        """The method with another option, and other methods that prompt only what can be."""
        for name, hint in kinds(method).items():
            for value in words(hint):
                if _fits(method, {**chosen, name: value}, known):
                    yield f"{method.name}:{name}={spell(value)}"
        others = self.registry.all("methods").values()
        able = [other.name for other in others if _fits(other, options(other), known)]
        yield from able[:LISTED_METHODS]


def _fits(method: type[Method], chosen: dict[str, Option], known: Obstacles) -> bool:
    """Whether the method prompts any tower, and none that cannot be."""
    try:
        with contained():
            towers = method.prompted_towers(chosen)
            return bool(towers) and not any(getattr(known, tower) for tower in towers)
    except Exception:  # the code of another method, which is then not recommended
        if uncontained():
            raise
        return False
