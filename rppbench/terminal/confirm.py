"""The question before a plan of very many cells."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def confirmed(yes: bool, planned: Callable[[float], T]) -> T:
    """What `planned` makes of at most so many cells; for more, after a question at the terminal.

    Raises TooManyCellsError, a UsageError, where nobody can be asked or the answer is no.
    """
    from rppbench.planning.request import MANY_CELLS, TooManyCellsError

    try:
        return planned(math.inf if yes else MANY_CELLS)
    except TooManyCellsError as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        print(f"up to {error.count:,} cells: plan them all? [y/N] ", end="", file=sys.stderr)
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise
    return planned(math.inf)
