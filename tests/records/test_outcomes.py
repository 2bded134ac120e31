"""Outcomes of images and their groups are packed and read back; damage is noticed."""

from __future__ import annotations

import random

import pytest

from rppbench.records.outcomes import PerImage, pack_groups, unpack_groups


def test_groups_are_numbered_by_first_appearance_and_read_back() -> None:
    packed = PerImage.of([True, False, True, True, False], ["b", "b", "a", "c", "b"], "drawing")
    assert packed.outcomes(5) == [True, False, True, True, False]
    assert packed.groups(5) == [0, 0, 1, 2, 0]
    assert packed.unit == "drawing"


def test_outcomes_without_groups_are_written_as_before_there_were_any() -> None:
    assert PerImage.of([True, False]).json == b'{"outcomes":"eNprAAAAgQCB"}'
    assert PerImage.of([True, False]).groups(2) is None
    # A group of one image is that image.
    assert PerImage.of([True, False], ["a", "b"], "drawing") == PerImage.of([True, False])


def test_many_groups_in_any_order_are_read_back_and_runs_take_few_bytes() -> None:
    draw = random.Random(1)
    names = [str(draw.randrange(3000)) for _ in range(10_000)]
    numbers: dict[str, int] = {}
    expected = [numbers.setdefault(name, len(numbers)) for name in names]
    assert unpack_groups(pack_groups(names), 10_000) == expected
    assert len(pack_groups([str(at // 4) for at in range(10_000)])) < 200


@pytest.mark.parametrize(
    ("text", "total", "message"),
    [
        (pack_groups(["a", "a", "b"]), 4, "does not fit 4 images"),
        ("eNprAAAAgQCA", 3, "damaged"),
        (pack_groups(["a", "b"])[:-4], 2, "damaged"),
    ],
)
def test_damaged_groups_are_noticed(text: str, total: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack_groups(text, total)


def test_numbers_that_skip_one_are_no_groups() -> None:
    import zlib
    from base64 import b64encode

    text = b64encode(zlib.compress(b"\x01\0\0\0", 9)).decode()
    with pytest.raises(ValueError, match="first appearance"):
        unpack_groups(text, 1)
