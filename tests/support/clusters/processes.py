"""Processes of this machine, from /proc: who is whose child, and the end of one."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def title(pid: int) -> str:
    """The command line of a process, with spaces; '' if it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    return ""


def all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def descendants(pids: Sequence[int]) -> list[int]:
    """Children of these processes, their children and so on; zombies are left out."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z":
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.name))
    result: list[int] = []
    queue = list(pids)
    while queue:
        children = parents.get(queue.pop(), [])
        result += children
        queue += children
    return result


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
