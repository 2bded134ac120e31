"""Committed pages equal the pages that their records give, and there are no other files."""

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
from rppbench.leaderboard.kept import FILE, Kept
from rppbench.records.codec import encode
from rppbench.records.grid import Combination, Grid, Place
from rppbench.records.merge import faults
from rppbench.records.store import Store
from rppbench.reporting.ablation_page import file_stem, rewrite, stored_grids, write
from rppbench.reporting.leaderboard_files import write_leaderboards

FOLDER = Path(__file__).parents[2] / "leaderboards"
ABLATIONS = FOLDER / "ablations"
"""Empty until a grid is published."""
PICTURES = ("png",)
TEXTS = ("md", "tex", "csv", "json", "svg")


def drift(folder: Path, made: dict[str, bytes]) -> list[str]:
    """Differences between the committed files of a folder and those made from its records."""
    committed = {
        path.name: path.read_bytes()
        for ending in (*TEXTS, *PICTURES)
        for path in folder.glob(f"*.{ending}")
        if path.name != "README.md"
    }
    # Pages without records, and records without pages, are both mistakes.
    differences = [f"{name}: nothing makes it" for name in committed.keys() - made.keys()]
    differences += [f"{name}: is not there" for name in made.keys() - committed.keys()]
    for name in sorted(committed.keys() & made.keys()):
        same = _looks_alike if name.endswith(PICTURES) else bytes.__eq__
        if not same(committed[name], made[name]):
            differences.append(f"{name}: its records say something else")
    return differences


def _looks_alike(one: bytes, other: bytes) -> bool:
    """Whether two PNG files have nearly equal pixels: builds of zlib compress them differently."""
    first, second = (np.asarray(Image.open(io.BytesIO(content)), int) for content in (one, other))
    return first.shape == second.shape and np.abs(first - second).mean() < 0.5


def remade(folder: Path, to: Path) -> tuple[dict[str, bytes], set[str]]:
    """The ablation files of a folder, written again, and keys of records that belong to no grid."""
    records, problems = Store(folder).all()
    assert [str(problem) for problem in problems] == []
    assert [fault for one in records for fault in faults(one)] == []
    made = {path.name: path.read_bytes() for path in rewrite(records, folder, to)}
    known = {
        place.key for grid in stored_grids(folder) for c in grid.combinations for place in c.cells
    }
    return made, {one.key for one in records} - known


def test_every_committed_page_equals_the_page_from_its_records(tmp_path: Path) -> None:
    records, problems = Store(FOLDER).all()
    assert [str(problem) for problem in problems] == []
    kept = Kept(tmp_path)
    paths = write_leaderboards(build(records, kept=kept), tmp_path)
    kept.write()
    made = {path.name: path.read_bytes() for path in [*paths, tmp_path / FILE]}
    assert made
    assert drift(FOLDER, made) == [], f"run `rppbench leaderboard --output {FOLDER.name}`"


@pytest.mark.parametrize("folder", [FOLDER, ABLATIONS], ids=lambda folder: folder.name)
def test_committed_records_are_lines_of_today_in_their_order(folder: Path) -> None:
    """Or the next `publish` would change lines that it has nothing to do with."""
    records, _ = Store(folder).all()
    lines: dict[Path, list[bytes]] = {}
    for one in records:
        lines.setdefault(Store(folder).lines_path(one.cell), []).append(encode(one) + b"\n")
    files = [path for path in (folder / "records").rglob("*") if path.is_file()]
    assert set(lines) == {path for path in files if path.name != ".lock"}
    for path, expected in lines.items():
        assert path.read_bytes() == b"".join(expected), path


def test_every_committed_ablation_equals_the_one_from_its_records(tmp_path: Path) -> None:
    made, unlisted = remade(ABLATIONS, tmp_path)
    assert drift(ABLATIONS, made) == [], "run `rppbench publish FROM --grids leaderboards/grids`"
    assert unlisted == set(), "records that no page shows"


def test_every_committed_ablation_has_the_grid_of_its_grid_file() -> None:
    """If a grid changes after it was published, its page no longer reports on it."""
    grids = {file_stem(grid): grid for grid in stored_grids(ABLATIONS) if not grid.metric}
    if not grids:
        pytest.skip("no grid was published yet")
    in_files = {file_stem(design.grid): design.grid for _, design in designs(FOLDER / "grids")}
    assert {name: grid for name, grid in in_files.items() if name in grids} == grids


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


def test_unchanged_published_files_show_no_difference(published: Path, tmp_path: Path) -> None:
    made, unlisted = remade(published, tmp_path / "again")
    assert {name.rpartition(".")[2] for name in made} == {"md", "json", "svg", "png"}
    assert drift(published, made) == []
    assert unlisted == set()


def test_a_changed_page_plot_or_record_is_detected(published: Path, tmp_path: Path) -> None:
    for ending in ("md", "svg"):
        path = published / f"ablation-made.{ending}"
        path.write_text(path.read_text().replace("0", "1", 1))
    picture = published / "ablation-made.png"
    Image.fromarray(255 - np.asarray(Image.open(picture))[..., :3]).save(picture)
    (published / "ablation-other.svg").write_text("<svg/>")
    Store(published).write(record("coop", value=1.0))
    made, unlisted = remade(published, tmp_path / "again")
    assert sorted(drift(published, made)) == [
        "ablation-made.md: its records say something else",
        "ablation-made.png: its records say something else",
        "ablation-made.svg: its records say something else",
        "ablation-other.svg: nothing makes it",
    ]
    assert len(unlisted) == 1
    (published / "ablation-made.png").unlink()
    assert "ablation-made.png: is not there" in drift(published, made)
