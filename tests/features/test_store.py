"""The feature store: each array or row computed once, damaged files replaced, size limited."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

import rppbench.features.store as feature_store
from rppbench.features.files import problems, stored_files
from rppbench.features.store import FeatureStore

KEY = {"tower": "abc", "dataset": "toy", "epoch": 0}


def refuse() -> Tensor:
    raise AssertionError("a stored array was computed again")


def test_features_are_computed_once_and_come_back_exactly(tmp_path: Path) -> None:
    features = torch.randn(5, 4)
    FeatureStore(tmp_path).get(KEY, 5, lambda: features)
    again = FeatureStore(tmp_path).get(KEY, 5, refuse)
    assert torch.equal(again, features)


@pytest.mark.parametrize("field", list(KEY))
def test_a_change_of_any_field_of_the_key_is_another_array(tmp_path: Path, field: str) -> None:
    store = FeatureStore(tmp_path)
    store.get(KEY, 5, lambda: torch.zeros(5, 4))
    other = store.get({**KEY, field: "other"}, 5, lambda: torch.ones(5, 4))
    assert other.sum() == 20


@pytest.mark.parametrize("damage", [b"", b"not an array", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_a_damaged_file_is_replaced(tmp_path: Path, damage: bytes) -> None:
    store = FeatureStore(tmp_path)
    store.get(KEY, 5, lambda: torch.zeros(5, 4))
    store.path(KEY).write_bytes(damage)
    assert store.get(KEY, 5, lambda: torch.ones(5, 4)).sum() == 20
    assert store.get(KEY, 5, refuse).sum() == 20


def test_a_truncated_file_is_replaced(tmp_path: Path) -> None:
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


# --- rows -----------------------------------------------------------------------------------------


def row(name: str) -> Tensor:
    """The features of an image: a function of the image and nothing else."""
    return torch.full((4,), float(int(name)))


class Tower:
    """Computes rows and records the names whose rows it computed."""

    def __init__(self) -> None:
        self.computed: list[str] = []

    def of(self, names: Sequence[str]) -> Callable[[Sequence[int]], Iterator[Tensor]]:
        def compute(picks: Sequence[int]) -> Iterator[Tensor]:
            for at in picks:
                self.computed.append(names[at])
                yield row(names[at])[None]

        return compute

    def ask(self, store: FeatureStore, names: Sequence[str], **key: object) -> None:
        rows = store.rows({**KEY, **key}, names, self.of(names))
        assert torch.equal(rows, torch.stack([row(name) for name in names]))


def test_a_row_of_any_list_before_is_computed_no_second_time(tmp_path: Path) -> None:
    tower = Tower()
    for names in ("0 1 2 3", "3 4 1", "1 3", "5 4 0", "4 3 1", "3 3 6 6"):
        tower.ask(FeatureStore(tmp_path), names.split())
    assert sorted(tower.computed) == ["0", "1", "2", "3", "4", "5", "6"]


def test_a_kill_loses_only_rows_that_were_not_saved_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_store, "SAVE_SECONDS", -1.0)
    store, tower = FeatureStore(tmp_path), Tower()

    def killed(picks: Sequence[int]) -> Iterator[Tensor]:
        for done, block in enumerate(tower.of(list("01234"))(picks)):
            if done == 3:
                raise KeyboardInterrupt
            yield block

    with pytest.raises(KeyboardInterrupt):
        store.rows(KEY, list("01234"), killed)
    assert len(stored_files(tmp_path)) == 3
    tower.ask(store, list("01234"))
    assert tower.computed == list("0123") + list("34")
    assert not any(problems(stored_files(tmp_path)))


def test_rows_saved_piece_by_piece_are_one_file_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_store, "SAVE_SECONDS", -1.0)
    Tower().ask(FeatureStore(tmp_path), list("0123"))
    assert len(stored_files(tmp_path)) == 1


def test_pieces_that_are_removed_at_the_end_displace_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = Tower()
    for epoch in (1, 2):
        tower.ask(FeatureStore(tmp_path), ["0", "1"], epoch=epoch)
    both = sum(entry.size for entry in stored_files(tmp_path))
    stored_files(tmp_path)[1].path.unlink()
    monkeypatch.setattr(feature_store, "SAVE_SECONDS", -1.0)
    tower.ask(FeatureStore(tmp_path, limit=both), ["0", "1"], epoch=2)  # a piece is saved first
    assert sum(entry.size for entry in stored_files(tmp_path)) == both


def test_a_file_whose_rows_are_not_asked_for_is_not_marked_as_used(tmp_path: Path) -> None:
    store, tower = FeatureStore(tmp_path), Tower()
    tower.ask(store, ["0"])
    (old,) = stored_files(tmp_path)
    os.utime(old.path, (1, 1))
    tower.ask(store, ["1"])
    tower.ask(store, ["1", "2"])
    assert stored_files(tmp_path)[0].used == 1


def test_rows_of_another_epoch_are_computed_for_it(tmp_path: Path) -> None:
    store, tower = FeatureStore(tmp_path), Tower()
    tower.ask(store, ["0", "1"])
    tower.ask(store, ["0", "1"], epoch=1)
    assert tower.computed == ["0", "1", "0", "1"]


def test_the_same_list_is_mapped_and_writing_to_it_changes_no_file(tmp_path: Path) -> None:
    store, tower = FeatureStore(tmp_path), Tower()
    tower.ask(store, ["0", "1"])
    store.rows(KEY, ["0", "1"], tower.of(["0", "1"])).add_(1)
    tower.ask(store, ["0", "1"])
    tower.ask(store, ["1"])
    assert tower.computed == ["0", "1"]


@pytest.mark.parametrize("cut", [0, 5, 60, -8])
def test_damaged_rows_are_computed_again(tmp_path: Path, cut: int) -> None:
    store, tower = FeatureStore(tmp_path), Tower()
    tower.ask(store, ["0", "1"])
    (entry,) = stored_files(tmp_path)
    entry.path.write_bytes(entry.path.read_bytes()[:cut])
    tower.ask(store, ["1", "2"])
    tower.ask(store, ["0", "1"])
    assert sorted(tower.computed) == ["0", "0", "1", "1", "2"]
    assert not any(problems(stored_files(tmp_path)))


def test_the_least_recently_used_files_are_removed_at_the_limit(tmp_path: Path) -> None:
    tower = Tower()
    tower.ask(FeatureStore(tmp_path), ["0"])
    size = stored_files(tmp_path)[0].size
    store = FeatureStore(tmp_path, limit=3 * size + size // 2)
    for epoch in (1, 2):
        tower.ask(store, ["0"], epoch=epoch)
        time.sleep(0.02)
    tower.ask(store, ["0"])  # used again: 1 is the oldest now
    time.sleep(0.02)
    tower.ask(store, ["0"], epoch=3)
    assert len(stored_files(tmp_path)) == 3
    tower.computed.clear()
    for epoch in (0, 2, 3):
        tower.ask(store, ["0"], epoch=epoch)
    assert tower.computed == []
    tower.ask(store, ["0"], epoch=1)
    assert tower.computed == ["0"]


def test_an_array_in_use_survives_the_removal_of_its_file(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    rows = torch.randn(2000, 64)
    store.get(KEY, 2000, lambda: rows)
    mapped = store.get(KEY, 2000, refuse)
    FeatureStore(tmp_path, limit=1000).get({"other": 1}, 1, lambda: torch.zeros(1, 4))
    assert [entry.size < 1000 for entry in stored_files(tmp_path)] == [True]
    assert torch.equal(mapped, rows)  # no page of it was read before


def test_features_that_cannot_be_stored_are_returned_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("no folder")
    with pytest.warns(UserWarning, match="not stored"):
        assert FeatureStore(tmp_path).get(KEY, 5, lambda: torch.ones(5, 4)).sum() == 20
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Tower().ask(FeatureStore(tmp_path), ["0", "1"])
