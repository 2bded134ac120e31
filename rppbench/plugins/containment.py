"""Containment: plugin code cannot end the program, and cannot pass for the user's Ctrl-C.

Code of a plugin may call `sys.exit`, raise KeyboardInterrupt or GeneratorExit, define an exception
outside of Exception, or call `os._exit`. Within `contained` each of these becomes an EscapeError,
which fails a cell or names a plugin as any other error does. An interrupt that the user sent still
stops the run, even if plugin code catches it.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from rppbench.errors import UsageError

_REAL_EXIT = os._exit


class EscapeError(Exception):
    """Plugin code tried to end the program."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """Class name of what was raised, or 'os._exit'."""


class _ExitCalled(BaseException):
    """Raised in place of `os._exit`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _State:
    """What this process knows of interrupts and of the running blocks."""

    watching = False
    """Whether `interrupts` records the signal; else any KeyboardInterrupt may be the user's."""
    interrupted = False
    debugging = False
    process = 0
    """Id of the process with the running blocks: a fork of it may exit as it likes."""
    depth = 0


def uncontained() -> bool:
    """Whether errors of plugins are raised as they are (`--debug`)."""
    return _State.debugging


@contextmanager
def debugging(on: bool) -> Iterator[None]:
    """If `on`, let errors of plugins pass as they are, with a traceback of what prints none."""
    before, _State.debugging = _State.debugging, on
    try:
        yield
    except BaseException as error:
        if on and (isinstance(error, (UsageError, OSError)) or not isinstance(error, Exception)):
            traceback.print_exc()
        raise
    finally:
        _State.debugging = before


@contextmanager
def interrupts() -> Iterator[None]:
    """While the block runs, distinguish the user's interrupt from a plugin's KeyboardInterrupt."""
    usual = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not usual or before not in (signal.default_int_handler, signal.SIG_IGN):
        yield  # another handler was chosen: it stays
        return

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        _State.interrupted = True
        raise KeyboardInterrupt

    if before is not signal.SIG_IGN:  # a background job of a shell ignores it, and still does
        signal.signal(signal.SIGINT, interrupt)
    _State.watching, _State.interrupted = True, False
    try:
        yield
    finally:
        _State.watching = _State.interrupted = False
        signal.signal(signal.SIGINT, before)


@contextmanager
def contained() -> Iterator[None]:
    """Run plugin code; EscapeError if it tries to end the program.

    KeyboardInterrupt if the user interrupted it, whatever it made of the interrupt.
    """
    if _State.debugging:
        yield
        return
    try:
        with _no_exit():
            yield
    except BaseException as error:
        if _State.interrupted or (isinstance(error, KeyboardInterrupt) and not _State.watching):
            raise KeyboardInterrupt from error
        if isinstance(error, Exception):
            raise
        raise _escape(error) from error
    if _State.interrupted:
        raise KeyboardInterrupt


def _escape(error: BaseException) -> EscapeError:
    if isinstance(error, _ExitCalled):
        return EscapeError("os._exit", f"the code of a plugin called os._exit({error.status})")
    kind = type(error).__name__
    if isinstance(error, SystemExit):
        return EscapeError(kind, f"the code of a plugin called sys.exit({text_of(error)})")
    if isinstance(error, KeyboardInterrupt):
        return EscapeError(kind, "raised by the code of a plugin; nobody interrupted the run")
    text = text_of(error)
    return EscapeError(kind, f"raised by the code of a plugin{f': {text}' if text else ''}")


def kind_of(error: BaseException) -> str:
    """What an exception is called in lists and records: its class, or what an EscapeError was."""
    return error.kind if isinstance(error, EscapeError) else type(error).__name__


def text_of(error: BaseException) -> str:
    """The text of an exception, even if its class has a broken `__str__`."""
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001  it is the code of a plugin
        return f"(its text cannot be read: {type(broken).__name__})"


def line_of(error: BaseException) -> str:
    """Kind and text of an exception, on one line."""
    return f"{kind_of(error)}: {' '.join(text_of(error).split())}"


@contextmanager
def _no_exit() -> Iterator[None]:
    """Let `os._exit` raise in the main thread of this process; a fork of it ends as usual."""
    if not _State.depth:
        _State.process = os.getpid()
        os._exit = _exit
    _State.depth += 1
    try:
        yield
    finally:
        _State.depth -= 1
        if not _State.depth:
            os._exit = _REAL_EXIT


def _exit(status: int) -> NoReturn:
    inside = _State.depth and os.getpid() == _State.process
    if inside and threading.current_thread() is threading.main_thread():
        raise _ExitCalled(status)
    _REAL_EXIT(status)
