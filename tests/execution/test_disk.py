"""A folder of records that cannot be written: one line, exit status 2, and what was done stays."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import RunCommand, refused

from rppbench.records.store import Store

WORDS = ("--task", "cross-dataset:suite=toy", "--model", "tiny", "--dataset", "toy-one", "toy-two")
RUN = ("run", "--method", "fixed", *WORDS)


def one_line(message: str) -> str:
    """The only line about the error, which is the last one."""
    (line,) = [line for line in message.splitlines() if line.startswith("rppbench: error: ")]
    assert message.rstrip().endswith(line)
    return line


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO]
)
def test_a_folder_that_takes_no_more_ends_the_run_in_one_line(
    number: int, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    replace = os.replace

    def fail_at_the_second(source: Path, target: Path) -> None:
        if Path(target).suffix == ".json":
            written.append(Path(target))
            if len(written) > 1:
                raise OSError(number, os.strerror(number), str(target))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("rppbench.files.atomic.os.replace", fail_at_the_second)
        message = refused(run_command, *RUN)
    assert one_line(message) == f"rppbench: error: cannot write to runs: {os.strerror(number)}"
    records, problems = Store(Path("runs")).all()
    assert [record.status for record in records] == ["ok"]
    assert problems == []


def test_learned_prompts_that_find_no_room_are_no_failed_cell(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    message = refused(run_command, "run", "--method", "context", *WORDS)
    assert one_line(message) == "rppbench: error: cannot write to runs: No space left on device"
    assert Store(Path("runs")).all() == ([], [])


def file_at(path: str) -> Callable[[], None]:
    def make() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("a file\n")

    return make


@pytest.mark.parametrize(
    ("make", "output", "report"),
    [
        (file_at("runs"), "runs", "cannot write to runs: "),
        (file_at("runs/records"), "runs", "cannot write to runs: Not a directory"),
        (file_at("runs/records/cross-dataset"), "runs", "cannot write to runs: Not a directory"),
        (lambda: None, "x" * 300, "File name too long"),
        (lambda: None, "/proc/runs", "cannot write to /proc/runs: "),
    ],
)
def test_a_file_in_place_of_a_folder_is_one_line(
    make: Callable[[], None], output: str, report: str, run_command: RunCommand
) -> None:
    make()
    assert report in one_line(refused(run_command, *RUN, "--output", output))


def test_a_folder_in_place_of_a_record_is_one_line(run_command: RunCommand) -> None:
    assert run_command(*RUN)[0] == 0
    path = next(Path("runs/records").rglob("*.json"))
    path.unlink()
    path.mkdir()
    message = refused(run_command, *RUN)
    assert one_line(message) == "rppbench: error: cannot write to runs: Is a directory"
    assert len(Store(Path("runs")).all()[0]) == 1


@pytest.mark.slow
def test_a_limit_of_file_sizes_is_a_full_disk(tmp_path: Path) -> None:
    """In a real process, whose files may hold only 600 bytes: no record fits."""
    command = "run --method zeroshot --task cross-dataset --limit 2 --dataset demo-2-clothing"
    done = subprocess.run(
        [sys.executable, "-m", "rppbench", *command.split(), "--output", str(tmp_path / "runs")],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)),
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert one_line(done.stderr).endswith("/runs: File too large")
