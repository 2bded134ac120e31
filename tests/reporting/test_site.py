"""`rppbench report`: its pages, and that no text of a record can become markup."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from support.records import complete_grid, grid_of, record, records, with_outcomes

from rppbench.cli import main
from rppbench.comparison.ablation import ablation
from rppbench.leaderboard.build import build_with_variants
from rppbench.plugins.descriptions import learns
from rppbench.plugins.options import options
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Choice
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench.reporting import ablation_page
from rppbench.reporting.site import ablations, pairs
from rppbench.reporting.site.answers import answer
from rppbench.reporting.site.drawers import command
from rppbench.reporting.site.files import site
from rppbench.reporting.site.html import embedded, read_script_file
from rppbench.reporting.site.numbers import Scale, fixed, scale_of, signed
from rppbench.stats.intervals import Interval
from rppbench.terminal import step_progress

NOWHERE = Path("no such folder")
WEB = Path(pairs.__file__).parents[1] / "web"


def pages(given: list[Record], folder: Path = NOWHERE) -> dict[str, str]:
    return site(build_with_variants(given), folder)


def test_a_task_page_has_the_numbers_and_its_answer_before_them() -> None:
    text = pages(with_outcomes())["cross-dataset.html"]
    (table,) = (built.table for built in build_with_variants(with_outcomes()))
    headline = answer(table).headline
    assert headline == "RPP-SAPL is best: it is told apart from each of the other three methods."
    assert text.index(headline) < text.index("<table")
    best = table.rows[0].average
    assert best is not None
    assert best.interval is not None
    assert best.interval.half_width is not None
    assert f'{best.mean:.1f} <span class="pm">± {best.interval.half_width:.1f}</span>' in text
    assert text.count("data-id=") == 4 + 3, "each row in the table, all but CLIP in the heat map"


def test_ties_are_said_in_words_and_drawn_as_lanes() -> None:
    near = [one for one in with_outcomes() if one.cell.method.name != "rpp"]
    table = build_with_variants(near)[0].table
    assert table.ranking is not None
    said = answer(table)
    if table.ranking.separated:
        assert "cannot be told" in said.headline or "is best" in said.headline
    else:
        assert said.headline == "No single winner: the three methods cannot be told apart."
    text = pages(near)["cross-dataset.html"]
    assert '<i class="on"></i>' in text
    assert "share a letter" not in text


def test_rows_above_the_reference_say_whether_that_outlives_correction() -> None:
    said = dict(answer(build_with_variants(with_outcomes())[0].table).points)
    assert said["Above CLIP, each compared with it alone"].startswith("RPP-SAPL (+")
    assert "▲" in pages(with_outcomes())["cross-dataset.html"]


def test_a_headline_counts_the_methods_that_are_too_many_to_name(tmp_path: Path) -> None:
    detection = Path(__file__).parents[2] / "leaderboards/records/detection"
    shutil.copytree(detection, tmp_path / "records" / "detection")
    said = answer(build_with_variants(Store(tmp_path).all()[0])[0].table)
    assert said.headline == "Ten of fifteen methods are above Zero-shot CLIP."
    assert "CLIP-LoRA (+" in dict(said.points)["Above Zero-shot CLIP, each compared with it alone"]


def test_the_drawer_starts_with_what_differs() -> None:
    files = pages(with_outcomes())
    rows = read_script_file("rows-cross-dataset", files["rows-cross-dataset.js"])["rows"]
    assert ["recipe", "rpp-1"] in rows["rpp-sapl"]["special"]
    assert ["shots", "16"] in rows["rpp-sapl"]["rest"], "the same in all rows"
    assert rows["rpp-sapl"]["command"] == (
        "rppbench run --method rpp --task cross-dataset --model demo --seed 1 2 3"
    )
    assert rows["rpp-sapl"]["losses"] == [[seed, [2.5, 1.5]] for seed in (1, 2, 3)]
    titles = [detail["title"] for detail in rows["rpp-sapl"]["details"]]
    assert titles == ["Options", "Cells", "Cost", "Training log", "Environment"]


def test_the_command_of_a_row_sets_what_was_set_by_hand() -> None:
    one = record("coop", recipe="coop-1+lr=0.1,steps=50", limit=20, precision="bf16")
    (with_variants,) = build_with_variants([one])
    (variant,) = with_variants.variants
    assert command(variant).endswith(
        "--seed 1 --precision bf16 --limit 20 --set recipe.lr=0.1 --set recipe.steps=50"
    )


def test_a_failed_cell_is_named_with_its_reason() -> None:
    files = pages(records())
    assert "is incomplete" in files["cross-dataset.html"]
    assert "oom: too large" in files["rows-cross-dataset.js"]


def test_differences_of_pairs_are_kept_beside_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "pairs-cross-dataset.js"
    first = pages(with_outcomes())
    (tmp_path / name).write_text(first[name])

    def fail(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(pairs, "between", fail)
    assert pages(with_outcomes(), tmp_path) == first
    with pytest.raises(AssertionError, match="computed again"):
        pages(with_outcomes()[:-1], tmp_path)


def test_of_many_rows_the_reference_and_the_best_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairs, "MOST_PAIRS", 4)
    of = read_script_file("pairs-cross-dataset", pages(with_outcomes())["pairs-cross-dataset.js"])
    assert list(of["of"]) == ["3-0", "3-1", "3-2", "0-1"]


def test_the_site_is_the_same_for_the_same_records() -> None:
    assert pages(records()) == pages(list(reversed(records())))


def test_no_name_can_start_markup_or_end_the_data() -> None:
    evil = '</script><img src=x onerror="alert(1)"><!-- $x & {{ 7 * 7 }} \u2028'
    renamed = [replace(r, labels={**r.labels, "method": evil, "dataset": evil}) for r in records()]
    for name, text in pages(renamed).items():
        assert "<img" not in text, name
        if name.endswith(".html"):
            assert text.count("</script>") == 3, name
            assert "49" not in re.findall(r"<title>.*?</title>", text)[0]
    assert embedded(evil).count("<") == 0
    assert json.loads(embedded(evil)) == evil


def test_pages_load_nothing_from_elsewhere_and_run_only_their_own_scripts() -> None:
    for name, text in pages(with_outcomes()).items():
        if name.endswith(".html"):
            assert "default-src 'none'" in text
            assert len(re.findall(r"'sha256-[^']+'", unescape(text))) == 2
            assert not re.findall(r'(?:src|href)="(?:https?:)?//', text), name
            assert not re.findall(r"<[^>]+ on[a-z]+=", text), name


def test_several_tables_of_a_task_have_one_page_and_a_switch() -> None:
    more = [record("coop", "birds", 1, 30.0, backbone="other")]
    text = pages([*with_outcomes(), *more])["cross-dataset.html"]
    keys = re.findall(r'data-key="([^"]+)"', text)
    assert len(set(keys)) == text.count('<div class="board"') == 2
    assert "do not compare numbers across" in text


def test_built_in_methods_and_tasks_say_what_they_are() -> None:
    registry = Registry.load()
    known = tomllib.loads((WEB / "looks.toml").read_text())
    for name, method in registry.all("methods").items():
        if method.__module__.startswith("rppbench_methods"):
            assert known[name]["family"] == learns(method, options(method)), name
    for name, task in registry.all("tasks").items():
        assert task.question or name == "validation", name


def test_a_method_of_a_plugin_has_the_colour_of_its_family() -> None:
    (one,) = [r for r in with_outcomes() if r.cell.method.name == "zeroshot"][:1]
    given = replace(one, cell=replace(one.cell, method=Choice("mine")))
    assert 'style="--c:var(--f-other)"' in pages([given])["cross-dataset.html"]
    labels = {**given.labels, "learns": "image", "about": "It shifts.", "question": "Does it?"}
    files = pages([replace(given, labels=labels)])
    assert 'style="--c:var(--f-image)"' in files["cross-dataset.html"]
    assert "<p>Does it?</p>" in files["cross-dataset.html"]
    assert "It shifts." in files["rows-cross-dataset.js"]


def test_numbers_are_formatted_from_the_value_itself() -> None:
    assert fixed(-0.04, 1) == "0.0"
    assert signed(-0.06, 1) == "−0.1"
    assert signed(1.25, 1) == "+1.2"
    scale = scale_of([Interval(50.0, 1.0, 3), Interval(51.0, 1.0, 3), Interval(2.0, 1.0, 3)])
    assert not scale.holds(2.0), "far from all others"
    assert len(scale.ticks) >= 2
    assert Scale(0.0, 10.0).place(2.5) == "25.0%"


def test_the_site_has_the_ablations_of_the_folder_and_of_those_published_below(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_progress, "LINE_SECONDS", 0.0)
    grid, all_records = grid_of(complete_grid())
    report = ablation(grid, all_records)
    assert report is not None
    for folder in (tmp_path, tmp_path / "ablations"):
        for one in all_records:
            Store(folder).write(one)
    ablation_page.write(report, tmp_path / "ablations")
    assert main(["report", "--output", str(tmp_path), "--to", str(tmp_path / "site")]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("draw")]
    assert lines == [f"draw tables and plots: {share}" for share in ("0%", "50%")]
    text = (tmp_path / "site" / "ablation-made.html").read_text()
    assert "What do length and kd change?" in text
    assert "differ from the baseline" in text
    assert "Main effects" in text
    assert 'href="ablation-made.html"' in (tmp_path / "site" / "index.html").read_text()
    for ending in ("md", "json", "svg", "png"):
        assert f'href="ablation-made.{ending}"' in text
        assert (tmp_path / "site" / f"ablation-made.{ending}").is_file()


def test_the_command_writes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "runs")
    for one in records():
        store.write(one)
    words = ("report", "--output", str(tmp_path / "runs"))
    assert main([*words, "--to", str(tmp_path / "site")]) == 0
    names = {path.name for path in (tmp_path / "site").iterdir()}
    assert {"index.html", "compare.html", "few-shot.html", "cross-dataset.csv"} <= names
    assert "index.html: open it in a browser" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    assert main([*words, "--to", str(tmp_path / "file")]) == 2
    assert "cannot write the site" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("geometry", "geometry=stretch is not told apart from the baseline (geometry=square)."),
        ("tuning_image", "tune=on (+1.5) is above the baseline (tune=off)."),
    ],
)
def test_a_grid_of_one_comparison_says_so_plainly(name: str, answer: str) -> None:
    folder = Path(__file__).parents[2] / "leaderboards" / "ablations"
    (report,) = (
        one
        for one in ablation_page.reports(Store(folder).all()[0], folder)
        if one.grid.name == name
    )
    page = ablations.ablation_page(report)
    assert page.answer == answer
    assert page.facts.startswith("vpt, Open-vocabulary segmentation. Measured: hiou")
    assert not any("corrected" in note for note in page.notes)
