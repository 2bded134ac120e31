"""A run that is killed at any moment and started again gives the records of an undisturbed one."""

from __future__ import annotations

import os
import time
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rppbench.contracts.engine import Event
from rppbench.records.record import Record
from rppbench.records.store import Store

pytestmark = pytest.mark.slow

FIRST = [("train", 3), ("train", 8), ("evaluate", 1), ("done", 1), ("start", 2)]
"""The first kills: at the n-th event of this phase, of a training with 15 steps."""
SEED = 7
"""Seed of the moments of all later kills: which event, and the delay after it."""


class Commands:
    """Starts real processes; they start fast, from a server that has torch loaded."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.context = get_context("forkserver")
        self.context.set_forkserver_preload(["support.toy_runner"])

    def issue(
        self, output: Path, phase: str = "", number: int = 0, seconds: float = 0.0
    ) -> list[Event]:
        """Run the command; kill it so long after the n-th event of a phase. Its events."""
        # Here, not above: the module loads torch, and the test need not.
        from support import toy_runner

        near, far = self.context.Pipe()
        arguments: tuple[Any, ...] = (far, output, self.models)
        process = self.context.Process(target=toy_runner.run_missing_cells, args=arguments)
        process.start()
        far.close()
        received: list[Event] = []
        try:
            while not number or [event.phase for event in received].count(phase) < number:
                event = near.recv()
                if event is None:
                    process.join(60)
                    assert process.exitcode == 0
                    return [*received, Event("", "end")]
                received.append(event)
            time.sleep(seconds)
        finally:
            process.kill()
            process.join(60)
        return received


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    from support import toy_plugin

    toy_plugin.save_tiny(tmp_path / "models")
    # The server's children import the helper modules from here.
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return Commands(tmp_path / "models")


def read(output: Path) -> dict[str, Record]:
    records, problems = Store(output).all()
    assert problems == []
    return {record.key: record for record in records}


def test_kills_at_any_moment_change_no_record(commands: Commands, tmp_path: Path) -> None:
    undisturbed, broken = tmp_path / "undisturbed", tmp_path / "broken"
    assert commands.issue(undisturbed)[-1].phase == "end"
    expected = {key: record.measured() for key, record in read(undisturbed).items()}
    assert len(expected) == 2 * (2 * 2 + 1)  # data sets, each for two methods by two seeds and one
    assert {record["status"] for record in expected.values()} == {"ok"}

    random = Random(SEED)
    kills = 0
    resumed = 0
    while True:
        later = (random.choice(("train", "train", "train", "done")), random.randint(1, 6))
        phase, number = FIRST[kills] if kills < len(FIRST) else later
        events = commands.issue(broken, phase, number, random.random() * 0.03)
        first = next((event for event in events if event.phase == "train"), None)
        resumed += first is not None and first.done > 1
        for key, record in read(broken).items():  # every record that exists is complete and correct
            assert record.measured() == expected[key]
        if events[-1].phase == "end":
            break
        assert events[-1].phase == phase
        kills += 1
        assert kills < 60, "the run does not come to an end"
    assert kills > len(FIRST)
    assert resumed >= 2
    assert {key: record.measured() for key, record in read(broken).items()} == expected


def test_files_that_a_killed_writer_left_are_no_records(commands: Commands, tmp_path: Path) -> None:
    output = tmp_path / "runs"
    commands.issue(output)
    before = read(output)
    path = Store(output).record_path(next(iter(before.values())).cell)
    (path.parent / f".{path.name}.{'0' * 32}.tmp").write_text('{"schema": 1')
    (output / "prompts" / "half.safetensors.123.tmp").write_bytes(b"half")
    assert read(output) == before
    assert [event.phase for event in commands.issue(output)] == ["end"]  # nothing is left to do
