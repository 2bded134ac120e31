"""Config files that run code, never end or say two things are refused in one line, at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import monotonic

import pytest

from rppbench.errors import UsageError
from rppbench.planning.config_files import MOST_FILES
from rppbench.planning.settings import read

CODE = "__import__('os').mkdir('hit')\nlimit = 3\n"


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(text: str, name: str = "a.yaml") -> str:
    """The message about a file of this content, which comes within two seconds."""
    Path(name).write_text(text, encoding="utf-8")
    begin = monotonic()
    with pytest.raises(UsageError) as caught:
        read(name)
    assert monotonic() - begin < 2
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "a.json"])
@pytest.mark.parametrize("listed", [False, True])
def test_a_data_file_never_inherits_from_python(name: str, listed: bool) -> None:
    Path("code.py").write_text(CODE)
    message = refused(json.dumps({"_base_": ["code.py"] if listed else "code.py"}), name)
    assert f"cannot read {name}: its _base_ is Python (code.py)" in message
    assert "write code.py as YAML or JSON, or this file as Python" in message
    assert not Path("hit").exists()


def test_a_base_of_a_base_is_data_too() -> None:
    Path("code.py").write_text(CODE)
    Path("between.json").write_text('{"_base_": "code.py"}')
    assert "cannot read between.json: its _base_ is Python" in refused("_base_: between.json\n")
    assert not Path("hit").exists()


def test_a_python_file_says_that_it_is_executed() -> None:
    Path("code.py").write_text(CODE)
    Path("data.yaml").write_text("limit: 3\n")
    lines: list[str] = []

    def warn(line: str) -> None:
        assert not Path("hit").exists(), "the warning comes first"
        lines.append(line)

    assert read("data.yaml", warn=warn) == {"limit": 3}
    assert not lines
    assert read("code.py", warn=warn)["limit"] == 3
    assert lines == [
        "config code.py is Python and is executed, with the files that it inherits from"
    ]


@pytest.mark.parametrize("text", ["raise SystemExit(0)", "raise GeneratorExit", "1 / 0"])
def test_a_python_file_that_ends_the_program_is_an_error(text: str) -> None:
    assert refused(f"{text}\n", "a.py").startswith("cannot read a.py: ")


@pytest.mark.parametrize(
    "text", ["output: '{{ fileDirname }}'\n", "output: '{{$SECRET:x}}'\n", "output: $SECRET\n"]
)
def test_nothing_is_filled_in(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "known")
    Path("a.yaml").write_text(text)
    assert read("a.yaml")["output"] == text.partition(": ")[2].strip().strip("'")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOMB, "holds at most 20,000 values, aliases expanded"),
        ("method: &a [*a]\n", "a value holds itself, by an alias"),
        ("set: &a {<<: *a}\n", "a value holds itself, by an alias"),
        ("method: " + "[" * 30_000, "nested too deeply"),
        ("method: " + "[" * 30_000 + "]" * 30_000, "nested too deeply"),
        ("- " * 30_000, "nested too deeply"),
        ("? " * 30_000, "nested too deeply"),
        ("{" * 60_000, "nested too deeply"),
        ("limit: 1\nlimit: 2\n", "the key 'limit' stands twice"),
        ("set: {kd: on, kd: off}\n", "the key 'kd' stands twice"),
        ("limit: " + "9" * 5000, "Exceeds the limit"),
        ("limit: 2001-99-99\n", "month must be in 1..12"),
        ("limit: !!bool maybe\n", "not YAML"),
        ("limit: !!timestamp maybe\n", "not YAML"),
        ('output: "\x1b[31m"\n', "not YAML: unacceptable character"),
        ("1: 2\n", "the key 1 is not a text; write it in quotes"),
        ("set: {on: 1}\n", "the key True is not a text; write it in quotes"),
        ("[1]\n", "holds KEY: VALUE pairs"),
        ("_base_: a.yaml\n", "a.yaml inherits from itself by _base_"),
        ("_base_: nowhere.yaml\n", "its _base_ 'nowhere.yaml' is not a file"),
        ('_base_: "a\\0b"\n', "is not a file"),
        (f"_base_: {'x' * 5000}\n", "is not a file"),
        ("_base_: {a: b}\n", "_base_ names files"),
        ("limit: 1\n" + "#" * 70_000, "at most 64 KiB"),
    ],
)
def test_a_yaml_file_that_makes_no_sense_is_refused_at_once(text: str, expected: str) -> None:
    assert expected in refused(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"method": ' + "[" * 30_000 + "]" * 30_000 + "}", "nested too deeply"),
        ('{"limit": 1, "limit": 2}', "the key 'limit' stands twice"),
        ('{"limit": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ('{"method": "\\ud800"}', "'method' is no valid text"),
        ('{"_base_": "a.json"}', "a.json inherits from itself by _base_"),
        ('{"seed": ' + "9" * 4000 + "}", None),
        ('{"set": {"lr": ' + "9" * 4000 + "}}", "must be a text, a number"),
    ],
)
def test_a_json_file_that_makes_no_sense_is_refused_at_once(text: str, expected: str) -> None:
    if expected is None:
        Path("a.json").write_text(text)
        from rppbench.planning.settings import settings

        with pytest.raises(UsageError, match=r"^seed must be at most 9223372036854775807"):
            settings({}, "a.json")
        return
    assert expected in refused(text, "a.json")


def test_a_file_of_another_encoding_is_refused() -> None:
    Path("a.yaml").write_bytes("output: Größe\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"^cannot read a\.yaml: 'utf-8' codec"):
        read("a.yaml")


def test_a_chain_of_files_is_bounded() -> None:
    for number in range(MOST_FILES + 1):
        Path(f"{number}.yaml").write_text(f"_base_: {number + 1}.yaml\n")
    with pytest.raises(UsageError, match=f"more than {MOST_FILES} files by _base_"):
        read("0.yaml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_config_file() -> None:
    os.mkfifo("pipe.yaml")
    assert "is not a file" in refused("_base_: pipe.yaml\n")
    with pytest.raises(UsageError, match="no config file"):
        read("pipe.yaml")


# --- inheritance --------------------------------------------------------------------------------


def test_mappings_are_merged_and_other_values_replaced() -> None:
    Path("sub").mkdir()
    Path("sub/first.json").write_text('{"method": ["coop", "rpp"], "set": {"length": 8, "kd": 1}}')
    Path("sub/second.yaml").write_text("_base_: third.yml\nlimit: 4\n")
    Path("sub/third.yml").write_text("limit: 9\noutput: there\n")
    Path("a.yaml").write_text(
        "_base_: [sub/first.json, sub/second.yaml]\nmethod: vpt\nset: {length: 2}\n"
    )
    assert read("a.yaml") == {
        "method": ("vpt",),
        "set": {"length": "2", "kd": "1"},
        "limit": 4,
        "output": "there",
    }


def test_a_mapping_can_be_replaced_entirely() -> None:
    Path("base.yaml").write_text("set: {length: 8, kd: 1}\n")
    Path("a.yaml").write_text("_base_: base.yaml\nset: {_delete_: true, length: 2}\n")
    assert read("a.yaml") == {"set": {"length": "2"}}


def test_two_bases_that_set_one_key_are_refused() -> None:
    Path("b.yaml").write_text("limit: 1\n")
    Path("c.yaml").write_text("limit: 1\n")
    assert "two files of _base_ set 'limit'" in refused("_base_: [b.yaml, c.yaml]\n")


def test_an_alias_in_reason_is_read() -> None:
    Path("a.yaml").write_text("seed: &three [1, 2, 3]\nshots: *three\n")
    assert read("a.yaml") == {"seed": (1, 2, 3), "shots": (1, 2, 3)}
