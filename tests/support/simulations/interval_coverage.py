"""How often the 95 % interval of a difference holds the true difference, by simulation.

Two methods classify the same images under the same seeds. A method is right where its skill, plus
normal effects of the seed (shared by all data sets, as by cells of one training, or another draw
on each), of the data set and seed, of the drawing, of the image, and of both, is above 0; the
drawing's and the image's difficulty is partly common to both methods. So the true difference is
known. With one seed the truth is that of the prompts at hand. Clustered images come four to a
drawing. Where each data set has a training of its own, the effects of seeds are up to nine times
as large on one set as on another.

A further table has 13 equally good methods: how often any of their 78 pairs is separated after
correction (the familywise error). The last one is of the interval of a single row under one seed
where few images are right.

    python tests/support/simulations/interval_coverage.py  # about half an hour of processor time
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from rppbench.files.atomic import write_atomically
from rppbench.reporting.markdown import markdown_table
from rppbench.stats.p_values import holm
from rppbench.stats.two_level import Part, difference, estimate

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
SEEDS = (1, 2, 3, 5, 10)
SETS = 11
TABLE_SEEDS = (3, 10)
IMAGES = 300
"""Test images of a data set."""
RENDERS = 4
"""Images of a drawing."""
SKILLS = (0.5, 0.7)
SHARES, DRAWINGS = (0.02, 0.05, 0.15, 0.5), (25, 50, 150)
"""Right images, and drawings, of the intervals of single rows."""
METHODS = 13
LEVEL = 0.05


@dataclass(frozen=True)
class Tested:
    """What the methods are tested on."""

    title: str
    sets: int
    shared: float = 1.0
    """The share of the variance of seeds' effects that is the same on all data sets."""

    @property
    def own_trainings(self) -> bool:
        """Whether each data set has a training of its own."""
        return self.shared < 1

    @property
    def scales(self) -> NDArray[np.float64]:
        """What the effects of seeds are multiplied by, on each data set."""
        return np.linspace(0.2, 1.8, self.sets) if self.own_trainings else np.ones(self.sets)

    def parts(
        self,
        values: Sequence[NDArray[np.int8]],
        groups: NDArray[np.int64] | None,
    ) -> list[Part]:
        """The data sets as the statistics take them."""
        return [
            Part(one, groups, trained_on=frozenset({str(at) if self.own_trainings else ""}))
            for at, one in enumerate(values)
        ]


ONE_SET = Tested("1", 1)
SHARED = Tested(f"{SETS}, one training", SETS)
OWN = Tested(f"{SETS}, each its own", SETS, 0.0)
DRAW = Tested(f"{SETS}, each its own, one draw", SETS, 0.1)
"""The draw of few images has the same positions in all sets, and positions mean a little."""


@dataclass(frozen=True)
class Regime:
    """Standard deviations of a method's own effects, in units of the latent skill."""

    title: str
    seed: float
    """Of a seed on all data sets."""
    seed_and_set: float
    image: float
    residual: float
    """Of a seed on a single image."""


REGIMES = (
    Regime("images matter most", 0.01, 0.02, 0.5, 0.3),
    Regime("both matter", 0.06, 0.06, 0.4, 0.3),
    Regime("seeds matter most", 0.3, 0.1, 0.2, 0.2),
)
COMMON = 1.5
"""Standard deviation of the difficulty that all methods share."""


