from pathlib import Path

from rppbench.ablation_page import rewrite
from rppbench.leaderboard import build, write_leaderboards
from rppbench.store import Store

FOLDER = Path(__file__).parents[1] / "leaderboards"


def test_every_committed_page_is_what_its_records_say(tmp_path):
    records, problems = Store(FOLDER).all()
    assert [str(problem) for problem in problems] == []
    paths = [*write_leaderboards(build(records), tmp_path), *rewrite(records, FOLDER, tmp_path)]
    made = {path.name: path.read_bytes() for path in paths}
    committed = {
        path.name: path.read_bytes()
        for ending in ("md", "tex", "csv", "json", "svg")
        for path in FOLDER.glob(f"*.{ending}")
        if path.name != "README.md"
    }
    # Names first: pages without records, and records without pages, are both mistakes.
    assert sorted(made) == sorted(committed)
    for name, content in made.items():
        assert content == committed[name], f"{name}: run `rppbench leaderboard` on {FOLDER.name}"
