"""Confidences of single images: kept beside records, and copied and removed with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from msgspec import structs
from support.records import record as made

from rppbench.contracts.evaluation import Evaluation
from rppbench.files.atomic import Problem
from rppbench.records import confidence
from rppbench.records.confidence import confidence_path, read_confidences
from rppbench.records.merge import merge, publish
from rppbench.records.record import Failure, Record, Score
from rppbench.records.store import Store
from rppbench.stats.calibration import calibration_error

PARTS = {"top1": "ece", "base": "base_ece", "new": "new_ece"}


def record(seed: int = 0, method: str = "coop", images: int = 333) -> Record:
    """A base-to-new record with random predictions."""
    generator = torch.Generator().manual_seed(seed)
    scores: list[Score] = []
    for name in ("base", "new"):
        evaluation = Evaluation(
            torch.randint(7, (images,), generator=generator),
            torch.stack([torch.randperm(7, generator=generator)[:5] for _ in range(images)]),
            7,
            torch.rand(images, generator=generator),
        )
        scores += evaluation.scores(name)
    return replace(made(method, scores=tuple(scores)), metric="base")


def recomputed(root: Path, one: Record) -> dict[str, float]:
    """ECE by its metric, from the file and the outcomes."""
    values = read_confidences(root, one)
    assert not isinstance(values, Problem)
    errors = {}
    for metric, sure in values.items():
        score = one.score(metric)
        assert score is not None
        outcomes = score.outcomes()
        assert outcomes is not None
        errors[PARTS[metric]] = round(100 * calibration_error(sure, outcomes), 2)
    return errors


def recorded(one: Record) -> dict[str, float]:
    return {s.metric: s.value for s in one.scores if s.metric.endswith("ece")}


def files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "confidences").glob("*"))


def test_ece_of_base_and_new_is_recomputed_from_the_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record())
    (read,) = store.all()[0]
    assert read == replace(record(), confidence=read.confidence)
    assert recomputed(tmp_path, read) == recorded(read)
    assert set(recorded(read)) == {"base_ece", "new_ece"}
    assert confidence_path(tmp_path, read).stat().st_size < 2 * 4 * 333 + 200


def test_the_line_holds_a_digest_and_none_of_the_values(tmp_path: Path) -> None:
    with_values, without = record(), record()
    without = replace(
        without, scores=tuple(structs.replace(score, confidence=None) for score in without.scores)
    )
    long = Store(tmp_path / "a").write(with_values).read_bytes()
    short = Store(tmp_path / "b").write(without).read_bytes()
    assert len(long) - len(short) == len(',"confidence":"0123456789abcdef"')
    assert b"confidence" not in short
    assert not (tmp_path / "b" / "confidences").exists()
    assert with_values.measured() == without.measured()


def test_running_again_replaces_the_file_and_a_failure_removes_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record(0))
    before = files(tmp_path)
    store.write(record(0))
    assert files(tmp_path) == before
    store.write(record(1))
    (now,) = files(tmp_path)
    assert now not in before
    (read,) = store.all()[0]
    assert recomputed(tmp_path, read) == recorded(read)
    store.write(read)  # as it was read, for example with another code digest
    assert files(tmp_path) == [now]
    store.write(made("coop", failure=Failure("oom", "too large")))
    assert files(tmp_path) == []


def test_a_kill_between_file_and_record_leaves_the_old_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.write(record(0))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rppbench.records.store.write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            store.write(record(1))
    (read,) = store.all()[0]
    assert recomputed(tmp_path, read) == recorded(read) == recorded(record(0))
    with monkeypatch.context() as patch:
        patch.setattr(confidence, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            store.write(record(2))
    assert store.all()[0] == [read]
    store.write(record(0))
    assert len(files(tmp_path)) == 1, "what no record names is removed"


@pytest.mark.parametrize("lines", [False, True])
def test_they_are_dropped_with_their_record(tmp_path: Path, lines: bool) -> None:
    store = Store(tmp_path)
    one, other = record(0), record(1, "rpp")
    if lines:
        store.write_lines([one, other])
    else:
        for each in (one, other):
            store.write(each)
    assert len(files(tmp_path)) == 2
    store.drop([one.cell])
    (left,) = store.all()[0]
    assert [name.partition("-")[0] for name in files(tmp_path)] == [left.key] == [other.key]


def test_merge_and_publish_copy_them(tmp_path: Path) -> None:
    source = Store(tmp_path / "from")
    for one in (record(0), record(1, "rpp")):
        source.write(one)
    merged, published = Store(tmp_path / "merged"), Store(tmp_path / "published")
    assert merge(merged, [source]).added == 2
    assert publish(merged, published)[0].added == 2
    assert files(source.root) == files(merged.root) == files(published.root)
    for store in (merged, published):
        for read in store.all()[0]:
            assert recomputed(store.root, read) == recorded(read)
    assert merge(merged, [source]).known == 2


def test_a_damaged_file_is_a_problem_and_is_not_copied(tmp_path: Path) -> None:
    source, into = Store(tmp_path / "from"), Store(tmp_path / "into")
    source.write(record())
    (read,) = source.all()[0]
    path = confidence_path(source.root, read)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    problem = read_confidences(source.root, read)
    assert isinstance(problem, Problem)
    assert "digest" in problem.reason
    result = merge(into, [source])
    assert (result.added, [one.path for one in result.problems]) == (1, [path])
    assert into.all() == ([read], [])
    assert read_confidences(into.root, read) == {}
    path.unlink()
    assert read_confidences(source.root, read) == {}, "missing is not damaged"
