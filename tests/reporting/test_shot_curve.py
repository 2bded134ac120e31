"""Tables that differ in the number of shots alone are read across: rows, spreads, and a curve."""

from __future__ import annotations

from dataclasses import replace

from support.records import record

from rppbench.leaderboard.build import build, parts
from rppbench.records.cell import Choice
from rppbench.records.record import Record
from rppbench.reporting import leaderboard_markdown, plots
from rppbench.reporting.shot_curve import across
from rppbench.reporting.site import page


def of(method: str, shots: int, value: float, seed: int = 1, **given: object) -> Record:
    """What a method reached with so many shots on two sets, here the first of them."""
    made = record(method, seed=seed, value=value, recipe=f"{method}-1", **given)
    task = Choice("few-shot", (("shots", shots), ("suite", "demo")))
    cell = replace(made.cell, task=task)
    if made.cell.training is not None:
        cell = replace(cell, training=replace(made.cell.training, shots=shots))
    return replace(made, cell=cell, labels={**made.labels, "task": "Few-shot learning"})


def records() -> list[Record]:
    found = []
    for name, more in (("flowers", 0.0), ("pets", 10.0)):
        found += [of("zeroshot", n, 30 + more, trained=False, dataset=name) for n in (1, 4, 16)]
        for seed in (1, 2):
            found += [of("coop", n, n + more + seed, seed, dataset=name) for n in (4, 1, 16)]
            found += [of("rpp", n, 40 + n + more + seed, seed, dataset=name) for n in (1, 16)]
        found.append(of("pomp", 16, 20 + more, dataset=name))
    return found


def lines(text: str) -> list[str]:
    return text.splitlines()


def test_a_column_for_each_number_of_shots_and_a_row_for_what_has_several() -> None:
    text = lines(leaderboard_markdown.page(build(records())))
    start = text.index("## By shots")
    assert text[start + 4 : start + 9] == [
        "| Method | 1 shot | 4 shots | 16 shots |",
        "| --- | ---: | ---: | ---: |",
        "| RPP-SAPL | **47.5** ± 6.4 | – | **62.5** ± 6.4 |",
        "| CLIP | 35.0 | **35.0** | 35.0 |",
        "| CoOp | 7.5 ± 6.4 | 10.5 ± 6.4 | 22.5 ± 6.4 |",
    ]


def test_nothing_warns_of_tables_that_differ_in_shots_alone() -> None:
    assert "Warning" not in leaderboard_markdown.page(build(records()))
    another = of("coop", 4, 10.0, backbone="other", dataset="flowers")
    assert "Warning" in leaderboard_markdown.page(build([*records(), another]))


def test_one_number_of_shots_or_each_recipes_own_is_no_curve() -> None:
    (first, *_) = across(build(records()))
    assert list(first.tables) == [1, 4, 16]
    assert not across(build([of("coop", 4, 10.0), of("rpp", 4, 12.0)]))
    assert not across(build([of("coop", 4, 10.0), of("coop", 0, 12.0)]))


def test_other_settings_have_curves_of_their_own() -> None:
    others = [of("coop", n, 10.0, backbone="other", dataset="flowers") for n in (1, 2)]
    tables = build([*records(), *others])
    found = across(tables)
    assert sorted(list(one.tables) for one in found) == [[1, 2], [1, 4, 16]]
    text = leaderboard_markdown.page(tables)
    assert "## By shots (backbone: demo)" in text
    assert "## By shots (backbone: other)" in text
    assert "by shots (backbone: other)</h2>" in page(parts([*records(), *others]))


def test_the_curve_has_a_line_for_each_row_and_the_site_shows_it() -> None:
    (found,) = across(build(records()))
    drawn = plots.by_shots(found)
    assert drawn is not None
    (axis,) = drawn.axes
    (dotted,) = [line for line in axis.get_lines() if line.get_linestyle() == ":"]
    assert list(dotted.get_xdata()) == [1, 4, 16]
    assert list(dotted.get_ydata()) == [35, 35, 35]
    assert sorted(axis.get_legend_handles_labels()[1]) == ["CLIP", "CoOp", "RPP-SAPL"]
    text = page(parts(records()))
    assert "Few-shot learning, by shots" in text
    assert "measured under different conditions" not in text


def test_tables_stand_in_the_order_of_their_shots() -> None:
    found = [dict(table.setting)["task option shots"] for table in build(records())]
    assert found == ["1", "4", "16"]
