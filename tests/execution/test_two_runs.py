"""Two runs on one folder: one learns, the other waits, also if the first is killed meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rppbench.records.store import Store

pytestmark = pytest.mark.slow

RUN = """
import json, sys, time
from pathlib import Path
from rppbench.planning.plan import cell_groups
from rppbench.training import trainer
from support.toy_runner import ToyRunner, toy_cells

output, models, gate = map(Path, sys.argv[1:])
trainer.SAVE_SECONDS = 0.0

def report(event):
    print(json.dumps([event.phase, event.done, event.message]), flush=True)
    while event.phase == "train" and event.done == 3 and not gate.exists():
        time.sleep(0.01)

settings = (("recipe.epochs", "5"), ("recipe.batch", "4"))
for group in cell_groups(toy_cells(models, "context", datasets=("toy-one",), settings=settings)):
    ToyRunner(output, batch_size=5, models=models)(group, report)
"""


class Run:
    """A process that runs one cell and prints its events; it stands still until `gate` exists."""

    def __init__(self, output: Path, models: Path, gate: Path) -> None:
        paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        words = [sys.executable, "-c", RUN, str(output), str(models), str(gate)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)

    def next(self, phase: str, message: str = "") -> list[Any]:
        """The next event of this phase that has (or has no) message."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: list[Any] = json.loads(line)
            if event[0] == phase and bool(event[2]) == bool(message) and message in event[2]:
                return event
        raise AssertionError(f"no event {phase} {message}")

    def rest(self) -> list[list[Any]]:
        assert self.process.stdout is not None
        events = [json.loads(line) for line in self.process.stdout]
        assert self.process.wait(60) == 0
        return events


@pytest.mark.parametrize("killed", [False, True], ids=["to the end", "killed"])
def test_prompts_are_learned_by_one_run_at_a_time(
    tmp_path: Path, models: Path, killed: bool
) -> None:
    gate = tmp_path / "gate"
    alone = Run(tmp_path / "alone", models, tmp_path)
    steps = sum(event[0] == "train" for event in alone.rest())
    assert steps == 10
    first = Run(tmp_path / "runs", models, gate)
    second = None
    try:
        assert [first.next("train")[1] for _ in range(3)] == [1, 2, 3]
        second = Run(tmp_path / "runs", models, tmp_path)
        second.next("train", f"another run (process {first.process.pid} on ")
        if killed:
            first.process.kill()
        else:
            gate.touch()
            assert first.rest()[-1][0] == "done"
        events = second.rest()
    finally:
        for run in (first, second):
            if run is not None:
                run.process.kill()
                run.process.wait()
    learned = [event[1] for event in events if event[0] == "train"]
    assert events[-1][0] == "done"
    if killed:  # it resumes where the first one was
        assert learned == list(range(learned[0], steps + 1))
        assert learned[0] > 1
    else:
        assert learned == []
    (expected,), (record,) = (Store(tmp_path / name).all()[0] for name in ("alone", "runs"))
    assert record.measured() == expected.measured()
    assert record.cost.training_reused != killed
    assert list((tmp_path / "runs" / "prompts").glob("*.claim")) == []
