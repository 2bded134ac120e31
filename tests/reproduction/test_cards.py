"""Cards: which tables there are, the tolerance of each number, and files that are no cards."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest

from rppbench.errors import UsageError
from rppbench.leaderboard.published import read_rows
from rppbench.reproduction import cards as module
from rppbench.reproduction.cards import FOLDER, OWN, card, cards, goals

RECORDS = Path(__file__).parents[2] / "leaderboards" / "records"


def test_every_card_has_numbers_and_each_paper_has_a_card() -> None:
    sizes = {name: len(goals(one)) for name, one in cards().items()}
    assert min(sizes.values()) >= 4
    papers = {name.partition(":")[0] for name in sizes}
    assert papers >= {"coop", "cocoop", "maple", "kgcoop", "promptsrc", "pomp", "tip-adapter"}
    assert sizes["maple:table3"] == 7 * 3
    assert sizes["tip-adapter:few-shot"] == 5 * 3 * 11


def test_a_printed_spread_is_the_tolerance_and_else_one_point() -> None:
    caltech = goals(card("coop:caltech101"))
    assert [(goal.number.column, goal.tolerance) for goal in caltech] == [
        ("seed 1", 0.15),
        ("seed 2", 0.15),
        ("seed 3", 0.15),
        ("mean", 0.15),
    ]
    assert all(goal.spread_printed for goal in caltech)
    assert {goal.tolerance for goal in goals(card("pomp:table2"))} == {1.0}


def test_our_own_numbers_are_those_of_the_committed_records() -> None:
    """Mean over seeds of the usual recipe with one shot, rounded as in the file."""
    (first, second) = read_rows(FOLDER / OWN / "embedded.yaml")
    for row in (first, second):
        means = []
        for column in ("demo-2-clothing", "demo-2-household"):
            number = row.numbers[column]
            lines = (RECORDS / "few-shot" / f"{column}.jsonl").read_text().splitlines()
            values = {
                record["cell"]["seed"]: record["scores"][0]["value"]
                for record in map(json.loads, lines)
                if record["cell"]["method"]["name"] == number.method
                and dict(record["cell"]["task"]["options"])["shots"] == 1
                and record["scores"][0]["metric"] == "top1"
            }
            assert len(values) == (3 if number.recipes else 1)
            means.append(fmean(values.values()))
            assert f"{means[-1]:.2f}" == str(number.value)
        assert f"{fmean(means):.2f}" == str(row.numbers["mean of 2"].value)


def test_rows_and_data_sets_can_be_chosen() -> None:
    transfer = card("cocoop:transfer")
    assert {goal.number.title for goal in goals(transfer)} == {"CoOp", "CoCoOp"}
    (only,) = goals(transfer, ["CoCoOp"], ["dtd"])
    assert str(only.number.value) == "45.73"
    with pytest.raises(UsageError, match="no row of cocoop:transfer is named 'MaPLe'"):
        goals(transfer, ["MaPLe"])
    with pytest.raises(UsageError, match="of a data set named 'dtdd'"):
        goals(transfer, (), ["dtdd"])
    with pytest.raises(UsageError, match=r"(?s)did you mean 'maple:table3'.*reproduce list"):
        card("maple:table33")


VALID = "{title: T, source: embedded, places: [leaderboards/records/few-shot]}"
INVALID = {
    "no mapping": ("[1]", "must hold NAME: CARD pairs"),
    "code": ("a:b: !!python/object/apply:os.system [ls]", "cannot read"),
    "a name without a table": (f"maple: {VALID}", "a card is named PAPER:TABLE"),
    "no card": ("'a:b': 3", "must hold KEY: VALUE pairs"),
    "a wrong key": (f"'a:b': {VALID[:-1]}, seed: [1]}}", "did you mean 'seeds'"),
    "no places": ("'a:b': {title: T, source: embedded}", "lacks 'places'"),
    "seeds that are words": (f"'a:b': {VALID[:-1]}, seeds: [one]}}", "of another type"),
    "a tolerance in words": (f"'a:b': {VALID[:-1]}, tolerance: small}}", "of another type"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_file_is_explained(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, message = INVALID[case]
    (tmp_path / "cards.yaml").write_text(text)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    with pytest.raises(UsageError, match=message):
        cards.__wrapped__()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (VALID.replace("embedded", "embeded"), "no file embeded.yaml"),
        (VALID.replace("/few-shot", "/few"), "did you mean 'leaderboards/records/few-shot'"),
        (f"{VALID[:-1]}, rows: [Coop]}}", "did you mean 'CoOp'"),
    ],
)
def test_a_card_of_a_table_that_is_not_there(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cards.yaml").write_text(f"'a:b': {content}")
    (tmp_path / OWN).symlink_to(FOLDER / OWN)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    with pytest.raises(UsageError, match=message):
        goals(cards.__wrapped__()["a:b"])
