"""An ablation grid: its combinations of option values, and the cells of each combination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rppbench.records.cell import Pairs


@dataclass(frozen=True)
class Place:
    """A cell of a combination: its key, data set and seed."""

    key: str
    dataset: str
    seed: int


@dataclass(frozen=True)
class Combination:
    """One value for each varied option."""

    levels: Pairs
    cells: tuple[Place, ...]

    @property
    def label(self) -> str:
        """'length=4, kd=on'"""
        return ", ".join(f"{factor}={level}" for factor, level in self.levels)


@dataclass(frozen=True)
class Grid:
    """The question of an ablation: which options are varied, and which cells answer it."""

    name: str
    combinations: tuple[Combination, ...]
    """The baseline first. All have the same factors in the same order."""
    same: Pairs = ()
    """(label of a combination left out, label of the kept one, which has the same cells)"""
    metric: str = ""
    """The metric that the report is about; '' for the task's primary one."""
    question: str = ""
    """What the grid asks, in the words of its author; '' if nobody said."""

    @property
    def title(self) -> str:
        """'length', or 'length, loss_gap' of a report on another metric."""
        return f"{self.name}, {self.metric}" if self.metric else self.name

    @property
    def baseline(self) -> Combination:
        return self.combinations[0]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Grid:
        """A grid from its JSON data (`asdict`). Others raise KeyError, TypeError or ValueError."""
        combinations = tuple(
            Combination(
                tuple((factor, level) for factor, level in given["levels"]),
                tuple(Place(**place) for place in given["cells"]),
            )
            for given in data["combinations"]
        )
        if not combinations:
            raise ValueError("a grid without combinations")
        same = tuple((a, b) for a, b in data["same"])
        return cls(
            data["name"], combinations, same, data.get("metric", ""), data.get("question", "")
        )
