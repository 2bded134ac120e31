from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import training_world
from support.tiny import make_tiny_clip, tiny_config
from support.toy_data import Toy
from torch import Tensor

from rppbench.contracts.averaging import AveragesEpochs
from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.objective import FrozenFeatures, Step
from rppbench.contracts.prompts import Prompt, Prompts, Space
from rppbench.contracts.recipe import Recipe
from rppbench.data.images import Images, Notify
from rppbench.errors import DivergedError
from rppbench.evaluation.scorer import Scorer
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip
from rppbench.models.loading import build
from rppbench.records.cell import Choice, Training
from rppbench.training.state import load_state
from rppbench.training.step_inputs import StepInputs
from rppbench.training.trainer import Trainer

RECIPE = Recipe("test-1", epochs=3, batch=4, lr=0.05, augment="none")
TRAINING = replace(training_world.TRAINING, method=Choice("probe"), recipe=RECIPE.choice())


PLAIN = Supervision()


class Context(Method):
    """Shared context, text only."""

    name, title = "context", "Context"

    def __init__(self, space: Space, *, both: bool = False) -> None:
        super().__init__(space)
        self.context = space.normal(2, space.text_width)
        self.tokens = space.normal(2, space.image_width) if both else None

    def prompts(self) -> Prompts:
        return Prompts(
            Prompt(self.context), (self.tokens is not None and Prompt(self.tokens)) or None
        )


class Averaged(Context, AveragesEpochs):
    """Averages over epochs, and keeps the steps it saw."""

    frozen = FrozenFeatures(("a {}.", "some {}."), images=True)

    def __init__(self, space: Space, *, both: bool = False) -> None:
        super().__init__(space, both=both)
        self.steps: list[Step] = []

    def loss(self, step: Step) -> Tensor:
        self.steps.append(step)
        return step.loss

    def epoch_weights(self, epochs: int) -> list[float]:
        return [0.25, 0.0, 0.75]


class Exploding(Context):
    def loss(self, step: Step) -> Tensor:
        return step.loss / 0.0


def make(
    clip: Clip,
    folder: Path,
    method: type[Method] = Context,
    training: Training = TRAINING,
    supervision: Supervision = PLAIN,
    teacher: Clip | None = None,
    notify: Notify | None = None,
    **options: Any,
) -> Trainer:
    space = clip.space(5, torch.Generator().manual_seed(0))
    built = method(space, **options)
    store = FeatureStore(folder / "cache")
    scorer = Scorer(clip, store, batch_size=4, workers=0, notify=notify or silent)
    return Trainer(training, built, supervision, clip, teacher, Toy(), scorer)


def with_recipe(**changes: Any) -> Training:
    return replace(TRAINING, recipe=replace(RECIPE, **changes).choice())


