"""`rppbench compare`: how rows are named, what is compared, and the printed page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.records import record

from rppbench.cli import main
from rppbench.comparison.compare import Comparison, compare
from rppbench.errors import UsageError
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Failure, Record, Score
from rppbench.records.store import Store


def score(right: str, metric: str = "top1") -> Score:
    """The score with these outcomes; '110': the first two images right, the third wrong."""
    outcomes = [character == "1" for character in right]
    share = 100 * sum(outcomes) / len(outcomes)
    return Score(metric, share, sum(outcomes), len(outcomes), PerImage.of(outcomes))


Run = Callable[..., tuple[int, str, str]]


def measured(
    method: str, right: str, dataset: str = "flowers", seed: int = 1, **more: Any
) -> Record:
    return record(method, dataset, seed, scores=(score(right),), **more)


def only(records: Sequence[Record], first: str = "coop", second: str = "rpp") -> Comparison:
    (comparison,), remarks = compare(records, first, second)
    assert remarks == []
    return comparison


def test_the_difference_is_of_the_second_from_the_first_image_by_image() -> None:
    comparison = only([measured("coop", "11000000"), measured("rpp", "01111000")])
    (pair,) = comparison.pairs
    assert (pair.gained, pair.lost, pair.images, pair.seeds) == (3, 1, 8, (1,))
    assert pair.difference.mean == pytest.approx(25)
    assert pair.difference.low < 25 < pair.difference.high
    assert pair.difference.p == pytest.approx(10 / 16)  # 2 * (1 + 4) / 2 ** 4, McNemar
    assert comparison.overall is None
    back = only([measured("coop", "11000000"), measured("rpp", "01111000")], "rpp", "coop")
    assert back.pairs[0].difference.mean == pytest.approx(-25)


def test_seeds_are_paired_and_data_sets_averaged() -> None:
    rows = {
        "flowers": (("1100", "1100", "1000"), ("1111", "1110", "1111")),
        "pets": (("10", "10", "11"), ("00", "10", "00")),
    }
    records = [
        measured(method, right, dataset, seed)
        for dataset, sides in rows.items()
        for method, seeds in zip(("coop", "rpp"), sides, strict=True)
        for seed, right in enumerate(seeds, 1)
    ]
    comparison = only(records)
    flowers, pets = [pair.difference.mean for pair in comparison.pairs]
    assert (flowers, pets) == pytest.approx((50, -50))
    assert comparison.overall is not None
    assert comparison.overall.seeds == (1, 2, 3)
    assert comparison.overall.difference.mean == pytest.approx(0)
    means = (comparison.overall.first, comparison.overall.second)
    assert means == pytest.approx(((500 / 12 + 400 / 6) / 2, (1100 / 12 + 100 / 6) / 2))


def test_a_deterministic_method_is_compared_under_every_seed_of_the_other() -> None:
    records = [
        measured("zeroshot", "1100", trained=False),
        *(measured("rpp", right, seed=seed) for seed, right in enumerate(("1110", "1111"), 4)),
    ]
    (pair,) = only(records, "zeroshot").pairs
    assert pair.seeds == (4, 5)
    assert pair.changes.tolist() == [[0, 0, 1, 0], [0, 0, 1, 1]]


def test_two_deterministic_methods_are_one_pair() -> None:
    untrained: dict[str, Any] = {"trained": False}
    records = [
        measured("zeroshot", "1100", seed=2, **untrained),
        measured("zeroshot", "1110", seed=1, options=(("kd", False),), **untrained),
    ]
    (pair,) = only(records, "zeroshot", "zeroshot:kd=off").pairs
    assert pair.changes.tolist() == [[0, 0, 1, 0]]


def test_seeds_and_data_sets_of_one_method_only_are_left_out_and_listed() -> None:
    records = [
        *(measured(m, "1100", "flowers", seed) for m in ("coop", "rpp") for seed in (1, 2)),
        *(measured(m, "1100", "pets") for m in ("coop", "rpp")),
        measured("rpp", "1111", "pets", 2),
        record("coop", "pets", 2, failure=Failure("oom", "full")),
        measured("coop", "1111", "cars"),
    ]
    comparison = only(records)
    assert [(p.column.dataset, p.seeds) for p in comparison.pairs] == [
        ("flowers", (1, 2)),
        ("pets", (1,)),
    ]
    assert comparison.left_out == (
        ("seed 1, 2: no number of RPP-SAPL", ("Cars",)),
        ("seed 2: no number of CoOp", ("Cars", "Pets")),
    )
    assert comparison.overall is not None
    assert comparison.overall.seeds == (1,)


def test_numbers_without_outcomes_are_left_out() -> None:
    scores = (score("1100"), Score("top5", 75.0, 3, 4))
    records = [record(method, scores=scores) for method in ("coop", "rpp")]
    comparison = only(records)
    assert [pair.column.metric for pair in comparison.pairs] == ["top1"]
    assert comparison.left_out == (("seed 1: top5 is not kept image by image", ("top5",)),)


def test_different_versions_of_a_data_set_are_never_compared() -> None:
    old, new = {"data": "d1"}, {"data": "d2"}
    records = [
        measured("coop", "1100", "flowers", **old),
        measured("rpp", "1111", "flowers", **new),
        *(measured(method, "1100", "pets") for method in ("coop", "rpp")),
    ]
    (comparison,), remarks = compare(records, "coop", "rpp")
    assert [pair.column.dataset for pair in comparison.pairs] == ["pets"]
    assert [headings for _, headings in comparison.left_out] == [("Flowers",)]
    assert len(remarks) == 1
    assert "was measured in Cross-dataset transfer (data of Flowers: d" in remarks[0]


def test_nothing_in_common_is_an_error_with_the_reasons() -> None:
    records = [measured("coop", "1100"), measured("rpp", "1111", backbone="other")]
    with pytest.raises(UsageError, match="cannot be compared") as error:
        compare(records, "coop", "rpp")
    assert "only CoOp was measured in Cross-dataset transfer (backbone: demo" in str(error.value)
    with pytest.raises(UsageError, match="top1: seed 1: no number of RPP-SAPL"):
        compare(
            [measured("coop", "1100"), record("rpp", failure=Failure("nan", ""))], "coop", "rpp"
        )


# --- names --------------------------------------------------------------------------------------

RPP = [
    measured("rpp", "1111", options=(("kd", True), ("length", 4))),
    measured("rpp", "1110", options=(("kd", False), ("length", 4))),
]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("rpp", "RPP-SAPL"),
        ("rpp:kd=on", "RPP-SAPL"),
        ("rpp:length=4", "RPP-SAPL"),
        ("rpp:kd=off", "RPP-SAPL (kd=off)"),
        ("rpp:kd=False, length=4", "RPP-SAPL (kd=off)"),
        ("RPP-SAPL (kd=off)", "RPP-SAPL (kd=off)"),
        ("RPP-SAPL", "RPP-SAPL"),
    ],
)
def test_a_row_is_named_by_its_label_or_as_on_the_command_line(name: str, label: str) -> None:
    comparison = only([measured("coop", "1100"), *RPP], second=name)
    assert comparison.second.label == label
    assert [row.label for row in comparison.table.rows] == ["CoOp", label]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rrp", "no row is named 'rrp'; did you mean 'rpp'?"),
        ("rpp:kd=of", "did you mean 'rpp:kd=off'?"),
        ("rpp:length=8", "no row is named 'rpp:length=8'"),
        ("rpp:length=long", "no row is named"),
        ("rpp:depth=4", "no row is named"),
        ("CoOp", "are the same row: CoOp"),
        ("pomp", "'pomp' matches several rows; write one of these labels:\n  POMP · recipe b\n"),
    ],
)
def test_a_name_that_matches_no_row_or_several_is_an_error(name: str, message: str) -> None:
    twice = [measured("pomp", "1100", recipe=recipe) for recipe in ("a", "b")]
    with pytest.raises(UsageError) as error:
        compare([measured("coop", "1100"), *RPP, *twice], "coop", name)
    assert message in str(error.value)


# --- the page -----------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("runs"))
    for seed in (1, 2):
        store.write(measured("coop", "1" * 20 + "0" * 80, "flowers", seed))
        store.write(measured("rpp", "0" * 2 + "1" * 48 + "0" * 50, "flowers", seed))
        store.write(measured("coop", "1" * 50 + "0" * 50, "pets", seed))
    store.write(measured("rpp", "1" * 50 + "0" * 50, "pets", 1))

    def run_compare(*words: str) -> tuple[int, str, str]:
        status = main(["compare", *words])
        return status, *capsys.readouterr()

    return run_compare


def test_the_page_has_differences_intervals_and_what_is_left_out(run: Run) -> None:
    status, page, stderr = run("coop", "rpp")
    assert (status, stderr) == (0, "")
    assert page.startswith("# Cross-dataset transfer: RPP-SAPL against CoOp\n")
    assert "seeds 1, 2; difference" in page
    flowers, pets, average = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith(("| Flowers", "| Pets", "| Average"))
    )
    assert flowers[:4] == ["Flowers", "20.0", "48.0", "**+28.0**"]
    assert flowers[6:] == ["2", "30", "100", "2"]
    assert pets[3:6] == ["0.0", "-2.8 to +2.8", "1.000"]
    assert average[:4] == ["Average of 2", "35.0", "49.0", "**+14.0**"]
    assert average[-1] == "1"
    for note in (
        "A is CoOp, coop-1, trained on World, 16 shots per class.",
        "p is corrected for the 2 data sets (Holm); intervals are not, nor is the p of the average",
        "The average is over the seeds that every data set has: 1.",
        "It says nothing about prompts learned with another seed.",
        "Left out in Pets: seed 2: no number of RPP-SAPL.",
    ):
        assert note in page


def test_p_is_corrected_for_the_number_of_data_sets(run: Run) -> None:
    for dataset, right in (("flowers", "1111111"), ("pets", "0000001")):
        Store(Path("two")).write(measured("coop", "0000001", dataset))
        Store(Path("two")).write(measured("rpp", right, dataset))
    page = run("coop", "rpp", "--output", "two")[1]
    (line,) = [line for line in page.splitlines() if line.startswith("| Flowers")]
    assert "| 0.062 |" in line  # 2 * 2 / 2 ** 6
    assert "**" not in line


def test_changed_images_are_listed_on_request(run: Run) -> None:
    _, page, _ = run("coop", "rpp", "--images", "3")
    assert "- Flowers, wrong -> right: 20 (2/2), 21 (2/2), 22 (2/2) and 27 more\n" in page
    assert "- Flowers, right -> wrong: 0 (2/2), 1 (2/2)\n" in page
    assert "- Pets, wrong -> right: none\n" in page
    assert "wrong -> right" not in run("coop", "rpp")[1]


def test_it_needs_no_torch(run: Run) -> None:
    code = (
        "import sys; from rppbench.cli import main; status = main(['compare', 'coop', 'rpp'])\n"
        "sys.exit(sorted({'torch', 'open_clip', 'mmengine'} & set(sys.modules)) or status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("coop", "rpp")[1]


def test_mistakes_end_with_a_message(run: Run) -> None:
    for words, expected in (
        (("coop", "rppp"), "did you mean 'rpp'?"),
        (("coop", "rpp", "--task", "x"), "no record is of a task named 'x'"),
        (("coop", "rpp", "--metric", "top2"), "did you mean 'top1'?"),
        (("coop", "rpp", "--images", "-1"), "--images must be at least 0"),
        (("coop",), "the following arguments are required: B"),
        (("coop", "rpp", "--output", "no"), "no records in no/records"),
    ):
        status, page, stderr = run(*words)
        assert (status, page) == (2, "")
        assert expected in stderr
