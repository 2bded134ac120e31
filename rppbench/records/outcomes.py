"""What single test images contribute to a score: their outcomes, one bit each, and the groups of
images that belong together; or, where a score is no mean over images, how much it depends on each.
"""

from __future__ import annotations

import math
import struct
import sys
import zlib
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, pairwise

import msgspec

IMAGE = "image"
"""The unit of outcomes whose images are all independent of each other."""


class _Content(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    outcomes: str = ""
    groups: str = ""
    unit: str = IMAGE
    influence: str = ""
    group_set: str = ""


@dataclass(frozen=True, slots=True)
class PerImage:
    """Outcomes of a score's images, as JSON that is decoded only on request.

    They are most of a large record, and tables do not need them.
    """

    json: bytes
    """{"outcomes": "..."}, as `pack_outcomes` wrote them; with groups also "groups" and "unit", and
    "group_set" where other data sets may have the same groups.

    Or {"influence": "..."}, as `pack_influence` wrote it.
    """

    @classmethod
    def of(
        cls,
        right: Iterable[bool],
        groups: Sequence[str] = (),
        unit: str = IMAGE,
        group_space: str = "",
    ) -> PerImage:
        """Packs outcomes: for each image in order, whether it was classified right.

        `groups` names the group of each image, () if each is on its own; `unit` says what a group
        is: 'drawing', 'patient'. Groups of one image each are not kept. In a `group_space`, groups
        of one name are the same in several data sets.
        """
        content = _Content(pack_outcomes(right))
        if len(set(groups)) < len(groups):
            content.groups, content.unit = pack_groups(groups), unit
            content.group_set = group_set(group_space, groups) if group_space else ""
        return cls(msgspec.json.encode(content))

    @classmethod
    def left_out(cls, without: Sequence[float]) -> PerImage:
        """Packs how much a score depends on each image: `without` are its values, in percent, with
        each of n images left out in turn.

        An image's influence is n - 1 times the deviation of the score without it (the jackknife):
        if the score were a mean over images, the deviation of the image from the mean.
        """
        mean = sum(without) / len(without) if without else 0.0
        influence = [(len(without) - 1) * (mean - value) for value in without]
        return cls(msgspec.json.encode(_Content(influence=pack_influence(influence))))

    @property
    def unit(self) -> str:
        """What images are drawn by: 'image', or what a group is."""
        return self._content.unit

    @property
    def group_set(self) -> str:
        """A digest of the groups' names in their space: group k is the same wherever it is equal.

        '' where groups are the data set's own.
        """
        return self._content.group_set

    @property
    def _content(self) -> _Content:
        return msgspec.json.decode(self.json, type=_Content)

    def outcomes(self, total: int) -> list[bool]:
        """For each of the `total` images, whether it was right. ValueError for damaged data."""
        if self.influence() is not None:
            raise ValueError("the influence of images is kept, not their outcomes")
        return unpack_outcomes(self._content.outcomes, total)

    def influence(self) -> list[float] | None:
        """The influence of each image, in percentage points; None where outcomes are kept.

        ValueError for damaged data.
        """
        packed = self._content.influence
        return unpack_influence(packed) if packed else None

    def groups(self, total: int) -> list[int] | None:
        """For each of the `total` images, the number of its group; None if each is on its own.

        Groups are numbered from 0 in the order in which they first appear. ValueError for damaged
        data.
        """
        packed = self._content.groups
        return unpack_groups(packed, total) if packed else None


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


LARGEST = 65504.0
"""The largest number of 16 bits."""


def pack_influence(values: Iterable[float]) -> str:
    """Numbers as 16-bit floats, little-endian, zlib, base64: three digits, enough for a spread."""
    cut = [max(-LARGEST, min(LARGEST, value)) for value in values]
    return b64encode(zlib.compress(struct.pack(f"<{len(cut)}e", *cut), 9)).decode("ascii")


def unpack_influence(text: str) -> list[float]:
    """The numbers that `pack_influence` wrote. ValueError for any other text."""
    try:
        packed = zlib.decompress(b64decode(text, validate=True))
        values = list(struct.unpack(f"<{len(packed) // 2}e", packed))
    except (zlib.error, struct.error) as error:
        raise ValueError(f"the influence of images is damaged: {error}") from error
    if not all(math.isfinite(value) for value in values):
        raise ValueError("the influence of an image is not a number")
    return values


def pack_groups(groups: Sequence[str]) -> str:
    """The number of each image's group, by first appearance: steps from one image to the next as
    int32, little-endian, zlib, base64. Images of a group that follow each other take few bytes.
    """
    numbers: dict[str, int] = {}
    of_images = [numbers.setdefault(name, len(numbers)) for name in groups]
    steps = array("i", [after - before for before, after in pairwise([0, *of_images])])
    return b64encode(zlib.compress(_little_endian(steps).tobytes(), 9)).decode("ascii")


def group_set(space: str, groups: Iterable[str]) -> str:
    """A digest of the names of the groups in their space, by first appearance."""
    names = "\0".join((space, *dict.fromkeys(groups)))
    return sha256(names.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def unpack_groups(text: str, total: int) -> list[int]:
    """The numbers of the groups of `total` images that `pack_groups` wrote.

    Raises ValueError for a text that does not hold exactly `total` numbers by first appearance.
    """
    steps = array("i")
    try:
        packed = zlib.decompress(b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"groups are damaged: {error}") from error
    if len(packed) != steps.itemsize * total:
        raise ValueError(f"groups take {len(packed)} bytes, which does not fit {total} images")
    steps.frombytes(packed)
    numbers = list(accumulate(_little_endian(steps)))
    most = -1
    for number in numbers:
        if not 0 <= number <= most + 1:
            raise ValueError("groups are not numbered by first appearance")
        most = max(most, number)
    return numbers


def _little_endian(steps: array[int]) -> array[int]:
    if sys.byteorder == "big":
        steps.byteswap()
    return steps
