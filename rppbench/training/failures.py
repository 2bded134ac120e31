"""Exceptions as the failures that records hold."""

from __future__ import annotations

import traceback

from rppbench.errors import DivergedError, LostError, MissingDataError, UsageError
from rppbench.records.record import Failure


class PeerError(Exception):
    """Another process failed in work that all processes share."""

    def __init__(self, rank: int, failure: Failure) -> None:
        super().__init__(f"in process {rank}: {failure.message}")
        self.failure = Failure(failure.kind, str(self), failure.details)


def failure_of(error: Exception) -> Failure:
    """Kind and message of the exception; a traceback too if neither user nor data is the cause."""
    from rppbench.models.out_of_memory import (
        is_out_of_memory,  # loads open_clip, which a finished grid does not need
    )

    if isinstance(error, PeerError):
        return error.failure
    if isinstance(error, LostError):
        return Failure("process-lost", str(error))
    if is_out_of_memory(error):
        reason = str(error).strip() or "the system gave no more"
        return Failure("oom", f"out of memory, even in the smallest groups: {reason}")
    if isinstance(error, DivergedError):
        return Failure("nan", str(error))
    if isinstance(error, MissingDataError):
        return Failure("missing-data", str(error))
    if isinstance(error, UsageError):
        return Failure("usage", str(error))
    kind = type(error).__name__
    return Failure(kind, str(error) or kind, traceback.format_exc())
