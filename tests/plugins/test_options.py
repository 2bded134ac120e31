"""Options are keyword-only parameters, typed by their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

import pytest

from rppbench.errors import UsageError
from rppbench.plugins.options import check, choices, options, parse, parse_value, resolve


@dataclass(frozen=True)
class Taught:
    kd: bool = False
    weight: float = 1.0


class Plain:
    name = "plain"

    def __init__(
        self,
        space: object,
        *,
        length: int = 4,
        both: bool = False,
        rate: float = 0.5,
        where: Literal["end", "middle"] = "end",
        text: str = "a photo",
    ) -> None: ...


class Trained(Plain):
    name, learning = "trained", SimpleNamespace(supervision=Taught())


def test_positional_parameters_are_not_options() -> None:
    assert options(Plain) == {
        "length": 4,
        "both": False,
        "rate": 0.5,
        "where": "end",
        "text": "a photo",
    }


def test_a_trained_method_takes_the_fields_of_its_supervision() -> None:
    assert options(Trained) == {**options(Plain), "kd": False, "weight": 1.0}


def test_words_of_a_literal_are_choices() -> None:
    assert choices(Plain) == {"where": ("end", "middle")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("length=8", {"length": 8}),
        ("both=on,rate=2", {"both": True, "rate": 2.0}),
        ("both=False , length = 3", {"both": False, "length": 3}),
        ("text=a cat=dog", {"text": "a cat=dog"}),
        ("text=folder:/a b/c=d:e,both=on", {"text": "folder:/a b/c=d:e", "both": True}),
    ],
)
def test_text_becomes_typed_values(text: str, expected: dict[str, object]) -> None:
    parsed = parse(Plain, "plain", text)
    assert parsed == expected
    assert [type(value) for value in parsed.values()] == [type(v) for v in expected.values()]


def test_dashes_may_replace_underscores() -> None:
    class Dashed:
        def __init__(self, *, class_specific: bool = False) -> None: ...

    assert parse(Dashed, "dashed", "class-specific=on") == {"class_specific": True}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lenght=8", "no option of 'plain' is named 'lenght'; did you mean 'length'?"),
        ("lenght=8", "plain takes: length=4, both=off, rate=0.5, where=end"),
        ("length", "write options as NAME=VALUE, not 'length'"),
        ("text=a,b", "not 'b'\na value with a comma is given as --set NAME=VALUE"),
        ("length=8.5", "option 'length' is an integer, not '8.5'"),
        ("rate=fast", "option 'rate' is a number, not 'fast'"),
        ("both=maybe", "option 'both' is on or off, not 'maybe'"),
        ("where=midle", "did you mean 'middle'?"),
    ],
)
def test_an_invalid_option_is_an_error_that_lists_the_valid_ones(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(Plain, "plain", text)
    assert expected in str(caught.value)


def test_a_method_without_options_says_so() -> None:
    with pytest.raises(UsageError, match="plain takes: no options"):
        parse(object, "plain", "length=8")


def test_a_resolved_choice_holds_every_option_sorted() -> None:
    choice = resolve(Trained, {"length": 8})
    assert choice.name == "trained"
    assert [name for name, _ in choice.options] == sorted(options(Trained))
    assert (choice["length"], choice["kd"]) == (8, False)
    with pytest.raises(UsageError, match="values: end, middle"):
        resolve(Trained, {"where": "nowhere"})


def test_values_that_are_not_named_are_not_checked() -> None:
    check(Plain, "plain", {"length": 3})
    assert parse_value("x", "1", True) is True
    assert parse_value("x", "1", 2) == 1
