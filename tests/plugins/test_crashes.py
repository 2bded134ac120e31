"""Crashes of the process, a debugger in plugin code, a real Ctrl-C; in real processes."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.toy_plugin import save_tiny

from rppbench.records.record import Record
from rppbench.records.store import Store

SCRIPT = """
import ctypes, os, signal, sys
from pathlib import Path
from rppbench import hookimpl
from rppbench.cli import main
from rppbench.execution import engines
from rppbench.plugins.registry import Registry
from support.misbehaving import method
from support.toy_plugin import ToyPlugin, registry_of

def act(self):
    {act}
    return self.usual()

class Bad:
    @hookimpl
    def rppbench_methods(self):
        from support.toy_plugin import Context
        return [method(prompts=act, usual=Context.prompts)]

def load(*given):
    return registry_of(toys=ToyPlugin(Path("models")), bad=Bad(), engines=engines)

Registry.load = load
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""
SEGFAULT = "ctypes.string_at(0)"
ABORT = "os.abort()"
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
WORDS = ("--task", "cross-dataset:suite=toy", "--dataset", "toy-one", "--model", "tiny")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_tiny(tmp_path / "models")
    paths = [str(Path(__file__).parents[1]), str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.delenv("PYTHONFAULTHANDLER", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, act: str) -> None:
    (folder / "script.py").write_text(SCRIPT.format(act=act))


def run(*words: str, method: str = "bad") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "script.py", "run", "--method", method, "fixed", *WORDS, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def records() -> dict[str, Record]:
    stored, problems = Store(Path("runs")).all()
    assert problems == []
    return {record.cell.method.name: record for record in stored}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "number", "report"),
    [
        (SEGFAULT, signal.SIGSEGV, "Segmentation fault"),
        (ABORT, signal.SIGABRT, "Aborted"),
    ],
)
def test_the_run_after_a_crash_records_it_and_goes_on(
    act: str, number: int, report: str, folder: Path
) -> None:
    write(folder, act)
    assert run().returncode == -number
    assert records() == {}
    after = run()
    assert after.returncode == 1, after.stderr
    assert f"failed: bad, toy-one, seed 1: crash: the process died in this cell: {report}" in (
        after.stderr
    )
    assert "--engine processes" in after.stderr
    found = records()
    assert found["fixed"].status == "ok"
    failure = found["bad"].failure
    assert failure is not None
    assert "script.py" in failure.details  # where it was
    again = run()  # it is not run again, but it is not forgotten either
    assert again.returncode == 1
    assert "1 crashed" in again.stderr
    assert "cells: 0 done, 2 had a record, 1 failed" in again.stderr
    write(folder, "pass")  # repaired
    assert run("--overwrite", "always").returncode == 0
    assert not list(folder.rglob("*.started"))


@pytest.mark.slow
def test_a_run_that_was_killed_continues_until_the_cell_is_the_cause(folder: Path) -> None:
    write(folder, KILL)
    for _ in range(3):
        assert run().returncode == -signal.SIGKILL
        assert records() == {}
    after = run()
    assert after.returncode == 1, after.stderr
    assert "3 processes in a row died in this cell" in after.stderr
    assert records()["fixed"].status == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("act", [SEGFAULT, ABORT, KILL, "os._exit(0)"])
def test_workers_contain_crashes(act: str, folder: Path) -> None:
    write(folder, act)
    done = run("--engine", "processes:workers=1")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    found = records()
    assert found["fixed"].status == "ok"
    failure = found["bad"].failure
    assert failure is not None
    assert failure.kind == ("os._exit" if "_exit" in act else "WorkerDied")
    assert ("script.py" in failure.details) == (act != KILL)
    assert not list(folder.rglob("*.started"))


def test_a_mark_with_a_reason_fails_the_cell_and_one_without_does_not(tmp_path: Path) -> None:
    from rppbench.execution.start_mark import mark_path, start_mark

    record, progress = tmp_path / "a" / "seed1-key.json", tmp_path / "prompts.partial"
    path = mark_path(record)
    with start_mark(record, None) as failure:
        assert failure is None
        assert path.is_file()
        head = path.read_bytes()
        with start_mark(record, None) as second:  # the cell runs already: nothing is concluded
            assert second is None
        assert path.read_bytes() == head
    assert not path.exists()
    path.write_bytes(head + b"Fatal Python error: Segmentation fault\n\nCurrent thread ...")
    with start_mark(record, None) as failure:
        assert failure is not None
        assert failure.kind == "crash"
        assert failure.message.startswith("the process died in this cell: Segmentation fault\n")
    assert not path.exists()
    for deaths, fails in ((1, False), (2, False), (3, True)):
        path.write_text(f'{{"starts": {deaths}}}\n')
        with start_mark(record, None) as failure:
            assert (failure is not None) == fails
    path.write_text('{"starts": 3}\n')
    progress.touch()
    later = path.stat().st_mtime + 10
    os.utime(progress, (later, later))
    with start_mark(record, progress) as failure:
        assert failure is None  # the training advanced since


def talk(command: list[str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run a command in a terminal; type each answer when its prompt appears."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], command)
    text, waiting, end = "", list(answers), time.monotonic() + 120
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # the program has ended
                break
            if not part:
                break
            text += part.decode(errors="replace")
        if waiting and re.search(waiting[0][0] + r"\s*$", text):
            os.write(terminal, waiting.pop(0)[1].encode())
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), text


@pytest.mark.slow
def test_a_breakpoint_in_a_plugin_can_be_typed_into(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)  # importing ray sets it
    write(folder, "secret = 6 * 7; breakpoint()")
    command = [sys.executable, "script.py", "run", "--method", "bad", *WORDS, "--debug"]
    typed = [(r"\(Pdb\)", "p secret + 1\n"), (r"\(Pdb\)", "q\n")]
    status, text = talk(command, typed)
    assert "\r\n43\r\n" in text
    assert "BdbQuit" in text  # it is let through, with its traceback
    assert status == 1
    assert "\x1b[?25l" not in text  # no bars, which would hide the cursor


@pytest.mark.slow
def test_debugging_lets_an_error_through(folder: Path) -> None:
    write(folder, "raise LookupError('mine')")
    done = run("--debug")
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("LookupError: mine")
    assert 'script.py", line' in done.stderr
    assert records() == {}
    refused = run("--debug", "--engine", "processes")
    assert refused.returncode == 2
    assert "--debug runs in this process: engine 'processes' cannot be used" in refused.stderr
    write(folder, "from rppbench.errors import UsageError; raise UsageError('not so')")
    done = run("--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.rstrip().endswith("rppbench: error: not so")


@pytest.mark.slow
def test_an_interrupt_that_a_plugin_swallows_stops_the_run(folder: Path) -> None:
    interrupt = "os.kill(os.getpid(), signal.SIGINT)"
    write(folder, f"try: {interrupt}\n    except BaseException: pass")
    done = run()
    assert done.returncode == 130, done.stderr
    assert done.stderr.rstrip().endswith("the same command continues from here")
    assert records() == {}
