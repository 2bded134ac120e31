"""From a request to records, with a tiny backbone and generated images; real files, real loops."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from support.toy_data import COLOURS, Toy
from support.toy_plugin import Context, Fixed, PluginOf, ToyOne, ToyTwo, registry_of
from support.toy_runner import Workspace

from rppbench import __version__
from rppbench.contracts.prompts import Prompt
from rppbench.data.few_shot import draw_digest, few_shot
from rppbench.data.splits import of_classes, training_classes
from rppbench.execution.runner import Runner
from rppbench.leaderboard.build import build
from rppbench.models.clip import Clip
from rppbench.planning.plan import cell_groups
from rppbench.planning.status import survey
from rppbench.records.codec import encode
from rppbench.records.record import FEWER_IMAGES, Failure
from rppbench.reporting.footnotes import footnotes
from rppbench.training.distributed import Group
from rppbench_methods.cocoop import CoCoOp

TOYS = PluginOf([Fixed, Context, CoCoOp], [Toy, ToyOne, ToyTwo])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    return Workspace(registry_of(toys=TOYS), tmp_path, monkeypatch)


def clip_of(workspace: Workspace) -> Clip:
    return workspace.clips["tiny"]


GOOD = ("toy-one", "toy-two")


def test_one_training_serves_all_targets_and_counts_are_kept(workspace: Workspace) -> None:
    planned = workspace.plan("context", datasets=GOOD)
    assert [cell.dataset for cell in planned] == list(GOOD)
    assert len(cell_groups(planned)) == 1
    records = workspace.run(planned)
    assert [record.status for record in records] == ["ok", "ok"]
    assert [record.cost.training_reused for record in records] == [False, True]
    trained = {event.key for event in workspace.events if event.phase == "train"}
    assert trained == {planned[0].key}
    for record, total in zip(records, (14, 28), strict=True):
        score = record.score()
        assert score is not None
        assert score.total == total
        assert score.value == 100 * (score.correct or 0) / total
        assert sum(score.outcomes() or []) == score.correct


def test_place_and_earlier_failures_stand_in_the_record(workspace: Workspace) -> None:
    (planned,) = workspace.plan("fixed", datasets=GOOD[:1])
    before = (Failure("WorkerDied", "SIGKILL"),)
    runner = workspace.new(place={"host": "far", "log": "x.log"}, earlier={planned.key: before})
    (record,) = workspace.run([planned], runner)
    assert record.status == "ok"
    assert record.earlier == before
    assert (record.environment["host"], record.environment["log"]) == ("far", "x.log")
    assert runner.failure(planned) is None
    runner.fail(planned, "x", "y")  # a good record stays
    assert workspace.run([planned])[0].earlier == ()


def test_the_folder_of_a_runner_that_is_sent_away_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sent: Runner = pickle.loads(pickle.dumps(Runner(Path("runs"))))
    assert sent.output == tmp_path / "runs"


def test_the_same_cells_give_the_same_records_in_any_order(workspace: Workspace) -> None:
    planned = workspace.plan("context", "context:both=on", "fixed", datasets=GOOD, seeds=(0, 1))
    first = [record.measured() for record in workspace.run(planned)]
    other = workspace.new("other", "other-cache")
    for cell in reversed(planned):
        other((cell,), workspace.events.append)
    second = [other.store.read(cell) for cell in planned]
    assert [record and record.measured() for record in second] == first
    assert first[0] != first[1]


def test_a_second_evaluation_of_the_same_data_encodes_no_image(workspace: Workspace) -> None:
    workspace.run(workspace.plan("fixed", datasets=GOOD))
    before = workspace.images_encoded
    assert before == 14 + 28
    workspace.run(workspace.plan("fixed", datasets=GOOD), workspace.new("again"))
    assert workspace.images_encoded == before
    workspace.run(workspace.plan("context", datasets=GOOD), workspace.new("third"))
    assert workspace.images_encoded == before + 2 * 5  # the training images of the source, once


def test_stored_and_live_features_give_the_same_record(workspace: Workspace) -> None:
    planned = workspace.plan("context", datasets=GOOD)
    first = workspace.run(planned)
    second = workspace.run(planned, workspace.new("again", "empty-cache"))
    assert [a.measured() for a in first] == [b.measured() for b in second]


def test_a_record_tells_which_images_were_drawn(workspace: Workspace) -> None:
    planned = [
        *workspace.plan("context", datasets=("toy-one",), seeds=(1, 2)),
        *workspace.plan("context", task="pretraining"),  # the same training
    ]
    one, two, again = workspace.run(planned)
    assert one.cell.training is not None
    drawn = few_shot(Toy().samples("train"), one.cell.training.shots, 1)
    assert one.draw == again.draw == draw_digest(drawn)
    assert two.draw not in (one.draw, "")
    assert draw_digest(list(reversed(drawn))) != one.draw
    (still,) = workspace.run(workspace.plan("fixed", datasets=("toy-one",)))
    assert still.draw == ""


def test_the_train_loss_is_that_of_the_learned_prompts_on_what_they_learned(
    workspace: Workspace,
) -> None:
    (record,) = workspace.run(workspace.plan("context", datasets=("toy-one",)))
    assert record.status == "ok", record.failure
    clip, data = clip_of(workspace), Toy()
    training = record.cell.training
    assert training is not None
    method, _ = workspace.runner.resources.fitted[training.key]
    seen = training_classes(data, training.classes)
    drawn = of_classes(few_shot(data.samples("train"), training.shots, training.seed), seen)
    with torch.no_grad():
        prompt = method.prompts().text
        assert isinstance(prompt, Prompt)
        names = clip.names([data.classes[label] for label in seen])
        texts = clip.text.encode(prompt, names, plain=True)
        losses = []
        for sample in drawn:
            image = clip.image.encode(clip.preprocess(data.image(sample))[None])
            logits = clip.scale * image @ texts.T
            losses.append(-float(logits.log_softmax(1)[0, sample.label]))
    scores = {score.metric: score.value for score in record.scores}
    assert scores["train_loss"] == pytest.approx(sum(losses) / len(losses), abs=6e-4)
    gap = scores["test_loss"] - scores["train_loss"]
    assert scores["loss_gap"] == pytest.approx(gap, abs=1e-9)


def test_text_that_depends_on_the_image_is_encoded_for_each_image(workspace: Workspace) -> None:
    fast = (("recipe.epochs", "2"), ("recipe.lr", "0.5"), ("recipe.batch", "5"))
    (record,) = workspace.run(workspace.plan("cocoop", datasets=("toy-one",), settings=fast))
    assert record.status == "ok", record.failure
    clip, data = clip_of(workspace), ToyOne()
    method, _ = workspace.runner.resources.fitted[record.cell.training.key]  # type: ignore[union-attr]
    assert isinstance(method, CoCoOp)
    right = []
    with torch.no_grad():
        for sample in data.samples("test"):
            image = clip.image.encode(clip.preprocess(data.image(sample))[None])
            prompt = Prompt(method.contexts(image)[0])
            texts = clip.text.encode(prompt, clip.names(list(COLOURS)))
            right.append(bool((texts @ image[0]).argmax() == sample.label))
    score = record.score()
    assert score is not None
    assert score.outcomes() == right
    assert any(right)
    evaluated = [event for event in workspace.events if event.phase == "evaluate"]
    counted = [event.done for event in evaluated if not event.message]
    assert counted == [15, 14]  # the learned ones at the end of the training, for their loss


def test_words_the_text_tower_never_saw_are_named_once(workspace: Workspace) -> None:
    clip = clip_of(workspace)
    with torch.no_grad():
        for word in ("field", "stone"):
            clip.model.token_embedding.weight[clip.tokenizer.encode(word)] = 0
    records = workspace.run(workspace.plan("fixed", "context", datasets=GOOD))
    assert [event.message for event in workspace.events if event.message] == [
        f"2 of 7 class names of {name} have words that backbone tiny never saw: "
        "green field, grey stone"
        for name in GOOD
    ]
    assert {record.status for record in records} == {"ok"}
    many = workspace.new("many")
    with torch.no_grad():
        clip.model.token_embedding.weight[:] = 0
    workspace.events.clear()
    workspace.run(workspace.plan("fixed", datasets=GOOD[:1]), many)
    (message,) = [event.message for event in workspace.events if event.message]
    assert message.startswith("7 of 7 class names")
    assert message.endswith("yellow sun, grey stone, ...")


def test_classes_with_fewer_images_than_shots_are_named_once(workspace: Workspace) -> None:
    few = (
        "5 of 5 classes have fewer than 4 training images: "
        "red square (3), green field (3), blue lake (3), ..."
    )
    records = workspace.run(workspace.plan("context", datasets=GOOD, shots=(4,)))
    assert [event.message for event in workspace.events if event.message] == [f"toy: {few}"]
    assert {record.environment[FEWER_IMAGES] for record in records} == {few}
    again = workspace.run(workspace.plan("context", datasets=GOOD, shots=(4,)), workspace.new())
    assert {record.environment[FEWER_IMAGES] for record in again} == {few}  # stored prompts
    (table,) = build(records)
    assert f"Fewer training images than shots: Toy: {few}." in list(footnotes(table))
    enough = workspace.run(workspace.plan("context", datasets=GOOD, shots=(3,)))
    assert all(FEWER_IMAGES not in record.environment for record in enough)


def test_pretraining_scores_all_base_and_held_out_classes(workspace: Workspace) -> None:
    (record,) = workspace.run(workspace.plan("context", task="pretraining"))
    totals = {score.metric: score.total for score in record.scores if score.correct is not None}
    assert totals == {"top1": 21, "top5": 21, "base": 15, "held_out": 6}
    assert record.metric == "top1"


def test_a_plan_says_which_training_resumes(workspace: Workspace) -> None:
    planned = workspace.plan("context", datasets=("toy-one",))
    training = planned[0].training
    assert training is not None
    partial = workspace.runner.store.training_path(training).with_suffix(".partial")
    partial.parent.mkdir(parents=True)
    partial.touch()
    plan, _ = survey(planned, workspace.runner.store)
    assert [(entry.training, entry.trainings) for entry in plan] == [("resume", 1)]


def test_two_tasks_share_the_training_of_one_source(workspace: Workspace) -> None:
    transfer = workspace.plan("context", datasets=("toy-one",))
    pretraining = workspace.plan("context", task="pretraining")
    assert transfer[0].training == pretraining[0].training
    plan, _ = survey([*transfer, *pretraining], workspace.runner.store)
    assert [entry.training for entry in plan] == ["learn", "shared"]
    workspace.run(transfer)
    plan, _ = survey(pretraining, workspace.runner.store)
    assert [entry.training for entry in plan] == ["stored"]
    assert plan[0].seconds is None
    (record,) = workspace.run(pretraining, workspace.new())
    assert record.cost.training_reused


def test_retraining_learns_again_and_agrees(workspace: Workspace) -> None:
    planned = workspace.plan("context", datasets=("toy-one",))
    (first,) = workspace.run(planned)
    (second,) = workspace.run(planned, workspace.new(retrain=True))
    assert not second.cost.training_reused
    assert first.measured() == second.measured()


def test_a_teacher_belongs_to_the_training_but_not_to_comparability(workspace: Workspace) -> None:
    (plain,) = workspace.plan("context", datasets=("toy-one",))
    (distilled,) = workspace.plan("context:kd=on", datasets=("toy-one",), teacher="teacher")
    assert plain.training is not None
    assert distilled.training is not None
    assert distilled.training.teacher == "teacher"
    assert plain.training.teacher is None
    assert plain.comparability == distilled.comparability
    assert plain.training.key != distilled.training.key
    (record,) = workspace.run([distilled])
    assert record.status == "ok"
    assert workspace.clips["teacher"].image.images_encoded == 2 * 5


def test_a_method_that_learns_nothing_runs_once_for_all_seeds(workspace: Workspace) -> None:
    planned = workspace.plan("fixed", "context", datasets=("toy-one",), seeds=(1, 2, 3))
    assert [(cell.method.name, cell.seed) for cell in planned] == [
        ("fixed", 1),
        ("context", 1),
        ("context", 2),
        ("context", 3),
    ]


def test_a_limit_is_part_of_the_identity_and_is_obeyed(workspace: Workspace) -> None:
    (whole,) = workspace.plan("fixed", datasets=("toy-two",))
    (part,) = workspace.plan("fixed", datasets=("toy-two",), limit=9)
    assert whole.comparability != part.comparability
    (record,) = workspace.run([part])
    score = record.score()
    assert score is not None
    assert score.total == 9


def test_options_come_from_defaults_recipe_user_in_this_order(workspace: Workspace) -> None:
    (cell,) = workspace.plan("context", datasets=("toy-one",))
    assert cell.training is not None
    assert cell.method["length"] == 2
    assert cell.training.shots == 2
    assert dict(cell.training.recipe.options)["epochs"] == 2
    settings = (("length", "3"), ("recipe.lr", "0.5"), ("task.shots", "1"))
    (cell,) = workspace.plan("context", datasets=("toy-one",), settings=settings)
    assert cell.training is not None
    assert cell.method["length"] == 3
    assert cell.training.shots == 1
    assert cell.training.recipe.name == "context-1+lr=0.5"


def test_the_record_is_plain_json_with_its_identity_spelled_out(workspace: Workspace) -> None:
    (cell,) = workspace.plan("context", datasets=("toy-one",))
    workspace.run([cell])
    content = json.loads(workspace.runner.store.record_path(cell).read_text())
    assert content["key"] == cell.key
    assert content["training_key"] == cell.training.key  # type: ignore[union-attr]
    assert content["labels"]["method"] == "Context"
    assert content["environment"]["torch"] == version("torch")
    assert content["environment"]["rppbench"] == __version__
    assert content["cost"]["parameters"] == 2 * 32


def test_the_names_in_a_table_do_not_depend_on_the_machine(
    workspace: Workspace, tmp_path: Path
) -> None:
    (record,) = workspace.run(workspace.plan("fixed", datasets=("toy-one",)))
    assert str(tmp_path) not in encode(record).decode()
    moved = replace(record, started="", finished="")
    assert moved.key == record.key


def test_the_accuracy_is_that_of_a_plain_reference(workspace: Workspace) -> None:
    """Nearest class by cosine, image by image, with open_clip's own forward passes."""
    import open_clip

    clip, toy = clip_of(workspace), ToyTwo()
    (record,) = workspace.run(workspace.plan("fixed", datasets=("toy-two",)))
    tokens = open_clip.SimpleTokenizer()([f"a photo of a {name}." for name in COLOURS])
    with torch.no_grad():
        texts = clip.model.encode_text(tokens, normalize=True)
        right = 0
        for sample in toy.samples("test"):
            pixels = clip.preprocess(toy.image(sample))[None]
            image = clip.model.encode_image(pixels, normalize=True)
            right += int((image @ texts.T).argmax() == sample.label)
    score = record.score()
    assert score is not None
    assert score.correct == right


