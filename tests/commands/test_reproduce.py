"""`rppbench reproduce`: our own numbers measured again, plans, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rppbench.cli import main
from rppbench.reproduction import cards as module

EMBEDDED = "rppbench:embedded"
CAPSYS = pytest.CaptureFixture[str]


def page_of(capsys: CAPSYS, *words: str) -> tuple[int, dict[str, str]]:
    """The exit status, and the verdict of each number by 'row column'."""
    status = main(["reproduce", EMBEDDED, "--output", "runs", *words])
    printed = capsys.readouterr().out
    text = Path("runs/reproduce-rppbench-embedded.md").read_text()
    assert text in printed
    numbers = json.loads(Path("runs/reproduce-rppbench-embedded.json").read_text())["numbers"]
    return status, {f"{one['method']} {one['column']}": one["verdict"] for one in numbers}


def changed(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Our own numbers with one of them replaced."""
    folder = Path("cards")
    (folder / module.OWN).mkdir(parents=True)
    for path in module.FOLDER.glob("*.yaml"):
        (folder / path.name).write_text(path.read_text())
    own = (module.FOLDER / module.OWN / "embedded.yaml").read_text()
    assert old in own
    (folder / module.OWN / "embedded.yaml").write_text(own.replace(old, new))
    monkeypatch.setattr(module, "FOLDER", folder.absolute())
    module.cards.cache_clear()


def test_the_embedded_card_reproduces_our_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CAPSYS
) -> None:
    """On one of its data sets: zero-shot and three trainings. The next runs find all cells done."""
    monkeypatch.chdir(tmp_path)
    words = ("--dataset", "demo-2-clothing")
    status, verdicts = page_of(capsys, *words)
    assert verdicts == {
        "Zero-shot CLIP demo-2-clothing": "reproduced",
        "CoOp demo-2-clothing": "reproduced",
    }
    assert status == 0
    # Numbers that nobody measured differ, without a cell that runs again.
    changed(monkeypatch, "13.57", "13.47")
    status, verdicts = page_of(capsys, *words)
    assert verdicts["CoOp demo-2-clothing"] == "within the interval"
    assert status == 1
    status, verdicts = page_of(capsys, *words, "--row", "CoOp", "--seed", "1")
    assert verdicts == {"CoOp demo-2-clothing": "differs"}
    assert status == 1
    assert main(["reproduce", EMBEDDED, "--output", "runs", *words, "--plan"]) == 0
    assert "4 cells: 0 to run, 4 done" in capsys.readouterr().out
    module.cards.cache_clear()


@pytest.mark.slow
def test_the_complete_embedded_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CAPSYS
) -> None:
    monkeypatch.chdir(tmp_path)
    status, verdicts = page_of(capsys)
    assert (status, len(verdicts), set(verdicts.values())) == (0, 6, {"reproduced"})


def test_a_plan_names_what_is_missing_and_what_it_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CAPSYS
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    assert main(["reproduce", "kgcoop:readme", "--data", "empty", "--plan"]) == 2, "all is blocked"
    printed = capsys.readouterr().out
    assert "110 cells: 110 to run, 110 blocked; 99 trainings" in printed
    assert "not run (4 numbers): ProGrad: no method of rppbench is known" in printed
    assert "GPU hours (estimate) at 10 TFLOP/s" in printed
    assert not Path("runs").exists()
    elsewhere = ("--engine", "slurm:gpus=1", "--device", "cuda")  # whether or not there is one here
    assert main(["reproduce", "kgcoop:readme", "--data", "empty", "--plan", *elsewhere]) == 2
    assert "engine slurm: " in capsys.readouterr().out


def test_the_list_has_every_card(capsys: CAPSYS) -> None:
    assert main(["reproduce", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[2:]] == list(module.cards())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("maple:tabel3",), "did you mean 'maple:table3'"),
        (("maple:table3", "--method", "coop"), "--method cannot be given: the card says it"),
        (("maple:table3", "--limit", "5"), "--limit cannot be given"),
        (("maple:table3", "--draw", "long-tail:2"), "--draw cannot be given"),
        (("maple:table3", "--partial"), "--partial cannot be given"),
        (("maple:table3", "--row", "Maple"), "no row of maple:table3 is named 'Maple'"),
        (("maple:table3", "--dataset", "dtd"), "of a data set named 'dtd'"),
        (("pomp:table3", "--row", "POMP, K = 128"), "nothing of this can be run"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: CAPSYS,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *words]) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()
