"""`rppbench cache` on files that the store wrote."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch
from support.commands import RunCommand, refused, table_rows

from rppbench.features.files import StoredFile, stored_files
from rppbench.features.store import FeatureStore
from rppbench.files.atomic import STALE_SECONDS
from rppbench.files.cache_folder import cache_folder
from rppbench.files.sizes import parse_size, spell_size

DAY = 24 * 3600


@pytest.fixture
def filled() -> list[StoredFile]:
    """Three files of different kinds; the first was used 20 days ago, the second 10."""
    store = FeatureStore(cache_folder())
    store.rows({"kind": "images"}, ["a", "b"], lambda picks: [torch.zeros(len(picks), 4)])
    store.rows({"kind": "views"}, ["a"], lambda picks: [torch.zeros(len(picks), 4)])
    store.get({"kind": "texts"}, 3, lambda: torch.zeros(3, 4))
    by_kind = {entry.kind: entry for entry in stored_files(cache_folder())}
    assert set(by_kind) == {"images", "views", "texts"}
    for kind, days in (("images", 20), ("views", 10), ("texts", 0)):
        moment = time.time() - days * DAY
        os.utime(by_kind[kind].path, (moment, moment))
    return stored_files(cache_folder())


def left() -> list[str]:
    return [entry.kind for entry in stored_files(cache_folder())]


def test_info_prints_kinds_counts_and_sizes(
    run_command: RunCommand, filled: list[StoredFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPBENCH_CACHE_SIZE", "2GB")
    status, text, _ = run_command("cache", "info")
    assert status == 0
    assert [row[0] for row in table_rows(text)] == ["Kind", "images", "texts", "views"]
    assert f"3 files, {spell_size(sum(entry.size for entry in filled))}, limit 2.0 GiB" in text


def test_an_empty_cache_has_nothing_to_tell_or_prune_or_doubt(run_command: RunCommand) -> None:
    assert "0 files, 0 B, no limit" in run_command("cache", "info")[1]
    assert run_command("cache", "prune", "--all")[:2] == (
        0,
        "removed 0 of 0 files, 0 B; 0 B left\n",
    )
    assert run_command("cache", "verify")[0] == 0


def test_prune_takes_the_old_the_surplus_or_all(
    run_command: RunCommand, filled: list[StoredFile]
) -> None:
    assert (
        "would remove 1 of 3" in run_command("cache", "prune", "--older-than", "15", "--dry-run")[1]
    )
    assert left() == ["images", "views", "texts"]
    assert "removed 1 of 3" in run_command("cache", "prune", "--older-than", "15")[1]
    assert left() == ["views", "texts"]
    run_command("cache", "prune", "--max-size", str(filled[2].size))
    assert left() == ["texts"]
    run_command("cache", "prune", "--all")
    assert left() == []


def test_prune_wants_to_know_what_goes(run_command: RunCommand, filled: list[StoredFile]) -> None:
    assert "--max-size" in refused(run_command, "cache", "prune")
    assert "'lots'" in refused(run_command, "cache", "prune", "--max-size", "lots")
    assert "-1.0" in refused(run_command, "cache", "prune", "--older-than=-1")
    assert len(left()) == 3


def test_verify_names_what_is_damaged(run_command: RunCommand, filled: list[StoredFile]) -> None:
    assert run_command("cache", "verify")[0] == 0
    flipped, cut = filled[0].path, filled[1].path
    content = bytearray(flipped.read_bytes())
    content[-1] ^= 1  # the header still fits: only the digest knows
    flipped.write_bytes(content)
    cut.write_bytes(cut.read_bytes()[:-1])
    foreign = flipped.with_name("old.npy")
    foreign.write_bytes(b"\x93NUMPY")
    status, text, _ = run_command("cache", "verify")
    assert status == 1
    assert f"{flipped}: its content has another digest" in text
    assert f"{cut}: not a complete file" in text
    assert f"{foreign}: not a complete file" in text
    assert "3 damaged" in text


def test_what_a_dead_writer_left_is_named_and_goes(
    run_command: RunCommand, filled: list[StoredFile]
) -> None:
    stale = filled[0].path.with_name(f".x.safetensors.{'0' * 32}.tmp")
    fresh = stale.with_name(f".x.safetensors.{'1' * 32}.tmp")
    for path in (stale, fresh):
        path.write_bytes(b"half")
    moment = time.time() - STALE_SECONDS - 10
    os.utime(stale, (moment, moment))
    status, text, _ = run_command("cache", "verify")
    assert status == 1
    assert f"{stale}: left by a process that was killed" in text
    assert str(fresh) not in text
    run_command("cache", "prune", "--all")
    assert not stale.exists()
    assert fresh.exists()


def test_a_limit_that_is_no_size_is_refused_before_anything_runs(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPBENCH_CACHE_SIZE", "much")
    asked = ("--method", "fixed", "--task", "cross-dataset:suite=toy", "--model", "tiny")
    assert "RPPBENCH_CACHE_SIZE" in refused(run_command, "run", *asked)
    assert not Path("runs", "records").exists()


@pytest.mark.parametrize(
    ("text", "count"),
    [("4GB", 4 << 30), ("500 MiB", 500 << 20), ("1.5g", 3 << 29), ("70", 70), ("2tb", 2 << 40)],
)
def test_a_size_is_read_as_people_write_it(text: str, count: int) -> None:
    assert parse_size(text, "it") == count
