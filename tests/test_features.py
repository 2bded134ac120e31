from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rppbench.features import FeatureStore

KEY = {"tower": "abc", "dataset": "toy", "epoch": 0}


def refuse() -> Tensor:
    raise AssertionError("a stored array was computed again")


def test_features_are_computed_once_and_come_back_exactly(tmp_path: Path) -> None:
    features = torch.randn(5, 4)
    FeatureStore(tmp_path).get(KEY, 5, lambda: features)
    again = FeatureStore(tmp_path).get(KEY, 5, refuse)
    assert torch.equal(again, features)


@pytest.mark.parametrize("field", list(KEY))
def test_a_change_of_any_field_misses(tmp_path: Path, field: str) -> None:
    store = FeatureStore(tmp_path)
    store.get(KEY, 5, lambda: torch.zeros(5, 4))
    other = store.get({**KEY, field: "other"}, 5, lambda: torch.ones(5, 4))
    assert other.sum() == 20


@pytest.mark.parametrize("damage", [b"", b"not an array", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes) -> None:
    store = FeatureStore(tmp_path)
    store.get(KEY, 5, lambda: torch.zeros(5, 4))
    store.path(KEY).write_bytes(damage)
    assert store.get(KEY, 5, lambda: torch.ones(5, 4)).sum() == 20
    assert store.get(KEY, 5, refuse).sum() == 20


def test_a_cut_file_is_made_again(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.get(KEY, 5, lambda: torch.zeros(5, 4))
    path = store.path(KEY)
    path.write_bytes(path.read_bytes()[:-8])
    assert store.get(KEY, 5, lambda: torch.ones(5, 4)).sum() == 20


def test_an_array_of_other_length_is_not_trusted(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.get(KEY, 4, lambda: torch.zeros(4, 4))
    assert len(store.get(KEY, 5, lambda: torch.ones(5, 4))) == 5


def test_a_failing_computation_leaves_nothing_behind(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)

    def fail() -> Tensor:
        raise RuntimeError("no images")

    with pytest.raises(RuntimeError):
        store.get(KEY, 5, fail)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_changing_what_was_returned_does_not_change_the_store(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.get(KEY, 5, lambda: torch.zeros(5, 4))
    store.get(KEY, 5, refuse).add_(1)
    assert store.get(KEY, 5, refuse).sum() == 0
