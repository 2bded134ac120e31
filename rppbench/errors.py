"""Errors for people: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(Exception):
    """Something the user can mend: printed as it is, without a traceback; exit status 2."""


MISSING = "missing"
WRONG_COUNT = "wrong count"
WRONG_ORDER = "wrong class order"
WRONG_VARIANT = "wrong variant"
UNREADABLE = "unreadable"
PROBLEMS = (MISSING, WRONG_COUNT, WRONG_ORDER, WRONG_VARIANT, UNREADABLE)
"""What can be wrong with files of a data set, as `rppbench data check` calls it."""


class MissingDataError(UsageError):
    """Files of a data set are not there or not as they must be; only its own cells fail."""

    def __init__(self, message: str, problem: str = MISSING) -> None:
        super().__init__(message)
        self.problem = problem
        """One of `PROBLEMS`."""


class DivergedError(Exception):
    """A loss or score is no longer finite; of a loss it says at which step, with which norms."""


class LostError(Exception):
    """A process of a data-parallel training is gone, and the training cannot go on without it."""


def unknown(
    what: str, name: str, known: Iterable[str], plural: str, notes: Iterable[str] = ()
) -> UsageError:
    """The error for a name that does not exist: the closest name, then all there are.

    `what` reads like "method is named" ("no method is named 'x'"), `plural` heads the list.
    """
    names = sorted(known)
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    lines = [f"no {what} {name!r}{hint}", f"{plural}: {', '.join(names) or '(none)'}", *notes]
    return UsageError("\n".join(lines))
