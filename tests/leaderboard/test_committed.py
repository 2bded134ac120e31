"""Committed pages are what the committed records say, and nothing lies beside them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.records import record

from rppbench.commands.publish import designs
from rppbench.comparison.ablation import ablation
from rppbench.leaderboard.build import build
from rppbench.records.grid import Combination, Grid, Place
from rppbench.records.merge import faults
from rppbench.records.store import Store
from rppbench.reporting.ablation_page import rewrite, stem, write, written
from rppbench.reporting.pages import write_leaderboards

FOLDER = Path(__file__).parents[2] / "leaderboards"
ABLATIONS = FOLDER / "ablations"
"""Holds nothing until grids were run."""
PICTURES = ("png",)
TEXTS = ("md", "tex", "csv", "json", "svg")


def drift(folder: Path, made: dict[str, bytes]) -> list[str]:
    """In what the files of a folder are not those that its records make."""
    committed = {
        path.name: path.read_bytes()
        for ending in (*TEXTS, *PICTURES)
        for path in folder.glob(f"*.{ending}")
        if path.name != "README.md"
    }
    # Pages without records, and records without pages, are both mistakes.
    found = [f"{name}: nothing makes it" for name in committed.keys() - made.keys()]
    found += [f"{name}: is not there" for name in made.keys() - committed.keys()]
    for name in sorted(committed.keys() & made.keys()):
        same = _looks_alike if name.endswith(PICTURES) else bytes.__eq__
        if not same(committed[name], made[name]):
            found.append(f"{name}: its records say something else")
    return found


def _looks_alike(one: bytes, other: bytes) -> bool:
    """Pixels that nobody tells apart: other builds of zlib pack the same ones differently."""
    first, second = (np.asarray(Image.open(io.BytesIO(content)), int) for content in (one, other))
    return first.shape == second.shape and np.abs(first - second).mean() < 0.5


def remade(folder: Path, to: Path) -> tuple[dict[str, bytes], set[str]]:
    """The ablation pages of a folder made again, and keys of records that belong to no grid."""
    records, problems = Store(folder).all()
    assert [str(problem) for problem in problems] == []
    assert [fault for one in records for fault in faults(one)] == []
    made = {path.name: path.read_bytes() for path in rewrite(records, folder, to)}
    known = {place.key for grid in written(folder) for c in grid.combinations for place in c.cells}
    return made, {one.key for one in records} - known


def test_every_committed_page_is_what_its_records_say(tmp_path: Path) -> None:
    records, problems = Store(FOLDER).all()
    assert [str(problem) for problem in problems] == []
    paths = write_leaderboards(build(records), tmp_path)
    made = {path.name: path.read_bytes() for path in paths}
    assert made
    assert drift(FOLDER, made) == [], f"run `rppbench leaderboard --output {FOLDER.name}`"


def test_every_committed_ablation_is_what_its_records_say(tmp_path: Path) -> None:
    made, strangers = remade(ABLATIONS, tmp_path)
    assert drift(ABLATIONS, made) == [], "run `rppbench publish FROM --grids leaderboards/grids`"
    assert strangers == set(), "records that no page shows"


def test_every_committed_ablation_is_of_its_grid_file() -> None:
    """A grid that was changed after it was published would have a page of another question."""
    found = {stem(grid): grid for grid in written(ABLATIONS) if not grid.metric}
    if not found:
        pytest.skip("no grid was published yet")
    asked = {stem(design.grid): design.grid for _, design in designs(FOLDER / "grids")}
    assert {name: grid for name, grid in asked.items() if name in found} == found


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder as `publish --grids` leaves it, with one grid of two combinations."""
    records = [
        record("rpp", seed=seed, value=value + seed * length, options=(("length", length),))
        for length, value in ((2, 40.0), (4, 50.0))
        for seed in (1, 2)
    ]
    store = Store(tmp_path / "ablations")
    for one in records:
        store.write(one)
    pairs = records[:2], records[2:]
    grid = Grid(
        "made",
        tuple(
            Combination((("length", length),), tuple(Place(r.key, "flowers", 1) for r in of_one))
            for length, of_one in zip("24", pairs, strict=True)
        ),
    )
    report = ablation(grid, records)
    assert report is not None
    write(report, store.root)
    return store.root


def test_what_was_published_is_found_to_be_as_its_records(published: Path, tmp_path: Path) -> None:
    made, strangers = remade(published, tmp_path / "again")
    assert {name.rpartition(".")[2] for name in made} == {"md", "json", "svg", "png"}
    assert drift(published, made) == []
    assert strangers == set()


def test_a_changed_page_plot_or_record_is_found(published: Path, tmp_path: Path) -> None:
    for ending in ("md", "svg"):
        path = published / f"ablation-made.{ending}"
        path.write_text(path.read_text().replace("0", "1", 1))
    picture = published / "ablation-made.png"
    Image.fromarray(255 - np.asarray(Image.open(picture))[..., :3]).save(picture)
    (published / "ablation-other.svg").write_text("<svg/>")
    Store(published).write(record("coop", value=1.0))
    made, strangers = remade(published, tmp_path / "again")
    assert sorted(drift(published, made)) == [
        "ablation-made.md: its records say something else",
        "ablation-made.png: its records say something else",
        "ablation-made.svg: its records say something else",
        "ablation-other.svg: nothing makes it",
    ]
    assert len(strangers) == 1
    (published / "ablation-made.png").unlink()
    assert "ablation-made.png: is not there" in drift(published, made)