def silent(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
    return None


def test_an_incomplete_batch_is_dropped(tmp_path: Path) -> None:
    assert make(make_tiny_clip(), tmp_path).epoch_steps == 15 // 4
    huge = make(make_tiny_clip(), tmp_path, training=with_recipe(batch=500))
    assert huge.epoch_steps == 1


def test_learning_lowers_the_loss_and_logs_each_epoch(tmp_path: Path) -> None:
    training = with_recipe(epochs=20, lr=0.02, batch=15)
    trainer = make(make_tiny_clip(), tmp_path, training=training)
    progress = trainer.run(tmp_path / "prompts.safetensors")
    assert [entry["epoch"] for entry in progress.log] == list(range(1, 21))
    assert progress.log[-1]["loss"] < progress.log[0]["loss"] - 0.02
    assert progress.step == trainer.steps == 20


def test_frozen_features_that_are_input_too_are_read_once_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = StepInputs.epoch_features

    def counted(self: StepInputs, clip: Clip, images: Images, epoch: int, *unit: bool) -> Tensor:
        reads.append(epoch)
        return read(self, clip, images, epoch, *unit)

    monkeypatch.setattr(StepInputs, "epoch_features", counted)
    make(make_tiny_clip(), tmp_path, method=Averaged).run(tmp_path / "prompts.safetensors")
    assert reads == [0, 1, 2]


def test_held_out_classes_are_not_trained_on(tmp_path: Path) -> None:
    trainer = make(make_tiny_clip(), tmp_path)
    assert len(trainer.inputs.names) == 5
    assert set(trainer.inputs.labels.tolist()) == set(range(5))


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("stop", [1, 4, 8])
def test_an_interrupted_training_ends_in_the_same_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, both: bool, stop: int
) -> None:
    clip = make_tiny_clip()
    complete = make(clip, tmp_path, both=both)
    expected = complete.run(tmp_path / "complete.safetensors")

    monkeypatch.setattr("rppbench.training.trainer.SAVE_SECONDS", -1.0)  # save after every step

    def kill(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        if phase == "train" and done == stop + 1:
            raise KeyboardInterrupt

    path = tmp_path / "cut.safetensors"
    with pytest.raises(KeyboardInterrupt):
        make(clip, tmp_path, both=both, notify=kill).run(path)
    assert not path.exists()
    seen: list[int] = []

    def watch(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        if phase == "train":
            seen.append(done)

    cut = make(clip, tmp_path, both=both, notify=watch)
    progress = cut.run(path)
    assert seen[0] == stop + 1  # at most the step under way is repeated
    assert progress.log == expected.log
    for a, b in zip(complete.method.parameters(), cut.method.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("stop", [0, 2, 3, 7, 9])
def test_an_average_over_epochs_is_kept_through_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """15 images in batches of 4: epochs end at steps 3, 6 and 9; a stop at 9 is the last one."""
    clip = make_tiny_clip()
    monkeypatch.setattr("rppbench.training.trainer.SAVE_SECONDS", -1.0)
    path = tmp_path / "prompts.safetensors"
    ends: dict[int, list[Tensor]] = {}

    def remember(until: int) -> Trainer:
        def watch(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
            if phase != "train":
                return
            if done == until + 1:  # what it did so far is on disk, but for this step
                raise KeyboardInterrupt
            ends[done] = [p.detach().clone() for p in trainer.method.parameters()]

        trainer = make(clip, tmp_path, Averaged, notify=watch)
        trainer.run(path)
        return trainer

    if stop < 9:
        with pytest.raises(KeyboardInterrupt):
            remember(stop)
    trainer = remember(9)
    for kept, first, last in zip(trainer.method.parameters(), ends[3], ends[9], strict=True):
        torch.testing.assert_close(kept.detach(), 0.25 * first + 0.75 * last)
    fresh = make(clip, tmp_path, Averaged).method
    assert load_state(path, TRAINING.key, fresh).step == 9
    stored = zip(fresh.parameters(), trainer.method.parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in stored)


@pytest.mark.parametrize("both", [False, True])
def test_a_loss_sees_the_frozen_features_it_asks_for(tmp_path: Path, both: bool) -> None:
    clip = make_tiny_clip()
    training = with_recipe(augment="crop-flip", views=2, epochs=1)
    trainer = make(clip, tmp_path, Averaged, training, Supervision(sampled=3), both=both)
    trainer.run(tmp_path / "p.safetensors")
    assert isinstance(trainer.method, Averaged)
    order = trainer.inputs.order(0)
    names = list(Toy().classes)[:5]
    texts = clip.text.encode_templates(names, ["a {}.", "some {}."])
    views = [torch.cat(list(trainer.inputs.images.in_order(5, 0, view))) for view in range(2)]
    for number, step in enumerate(trainer.method.steps):
        pick = order[4 * number : 4 * number + 4]
        frozen = clip.image.encode(torch.cat([view[pick] for view in views]))
        assert step.frozen_images is not None
        assert step.frozen_texts is not None
        torch.testing.assert_close(step.frozen_images, frozen)
        assert torch.equal(step.frozen_texts, texts[step.classes])
        assert torch.allclose(step.images, frozen, atol=1e-5) != both


def test_other_methods_are_not_given_frozen_features(tmp_path: Path) -> None:
    clip = make_tiny_clip()
    trainer = make(clip, tmp_path, both=True)
    assert trainer.inputs.frozen_texts is None
    trainer.run(tmp_path / "p.safetensors")
    measured = len(trainer.inputs.images)  # once more at the end, for the loss of what was learned
    assert clip.image.images_encoded == trainer.steps * 4 + measured


def test_a_stored_state_of_another_training_is_ignored(tmp_path: Path) -> None:
    clip = make_tiny_clip()
    trainer = make(clip, tmp_path)
    path = tmp_path / "prompts.safetensors"
    trainer.run(path)
    before = [p.clone() for p in trainer.method.parameters()]
    fresh = make(clip, tmp_path).method
    assert load_state(path, "another", fresh).step == 0
    path.write_bytes(path.read_bytes()[:-20])
    assert load_state(path, TRAINING.key, fresh).step == 0
    assert not any(torch.equal(a, b) for a, b in zip(before, fresh.parameters(), strict=True))


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_norms(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"became inf at step 0 of 9.*context"):
        make(make_tiny_clip(), tmp_path, Exploding).run(tmp_path / "p.safetensors")


def test_prompts_that_the_last_step_spoiled_are_not_kept(tmp_path: Path) -> None:
    class Late(Context):
        def loss(self, step: Step) -> Tensor:
            self.calls = getattr(self, "calls", 0) + 1
            return step.loss + (steep(self.context) if self.calls == 9 else 0)

    path = tmp_path / "p.safetensors"
    trainer = make(make_tiny_clip(), tmp_path, Late)
    with pytest.raises(DivergedError, match=r"the loss is nan after all 9 steps; .*context nan"):
        trainer.run(path)
    assert not path.exists()


def steep(values: Tensor) -> Tensor:
    """Zero, with a gradient that is no number."""
    return (values - values.detach()).abs().sqrt().sum()


def half(precision: str) -> Clip:
    clip = make_tiny_clip()
    model = build(tiny_config(), precision)
    model.load_state_dict(clip.model.state_dict())
    return Clip("half", precision, model, clip.tokenizer, clip.preprocess)


class Faint(Context):
    """Gradients that float16 does not know, of prompts in both towers."""

    def loss(self, step: Step) -> Tensor:
        return step.loss * 1e-6


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_towers_learn_float32_prompts_from_small_gradients(
    tmp_path: Path, precision: str
) -> None:
    clip = half(precision)
    changes = {"warmup_epochs": 0, "momentum": 0.0, "weight_decay": 0.0}
    moved = {}
    for dtype, model in (("half", clip), ("float", make_tiny_clip())):
        training = with_recipe(**changes, epochs=1, lr=1e4)
        trainer = make(model, tmp_path / dtype, Faint, training, both=True)
        before = [p.detach().clone() for p in trainer.method.parameters()]
        progress = trainer.run(tmp_path / f"{dtype}.safetensors")
        assert bool(progress.scaler) == (dtype == "half" and precision == "fp16")
        after = list(trainer.method.parameters())
        assert {p.dtype for p in after} == {torch.float32}
        moved[dtype] = [a.detach() - b for a, b in zip(after, before, strict=True)]
    for ours, theirs in zip(moved["half"], moved["float"], strict=True):
        assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), 0) > 0.9
        assert 0.7 < ours.norm() / theirs.norm() < 1.4


def test_a_training_in_float16_goes_on_with_the_scale_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the loss: one that was forgotten would leave other steps out."""
    monkeypatch.setattr("rppbench.training.trainer.SAVE_SECONDS", -1.0)
    clip = half("fp16")
    large = with_recipe(epochs=2, batch=2)

    class Loud(Context):
        def loss(self, step: Step) -> Tensor:
            return step.loss * 100

    complete = make(clip, tmp_path, Loud, large)
    expected = complete.run(tmp_path / "complete.safetensors")
    assert expected.scaler["scale"] < 65536, "no step overflowed, so nothing is tested"

    def kill(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        if phase == "train" and done == 9:
            raise KeyboardInterrupt

    path = tmp_path / "cut.safetensors"
    with pytest.raises(KeyboardInterrupt):
        make(clip, tmp_path, Loud, large, notify=kill).run(path)
    cut = make(clip, tmp_path, Loud, large)
    assert cut.run(path).scaler == expected.scaler
    for a, b in zip(complete.method.parameters(), cut.method.parameters(), strict=True):
        assert torch.equal(a, b)


def test_gradients_that_overflow_at_every_scale_stop_the_training(tmp_path: Path) -> None:
    class Deaf(Context):
        def loss(self, step: Step) -> Tensor:
            return step.loss + steep(self.context)

    training = with_recipe(epochs=20)
    with pytest.raises(DivergedError, match=r"overflow float16 at step 16 of 60.*context"):
        make(half("fp16"), tmp_path, Deaf, training).run(tmp_path / "p.safetensors")


def test_sampling_takes_the_asked_number_of_negatives_and_masks_collisions(tmp_path: Path) -> None:
    trainer = make(make_tiny_clip(), tmp_path, supervision=Supervision(sampled=3))
    labels = torch.tensor([0, 1, 0, 4])
    for step in range(20):
        candidates, negatives = trainer.inputs.candidates(labels, 3, 0, step)
        assert negatives.sum() == 2
        assert set(labels.tolist()) <= set(candidates.tolist())
        assert len(candidates.unique()) == len(candidates) <= 5
        again, _ = trainer.inputs.candidates(labels, 3, 0, step)
        assert torch.equal(candidates, again)


def test_the_teacher_sees_each_image_once_and_the_frozen_tower_too(tmp_path: Path) -> None:
    clip, teacher = make_tiny_clip(), make_tiny_clip(seed=5)
    options = {"supervision": Supervision(kd=True), "teacher": teacher}
    make(clip, tmp_path, **options).run(tmp_path / "a.safetensors")
    assert clip.image.images_encoded == 15
    assert teacher.image.images_encoded == 15
    make(clip, tmp_path, **options).run(tmp_path / "b.safetensors")
    assert clip.image.images_encoded == 15  # another training of the same data: all stored


def test_stored_and_live_features_train_the_same_prompts(tmp_path: Path) -> None:
    """The augmented views of a frozen tower, stored for each epoch, equal a live forward."""
    clip = make_tiny_clip()
    inputs = make(clip, tmp_path, training=with_recipe(augment="crop-flip", views=2)).inputs
    live = [
        torch.cat([clip.image.encode(batch) for batch in inputs.images.in_order(5, 1, view)])
        for view in range(2)
    ]
    stored = inputs.epoch_features(clip, inputs.images, 1)
    assert torch.allclose(stored, torch.stack(live), atol=1e-6)
    assert not torch.allclose(stored[0], stored[1], atol=1e-3)


def test_distillation_pulls_the_student_to_the_teacher(tmp_path: Path) -> None:
    clip, teacher = make_tiny_clip(), make_tiny_clip(seed=5)
    training = with_recipe(epochs=20, lr=0.005, batch=15)
    gaps = []
    for weight in (0.0, 20.0):
        supervision = Supervision(kd=True, kd_weight=weight)
        trainer = make(clip, tmp_path, Context, training, supervision, teacher)
        trainer.run(tmp_path / f"{weight}.safetensors")
        prompt = trainer.method.prompts().text
        assert isinstance(prompt, Prompt)
        inputs = trainer.inputs
        texts = clip.text.encode(prompt, inputs.names)
        student = inputs.epoch_features(clip, inputs.images, 0)[0] @ texts.T * clip.scale
        cosines = (
            inputs.epoch_features(teacher, inputs.teacher_pixels, 0)[0] @ inputs.teacher_texts.T
        )
        target = (cosines * teacher.scale).log_softmax(1)
        gaps.append(float((target.exp() * (target - student.log_softmax(1))).sum(1).mean()))
    assert gaps[1] < gaps[0]
    assert all(math.isfinite(gap) for gap in gaps)


def test_encoding_and_training_report_their_progress(tmp_path: Path) -> None:
    reports: list[tuple[str, int, int]] = []

    def watch(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        reports.append((phase, done, total))

    trainer = make(make_tiny_clip(), tmp_path, notify=watch)
    trainer.run(tmp_path / "prompts.safetensors")
    encoded = [(done, total) for phase, done, total in reports if phase == "encode"]
    assert encoded[-1] == (len(trainer.inputs.images), len(trainer.inputs.images))
    assert reports[-1] == ("train", trainer.steps, trainer.steps)
