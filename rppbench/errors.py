"""Errors for people: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(Exception):
    """A mistake that the user can fix: printed without a traceback; exit status 2."""


MISSING = "missing"
WRONG_COUNT = "wrong count"
WRONG_ORDER = "wrong class order"
WRONG_VARIANT = "wrong variant"
UNREADABLE = "unreadable"
PROBLEMS = (MISSING, WRONG_COUNT, WRONG_ORDER, WRONG_VARIANT, UNREADABLE)
"""Kinds of problems with the files of a data set, as `rppbench data check` names them."""


class MissingDataError(UsageError):
    """Files of a data set are missing or wrong; only the cells of that data set fail."""

    def __init__(self, message: str, problem: str = MISSING) -> None:
        super().__init__(message)
        self.problem = problem
        """One of `PROBLEMS`."""


class DataChangedError(UsageError):
    """Data changed while a result was computed from them, so the result belongs to neither."""


class OutputError(UsageError):
    """The folder of records cannot be written, so that no other cell can run either."""


class ContractError(Exception):
    """A component returned what its contract does not allow; the message names the component."""


class RefusedError(UsageError):
    """A backbone does not take what a method learns; only cells of both fail."""


class DivergedError(Exception):
    """A loss or score is not finite; for a loss the message has the step and the norms."""


class ChangedBackboneError(Exception):
    """The backbone that all cells of a run share is no longer as it was loaded."""


class LostError(Exception):
    """A process of a data-parallel training died, and the training cannot continue without it."""


def unknown(
    what: str, name: str, known: Iterable[str], plural: str, notes: Iterable[str] = ()
) -> UsageError:
    """The error for a name that does not exist: suggests the closest name and lists all.

    `what` is a phrase like "method is named", which gives "no method is named 'x'"; `plural` heads
    the list.
    """
    names = sorted(known)
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    lines = [f"no {what} {name!r}{hint}", f"{plural}: {', '.join(names) or '(none)'}", *notes]
    return UsageError("\n".join(lines))
