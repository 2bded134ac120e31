"""How far the luck of a seed is shared by data sets that each have a training of their own.

Intervals take a seed for another draw on each of them. All random streams are named by the data set
but one: CoOp's draw of few images takes the same positions in every set. Of each method and of each
pair of methods in a folder of records, this compares the variance of the average between seeds with
the variance that independent sets would give.

    rppbench run --method gda clip-adapter --task few-shot:shots=4 --seed $(seq 30) --output luck
    python benchmarks/seed_luck.py luck

The seeds of each set are also shuffled by themselves: p is the share of 10,000 shuffles whose ratio
is at least as large.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rppbench.files.atomic import write_atomically
from rppbench.records.store import Store
from rppbench.reporting.markdown import markdown_table

RESULTS = Path(__file__).parent / "results"
SHUFFLES = 10_000


def ratio(values: NDArray[np.float64]) -> float:
    """Variance of the average of (sets, seeds) values, over that of independent sets."""
    independent = values.var(axis=1, ddof=1).sum() / len(values) ** 2
    return float(values.mean(axis=0).var(ddof=1) / independent)


def chance(values: NDArray[np.float64]) -> float:
    """The share of shuffles that have at least the ratio of the values."""
    random, seen = np.random.default_rng(0), ratio(values)
    return float(np.mean([ratio(random.permuted(values, axis=1)) >= seen for _ in range(SHUFFLES)]))


def read(folder: Path) -> dict[str, NDArray[np.float64]]:
    """The values (sets, seeds) of each method of few-shot, on the seeds that all sets have.

    SystemExit for a method with several rows, as with several numbers of shots.
    """
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for record in Store(folder).all()[0]:
        if record.cell.task.name == "few-shot" and (score := record.score("top1")) is not None:
            of_set = found[record.cell.method.name][record.cell.dataset]
            if record.cell.seed in of_set:
                raise SystemExit(f"{folder}: {record.cell.method.name} has several rows")
            of_set[record.cell.seed] = score.value
    seeds = set.intersection(*(set(s) for sets in found.values() for s in sets.values()))
    return {
        method: np.array([[sets[name][seed] for seed in sorted(seeds)] for name in sorted(sets)])
        for method, sets in sorted(found.items())
    }


def main(words: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path, help="a folder of records of few-shot")
    parser.add_argument("--output", type=Path, default=RESULTS)
    chosen = parser.parse_args(words)
    values = read(chosen.records)
    values |= {f"{b} less {a}": values[b] - values[a] for a, b in combinations(values, 2)}
    rows = [
        {
            "of": name,
            "sets": len(one),
            "seeds": one.shape[1],
            "deviation": float(one.mean(axis=0).std(ddof=1)),
            "ratio": ratio(one),
            "p": chance(one),
        }
        for name, one in values.items()
    ]
    table = markdown_table(
        ["average of", "data sets", "seeds", "standard deviation", "ratio of variances", "p"],
        [
            [
                r["of"],
                str(r["sets"]),
                str(r["seeds"]),
                f"{r['deviation']:.2f}",
                f"{r['ratio']:.2f}",
                f"{r['p']:.3f}",
            ]
            for r in rows
        ],
        left=1,
    )
    text = "\n".join(
        [
            "# The luck of a seed on several data sets",
            "",
            "`python benchmarks/seed_luck.py RECORDS`: the variance of the average over data sets "
            "between seeds, over the variance that it would have if a seed were another draw on "
            "each set; p by shuffles.",
            "",
            *table,
            "",
        ]
    )
    write_atomically(chosen.output / "seed_luck.json", json.dumps({"rows": rows}, indent=1) + "\n")
    write_atomically(chosen.output / "seed_luck.md", text)
    print(text)


if __name__ == "__main__":
    main()
