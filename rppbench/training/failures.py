"""Exceptions as the failures that records hold."""

from __future__ import annotations

import traceback

from rppbench.errors import (
    ChangedBackboneError,
    ContractError,
    DivergedError,
    LostError,
    MissingDataError,
    RefusedError,
    UsageError,
)
from rppbench.plugins.containment import kind_of, text_of
from rppbench.records.record import Failure

LONGEST = 20_000
"""Most characters of a message or traceback; the middle of a longer one is left out."""


class PeerError(Exception):
    """Another process failed in work that all processes share."""

    def __init__(self, rank: int, failure: Failure) -> None:
        super().__init__(f"in process {rank}: {failure.message}")
        self.failure = Failure(failure.kind, str(self), failure.details)


def failure_of(error: Exception) -> Failure:
    """Kind and message of the exception; a traceback too if neither user nor data is the cause."""
    failure = _failure_of(error)
    return Failure(failure.kind, _storable(failure.message), _storable(failure.details))


def _failure_of(error: Exception) -> Failure:
    from rppbench.models.out_of_memory import (
        is_out_of_memory,  # loads open_clip, which a finished grid does not need
    )

    message = text_of(error)
    if isinstance(error, PeerError):
        return error.failure
    if isinstance(error, LostError):
        return Failure("process-lost", message)
    if is_out_of_memory(error):
        reason = message.strip() or "the system gave no more"
        return Failure("oom", f"out of memory, even in the smallest groups: {reason}")
    if isinstance(error, DivergedError):
        return Failure("nan", message)
    if isinstance(error, ChangedBackboneError):
        return Failure("changed-backbone", message)
    if isinstance(error, ContractError):
        return Failure("contract", message)
    if isinstance(error, MissingDataError):
        return Failure("missing-data", message)
    if isinstance(error, RefusedError):
        return Failure("refused", message)
    if isinstance(error, UsageError):
        return Failure("usage", message)
    kind = kind_of(error)
    return Failure(kind, message or kind, _traceback(error))


def _traceback(error: Exception) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as broken:  # noqa: BLE001  classes of a plugin take part in it
        return f"(the traceback cannot be made: {type(broken).__name__})"


def _storable(text: str) -> str:
    """The text as a record can hold it: valid UTF-8 of at most LONGEST characters."""
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]}\n... {len(text) - LONGEST:,} characters ...\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()
