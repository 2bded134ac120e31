"""The commands, one module each, and what they share: the console, and words for devices."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.errors import UsageError, unknown

if TYPE_CHECKING:  # rich takes a tenth of a second; `--version` prints without it
    from rich.console import Console

WIDE = 10_000
"""Columns where nobody's window is too narrow: a file or a pipe."""


def console(stderr: bool = False) -> Console:
    """Rich on a terminal; elsewhere plain text, so wide that no name is cut."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    # Names of classes and files are printed as they are, not read as markup.
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def print_table(to: Console, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns under their heads, without lines; only the last one may wrap."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        table.add_column(head, no_wrap=head != heads[-1])
    for row in rows:
        table.add_row(*row)
    to.print(table)


def torch_device(name: str) -> str:
    """The device that is meant. UsageError if this machine does not have it."""
    import torch

    cuda = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if cuda else "cpu"
    if name == "cpu":
        return name
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdecimal()):
        raise unknown("device is named", name, ("auto", "cpu", "cuda", "cuda:N"), "devices")
    count = torch.cuda.device_count() if cuda else 0
    if int(index or 0) >= count:
        raise UsageError(f"no device {name!r}: torch sees {count} CUDA devices here")
    return name
