"""Which names of a target a vocabulary holds."""

from __future__ import annotations

import pytest

from rppbench.data.splits import training_classes
from rppbench.files.class_names import seen_names
from rppbench.plugins.registry import Registry


@pytest.mark.parametrize(
    ("name", "vocabulary", "seen"),
    [
        ("red panda", ["red panda"], True),
        ("Red_Panda", ["red  panda"], True),
        ("red panda", ["RED PANDA"], True),
        ("tench", ["tench, Tinca tinca"], True),
        ("tench, Tinca tinca", ["Tinca tinca"], True),
        ("mark 2", ["mark2"], True),
        ("Tom &amp; Jerry", ["tom & jerry"], True),
        ("café", ["Café"], True),
        ("red panda", ["panda", "red"], False),
        ("panda", ["red panda"], False),
        ("lorry", ["lorries", "truck"], False),
        ("jack-o-lantern", ["jack o lantern"], False),
        ("cat", [], False),
        (",", ["cat", ", dog"], False),
    ],
)
def test_a_name_is_seen_by_the_words_of_its_synonyms(
    name: str, vocabulary: list[str], seen: bool
) -> None:
    assert seen_names([name], vocabulary) == ([name] if seen else [])


def test_a_target_may_have_no_seen_name() -> None:
    assert seen_names(["cat", "dog"], ["missile"]) == []


def test_the_order_is_that_of_the_target_and_repeats_count() -> None:
    target = ["missile", "cat", "dog", "Missile"]
    assert seen_names(target, ["dog", "missile", "horse"]) == ["missile", "dog", "Missile"]


@pytest.mark.parametrize(
    ("target", "seen"),
    [("demo-2-animals", 47), ("demo-2-clothing", 21), ("demo-2-plain", 159)],
)
def test_the_embedded_world_says_which_classes_pretraining_had(target: str, seen: int) -> None:
    """Its transfer sets hold classes of the vocabulary, seen and held out."""
    sets = Registry.load().all("datasets")
    source, names = sets["demo-2-vocabulary"](), sets[target]().classes
    learned = {source.classes[label] for label in training_classes(source, "seen")}
    assert seen_names(names, learned) == [name for name in names if name in learned]
    assert len(seen_names(names, learned)) == seen
    hidden = [source.classes[label] for label in source.held_out()]
    assert len(seen_names(names, hidden)) + seen == len(names)
