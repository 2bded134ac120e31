"""Few-shot curves from tables that differ in the number of shots only: rows and spreads."""

from __future__ import annotations

from dataclasses import replace

from support.records import record

from rppbench.leaderboard.build import build
from rppbench.records.cell import Choice
from rppbench.records.record import Record
from rppbench.reporting import markdown
from rppbench.reporting.shot_curve import shot_curves


def of(method: str, shots: int, value: float, seed: int = 1, **more: object) -> Record:
    """A few-shot record with this number of shots; `more` as in `support.records.record`."""
    base = record(method, seed=seed, value=value, recipe=f"{method}-1", **more)
    task = Choice("few-shot", (("shots", shots), ("suite", "demo-2")))
    cell = replace(base.cell, task=task)
    if base.cell.training is not None:
        cell = replace(cell, training=replace(base.cell.training, shots=shots))
    return replace(base, cell=cell, labels={**base.labels, "task": "Few-shot learning"})


def records() -> list[Record]:
    """Four methods on two data sets; one has a single number of shots only."""
    all_records = []
    for name, more in (("flowers", 0.0), ("pets", 10.0)):
        all_records += [
            of("zeroshot", n, 30 + more, trained=False, dataset=name) for n in (1, 4, 16)
        ]
        for seed in (1, 2):
            all_records += [of("coop", n, n + more + seed, seed, dataset=name) for n in (4, 1, 16)]
            all_records += [of("rpp", n, 40 + n + more + seed, seed, dataset=name) for n in (1, 16)]
        all_records.append(of("pomp", 16, 20 + more, dataset=name))
    return all_records


def lines(text: str) -> list[str]:
    return text.splitlines()


def test_the_curve_has_a_column_a_number_of_shots_and_a_row_a_method_with_several() -> None:
    text = lines(markdown.page(build(records())))
    start = text.index("## By shots")
    assert text[start + 4 : start + 9] == [
        "| Method | 1 shot | 4 shots | 16 shots |",
        "| --- | ---: | ---: | ---: |",
        "| RPP-SAPL | **47.5** ± 6.4 | – | **62.5** ± 6.4 |",
        "| CLIP | 35.0 | **35.0** | 35.0 |",
        "| CoOp | 7.5 ± 6.4 | 10.5 ± 6.4 | 22.5 ± 6.4 |",
    ]


def test_tables_that_differ_in_shots_only_have_no_warning() -> None:
    assert "Warning" not in markdown.page(build(records()))
    another = of("coop", 4, 10.0, backbone="other", dataset="flowers")
    assert "Warning" in markdown.page(build([*records(), another]))


def test_one_number_of_shots_or_those_of_recipes_give_no_curve() -> None:
    (first, *_) = shot_curves(build(records()))
    assert list(first.tables) == [1, 4, 16]
    assert not shot_curves(build([of("coop", 4, 10.0), of("rpp", 4, 12.0)]))
    assert not shot_curves(build([of("coop", 4, 10.0), of("coop", 0, 12.0)]))


def test_each_setting_has_its_own_curve() -> None:
    others = [of("coop", n, 10.0, backbone="other", dataset="flowers") for n in (1, 2)]
    tables = build([*records(), *others])
    curves = shot_curves(tables)
    assert sorted(list(curve.tables) for curve in curves) == [[1, 2], [1, 4, 16]]
    text = markdown.page(tables)
    assert "## By shots (backbone: demo)" in text
    assert "## By shots (backbone: other)" in text


def test_tables_are_in_the_order_of_their_shots() -> None:
    shots = [dict(table.setting)["task option shots"] for table in build(records())]
    assert shots == ["1", "4", "16"]
