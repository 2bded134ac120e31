"""Outcomes of single test images: whether each was classified right, one bit per image."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    outcomes: str


@dataclass(frozen=True)
class PerImage:
    """Outcomes of a score's images, as JSON that is decoded only on request.

    They are most of a large record, and tables do not need them.
    """

    json: bytes
    """{"outcomes": "..."}, as `pack_outcomes` wrote them."""

    @classmethod
    def of(cls, right: Iterable[bool]) -> PerImage:
        """Packs outcomes: for each image in order, whether it was classified right."""
        return cls(msgspec.json.encode({"outcomes": pack_outcomes(right)}))

    def outcomes(self, total: int) -> list[bool]:
        """For each of the `total` images, whether it was right. ValueError for damaged data."""
        return unpack_outcomes(msgspec.json.decode(self.json, type=_Content).outcomes, total)


def pack_outcomes(right: Iterable[bool]) -> str:
    """One bit per image in order (first image = highest bit of the first byte), zlib, base64.

    The order within a byte is that of `numpy.packbits`. To compare outcomes across machines, unpack
    them: builds of zlib may compress differently.
    """
    bits = "".join("1" if outcome else "0" for outcome in right)
    size = -(-len(bits) // 8)
    packed = int(bits.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big")
    return b64encode(zlib.compress(packed, 9)).decode("ascii")


def unpack_outcomes(text: str, total: int) -> list[bool]:
    """The outcomes of `total` images that `pack_outcomes` wrote.

    Raises ValueError for a text that does not hold exactly `total` outcomes.
    """
    try:
        packed = zlib.decompress(b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"outcomes are damaged: {error}") from error
    if len(packed) != -(-total // 8):
        raise ValueError(f"outcomes take {len(packed)} bytes, which does not fit {total} images")
    bits = f"{int.from_bytes(packed, 'big'):0{8 * len(packed)}b}" if packed else ""
    if "1" in bits[total:]:
        raise ValueError(f"outcomes hold more than {total} images")
    return [bit == "1" for bit in bits[:total]]
