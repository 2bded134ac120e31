"""The images that a training learns from and chooses on, for each kind of validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.toy_data import COLOURS, Toy, WithoutVal

from rppbench.contracts.dataset import Sample
from rppbench.contracts.recipe import Recipe
from rppbench.data.draws import learned_shots, training_images, validation_images
from rppbench.data.few_shot import few_shot, few_shot_with_val
from rppbench.data.parts import shots_of, val_shots_of
from rppbench.errors import UsageError
from rppbench.records.cell import Choice, Training

RECIPE = Recipe("mine-1", epochs=0, batch=4, lr=0.1)
CLASSES = len(COLOURS)


class Larger(Toy):
    images_a_class = 6


class ValIsTest(Larger):
    def samples(self, split: str) -> Sequence[Sample]:
        return super().samples("test" if split == "val" else split)


class Overlap(Larger):
    def samples(self, split: str) -> Sequence[Sample]:
        if split != "val":
            return super().samples(split)
        return [*super().samples("val"), super().samples("test")[3]]


class Small(Larger):
    """One image of the first class to learn on."""

    def samples(self, split: str) -> Sequence[Sample]:
        every = super().samples(split)
        return every if split != "train" else every[5:]


def training(validation: str = "few-shot", shots: int = 5, classes: str = "all") -> Training:
    recipe = replace(RECIPE, validation=validation).choice()  # type: ignore[arg-type]
    return Training(
        Choice("any"),
        recipe,
        "toy",
        classes,
        shots,
        seed=3,
        backbone="t",
        teacher=None,
        precision="",
    )


def test_the_usual_validation_adds_nothing_to_a_key() -> None:
    assert "validation" not in dict(RECIPE.choice().options)
    assert dict(replace(RECIPE, validation="full").choice().options)["validation"] == "full"


def test_few_shot_is_the_published_draw_of_at_most_four() -> None:
    data = Larger()
    drawn = few_shot_with_val(data.samples("train"), data.samples("val"), 5, 3)
    assert (training_images(data, training()), validation_images(data, training())) == drawn
    assert Counter(s.label for s in drawn[1]) == dict.fromkeys(range(CLASSES), 4)


def test_none_chooses_on_nothing_and_full_on_the_complete_split() -> None:
    data = Larger()
    assert validation_images(data, training("none")) == ()
    assert validation_images(data, training("full")) == data.samples("val")
    for kind in ("none", "full"):
        assert training_images(data, training(kind)) == few_shot(data.samples("train"), 5, 3)


def test_a_held_out_shot_is_the_last_of_each_class_and_is_not_learned_from() -> None:
    data = Larger()
    drawn = few_shot(data.samples("train"), 5, 3)
    learned = training_images(data, training("held-out-shot"))
    held_out = validation_images(data, training("held-out-shot"))
    for label in range(CLASSES):
        of_label = [sample for sample in drawn if sample.label == label]
        assert [sample for sample in learned if sample.label == label] == of_label[:-1]
        assert [sample for sample in held_out if sample.label == label] == of_label[-1:]
    assert learned_shots(training("held-out-shot")) == 4
    assert learned_shots(training("full")) == 5


def test_a_class_of_one_image_keeps_it() -> None:
    of_class = training("held-out-shot")
    learned = Counter(sample.label for sample in training_images(Small(), of_class))
    held_out = Counter(sample.label for sample in validation_images(Small(), of_class))
    assert (learned[0], held_out[0]) == (1, 0)
    assert (learned[1], held_out[1]) == (4, 1)


def test_images_are_those_of_the_learned_classes_with_their_positions() -> None:
    assert {s.label for s in val_shots_of(Larger(), training("full", classes="seen"))} == {
        *range(5)
    }
    held_out = val_shots_of(Larger(), training("held-out-shot", classes="base"))
    assert [sample.label for sample in held_out] == [0, 1, 2, 3]
    assert len(shots_of(Larger(), training("held-out-shot", classes="base"))) == 4 * 4


def test_without_a_split_few_shot_has_no_images_and_full_is_refused() -> None:
    assert not validation_images(WithoutVal(), training())
    assert len(validation_images(WithoutVal(), training("held-out-shot"))) == CLASSES
    with pytest.raises(UsageError, match=r"'toy' has no validation images .*validation=none"):
        validation_images(WithoutVal(), training("full"))


@pytest.mark.parametrize("validation", ["few-shot", "full"])
def test_a_validation_split_that_is_the_test_list_cannot_be_used(validation: str) -> None:
    with pytest.raises(UsageError, match="42 of 42 validation images of 'toy' are test images"):
        validation_images(ValIsTest(), training(validation))
    with pytest.raises(UsageError, match="1 of 43 validation images of 'toy' are test images"):
        validation_images(Overlap(), training(validation))
    assert not validation_images(ValIsTest(), training("none"))
    assert len(validation_images(ValIsTest(), training("held-out-shot"))) == CLASSES
