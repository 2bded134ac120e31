"""The fuzzer, run short: a few malformed inputs of every kind. `python tests/fuzz` runs it long."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.harness import Kind, case, cases
from fuzz.kinds import KINDS
from fuzz.mutations import RunsCode

pytestmark = pytest.mark.slow  # the second pass of .ci/run has it

CASES = 8


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in KINDS])
def test_malformed_input_is_refused_in_words(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPBENCH_CACHE", str(tmp_path / "cache"))  # `cases` sets others
    count = max(1, round(CASES * kind.share))
    findings = list(cases(kind, count, 0, tmp_path / "work"))
    assert not findings, "\n".join(f"{one.number}: {one.what}\n{one.details}" for one in findings)


def test_the_fuzzer_notices_what_it_looks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that unpickles, writes outside, raises and prints a traceback is found out."""
    import pickle

    monkeypatch.setenv("RPPBENCH_CACHE", str(tmp_path / "cache"))
    example, place = tmp_path / "example", tmp_path / "case"
    example.mkdir()
    (example / "a.bin").write_bytes(b"content")

    def careless(folder: Path) -> None:
        pickle.loads(pickle.dumps(RunsCode(place / "canary")))
        (folder.parent / "outside").write_text("x")
        raise KeyError("name")

    kind = Kind("careless", lambda folder: None, careless)
    reported = [one.what for one in case(kind, 0, 0, example, place)]
    assert reported == ["KeyError", "code was run", "files outside: ['outside']"]
    loud = "Traceback (most recent call last):\n"
    kind = Kind("loud", lambda folder: None, lambda folder: print(loud))
    assert [one.what for one in case(kind, 0, 0, example, place)] == ["a traceback was printed"]
