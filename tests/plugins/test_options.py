"""Options are keyword-only parameters, typed by their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest

from rppbench.contracts.ranges import Range
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
    assert choices(Plain) == {"where": "end | middle"}


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


def test_an_option_that_came_later_adds_nothing_to_a_key_at_its_default() -> None:
    class Later(Plain):
        name, later_options = "later", ("both",)

    usual = [name for name, _ in resolve(Later, {}).options]
    assert usual == sorted(set(options(Later)) - {"both"})
    assert resolve(Later, {"both": False}) == resolve(Later, {})
    assert resolve(Later, {"both": True})["both"] is True


def test_values_that_are_not_named_are_not_checked() -> None:
    check(Plain, "plain", {"length": 3})
    assert parse_value("x", "1", True) is True
    assert parse_value("x", "1", 2) == 1


@dataclass(frozen=True)
class Weighted:
    weight: Annotated[float, Range(0)] = 1.0


class Bounded:
    name, learning = "bounded", SimpleNamespace(supervision=Weighted())

    def __init__(
        self, *, length: Annotated[int, Range(1, 1000)] = 4, rate: float = 0.5, size: int = 1
    ) -> None: ...


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("length=0", "option 'length' of 'bounded' must be 1 to 1000, not 0"),
        ("length=100000000000", "option 'length' of 'bounded' must be 1 to 1000, not 100000000000"),
        ("weight=-0.5", "option 'weight' of 'bounded' must be at least 0, not -0.5"),
        ("weight=nan", "option 'weight' of 'bounded' must be a number of usual size, not nan"),
        ("rate=inf", "option 'rate' of 'bounded' must be a number of usual size, not inf"),
        ("rate=1e300", "option 'rate' of 'bounded' must be a number of usual size, not 1e+300"),
        (f"size={10**20}", f"must be a number of usual size, not {10**20}"),
        (f"size={'9' * 4000}", f"must be a number of usual size, not {'9' * 40}..."),
        (f"size={'9' * 5000}", "option 'size' is an integer, not"),
    ],
)
def test_a_number_outside_its_range_is_refused(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(Bounded, "bounded", text)
    assert expected in str(caught.value)


def test_both_ends_of_a_range_are_allowed_and_shown() -> None:
    assert parse(Bounded, "bounded", "length=1,weight=0") == {"length": 1, "weight": 0.0}
    assert parse(Bounded, "bounded", "length=1000") == {"length": 1000}
    assert choices(Bounded) == {"length": "1 to 1000", "weight": "at least 0"}
