"""Digests of source: what changes them and what does not."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rppbench.plugins.source import own_modules, source_digest

METHOD = '''"""A method."""
from __future__ import annotations
import math
from mine.parts import losses
from mine.parts.deep import scale as by
from .helpers import twice


class Method:
    """Its docstring."""

    def loss(self, x):
        """() a loss."""
        return losses.loss(x) * by(x) + twice(math.pi)  # a comment
'''
FILES = {
    "mine/__init__.py": "from mine.method import Method\nfrom mine.other import Other\n",
    "mine/method.py": METHOD,
    "mine/other.py": "class Other:\n    value = 1\n",
    "mine/helpers.py": "def twice(x):\n    return 2 * x\n",
    "mine/parts/__init__.py": "",
    "mine/parts/losses.py": "from mine.parts import base\n\nloss = lambda x: base.BASE + x\n",
    "mine/parts/base.py": "import mine.parts.losses  # a circle\n\nBASE = 1.0\n",
    "mine/parts/deep.py": "def scale(x):\n    return x\n",
}

Digest = Callable[[], str]


class Tree:
    """The files of a distribution."""

    def __init__(self, root: Path) -> None:
        self.root, self.name = root, "mine.method"
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def move(self, old: str, new: str) -> None:
        (self.root / new).parent.mkdir(parents=True, exist_ok=True)
        (self.root / old).rename(self.root / new)

    def digest(self) -> str:
        importlib.invalidate_caches()
        return source_digest(self.name, own_modules({"mine", "yours"}))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Tree(tmp_path)
    assert not [name for name in sys.modules if name.split(".")[0] == "mine"]  # nothing is imported


EDITS = {
    "the method": ("mine/method.py", "twice(math.pi)", "twice(math.e)"),
    "a sign": ("mine/method.py", ") * by", ") / by"),
    "a number far away": ("mine/parts/base.py", "1.0", "1.5"),
    "an integer in place of a float": ("mine/parts/base.py", "1.0", "1"),
    "a function": ("mine/helpers.py", "2 * x", "3 * x"),
    "which name is imported": ("mine/method.py", "scale as by", "shrink as by"),
    "which module is imported": ("mine/method.py", "import losses", "import base as losses"),
    "a default": ("mine/helpers.py", "twice(x)", "twice(x=1)"),
    "a decorator": ("mine/helpers.py", "def twice", "@staticmethod\ndef twice"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_runs_is_in_the_digest(tree: Tree, edit: tuple[str, str, str]) -> None:
    before = tree.digest()
    assert len(before) == 16
    tree.edit(*edit)
    assert tree.digest() != before


def test_comments_docstrings_layout_and_the_order_of_imports_are_not(tree: Tree) -> None:
    before = tree.digest()
    text = METHOD.replace("  # a comment", "").replace("() a loss.", "Other words.")
    text = text.replace(
        "losses.loss(x) * by(x)", "(losses.loss(\n            x,\n        ) * by(x))"
    )
    first = "import math\n"
    tree.write(
        "mine/method.py", text.replace(first, "").replace("from .helpers", f"{first}from .helpers")
    )
    assert tree.digest() == before


def test_what_the_component_does_not_import_is_not(tree: Tree) -> None:
    """Not even the package's own list of components."""
    before = tree.digest()
    tree.edit("mine/other.py", "value = 1", "value = 2")
    tree.write("mine/__init__.py", "")
    assert tree.digest() == before


def test_moved_and_renamed_files_are_the_same_code(tree: Tree) -> None:
    before = tree.digest()
    tree.move("mine/parts/losses.py", "mine/objectives.py")
    tree.edit("mine/method.py", "from mine.parts import losses", "from mine import objectives")
    tree.edit("mine/method.py", "losses.loss", "objectives.loss")
    tree.edit("mine/parts/base.py", "mine.parts.losses", "mine.objectives")
    assert tree.digest() == before
    tree.move("mine/helpers.py", "mine/tools/arithmetic.py")
    tree.edit("mine/method.py", "from .helpers", "from mine.tools.arithmetic")
    assert tree.digest() == before
    tree.move("mine/method.py", "mine/renamed.py")
    tree.name = "mine.renamed"
    assert tree.digest() == before
    for path in list(tree.root.rglob("*.py")):  # and the package itself
        path.write_text(
            path.read_text().replace("mine.", "yours.").replace("from mine", "from yours")
        )
    (tree.root / "mine").rename(tree.root / "yours")
    tree.name = "yours.renamed"
    assert tree.digest() == before


def test_a_change_of_two_modules_with_the_same_names_is_seen(tree: Tree) -> None:
    """Both are part of the component anyway; only which one is called differs."""
    tree.write("mine/a.py", "def f(x):\n    return 1\n")
    tree.write("mine/b.py", "def f(x):\n    return 2\n")
    tree.write("mine/method.py", "import mine.a\nimport mine.b\n\ny = mine.a.f(0)\n")
    before = tree.digest()
    tree.edit("mine/method.py", "mine.a.f", "mine.b.f")
    assert tree.digest() != before


def test_modules_beside_a_single_file_belong_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lone.py").write_text("import json\nfrom beside_lone import f\n")
    (tmp_path / "beside_lone.py").write_text("def f():\n    return 1\n")
    find = own_modules({"lone"}, tmp_path)
    before = source_digest("lone", find)
    assert find("json") is None
    (tmp_path / "beside_lone.py").write_text("def f():\n    return 2\n")
    assert source_digest("lone", own_modules({"lone"}, tmp_path)) != before


def test_a_module_without_source_has_no_digest(tmp_path: Path) -> None:
    assert source_digest("nowhere_at_all", own_modules({"nowhere_at_all"})) == ""
