"""Named random streams: a separate generator for each owner (such as a cell) and purpose.

Nothing is seeded globally. Two cells never share a stream, and one more draw for one purpose
cannot shift the draws for another, so a record does not depend on order, engine or worker count.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_of(*parts: object) -> int:
    """A 63-bit seed from the texts of the parts; equal parts give equal seeds on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_stream(*parts: object) -> torch.Generator:
    """A CPU `torch.Generator` seeded with `seed_of(*parts)`."""
    import torch  # torch costs two seconds; the commands that only read records do not pay it

    return torch.Generator().manual_seed(seed_of(*parts))
