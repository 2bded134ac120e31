"""Which learned position a class has, where classes are matched by name."""

from types import SimpleNamespace
from typing import Any

import pytest

from rppbench.errors import UsageError
from rppbench.execution.cell_method import CellMethod


def positions(learned: list[str], asked: list[str], labels: list[int] | None = None) -> list[int]:
    source = SimpleNamespace(classes=learned)
    method: Any = CellMethod.__new__(CellMethod)
    training = SimpleNamespace(source="source", classes="all")
    method.cell = SimpleNamespace(training=training, method=SimpleNamespace(name="closed"))
    method.resources = SimpleNamespace(dataset=lambda name: source)
    method._fitted = SimpleNamespace(open_vocabulary=False)
    return CellMethod.positions(method, asked, labels)


def test_classes_are_matched_by_name_and_those_of_one_name_in_order() -> None:
    assert positions(["cat", "dog", "owl"], ["owl", "cat"]) == [2, 0]
    imagenet = ["missile", "yak", "missile"]
    assert positions(imagenet, imagenet) == [0, 1, 2]
    assert positions(imagenet, ["missile", "missile"]) == [0, 2]
    assert positions(imagenet, imagenet, [2, 1, 0]) == [2, 1, 0]


def test_a_class_that_was_not_learned_is_refused() -> None:
    with pytest.raises(UsageError, match="'cow' is not one of them"):
        positions(["cat"], ["cow"])
