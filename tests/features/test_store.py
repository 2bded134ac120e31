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
    store = torch.randn(5, 4)
    FeatureStore(tmp_path).get(KEY, 5, lambda: store)
    again = FeatureStore(tmp_path).get(KEY, 5, refuse)
    assert torch.equal(again, store)


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


# --- rows -----------------------------------------------------------------------------------------


def row(name: str) -> Tensor:
    """What the features of an image are a function of: itself."""
    return torch.full((4,), float(int(name)))


class Tower:
    """Computes rows and remembers of which it did."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def of(self, names: Sequence[str]) -> Callable[[Sequence[int]], Iterator[Tensor]]:
        def compute(picks: Sequence[int]) -> Iterator[Tensor]:
            for at in picks:
                self.seen.append(names[at])
                yield row(names[at])[None]

        return compute

    def ask(self, store: FeatureStore, names: Sequence[str], **key: object) -> None:
        found = store.rows({**KEY, **key}, names, self.of(names))
        assert torch.equal(found, torch.stack([row(name) for name in names]))


def test_a_row_of_any_list_before_is_computed_no_second_time(tmp_path: Path) -> None:
    tower = Tower()
    for names in ("0 1 2 3", "3 4 1", "1 3", "5 4 0", "4 3 1", "3 3 6 6"):
        tower.ask(FeatureStore(tmp_path), names.split())
    assert sorted(tower.seen) == ["0", "1", "2", "3", "4", "5", "6"]


def test_a_kill_loses_only_what_was_not_kept_yet(
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
    assert tower.seen == list("0123") + list("34")
    assert not any(problems(stored_files(tmp_path)))


def test_what_was_kept_on_the_way_is_one_file_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_store, "SAVE_SECONDS", -1.0)
    Tower().ask(FeatureStore(tmp_path), list("0123"))
    assert len(stored_files(tmp_path)) == 1


def test_pieces_that_go_at_the_end_cost_no_other_file_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = Tower()
    for epoch in (1, 2):
        tower.ask(FeatureStore(tmp_path), ["0", "1"], epoch=epoch)
    both = sum(entry.size for entry in stored_files(tmp_path))
    stored_files(tmp_path)[1].path.unlink()
    monkeypatch.setattr(feature_store, "SAVE_SECONDS", -1.0)
    tower.ask(FeatureStore(tmp_path, limit=both), ["0", "1"], epoch=2)  # with a piece on the way
    assert sum(entry.size for entry in stored_files(tmp_path)) == both


def test_rows_that_nobody_asks_for_grow_old(tmp_path: Path) -> None:
    store, tower = FeatureStore(tmp_path), Tower()
    tower.ask(store, ["0"])
    (old,) = stored_files(tmp_path)
    os.utime(old.path, (1, 1))
    tower.ask(store, ["1"])
    tower.ask(store, ["1", "2"])
    assert stored_files(tmp_path)[0].used == 1


def test_rows_of_another_epoch_are_others(tmp_path: Path) -> None:
    store, tower = FeatureStore(tmp_path), Tower()
    tower.ask(store, ["0", "1"])
    tower.ask(store, ["0", "1"], epoch=1)
    assert tower.seen == ["0", "1", "0", "1"]


def test_the_same_list_is_mapped_and_writing_to_it_changes_no_file(tmp_path: Path) -> None:
    store, tower = FeatureStore(tmp_path), Tower()
    tower.ask(store, ["0", "1"])
    store.rows(KEY, ["0", "1"], tower.of(["0", "1"])).add_(1)
    tower.ask(store, ["0", "1"])
    tower.ask(store, ["1"])
    assert tower.seen == ["0", "1"]


@pytest.mark.parametrize("cut", [0, 5, 60, -8])
def test_damaged_rows_are_made_again(tmp_path: Path, cut: int) -> None:
    store, tower = FeatureStore(tmp_path), Tower()
    tower.ask(store, ["0", "1"])
    (entry,) = stored_files(tmp_path)
    entry.path.write_bytes(entry.path.read_bytes()[:cut])
    tower.ask(store, ["1", "2"])
    tower.ask(store, ["0", "1"])
    assert sorted(tower.seen) == ["0", "0", "1", "1", "2"]
    assert not any(problems(stored_files(tmp_path)))


def test_the_least_recently_used_go_when_the_limit_is_reached(tmp_path: Path) -> None:
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
    tower.seen.clear()
    for epoch in (0, 2, 3):
        tower.ask(store, ["0"], epoch=epoch)
    assert tower.seen == []
    tower.ask(store, ["0"], epoch=1)
    assert tower.seen == ["0"]


def test_what_is_in_use_survives_that_it_is_removed(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    rows = torch.randn(2000, 64)
    store.get(KEY, 2000, lambda: rows)
    mapped = store.get(KEY, 2000, refuse)
    FeatureStore(tmp_path, limit=1000).get({"other": 1}, 1, lambda: torch.zeros(1, 4))
    assert [entry.size < 1000 for entry in stored_files(tmp_path)] == [True]
    assert torch.equal(mapped, rows)  # not one page of it was read before


def test_features_that_cannot_be_kept_are_used_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("no folder")
    with pytest.warns(UserWarning, match="not kept"):
        assert FeatureStore(tmp_path).get(KEY, 5, lambda: torch.ones(5, 4)).sum() == 20
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Tower().ask(FeatureStore(tmp_path), ["0", "1"])
