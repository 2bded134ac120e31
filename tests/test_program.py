"""The program as a process of its own: what it imports, its pipes, and how it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import RunCommand

from rppbench import __version__

GOOD = ("--task", "cross-dataset:suite=toy", "--model", "tiny", "--dataset", "toy-one", "toy-two")


def test_help_version_and_leaderboard_need_no_torch(
    run_command: RunCommand, tmp_path: Path
) -> None:
    run_command("run", "--method", "fixed", *GOOD)
    script = (
        "import sys\n"
        "from rppbench.cli import main\n"
        "try: status = main(sys.argv[1:])\n"
        "except SystemExit as end: status = end.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'open_clip', 'mmengine'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else status)\n"
    )
    for words in (["--help"], ["run", "--help"], ["--version"], ["leaderboard"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout
    assert subprocess.run(
        [sys.executable, "-m", "rppbench", "--version"], capture_output=True, text=True
    ).stdout == (f"rppbench {__version__}\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--help"], set()),
        (["rnu"], set()),
        (["cache", "--help"], {"cache"}),
        (
            ["run", "--help"],
            {
                *("run", "requests", "conclusion", "leaderboard", "torchrun", "engines"),
                *("clip_benchmark", "dataset_names", "lists", "run_flags"),
            },
        ),
    ],
)
def test_only_the_module_of_the_called_command_is_imported(
    words: list[str], expected: set[str]
) -> None:
    script = (
        "import sys\n"
        "from rppbench.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "prefix = 'rppbench.commands.'\n"
        "print(*(name for name in sys.modules if name.startswith(prefix)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    names = done.stderr.splitlines()[-1].split()
    assert {name.removeprefix("rppbench.commands.") for name in names} == {"verbs"} | expected


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(
    run_command: RunCommand, tmp_path: Path, unbuffered: str
) -> None:
    run_command("run", "--method", "fixed", *GOOD)
    for words in (["--help"], ["list", "engines"], ["leaderboard"]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "rppbench", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(write)
        assert done.stderr == ""


def test_the_installed_program_is_the_same() -> None:
    program = shutil.which("rppbench", path=Path(sys.executable).parent)
    assert program, "the console script is not installed"
    done = subprocess.run([program, "rnu"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "did you mean 'run'?" in done.stderr
