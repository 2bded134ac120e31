"""Recipes read from a TOML file: the same values as written in Python, and errors for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from rppbench.contracts.recipe import Recipe, read_recipes
from rppbench.errors import UsageError

COMPLETE = """
# Any comment.
[[recipe]]
name = "mine-1"
epochs = 5
batch = 16
lr = 1
momentum = 0.5
options = { length = 4, init = "a photo", both = true, weight = 8.0 }
tasks = ["few-shot", "fine-tune"]
at_shots = [1, 2]
origin = \"\"\"\\
  a paper, \\
  section 3\"\"\"

[[recipe]]
name = "mine-2"
epochs = 0
batch = 1
lr = 0.0
"""
ONE = '[[recipe]]\nname = "mine-1"\nepochs = 5\nbatch = 16\nlr = 0.002\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_module_reads_the_file_beside_it(tmp_path: Path) -> None:
    write(tmp_path, COMPLETE)
    first, second = read_recipes(str(tmp_path / "mine.py"))
    assert first == Recipe(
        "mine-1",
        epochs=5,
        batch=16,
        lr=1.0,
        momentum=0.5,
        options=(("both", True), ("init", "a photo"), ("length", 4), ("weight", 8.0)),
        tasks=("few-shot", "fine-tune"),
        at_shots=(1, 2),
        origin="a paper, section 3",
    )
    assert isinstance(first.lr, float), "or the key of a record would differ"
    assert second == Recipe("mine-2", epochs=0, batch=1, lr=0.0)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (ONE + "epoch = 3\n", ["'mine-1'", "'epoch'", "did you mean 'epochs'?"]),
        (ONE + 'schedule = ["cosine"]\n', ["'mine-1'", "'schedule'", "a string"]),
        (ONE + "views = 1.0\n", ["'mine-1'", "'views'", "an integer, not 1.0"]),
        (ONE + "shots = true\n", ["'mine-1'", "'shots'", "an integer, not True"]),
        (ONE + "momentum = true\n", ["'mine-1'", "'momentum'", "a number, not True"]),
        (ONE + 'tasks = "few-shot"\n', ["'mine-1'", "'tasks'", "an array"]),
        (ONE + 'at_shots = [1, "2"]\n', ["'mine-1'", "'at_shots'", "an integer, not '2'"]),
        (ONE + "options = 3\n", ["'mine-1'", "'options'", "a table"]),
        (ONE + "options = { depth = [1] }\n", ["'mine-1'", "options.depth", "[1]"]),
        (ONE.replace("lr = 0.002\n", ""), ["'mine-1'", "lacks", "'lr'"]),
        (ONE.replace('name = "mine-1"\n', ""), ["recipe 1", "lacks", "'name'"]),
        (ONE + ONE, ["two recipes", "'mine-1'"]),
        ("[recipe]\n", ["[[recipe]]"]),
        ("[[recipes]]\n", ["'recipes'", "did you mean 'recipe'?"]),
        ("[[recipe]\n", ["not a TOML file", "line 1"]),
    ],
)
def test_what_is_wrong_is_named_with_file_and_recipe(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        read_recipes(path)
    for part in [str(path), *parts]:
        assert part in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipes cannot be read: .*none\.toml"):
        read_recipes(tmp_path / "none.py")
