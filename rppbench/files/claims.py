"""Claims: one process at a time does a piece of work, on this host or any that shares the folder.

A claim is a file that its process creates (O_EXCL: of two processes one fails, on shared file
systems too), touches every few seconds and removes at the end. If a process dies, its claim is
dead and another takes it over:

- on the same host at once: the system has released the dead process's lock on the file;
- from another host once the file has not been touched for `STALE_SECONDS` by the clock of the one
  who waits, so that clocks may differ.

A process that was suspended for so long may find that another has begun the same work. Claims save
work and do not protect files: what is claimed must be written in one step (`files.atomic`).
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

TOUCH_SECONDS = 5.0
"""A claim is touched at this interval."""
STALE_SECONDS = 60.0
"""Longest time without a touch after which another host takes a claim over."""
LOOK_SECONDS = 0.5
"""Interval at which a waiting process looks at the claim."""


@dataclass(frozen=True)
class Claimant:
    """The process that holds a claim."""

    host: str = "an unknown host"
    pid: int = 0
    boot: str = ""
    """Identifies the running system: containers may share a host name."""
    locked: bool = False
    """Whether it also holds the system's lock on the file."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@contextmanager
def claimed(path: Path, wait: Callable[[Claimant], None]) -> Iterator[None]:
    """Hold the claim on `path` for the block; first wait until nobody else does.

    `wait` is called with each other process that is waited for. OSError if the file cannot be
    created. A process must not claim one path twice at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    claim = Claim(path, _acquire(path, wait))
    try:
        yield
    finally:
        claim.release()


def try_claim(path: Path) -> Claim | None:
    """The claim on `path`, to be released; None while another process holds it.

    Only the claim of a dead process of this host is taken over. OSError as `claimed`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        with suppress(FileExistsError):
            return Claim(path, _create(path))
        with suppress(FileNotFoundError):
            holder = _claimant(path)
            if not (holder.locked and holder.boot == _boot()):
                return None
            _remove_if_unlocked(path)
    return None


class Claim:
    """A claim that this process holds until it releases it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor
        self._done = threading.Event()
        self._toucher = threading.Thread(target=_touch, args=(descriptor, self._done), daemon=True)
        self._toucher.start()

    def release(self) -> None:
        """Remove the claim, unless another process has taken it over."""
        self._done.set()
        self._toucher.join()
        with suppress(OSError):
            if _is_at(self.descriptor, self.path):
                self.path.unlink()
        os.close(self.descriptor)  # last: it releases the lock


def _acquire(path: Path, wait: Callable[[Claimant], None]) -> int:
    """The open file of the claim, which this process holds from now on."""
    named: Claimant | None = None
    watched, since = None, time.monotonic()
    while True:
        with suppress(FileExistsError):
            return _create(path)
        try:
            facts = path.stat()
            holder = _claimant(path)
        except FileNotFoundError:
            continue  # released just now
        if (facts.st_ino, facts.st_mtime_ns) != watched:
            watched, since = (facts.st_ino, facts.st_mtime_ns), time.monotonic()
        if holder.locked and holder.boot == _boot():
            _remove_if_unlocked(path)
        elif time.monotonic() - since > STALE_SECONDS:
            _remove_if_still(path, facts.st_ino)
        if path.exists():
            if holder.pid and holder != named:  # without a pid it is being written just now
                named = holder
                wait(holder)
            time.sleep(LOOK_SECONDS)


def _create(path: Path) -> int:
    """Create the claim, locked if the file system has locks. FileExistsError if it exists."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    claimant = Claimant(socket.gethostname(), os.getpid(), _boot(), _lock(descriptor))
    os.write(descriptor, json.dumps(vars(claimant)).encode())
    return descriptor


def _lock(descriptor: int) -> bool:
    """Take the system's lock on a file; False if another process has it or there are no locks.

    A record lock, not flock: processes that this one forks to read images do not inherit it.
    """
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_if_unlocked(path: Path) -> None:
    """Remove a claim of this host whose process is dead. Only the holder of the lock removes it."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR)
        try:
            if _lock(descriptor) and _is_at(descriptor, path):
                path.unlink()
        finally:
            os.close(descriptor)


def _remove_if_still(path: Path, inode: int) -> None:
    """Remove a claim that has become stale, unless another process has taken it over meanwhile."""
    aside = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    with suppress(FileNotFoundError):
        os.rename(path, aside)  # one of several waiting processes succeeds
        if aside.stat().st_ino != inode:
            with suppress(FileExistsError):
                os.link(aside, path)  # the new holder's: put it back
        aside.unlink()


def _is_at(descriptor: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(descriptor), path.stat())


def _touch(descriptor: int, done: threading.Event) -> None:
    while not done.wait(TOUCH_SECONDS):
        with suppress(OSError):  # a shared file system may be away for a moment
            os.utime(descriptor)


def _claimant(path: Path) -> Claimant:
    """Who holds the claim; FileNotFoundError if it is gone.

    Never called for a claim of this process: closing the file would release its lock.
    """
    try:
        return Claimant(**json.loads(path.read_text()))
    except (ValueError, TypeError):
        return Claimant()


def _boot() -> str:
    """Text that identifies the running system."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # only Linux has it
        return socket.gethostname()
