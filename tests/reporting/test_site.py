"""`rppbench report`: contents of the page, and that no text of a record can become markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import complete_grid, grid_of, records

from rppbench.cli import main
from rppbench.comparison.ablation import ablation
from rppbench.leaderboard.build import build_with_variants
from rppbench.records.store import Store
from rppbench.reporting import ablation_page
from rppbench.reporting.site import embedded, page
from rppbench.terminal import step_progress


def data(text: str) -> list[list[dict[str, object]]]:
    """The row details that the page holds as JSON."""
    (content,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(content)["rows"]


def test_the_page_has_the_numbers_of_the_markdown_and_the_details_of_rows() -> None:
    text = page(build_with_variants(records()))
    assert '63.5 <span class="spread">± 6.4</span>' in text
    assert text.count('<tbody class="entry"') == len(data(text)) == 5
    details = {detail["title"]: detail for detail in data(text)[0]}
    assert list(details) == ["Options", "Cells", "Cost", "Training log", "Environment"]
    assert len(details["Cells"]["rows"]) == 10  # type: ignore[arg-type]
    assert details["Training log"]["rows"][:2] == [  # type: ignore[index]
        ["1", "1", "2.5", "40"],
        ["1", "2", "1.5", "60"],
    ]
    failed = next(b for b in data(text)[3] if b["title"] == "Cells")
    assert [row for row in failed["rows"] if "oom: too large" in row]  # type: ignore[attr-defined]
    assert "is incomplete" in text


def test_each_table_has_the_figures_that_its_records_allow() -> None:
    text = page(build_with_variants(records()))
    names = re.findall(r'<g id="(\w+-\d+)-figure_1"', text)
    # The other task has one row and no training log.
    assert names == ["cost-1", "ranks-1", "curves-1", "bars-1", "cost-2"]
    assert "#ffffff" not in "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL)), "dark pages"
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_the_page_is_the_same_for_the_same_records() -> None:
    assert page(build_with_variants(records())) == page(
        build_with_variants(list(reversed(records())))
    )


def test_no_name_can_start_markup_or_end_the_data() -> None:
    evil = '</script><img src=x onerror="alert(1)"><!-- $x & \u2028'
    renamed = [replace(r, labels={**r.labels, "method": evil, "dataset": evil}) for r in records()]
    text = page(build_with_variants(renamed))
    assert "<img" not in text
    assert text.count("<!--") == text.count("-->")
    assert text.count("</script>") == 2
    assert embedded(evil).count("<") == 0
    assert json.loads(embedded(evil)) == evil


def test_the_page_loads_nothing_from_elsewhere() -> None:
    text = page(build_with_variants(records()))
    assert "default-src 'none'" in text
    bare = re.sub(r'xmlns(:xlink)?="[^"]+"', "", text)
    assert "http://" not in bare
    assert "https://" not in bare


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
    text = (tmp_path / "site" / "index.html").read_text()
    assert '<h2 id="ablations">Ablations</h2>' in text
    assert "4 combinations, 16 of 16 cells. Baseline: length=2, kd=on." in text
    for ending in ("md", "json", "svg", "png"):
        assert f'href="ablation-made.{ending}"' in text
        assert (tmp_path / "site" / f"ablation-made.{ending}").is_file()
    assert "length: main effect" in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_the_command_writes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "runs")
    for record in records():
        store.write(record)
    words = ("report", "--output", str(tmp_path / "runs"))
    assert main([*words, "--to", str(tmp_path / "site")]) == 0
    names = {path.name for path in (tmp_path / "site").iterdir()}
    assert {"index.html", "cross-dataset.csv", "few-shot.tex"} <= names
    assert "index.html: open it in a browser" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    assert main([*words, "--to", str(tmp_path / "file")]) == 2
    assert "cannot write the site" in capsys.readouterr().err