def simulate(
    random: np.random.Generator,
    regime: Regime,
    skills: Sequence[float],
    seeds: int,
    tested: Tested,
    clustered: bool,
) -> tuple[list[NDArray[np.int8]], list[float]]:
    """For each set the outcomes (methods, seeds, images), and each method's true share of right.

    With one seed the truth is conditional on it.
    """
    own = math.hypot(regime.image, regime.residual)
    methods = len(skills)
    of_seed = random.normal(0, regime.seed, (methods, seeds, 1))
    groups = IMAGES // RENDERS if clustered else IMAGES
    # Clustered: nine tenths of the variance of difficulty are the drawing's.
    share = math.sqrt(0.9) if clustered else 1.0
    rest = math.sqrt(1 - share**2)

    def effects(size: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
        of_group = random.normal(0, share * deviation, (*size, groups))
        of_group = of_group.repeat(IMAGES // groups, axis=-1)
        return of_group + random.normal(0, rest * deviation, (*size, IMAGES))

    outcomes, truths = [], []
    for scale in tested.scales:
        luck = of_seed
        if tested.own_trainings:
            own_luck = random.normal(0, regime.seed, (methods, seeds, 1))
            luck = scale * (
                math.sqrt(tested.shared) * of_seed + math.sqrt(1 - tested.shared) * own_luck
            )
        level = np.array(skills)[:, None, None] + luck
        level = level + random.normal(0, scale * regime.seed_and_set, (methods, seeds, 1))
        if seeds == 1:
            truths.append(ndtr(level[:, 0, 0] / math.hypot(COMMON, own)))
        else:
            spread = math.hypot(COMMON, own, scale * regime.seed, scale * regime.seed_and_set)
            truths.append(ndtr(np.array(skills) / spread))
        shown = level + effects((1, 1), COMMON) + effects((methods, 1), regime.image)
        shown = shown + random.normal(0, regime.residual, (methods, seeds, IMAGES))
        outcomes.append((shown > 0).astype(np.int8))
    return outcomes, np.mean(truths, axis=0).tolist()


def groups_of(clustered: bool) -> NDArray[np.int64] | None:
    return np.arange(IMAGES) // RENDERS if clustered else None


def coverage(
    regime: Regime, seeds: int, tested: Tested, clustered: bool, trials: int, known: bool = True
) -> float:
    """The share of intervals, in percent, that hold the truth; `known` says that groups are."""
    groups = groups_of(clustered and known)
    covered = 0
    for trial in range(trials):
        random = np.random.default_rng([trial, seeds, tested.sets, clustered])
        outcomes, truth = simulate(random, regime, SKILLS, seeds, tested, clustered)
        result = difference(tested.parts([right[1] - right[0] for right in outcomes], groups))
        covered += result.low <= 100 * (truth[1] - truth[0]) <= result.high
    return 100 * covered / trials


def familywise(regime: Regime, seeds: int, tested: Tested, clustered: bool, trials: int) -> float:
    """How often, in percent, any pair of equally good methods is separated (Holm over pairs)."""
    groups, alarms = groups_of(clustered), 0
    for trial in range(trials):
        random = np.random.default_rng([trial, seeds, clustered])
        outcomes, _ = simulate(random, regime, [0.5] * METHODS, seeds, tested, clustered)
        p = [
            estimate(tested.parts([right[b] - right[a] for right in outcomes], groups)).p()
            for a, b in combinations(range(METHODS), 2)
        ]
        alarms += min(holm(p)) < LEVEL
    return 100 * alarms / trials


def of_a_row(share: float, drawings: int, trials: int) -> float:
    """How often, in percent, the interval of a row's own number holds the share of right images.

    One seed, one data set; drawings with four renders, right with a normal difficulty of which nine
    tenths of the variance are the drawing's.
    """
    groups, images = np.arange(drawings * RENDERS) // RENDERS, drawings * RENDERS
    covered = 0
    for trial in range(trials):
        random = np.random.default_rng([trial, drawings, round(1000 * share)])
        of_drawing = math.sqrt(0.9) * random.normal(0, 1, drawings).repeat(RENDERS)
        shown = of_drawing + math.sqrt(0.1) * random.normal(0, 1, images)
        right = (shown < ndtri(share)).astype(np.int8)[None]
        result = estimate([Part(right, groups, (0.0, 1.0), whole_groups=True)])
        covered += abs(result.mean - share) <= result.half_width()
    return 100 * covered / trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000, help="of each interval")
    parser.add_argument("--tables", type=int, default=400, help="trials of the familywise error")
    parser.add_argument("--output", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    rows = []
    for regime in REGIMES:
        for clustered in (False, True):
            for tested in (ONE_SET, SHARED, OWN, DRAW):
                values = [coverage(regime, n, tested, clustered, chosen.trials) for n in SEEDS]
                rows.append(
                    {
                        "regime": regime.title,
                        "unit": "drawing" if clustered else "image",
                        "sets": tested.title,
                        "coverage": values,
                    }
                )
    unaware = coverage(REGIMES[0], 1, ONE_SET, True, chosen.trials, known=False)
    errors = [
        {
            "regime": regime.title,
            "sets": tested.title,
            "errors": [familywise(regime, n, tested, True, chosen.tables) for n in TABLE_SEEDS],
        }
        for regime in REGIMES
        for tested in (SHARED, OWN, DRAW)
    ]
    own = {share: [of_a_row(share, n, chosen.trials) for n in DRAWINGS] for share in SHARES}
    values = [value for row in rows for value in row["coverage"]]
    usual = [v for row in rows for n, v in zip(SEEDS, row["coverage"], strict=True) if n != 2]
    result: dict[str, Any] = {
        "trials": chosen.trials,
        "tables": chosen.tables,
        "coverage": rows,
        "least": min(values),
        "most": max(values),
        "unaware": unaware,
        "familywise": errors,
        "own": [{"right": share, "coverage": of_share} for share, of_share in own.items()],
        "environment": {name: version(name) for name in ("numpy", "scipy")},
    }
    lines = [
        "`python tests/support/simulations/interval_coverage.py`: "
        f"percent of {chosen.trials:,} intervals of 95 % that hold the true difference of two "
        f"methods; {IMAGES} images a set, {RENDERS} a "
        f"drawing. All are between {min(values):.1f} and {max(values):.1f}; without those of two "
        f"seeds, between {min(usual):.1f} and {max(usual):.1f}.",
        "",
        *markdown_table(
            ["", "unit", "data sets", *(f"{n} seed{'s' * (n > 1)}" for n in SEEDS)],
            [
                [
                    row["regime"],
                    row["unit"],
                    row["sets"],
                    *map("{:.1f}".format, row["coverage"]),
                ]
                for row in rows
            ],
            left=3,
        ),
        "",
        f"If the renders of a drawing were taken for independent images, {unaware:.1f} % would "
        "hold it (one seed, one data set, images matter most).",
        "",
        f"Percent of {chosen.tables} tables of {METHODS} equally good methods on {SETS} data "
        "sets of drawings in which any pair is separated (p < 0.05 after Holm's correction over 78 "
        "pairs):",
        "",
        *markdown_table(
            ["", "data sets", *(f"{n} seeds" for n in TABLE_SEEDS)],
            [[one["regime"], one["sets"], *map("{:.1f}".format, one["errors"])] for one in errors],
            left=2,
        ),
        "",
        "The intervals above are of differences at accuracies of 62 to 68 %. Percent of intervals "
        "of 95 % of a row's own number that hold its share of right images, one seed, one set:",
        "",
        *markdown_table(
            ["right", *(f"{n} drawings" for n in DRAWINGS)],
            [[f"{share:.0%}", *map("{:.1f}".format, values)] for share, values in own.items()],
            left=1,
        ),
    ]
    versions = ", ".join(" ".join(pair) for pair in result["environment"].items())
    page = "\n".join(["# Coverage of the intervals", "", *lines, "", versions, ""])
    write_atomically(chosen.output / "interval_coverage.json", json.dumps(result, indent=1) + "\n")
    write_atomically(chosen.output / "interval_coverage.md", page)
    print(page)


if __name__ == "__main__":
    main()
