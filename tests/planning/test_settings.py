"""Settings from config files and flags; flags take precedence."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import ModuleType

import pytest

from rppbench.commands import ablate, run
from rppbench.errors import UsageError
from rppbench.planning.settings import GRID_NAMES, NAMES, Settings, grid_settings, read, settings


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(("command", "names"), [(run, NAMES), (ablate, GRID_NAMES)])
def test_every_flag_is_a_setting_and_every_setting_a_flag(
    command: ModuleType, names: tuple[str, ...]
) -> None:
    parser = argparse.ArgumentParser()
    command.flags(parser)
    said = set(vars(parser.parse_args([])))
    assert said == {*names, "config", "yes"}


def test_without_file_and_flags_everything_has_its_default() -> None:
    assert settings(dict.fromkeys(NAMES) | {"set": {}}) == Settings()
    assert Settings().backbones == (), "the registry says which backbone is the default"


def test_weights_without_a_model_are_refused() -> None:
    with pytest.raises(UsageError, match="name the model too, --model MODEL"):
        Settings(pretrained="openai")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "method: [coop, 'rpp:kd=off']\nseed: 3\nset: {kd: off, recipe.lr: 0.5}\n"),
        (
            "a.json",
            '{"method": ["coop", "rpp:kd=off"], "seed": 3, "set": {"kd": false, "recipe.lr": 0.5}}',
        ),
        (
            "a.py",
            "method = ['coop', 'rpp:kd=off']\nseed = 3\nset = {'kd': False, 'recipe.lr': .5}\n",
        ),
    ],
)
def test_the_three_kinds_of_files_are_equivalent(tmp_path: Path, name: str, text: str) -> None:
    chosen = settings({}, write(tmp_path, name, text))
    assert chosen.method == ("coop", "rpp:kd=off")
    assert chosen.seed == (3,)
    assert chosen.set == {"kd": "off", "recipe.lr": "0.5"}
    assert chosen.task == ("cross-dataset",)


def test_a_file_inherits_from_its_base(tmp_path: Path) -> None:
    write(tmp_path, "base.py", "method = ['coop']\nshots = [4]\nset = dict(length=8, depth=2)\n")
    path = write(tmp_path, "more.py", "_base_ = 'base.py'\nshots = [16]\nset = dict(length=4)\n")
    chosen = read(path)
    assert chosen == {"method": ("coop",), "shots": (16,), "set": {"length": "4", "depth": "2"}}


def test_flags_win_and_set_adds_key_by_key(tmp_path: Path) -> None:
    content = {"method": ["coop"], "limit": 5, "fail_on_error": True, "set": {"a": 1, "b": 2}}
    path = write(tmp_path, "a.json", json.dumps(content))
    given = {"limit": 9, "fail_on_error": False, "method": None, "set": {"b": "3"}}
    chosen = settings(given, path)
    assert (chosen.method, chosen.limit, chosen.fail_on_error) == (("coop",), 9, False)
    assert chosen.set == {"a": "1", "b": "3"}


def test_no_digit_of_a_number_is_lost(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '{"set": {"recipe.lr": 0.123456789012}}')
    assert read(path)["set"] == {"recipe.lr": "0.123456789012"}


def test_an_unknown_key_is_reported_with_the_closest(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "methods: [coop]\n")
    with pytest.raises(UsageError, match=r"'methods'; did you mean 'method'\?"):
        read(path)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("method", [3], "'method' must be a text, not 3"),
        ("seed", ["one"], "'seed' must be an integer, not 'one'"),
        ("seed", True, "'seed' must be an integer, not True"),
        ("limit", 2.5, "'limit' must be an integer, not 2.5"),
        ("fail_on_error", "yes", "'fail_on_error' must be true or false, not 'yes'"),
        ("set", ["length=4"], "'set' must hold KEY: VALUE pairs"),
        ("set", {"length": [4]}, "'length' must be a text, a number or true or false"),
        ("output", None, "'output' must be a text, not None"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(
    tmp_path: Path, key: str, value: object, expected: str
) -> None:
    path = write(tmp_path, "a.json", json.dumps({key: value}))
    with pytest.raises(UsageError) as caught:
        read(path)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"overwrite": "allways"}, "did you mean 'always'"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
        ({"seed": (1, -1)}, "seed must be at least 0, not -1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 10**11}, "batch_size must be at most 1000000, not 100000000000"),
        ({"num_workers": -1}, "num_workers must be at least 0"),
        ({"shots": (4, 0)}, "shots must be at least 1, not 0"),
        ({"seed": (2**63,)}, "seed must be at most"),
        ({"memory": "1KB"}, "memory 1.0 KiB is too little: the program alone takes 768.0 MiB"),
        ({"memory": "9" * 400}, "memory must be a size such as 500MB or 4GB"),
    ],
)
def test_invalid_values_are_refused(said: dict[str, object], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        settings(said)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "method = [\n"),
        ("a.py", "1 / 0\n"),
        ("a.json", "{"),
        ("a.yaml", "method: [coop\n"),
        ("a.toml", "limit = 1\n"),
        ("a.py", "_base_ = 'nowhere.py'\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(caught.value).startswith(f"cannot read {path}: ")


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir [hit]",
        "!!python/object/new:os.mkdir [hit]",
        "!!python/name:os.mkdir",
        "!!python/tuple [1]",
    ],
)
@pytest.mark.parametrize("inherited", [False, True])
def test_a_yaml_file_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, inherited: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, "a.yml", f"output: {value}\n")
    wrong = path
    if inherited:
        path = write(tmp_path, "b.yaml", "_base_: a.yml\nlimit: 3\n")
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(caught.value).startswith(f"cannot read {wrong}: ")
    assert "tag:yaml.org,2002:python/" in str(caught.value)
    assert "no Python objects" in str(caught.value)
    assert not (tmp_path / "hit").exists()


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_a_data_file_imports_no_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module = f"hitting_{name[2:]}"  # one of its own: a module runs only once
    write(tmp_path, f"{module}.py", "import os\nos.mkdir('hit')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, name, f'{{"custom_imports": {{"imports": ["{module}"]}}}}\n')
    with pytest.raises(UsageError, match="is named 'custom_imports'"):
        read(path)
    assert not (tmp_path / "hit").exists()


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"no config file '/nowhere\.py'"):
        read("/nowhere.py")


# --- grids --------------------------------------------------------------------------------------


def test_a_grid_is_one_mapping_or_several(tmp_path: Path) -> None:
    one = write(tmp_path, "one.yaml", "vary: {kd: [on, off], recipe.lr: [0.1, 1], length: 4}\n")
    chosen = grid_settings({}, one)
    assert chosen.vary == ({"kd": ("on", "off"), "recipe.lr": ("0.1", "1"), "length": ("4",)},)
    assert (chosen.name, chosen.one_at_a_time, chosen.task) == ("one", False, ("cross-dataset",))
    two = write(
        tmp_path,
        "two.yaml",
        "_base_: one.yaml\nvary: [{depth: [1, 2]}, {kd: off}]\nbaseline: {kd: on}\nname: both\n",
    )
    chosen = grid_settings({}, two)
    assert chosen.vary == ({"depth": ("1", "2")}, {"kd": ("off",)})
    assert (chosen.baseline, chosen.name) == ({"kd": "on"}, "both")


def test_flags_win_over_a_grid_file(tmp_path: Path) -> None:
    path = write(tmp_path, "one.yaml", "vary: {kd: [on, off]}\nbaseline: {kd: on}\n")
    chosen = grid_settings({"vary": [{"length": ("2",)}], "baseline": {}, "name": "mine"}, path)
    assert (chosen.vary, chosen.baseline, chosen.name) == (({"length": ("2",)},), {}, "mine")
    assert grid_settings({"vary": [{"length": ("2",)}]}, path).name == "", "another grid"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("vary", ["length"], "'vary' must hold KEY: VALUE pairs, not 'length'"),
        ("vary", {"length": [[4]]}, "'length' must be a text, a number or true or false"),
        ("baseline", {"length": [4]}, "'length' must be a text, a number or true or false"),
        ("one_at_a_time", "yes", "'one_at_a_time' must be true or false"),
    ],
)
def test_a_grid_of_the_wrong_type_is_refused(
    tmp_path: Path, key: str, value: object, expected: str
) -> None:
    path = write(tmp_path, "a.json", json.dumps({key: value}))
    with pytest.raises(UsageError) as caught:
        grid_settings({}, path)
    assert expected in str(caught.value)


def test_run_takes_no_grid(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no setting of .* is named 'vary'"):
        settings({}, write(tmp_path, "a.yaml", "vary: {kd: [on, off]}\n"))
