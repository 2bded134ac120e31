"""Cells whose backbone does not take what their method learns: known before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from rppbench.contracts.method import Method, Tower
from rppbench.contracts.ranges import BlockCount, limits, words
from rppbench.errors import UsageError
from rppbench.models.identity import resolve
from rppbench.models.promptable import Obstacles, block_counts, obstacles
from rppbench.plugins.containment import contained, uncontained
from rppbench.plugins.options import kinds, options
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, Option, spell

LISTED_METHODS = 4
"""Maximum number of methods in the advice of a refusal."""


class _Known(NamedTuple):
    """What is known of a backbone that is not loaded."""

    obstacles: Obstacles
    blocks: Mapping[Tower, int]


class Refusals:
    """Why cells cannot run on their backbone. Each backbone is looked at once."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.known = cache(self._known)

    def __call__(self, cell: Cell) -> str:
        """Why the cell cannot run, and on a second line what can.

        '' if it can, or if the backbone is not known. What the code of a method raises is raised.
        """
        method: type[Method] = self.registry.get("methods", cell.method.name)
        chosen = {**options(method), **dict(cell.method.options)}
        towers = method.prompted_towers(chosen)
        if not towers:
            return ""
        known = self.known(cell.backbone)
        reasons = [
            f"the {tower} tower of {cell.backbone} cannot be prompted: {reason}"
            for tower in towers
            if (reason := getattr(known.obstacles, tower))
        ]
        if reasons:
            able = list(self._able(method, chosen, known))
            advice = [f"these run on it: {', '.join(able)}"] if able else []
            return "\n".join(["; ".join(reasons), *advice])
        return _too_deep(method, chosen, towers, known.blocks, cell.backbone)

    def _known(self, backbone: str) -> _Known:
        shipped = self.registry.all("backbones")
        try:
            source = resolve(backbone, shipped)
            refused = obstacles(source, shipped, self.registry.towers())
            return _Known(refused, block_counts(source, shipped))
        except UsageError:  # loading it will report what is wrong
            return _Known(Obstacles(), {})

    def _able(
        self, method: type[Method], chosen: dict[str, Option], known: _Known
    ) -> Iterator[str]:
        """The method with another option, and other methods that prompt only what can be."""
        for name, hint in kinds(method).items():
            for value in words(hint):
                if _fits(method, {**chosen, name: value}, known):
                    yield f"{method.name}:{name}={spell(value)}"
        others = self.registry.all("methods").values()
        able = [other.name for other in others if _fits(other, options(other), known)]
        yield from able[:LISTED_METHODS]


def _too_deep(
    method: type[Method],
    chosen: Mapping[str, Option],
    towers: Sequence[Tower],
    blocks: Mapping[Tower, int],
    backbone: str,
) -> str:
    """The first option that counts more blocks than a prompted tower has; '' if all fit."""
    counts = {tower: blocks[tower] for tower in towers if tower in blocks}
    if not counts:
        return ""
    least = min(counts, key=lambda tower: counts[tower])
    for name, hint in kinds(method).items():
        if isinstance(limits(hint), BlockCount) and int(chosen[name]) > counts[least]:
            return (
                f"{name}={spell(chosen[name])} does not fit: the {least} tower of {backbone} has "
                f"{counts[least]} blocks\nwrite {name}={counts[least]} or less"
            )
    return ""


def _fits(method: type[Method], chosen: dict[str, Option], known: _Known) -> bool:
    """Whether the method prompts any tower, and none that cannot be, and not too deep."""
    try:
        with contained():
            towers = method.prompted_towers(chosen)
            able = bool(towers) and not any(getattr(known.obstacles, tower) for tower in towers)
            return able and not _too_deep(method, chosen, towers, known.blocks, "")
    except Exception:  # the code of another method, which is then not recommended
        if uncontained():
            raise
        return False
