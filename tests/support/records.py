"""Made-up records and grids for tests of tables, comparisons and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rppbench.records.cell import Cell, Choice, Training
from rppbench.records.grid import Combination, Grid, Place
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Cost, Failure, Record, Score

TITLES = {"zeroshot": "CLIP", "coop": "CoOp", "rpp": "RPP-SAPL", "pomp": "POMP"}


def record(
    method="coop",
    dataset="flowers",
    seed=1,
    value=50.0,
    *,
    trained=True,
    options=(),
    recipe="coop-1",
    source="world",
    failure=None,
    data="d1",
    order="",
    seconds=10.0,
    task="cross-dataset",
    scores=None,
    learned_from="s1",
    suite="demo-2",
    **cell,
) -> Record:
    """A record of one cell; `value` is its top1 in percent, `cell` overrides fields of `Cell`."""
    choice = Choice(method, options)
    training = Training(
        method=choice,
        recipe=Choice(recipe),
        source=source,
        classes="all",
        shots=16,
        seed=seed,
        backbone=cell.get("backbone", "demo"),
        teacher=None,
        precision="fp32",
        inputs=((f"dataset:{source}", learned_from),),
    )
    values = {"backbone": "demo", "precision": "fp32", "limit": None, **cell}
    return Record(
        cell=Cell(
            task=Choice(task, (("suite", suite),)),
            dataset=dataset,
            method=choice,
            seed=seed,
            training=training if trained else None,
            inputs=((f"dataset:{dataset}", data), (f"backbone:{values['backbone']}", "b1")),
            **values,
        ),
        status="failed" if failure else "ok",
        metric="top1",
        scores=() if failure else scores or (Score("top1", value),),
        cost=Cost(train_seconds=seconds, parameters=2048) if trained else Cost(),
        failure=failure,
        labels={
            "method": TITLES[method],
            "method_options": choice.label({"kd": True}),
            "task": "Cross-dataset transfer",
            "dataset": dataset.title(),
            "dataset_order": order,
            "recipe": recipe,
            "source": source.title(),
        },
        environment={"device": "cpu (x86_64)"},
        finished="2026-01-01T00:00:00+00:00",
    )


LOG = ({"epoch": 1, "loss": 2.5, "accuracy": 40.0}, {"epoch": 2, "loss": 1.5, "accuracy": 60.0})


def records() -> list[Record]:
    """Three methods on five data sets under two seeds; a fourth with gaps; and another task."""
    all_records = []
    for rank, method in enumerate(("rpp", "coop", "pomp")):
        for index, name in enumerate(("birds", "cars", "flags", "maps", "pets")):
            for seed in (1, 2):
                value = 60.0 - 4 * rank + index + seed
                one = record(method, name, seed, value, recipe=f"{method}-1", seconds=60.0 + rank)
                all_records.append(replace(one, training_log=LOG))
    all_records += [
        record("zeroshot", name, trained=False, value=40.0) for name in ("birds", "cars")
    ]
    all_records += [record("zeroshot", "flags", trained=False, failure=Failure("oom", "too large"))]
    all_records += [record("coop", "birds", 1, 30.0, task="few-shot", backbone="other")]
    return all_records


def measured(length: str, kd: str, right: str, dataset: str = "flowers", seed: int = 1) -> Record:
    """A record of a combination; `right` has '1' for each image that is right, else '0'."""
    outcomes = [character == "1" for character in right]
    share = 100 * sum(outcomes) / len(outcomes)
    score = Score("top1", share, sum(outcomes), len(outcomes), PerImage.of(outcomes))
    options = (("kd", kd == "on"), ("length", int(length)))
    return record("rpp", dataset, seed, scores=(score,), options=options)


def grid_of(by_levels: Mapping[tuple[str, str], Sequence[Record]]) -> tuple[Grid, list[Record]]:
    """The grid of these combinations, by (length, kd), and all their records."""
    combinations = tuple(
        Combination(
            (("length", length), ("kd", kd)),
            tuple(Place(r.key, r.cell.dataset, r.cell.seed) for r in records),
        )
        for (length, kd), records in by_levels.items()
    )
    return Grid("made", combinations), [r for records in by_levels.values() for r in records]


def complete_grid() -> dict[tuple[str, str], list[Record]]:
    """Records of a 2x2 grid; of 100 flowers, length 4 gets 20 more right, no kd 10, both 40."""
    counts = {("2", "on"): 40, ("2", "off"): 50, ("4", "on"): 60, ("4", "off"): 80}
    return {
        levels: [
            measured(*levels, "1" * count + "0" * (100 - count), dataset, seed)
            for dataset, count in (("flowers", right), ("pets", 30))
            for seed in (1, 2)
        ]
        for levels, right in counts.items()
    }


def with_outcomes() -> list[Record]:
    """Records of 300 images on four data sets under three seeds, each with its outcomes: against
    CLIP, RPP-SAPL is much better, CoOp a little, and POMP about the same."""
    shares = {"zeroshot": 120, "pomp": 121, "coop": 130, "rpp": 180}
    return [
        _with_outcomes(method, dataset, seed, right + 2 * seed * (method != "zeroshot"))
        for method, right in shares.items()
        for dataset in ("birds", "cars", "flags", "maps")
        for seed in ((1,) if method == "zeroshot" else (1, 2, 3))
    ]


def _with_outcomes(method: str, dataset: str, seed: int, right: int) -> Record:
    outcomes = [i * 7 % 300 < right for i in range(300)]
    score = Score("top1", right / 3, right, 300, PerImage.of(outcomes))
    trained = method != "zeroshot"
    recipe = f"{method}-1"
    one = record(
        method, dataset, seed, scores=(score,), trained=trained, recipe=recipe, suite="demo-2"
    )
    return replace(one, training_log=LOG) if trained else one
