"""The log of a training as JSON that is decoded only on request.

It is the largest part of many records, and tables do not need it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

import msgspec

_LOG = msgspec.json.Decoder(list[dict[str, int | float]])

Entry = Mapping[str, float]


class TrainingLog(Sequence[Entry]):
    """Entries of a training's epochs; equal to any sequence of equal entries."""

    __slots__ = ("json",)

    def __init__(self, json: bytes) -> None:
        """msgspec.DecodeError for JSON that is not a list of numbers by name."""
        _LOG.decode(json)
        self.json = json

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        return _LOG.decode(self.json)[index]

    def __iter__(self) -> Iterator[Entry]:
        return iter(_LOG.decode(self.json))

    def __len__(self) -> int:
        return len(_LOG.decode(self.json))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TrainingLog) and other.json == self.json:
            return True
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))
