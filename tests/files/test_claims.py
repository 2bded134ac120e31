"""Claims of processes that wait for each other, die, or stand still on another host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rppbench.files import claims
from rppbench.files.claims import Claimant, claimed, try_claim

HOLD = """
import sys, time
from pathlib import Path
from rppbench.files.claims import claimed
folder, name = Path(sys.argv[1]), sys.argv[2]
with claimed(folder / "work.claim", lambda holder: (folder / f"{name}.waits").touch()):
    inside = folder / "inside"
    inside.touch(exist_ok=False)
    (folder / f"{name}.holds").touch()
    while not (folder / f"{name}.go").exists():
        time.sleep(0.01)
    inside.unlink()
"""


def start(folder: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", HOLD, str(folder), name])


def appears(path: Path, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return path.exists()


def test_the_second_process_waits_for_the_first(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    assert appears(tmp_path / "first.holds")
    second = start(tmp_path, "second")
    assert appears(tmp_path / "second.waits")
    assert not appears(tmp_path / "second.holds", 1.0)
    (tmp_path / "first.go").touch()
    (tmp_path / "second.go").touch()
    assert first.wait(20) == 0
    assert second.wait(20) == 0
    assert (tmp_path / "second.holds").exists()
    assert not (tmp_path / "work.claim").exists()


def test_a_try_does_not_wait_and_takes_over_from_the_dead(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    assert appears(tmp_path / "first.holds")
    began = time.monotonic()
    assert try_claim(tmp_path / "work.claim") is None
    assert time.monotonic() - began < 1.0
    first.kill()
    first.wait(20)
    claim = try_claim(tmp_path / "work.claim")
    assert claim is not None
    claim.release()
    assert not (tmp_path / "work.claim").exists()


def test_of_a_crowd_one_at_a_time_works(tmp_path: Path) -> None:
    """`inside.touch(exist_ok=False)` fails in a process that is not alone."""
    names = [str(number) for number in range(5)]
    for name in names:
        (tmp_path / f"{name}.go").touch()
    processes = [start(tmp_path, name) for name in names]
    assert [process.wait(60) for process in processes] == [0] * 5
    assert all((tmp_path / f"{name}.holds").exists() for name in names)


def test_the_claim_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    assert appears(tmp_path / "first.holds")
    first.kill()
    first.wait()
    assert (tmp_path / "work.claim").exists()
    waited: list[Claimant] = []
    began = time.monotonic()
    with claimed(tmp_path / "work.claim", waited.append):
        assert time.monotonic() - began < 10 < claims.STALE_SECONDS
    assert list(tmp_path.glob("*.claim")) == []


def test_a_stopped_process_of_this_host_keeps_its_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "STALE_SECONDS", 0.2)

    class WaitedError(Exception):
        pass

    def give_up(holder: Claimant) -> None:
        raise WaitedError

    first = start(tmp_path, "first")
    try:
        assert appears(tmp_path / "first.holds")
        first.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        with pytest.raises(WaitedError), claimed(tmp_path / "work.claim", give_up):
            pass
    finally:
        first.kill()
        first.wait()


def elsewhere(path: Path) -> None:
    holder = Claimant("elsewhere", 7, "another system", True)
    path.write_text(json.dumps(vars(holder)))


def test_a_claim_of_another_host_counts_while_it_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if that host's clock is years behind; and it is dead once nobody touches it."""
    monkeypatch.setattr(claims, "STALE_SECONDS", 1.0)
    monkeypatch.setattr(claims, "LOOK_SECONDS", 0.05)
    path = tmp_path / "work.claim"
    elsewhere(path)
    touched = 0

    def touch() -> None:
        nonlocal touched
        if touched < 30:  # for 1.5 seconds, longer than a claim may stand still
            touched += 1
            os.utime(path, (touched, touched))

    real = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: (touch(), real(seconds))[1])
    waited: list[Claimant] = []
    began = time.monotonic()
    with claimed(path, waited.append):
        assert touched == 30
        assert time.monotonic() - began > 2.5
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert [str(holder) for holder in waited] == ["process 7 on elsewhere"]


def test_an_own_claim_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "TOUCH_SECONDS", 0.02)
    path = tmp_path / "work.claim"
    with claimed(path, lambda holder: None):
        before = path.stat().st_mtime_ns
        time.sleep(0.3)
        assert path.stat().st_mtime_ns > before


def test_a_fresh_claim_is_put_back_if_it_was_taken_for_the_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "work.claim"
    elsewhere(path)
    stale = path.stat().st_ino
    kept = tmp_path / "kept"  # so that the inode is not used again
    path.rename(kept)
    elsewhere(path)
    claims._remove_if_still(path, stale)
    assert path.exists()
    claims._remove_if_still(path, path.stat().st_ino)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["kept"]
