"""Sizes in bytes, as people write and read them."""

from __future__ import annotations

import re

from rppbench.errors import UsageError

PROGRAM_BYTES = 768 * 1024**2
"""Memory that the interpreter and the libraries take; on a GPU, the context."""
MOST_BYTES = 1024**6
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(text: str, where: str) -> int:
    """Bytes of '4GB', '500 MiB' or '1073741824'; units are powers of 1024, as in `spell_size`.

    UsageError for any other text, for 0 and for exbibytes; its message says `where` the text was
    given.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    count = float(match[1]) * 1024 ** POWERS[match[2]] if match else 0
    if not 1 <= count < MOST_BYTES:
        raise UsageError(f"{where} must be a size such as 500MB or 4GB, not {text[:40]!r}")
    return int(count)


def spell_size(count: float) -> str:
    """Bytes as '1.5 GiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
