"""Names as parts of paths."""

from __future__ import annotations

import pytest

from rppbench.records.names import file_name


@pytest.mark.parametrize("name", ["demo-2-faces", "imagenet-a", "stanford_cars", "v2.1", "x" * 80])
def test_plain_names_are_themselves(name: str) -> None:
    assert file_name(name) == name


def test_no_two_names_share_a_part_and_every_part_is_safe() -> None:
    names = ["a/b", "a_b", "a:b", "json:a.json", "a.json", "..", ".", "é" * 300, "x" * 999]
    parts = [file_name(name) for name in names]
    assert len(set(parts)) == len(names)
    for part in parts:
        assert len(part.encode()) <= 80
        assert not part.startswith(".")
        assert not part.endswith((".json", ".jsonl"))
