"""The commands as a person uses them: words in, text and exit status out."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from support.commands import RunCommand, refused, table_rows
from support.toy_plugin import Context, PluginOf, ToyBroken

from rppbench import __version__
from rppbench.cli import main, parsed
from rppbench.commands.run import given
from rppbench.commands.verbs import COMMANDS
from rppbench.contracts.prompts import Prompts
from rppbench.planning.settings import NAMES, settings
from rppbench.records.store import Store

TOY = ("--task", "cross-dataset:suite=toy", "--model", "tiny")
GOOD = (*TOY, "--dataset", "toy-one", "toy-two")


class Interrupting(Context):
    name, title = "interrupting", "Interrupting"

    def prompts(self) -> Prompts:
        os.kill(os.getpid(), signal.SIGINT)  # as the terminal does at Ctrl-C
        return super().prompts()


MORE = PluginOf([Interrupting], [ToyBroken])


QUICK = ("--method", "fixed", "--quick")


def counts(complaints: str) -> str:
    return complaints.splitlines()[-1]


# --- run ----------------------------------------------------------------------------------------


def test_a_run_ends_in_a_leaderboard_and_pages_beside_the_records(run_command: RunCommand) -> None:
    words = ("run", "--method", "fixed", "context", "context:both=on", *GOOD)
    status, page, log = run_command(*words, "--seed", "1", "2", "--batch_size", "5")
    assert status == 0
    assert page.startswith("# Cross-dataset transfer\n")
    for row in ("| Fixed wording |", "| Context |", "| Context (both=on) |"):
        assert row in page
    assert Path("runs/cross-dataset.md").read_text() == page
    assert {path.suffix for path in Path("runs").glob("cross-dataset.*")} == {
        ".md",
        ".csv",
        ".json",
        ".tex",
    }
    assert "10 cells: 10 to run; 4 trainings" in log
    assert counts(log) == ("cells: 10 done, 0 had a record, 0 failed; records and pages in runs")


def test_the_same_command_again_runs_only_what_is_missing(run_command: RunCommand) -> None:
    run_command("run", "--method", "fixed", *TOY, "--dataset", "toy-one")
    before = {path: path.stat().st_mtime_ns for path in Path("runs/records").rglob("*.json")}
    status, _, log = run_command("run", "--method", "fixed", *GOOD)
    assert status == 0
    assert "2 cells: 1 to run, 1 done" in log
    assert counts(log).startswith("cells: 1 done, 1 had a record, 0 failed")
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    status, page, log = run_command("run", "--method", "fixed", *GOOD)
    assert status == 0
    assert "| Fixed wording |" in page
    assert counts(log).startswith("cells: 0 done, 2 had a record")


def test_never_refuses_to_replace_and_always_learns_again(run_command: RunCommand) -> None:
    words = ("run", "--method", "context", *TOY, "--dataset", "toy-one")
    run_command(*words)
    status, _, log = run_command(*words, "--overwrite", "never")
    assert status == 2
    assert "1 of 1 cell already recorded, for example context on toy-one, seed 1" in log
    (first,) = Store(Path("runs")).all()[0]
    status, _, log = run_command(*words, "--overwrite", "always")
    assert status == 0
    assert counts(log).startswith("cells: 1 done, 0 had a record")
    (second,) = Store(Path("runs")).all()[0]
    assert not second.cost.training_reused
    assert first.measured() == second.measured()
    assert run_command(*words, "--overwrite", "never", "--output", "other")[0] == 0


def test_a_failed_cell_is_listed_and_all_others_run(run_command: RunCommand) -> None:
    words = ("run", "--method", "fixed", *TOY)
    status, page, log = run_command(*words)
    assert status == 1
    reason = "OSError: cannot identify image file test/0/0"
    assert f"\nfailed: fixed, toy-broken, seed 1: {reason}" in log
    assert counts(log).startswith("cells: 2 done, 0 had a record, 1 failed")
    assert "Toy broken (seed 1: failed, OSError" in page
    status, _, log = run_command(*words)  # a failed cell is tried again
    assert status == 1
    assert counts(log).startswith("cells: 0 done, 2 had a record, 1 failed")


def test_fail_on_error_stops_at_the_first_failure(run_command: RunCommand) -> None:
    order = ("--dataset", "toy-one", "toy-broken")
    status, _, log = run_command(
        "run", "--method", "fixed", "context", *TOY, *order, "--fail-on-error"
    )
    assert status == 1
    ran = [record.cell for record in Store(Path("runs")).all()[0]]
    assert "toy-broken" in {cell.dataset for cell in ran}
    assert {cell.method.name for cell in ran} == {"fixed"}
    assert "1 failed, 2 not run" in counts(log)


def test_an_interrupt_keeps_what_was_done(run_command: RunCommand) -> None:
    status, _, log = run_command("run", "--method", "fixed", "interrupting", *GOOD)
    assert status == 130
    assert "interrupted" in log
    records, problems = Store(Path("runs")).all()
    assert [record.cell.method.name for record in records] == ["fixed", "fixed"]
    assert not problems


def test_flags_reach_the_cells(run_command: RunCommand) -> None:
    words = ("run", "--method", "context:length=3", *TOY, "--dataset", "toy-two", "--limit", "9")
    status, _, _ = run_command(
        *words, "--set", "recipe.lr=0.5", "--shots", "1", "--precision", "bf16"
    )
    assert status == 0
    (record,) = Store(Path("runs")).all()[0]
    cell, score = record.cell, record.score()
    assert score is not None
    assert score.total == 9
    assert (cell.limit, cell.precision, cell.method["length"]) == (9, "bf16", 3)
    assert cell.training is not None
    assert (cell.training.shots, cell.training.recipe.name) == (1, "context-1+lr=0.5")


def test_a_config_file_says_what_to_run_and_flags_win(
    run_command: RunCommand, tmp_path: Path
) -> None:
    content = {
        "method": ["context"],
        "task": "cross-dataset:suite=toy",
        "model": "tiny",
        "dataset": "toy-one",
        "seed": [1, 2],
        "output": "from-file",
    }
    (tmp_path / "run.json").write_text(json.dumps(content))
    status, _, _ = run_command("run", "--config", "run.json", "--seed", "7", "--set", "length=3")
    assert status == 0
    (record,) = Store(Path("from-file")).all()[0]
    assert (record.cell.seed, record.cell.method["length"]) == (7, 3)


# --- plan ---------------------------------------------------------------------------------------


def test_a_plan_lists_every_cell_and_loads_no_weights(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--method", "fixed", "context:both=on", *GOOD)
    run_command("run", "--method", "fixed", *TOY, "--dataset", "toy-one")
    monkeypatch.setattr("rppbench.models.clip.load", None)
    status, table, _ = run_command("plan", *words)
    assert status == 0
    rows = [" ".join(row) for row in table_rows(table)]
    assert rows[0] == "Method Task Data set Seed State Training Estimate"
    assert rows[1] == "fixed cross-dataset toy-one 1 done none 0.0 s"
    assert rows[2].startswith("fixed cross-dataset toy-two 1 todo none ")
    assert "~" not in rows[2], "a similar cell has a record"
    assert rows[3].startswith("context (both=on) cross-dataset toy-one 1 todo learn ")
    assert rows[4].startswith("context (both=on) cross-dataset toy-two 1 todo shared ")
    assert "4 cells: 3 to run, 1 done; 1 training; about" in table.splitlines()[-1]
    assert run_command("run", "--dry-run", *words)[1] == table


def test_a_plan_writes_nothing(run_command: RunCommand) -> None:
    assert run_command("plan", "--method", "context", *GOOD)[0] == 0
    assert not Path("runs").exists()


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("rnu",), "no command is named 'rnu'; did you mean 'run'?"),
        (("run", "--methd", "fixed"), "named '--methd'; did you mean '--method'?"),
        (("plan", "--batch-sise=8"), "named '--batch-sise'; did you mean '--batch-size'?"),
        (("info", "fixed", "context"), "`rppbench info` does not expect 'context'"),
        (("run",), "name one or more methods: --method NAME\nmethods: "),
        (("run", "--seed", "one"), "argument --seed: 'one' is not an integer"),
        (("run", "--method", "fixd"), "no method is named 'fixd'; did you mean 'fixed'?"),
        (("run", "--method", "fixd"), "plugin 'old' did not load: ImportError: no old times"),
        (("run", "--method", "fixed", *TOY, "--model", "tny"), "did you mean 'tiny'?"),
        (("run", "--method", "context:lenth=2"), "did you mean 'length'?"),
        (("run", "--method", "fixed", "--task", "cross"), "no task is named 'cross'"),
        (("run", "--method", "fixed", *GOOD, "--engine", "inlin"), "did you mean 'inline'?"),
        (("run", "--method", "fixed", *GOOD, "--device", "cuba"), "did you mean 'cuda'?"),
        (("run", "--method", "fixed", *GOOD, "--device", "cuda:99"), "no device 'cuda:99'"),
        (("run", "--method", "fixed", *GOOD, "--precision", "fp31"), "did you mean 'fp32'?"),
        (("run", "--method", "fixed", *GOOD, "--compile", "indutor"), "did you mean 'inductor'?"),
        (("run", "--method", "fixed", *GOOD, "--overwrite", "alway"), "did you mean 'always'?"),
        (("run", "--method", "fixed", *GOOD, "--set", "length"), "--set takes KEY=VALUE"),
        (("run", "--method", "fixed", *GOOD, "--set", "zeal=1"), "--set zeal: no chosen method"),
        (("run", "--method", "fixed", *GOOD, "--output", "file"), "cannot write to file"),
        (("plan", "--method", "fixed", *GOOD, "--device", "cuda:99"), "no device 'cuda:99'"),
        (("plan", "--method", "fixed", *GOOD, "--precision", "fp31"), "did you mean 'fp32'?"),
        (("plan", "--method", "fixed", *GOOD, "--memory", "1MB"), "is too little"),
        (("plan", "--method", "fixed", *GOOD, "--limit", "0"), "limit must be at least 1, not 0"),
        (("plan", "--method", "fixed", *GOOD, "--seed", "-1"), "seed must be at least 0, not -1"),
        (("plan", "--method", "context", *GOOD, "--set", "lr=nan"), "of usual size, not nan"),
        (("plan", "--method", "context", *GOOD, "--set", "lr=-1"), "0 to 1e+06, not -1"),
        (("plan", "--method", "context", *GOOD, "--set", "epochs=-1"), "0 to 100000, not -1"),
        (("plan", "--method", "context", *GOOD, "--set", "batch=0"), "1 to 1e+06, not 0"),
        (("plan", "--method", "context", *GOOD, "--set", "augment=flip"), "mean 'crop-flip'?"),
        (("plan", "--method", "context", *GOOD, "--set", "kd_weight=inf"), "not inf"),
        (("plan", "--method", "context", *GOOD, "--set", "length=1" + 20 * "0"), "of usual size"),
        (("plan", "--config", "none.py"), "no config file 'none.py'"),
        (("list", "method"), "no kind is named 'method'; did you mean 'methods'?"),
        (("info", "toy-on"), "did you mean 'toy-one'?"),
        (("leaderboard", "--output", "empty"), "no records in empty/records"),
    ],
)
def test_a_mistake_is_one_clear_message_and_status_2(
    run_command: RunCommand, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    status, printed, log = run_command(*words)
    assert status == 2
    assert printed == ""
    assert log.startswith("rppbench: error: ")
    assert expected in log
    assert "Traceback" not in log


def test_without_a_command_the_help_is_shown(run_command: RunCommand) -> None:
    status, _, log = run_command()
    assert status == 2
    assert "leaderboard" in log


def test_help_lists_every_command_and_each_has_its_own(
    run_command: RunCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, command in COMMANDS.items():
        assert f" {name} {command.help}" in text
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0
        assert "examples:" in capsys.readouterr().out
        assert callable(
            getattr(import_module(f"rppbench.commands.{command.module}"), command.execute)
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_command_are_lines_of_it(name: str) -> None:
    """Up to a redirection. Flags and verbs exist, and settings hold no contradiction."""
    assert COMMANDS[name].examples
    for line in COMMANDS[name].examples:
        program, *words = shlex.split(line.partition(" > ")[0])
        assert program == "rppbench"
        command, arguments = parsed([*words])
        assert command == COMMANDS[name]
        if name in ("run", "plan"):
            assert settings(given(arguments, NAMES)).method


def test_help_of_run_has_its_flags_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    headings = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert headings == [
        "options",
        "what to compare",
        "how methods learn and are scored",
        "images",
        "where and how cells run",
        "records and settings",
        "examples",
    ]
    assert len(re.findall(r"^  -", text.partition("what to compare:")[0], re.MULTILINE)) == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_completes_commands_and_their_flags(shell: str, run_command: RunCommand) -> None:
    status, script, _ = run_command("completion", shell)
    assert status == 0
    for word in ("leaderboard", "--inference-cost", "prune", "--older-than"):
        assert word.lstrip("-") in script
    assert "did you mean 'bash'" in refused(run_command, "completion", "bahs")


def test_contradictory_flags_are_refused(run_command: RunCommand) -> None:
    for words, reason in (
        (("run", *QUICK, "--seed", "1", "2"), "--quick is a look with one seed"),
        (("run", *QUICK, "--dry-run", "--detach"), "--dry-run runs nothing"),
        (("run", *QUICK, "--accept-code", "--overwrite", "always"), "--accept-code keeps"),
        (("data", "check", "toy-one", "--workers", "2"), "which only --read does"),
        (("data", "prepare", "toy-one", "--md5", "0" * 32), "one file that --from names"),
    ):
        assert reason in refused(run_command, *words)


# --- list, info, leaderboard, doctor ------------------------------------------------------------


def test_lists_name_everything_and_what_did_not_load(run_command: RunCommand) -> None:
    status, table, _ = run_command("list", "datasets")
    assert status == 0
    heads, *rows = table_rows(table)
    assert heads == ["Name", "Title", "Suite"]
    assert ["toy-one", "Toy one", "toy, transfer"] in rows
    assert table.splitlines()[-1] == "plugin 'old' did not load: ImportError: no old times"
    for kind in ("methods", "tasks", "engines", "backbones"):
        status, table, _ = run_command("list", kind)
        assert status == 0
        assert len(table.splitlines()) >= 3


def test_info_prints_options_recipes_and_facts(run_command: RunCommand) -> None:
    status, text, _ = run_command("info", "context")
    assert status == 0
    assert text.startswith("context (method): Context\n")
    for expected in ("| length=2", "| kd=off", "context-1: ", "epochs=2", "shots=2"):
        assert expected in text
    text = run_command("info", "toy-one")[1]
    assert "classes: 7\n" in text
    assert "role: transfer\n" in text
    assert "arXiv:2203.05557" in run_command("info", "cross-dataset")[1]
    assert "workers=2" in run_command("info", "processes")[1]
    assert "tiny.safetensors, present" in run_command("info", "tiny")[1]


def test_info_shows_every_kind_that_has_the_name(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "name", "tiny")
    text = run_command("info", "tiny")[1]
    assert "tiny (method): Context\n" in text
    assert "tiny (backbone): Tiny\n" in text


def test_leaderboard_prints_what_run_printed_and_counts_damage(run_command: RunCommand) -> None:
    _, page, _ = run_command("run", "--method", "fixed", *GOOD)
    assert run_command("leaderboard") == (0, page, "")
    assert "per_class in percent" in run_command("leaderboard", "--metric", "per_class")[1]
    path = next(Path("runs/records").rglob("*.json"))
    path.write_text(path.read_text()[:-40])
    status, page, log = run_command("leaderboard", "cross-dataset")
    assert status == 1
    assert "| Fixed wording |" in page
    assert log.startswith("rppbench: 1 file does not count as a record:\n  runs/records/")
    status, _, log = run_command("leaderboard", "cross-datset")
    assert status == 2
    assert "did you mean 'cross-dataset'?" in log


def test_doctor_reports_versions_and_broken_plugins_but_no_people(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "crooked.py").write_text("open('/home/somebody/secret/thing.txt')\n")
    monkeypatch.syspath_prepend(tmp_path)
    entries = [
        EntryPoint("crooked", "crooked", "rppbench"),
        EntryPoint("tasks", "rppbench_tasks", "rppbench"),
    ]
    monkeypatch.setattr("rppbench.plugins.registry.entry_points", lambda group: entries)
    monkeypatch.setattr("rppbench.commands.doctor.entry_points", lambda group: entries)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RPPBENCH_CACHE", raising=False)
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "Paste this into a bug report." in text
    assert f"rppbench {__version__}, python " in text
    assert "  torch " in text
    assert "cache: ~/.cache/rppbench, 0 B used, " in text
    assert "  crooked (unknown package): failed\n" in text
    assert "    crooked.py:1 in <module>\n" in text
    assert "FileNotFoundError: " in text
    assert "tasks: pretraining, cross-dataset, cross-domain, few-shot, base-to-new" in text
    assert "somebody" not in text
    assert str(tmp_path) not in text


def test_plan_names_damaged_records_and_counts_their_cells_as_due(run_command: RunCommand) -> None:
    words = ("--method", "fixed", *GOOD)
    assert run_command("run", *words)[0] == 0
    path = next(Path("runs/records").rglob("*.json"))
    path.write_text("{")
    for command in (("plan",), ("run", "--dry-run")):
        status, shown, log = run_command(*command, *words)
        assert status == 1
        assert "1 to run" in shown
        assert f"1 file does not count as a record:\n  {path}: not complete JSON" in log