def test_how_towers_were_run_is_told_where_it_is_not_as_usual(tmp_path: Path) -> None:
    usual = Runner(tmp_path)._environment()
    facts = Runner(tmp_path, compile="inductor", group=Group(0, 2))._environment()
    assert facts == {**usual, "compile": "inductor", "processes": "2"}


@pytest.mark.parametrize("place", [0.05, 0.5, 0.9, 0.999])
def test_damaged_prompts_are_named_and_learned_again(workspace: Workspace, place: float) -> None:
    planned = workspace.plan("context", datasets=GOOD)
    expected = [record.measured() for record in workspace.run(planned)]
    training = planned[0].training
    assert training is not None
    path = workspace.runner.store.training_path(training)
    written = path.read_bytes()
    at = int(place * len(written))
    path.write_bytes(written[:at] + bytes([written[at] ^ 4]) + written[at + 1 :])
    workspace.events.clear()
    records = workspace.run(planned, workspace.new())
    assert [record.measured() for record in records] == expected
    assert [record.cost.training_reused for record in records] == [False, True]
    messages = {event.message for event in workspace.events if event.message}
    assert any(str(path) in message and "learned again" in message for message in messages)
    assert path.read_bytes()[-200:] == written[-200:]


def test_a_runner_without_resources_still_records_why(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPBENCH_CACHE_SIZE", "huge")
    (cell,) = workspace.plan("fixed", datasets=("toy-one",))
    record = Runner(tmp_path / "none").run(cell, workspace.events.append)
    assert record.failure is not None
    assert record.failure.kind == "usage"
