"""Exported prompts: `export` and `predict`, the card, and folders that are refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from support.commands import RunCommand, json_lines, predict_words, refused, save_test_images
from support.tiny import make_tiny_clip
from support.toy_data import COLOURS
from support.toy_plugin import Context, ToyPlugin
from torch import Tensor

from rppbench import hookimpl
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Prompt, Space
from rppbench.errors import UsageError
from rppbench.execution.bench import CellBench
from rppbench.execution.resources import Resources
from rppbench.exporters import prompt_card
from rppbench.features.store import FeatureStore
from rppbench.files.tensors import write_tensors
from rppbench.models.identity import identify
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Choice
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench.testing import build
from rppbench_methods.cocoop import CoCoOp
from rppbench_methods.coop import CoOp
from rppbench_methods.maple import MaPLe
from rppbench_methods.pomp import POMP
from rppbench_methods.vpt import VPT

NAMES = list(COLOURS)
RUN = ("--task", "cross-dataset:suite=toy", "--model", "tiny", "--dataset", "toy-one")
SHORT = ("--set", "recipe.epochs=1", "--set", "recipe.batch=8", "--shots", "1")


class ClassSpecific(Context):
    name, title = "specific", "Class-specific"

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.context = space.normal(space.classes, 2, space.text_width)


class Visual(VPT):
    """Learned tokens for images; the text is each data set's own wording."""

    name, learning = "visual", Context.learning

    def __init__(self, space: Space) -> None:
        super().__init__(space, length=2, depth=2)


class MoreMethods:
    @hookimpl
    def rppbench_methods(self) -> list[type[Method]]:
        return [CoOp, CoCoOp, POMP, MaPLe, ClassSpecific, Visual]


MORE = MoreMethods()


def records() -> list[Record]:
    return Store(Path("runs")).all()[0]


def cell_bench(record: Record, registry: Registry) -> CellBench:
    from rppbench.models.clip import load

    resources = Resources(
        registry=registry,
        load=lambda name, precision: load(name, registry.all("backbones"), precision),
        features=FeatureStore(Path("features")),
        prompts=Store(Path("runs")).training_path,
    )
    bench = CellBench(record.cell, resources, lambda *_: None, retrain=False)
    bench.fit()
    assert bench.method.cost.training_reused
    return bench


# --- export and predict -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["context", "context:both=on", "coop", "cocoop", "visual"])
def test_an_exported_prompt_ranks_classes_as_the_benchmark_did(
    run_command: RunCommand, toys: Registry, method: str
) -> None:
    run_command("run", "--method", method, *RUN, *SHORT)
    (record,) = records()
    assert run_command("export", record.key[:6], "--to", "mine")[0] == 0
    paths, labels = save_test_images()
    words = ("--prompt", "mine", "--classes", ",".join(NAMES).replace(" ", "_"))
    status, text, _ = run_command("predict", *words, *paths, "--json", "--top", "5")
    assert status == 0
    answers = json_lines(text)
    assert [entry["image"] for entry in answers] == paths
    evaluation = cell_bench(record, toys).evaluate()
    ranked = [[NAMES.index(guess["name"]) for guess in entry["classes"]] for entry in answers]
    assert ranked == evaluation.ranked.tolist()
    assert labels == evaluation.labels.tolist()
    right = sum(best[0] == label for best, label in zip(ranked, labels, strict=True))
    score = record.score("top1")
    assert score is not None
    assert right == score.correct
    for entry in answers:
        shares = [guess["probability"] for guess in entry["classes"]]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1 + 1e-6
    assert evaluation.confidence is not None
    surest = [entry["classes"][0]["probability"] for entry in answers]
    assert surest == pytest.approx(evaluation.confidence.tolist(), rel=1e-5)
    assert record.score("ece") is not None


def test_probabilities_are_the_scaled_softmax_of_cosines(
    run_command: RunCommand, toys: Registry
) -> None:
    run_command("run", "--method", "context", *RUN, *SHORT)
    run_command("export", "context", "--to", "mine")
    paths, _ = save_test_images()
    words = ("--prompt", "mine", "--classes", "red square,blue lake", "--json", paths[0])
    (entry,) = json_lines(run_command("predict", *words)[1])
    card, state = prompt_card.read(Path("mine"))
    clip = make_tiny_clip()
    method = prompt_card.build_method(card, state, toys, clip)
    with torch.no_grad():
        texts = clip.text.encode(method.prompts().text, clip.names(["red square", "blue lake"]))  # type: ignore[arg-type]
        pixels = clip.preprocess(Image.open(paths[0]).convert("RGB"))[None]
        shares = (clip.scale * clip.image.encode(pixels) @ texts.T).softmax(-1)[0]
    probabilities = {guess["name"]: guess["probability"] for guess in entry["classes"]}
    two = [probabilities["red square"], probabilities["blue lake"]]
    assert two == pytest.approx(shares.tolist(), rel=1e-4)


def test_the_card_agrees_with_the_records(run_command: RunCommand, toys: Registry) -> None:
    run_command("run", "--method", "context:length=3", *RUN[:-1], "toy-one", "toy-two", *SHORT)
    known = records()
    training = known[0].cell.training
    assert training is not None
    run_command("export", "context:length=3", "--to", "mine")
    card, state = prompt_card.read(Path("mine"))
    assert card.method == known[0].cell.method
    assert card.backbone_digest == identify("tiny", toys.all("backbones"))
    assert card.training is not None
    assert card.training["key"] == training.key
    assert card.training["recipe"]["name"] == training.recipe.name
    assert list(card.classes) == NAMES[:5]  # the last two are held out
    values = {(n.cell, n.dataset): n.value for n in card.numbers}
    assert values == {(r.key, r.cell.dataset): r.score().value for r in known}  # type: ignore[union-attr]
    assert len(values) == 2
    stored = load_file(Store(Path("runs")).training_path(training))
    assert state.keys() == {"context"}
    assert torch.equal(state["context"], stored["method.context"])
    page = Path("mine/README.md").read_text()
    for expected in ("Context prompt for tiny", "length=3", training.key, "toy-two", "1 a class"):
        assert expected in page
    assert "/" not in json.loads(Path("mine/card.json").read_text())["backbone"]


def test_a_prompt_is_named_by_method_and_seed_where_that_is_unique(run_command: RunCommand) -> None:
    two = ("context", "context:both=on", "fixed")
    run_command("run", "--method", *two, *RUN, *SHORT, "--seed", "1", "2")
    keys = {(r.cell.method["both"], r.cell.seed): r.key for r in records() if r.cell.training}
    complaint = refused(run_command, "export", "context", "--to", "mine")
    assert "give --seed, or the key" in complaint
    assert keys[False, 1] in complaint
    assert keys[False, 2] in complaint
    assert keys[True, 1] not in complaint
    assert "seeds: 1, 2" in refused(run_command, "export", "context", "--seed", "3", "--to", "mine")
    assert "did you mean 'context'?" in refused(run_command, "export", "contxt", "--to", "mine")
    assert "learns nothing" in refused(run_command, "export", "fixed", "--to", "mine")
    assert not Path("mine").exists()
    assert run_command("export", "context:both=on", "--seed", "2", "--to", "mine")[0] == 0
    card, state = prompt_card.read(Path("mine"))
    assert card.numbers[0].cell == keys[True, 2]
    assert state.keys() == {"context", "tokens"}
    assert "not empty" in refused(run_command, "export", "context", "--seed", "1", "--to", "mine")


def test_an_export_refuses_changed_inputs(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no records in" in refused(run_command, "export", "context", "--to", "mine")
    run_command("run", "--method", "context", *RUN, *SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(ToyPlugin.rppbench_datasets(None)[0], "fingerprint", lambda self: "other")  # type: ignore[arg-type]
        assert "not the one that the prompt" in refused(
            run_command, "export", "context", "--to", "mine"
        )
    (path,) = Path("runs/prompts").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-9])
    message = refused(run_command, "export", "context", "--to", "mine")
    assert f"the prompts in {path} cannot be used" in message
    assert "--overwrite=always" in message
    write_tensors(path, {"method.context": torch.zeros(2, 32)}, {"training": "another"})
    message = refused(run_command, "export", "context", "--to", "mine")
    assert "holds the prompts of another training" in message
    key = next(r.cell.training.key for r in records() if r.cell.training)
    write_tensors(path, {"method.tokens": torch.zeros(2, 32)}, {"training": key})
    assert "of another version or method" in refused(
        run_command, "export", "context", "--to", "mine"
    )
    path.unlink()
    assert "no learned prompts in" in refused(run_command, "export", "context", "--to", "mine")
    assert not Path("mine").exists()


def test_class_specific_contexts_classify_the_classes_they_were_learned_for(
    run_command: RunCommand,
) -> None:
    run_command("run", "--method", "specific", "--task", "few-shot:suite=toy", *RUN[2:4], *SHORT)
    key = next(r.key for r in records() if r.status == "ok")
    assert run_command("export", key, "--to", "mine")[0] == 0
    paths, _ = save_test_images()
    words = ("predict", "--prompt", "mine", paths[0], "--json", "--top", "9")
    few = json_lines(run_command(*words, "--classes", "black cat,red square")[1])[0]["classes"]
    every = json_lines(run_command(*words, "--classes", ",".join(NAMES))[1])[0]["classes"]
    shares = [{c["name"]: c["probability"] for c in classes} for classes in (few, every)]
    ratios = [share["black cat"] / share["red square"] for share in shares]
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-3)
    complaint = refused(run_command, *words, "--classes", "black cat,red squares")
    assert "did you mean 'red square'?" in complaint


# --- folders that are refused ---------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, toys: Registry) -> Path:
    """A prompt of CoOp for the tiny backbone."""
    path = tmp_path / "prompt"
    state = build(CoOp, make_tiny_clip(), {}).state_dict()
    prompt_card.write(path, coop_card(toys), state)
    return path


def coop_card(registry: Registry) -> prompt_card.Card:
    return prompt_card.Card(
        method=Choice("coop", (("class_specific", False), ("init", ""), ("length", 4))),
        backbone="tiny",
        backbone_digest=identify("tiny", registry.all("backbones")),
        precision="fp32",
        wording="a photo of a {}.",
    )


def test_reading_gives_what_was_written(folder: Path, toys: Registry) -> None:
    card, state = prompt_card.read(folder)
    assert card == replace(coop_card(toys), tensors=card.tensors)
    assert torch.equal(state["context"], build(CoOp, make_tiny_clip(), {}).state_dict()["context"])


def test_a_changed_file_is_refused(run_command: RunCommand, folder: Path) -> None:
    words = predict_words(folder)
    assert run_command(*words)[0] == 0
    card, tensors = folder / "card.json", folder / "prompt.safetensors"
    written, kept = card.read_text(), tensors.read_bytes()
    for content in (
        written.replace("fp32", "bf16"),
        written[:-40],
        written.replace('"format": 1', '"format": 2'),
        "[]",
        '{"a": 1}',
    ):
        card.write_text(content)
        assert "is not the card of a prompt" in refused(run_command, *words)
    card.write_text(written)
    tensors.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert "damaged or was replaced" in refused(run_command, *words)
    tensors.unlink()
    assert "cannot be read" in refused(run_command, *words)
    assert "holds no prompt" in refused(run_command, *words[:2], "nowhere", *words[3:])


def test_a_prompt_for_other_weights_is_refused(
    run_command: RunCommand, tmp_path: Path, toys: Registry
) -> None:
    state = build(CoOp, make_tiny_clip(), {}).state_dict()
    prompt_card.write(tmp_path / "other", replace(coop_card(toys), backbone_digest="0" * 16), state)
    assert "learned for other weights" in refused(run_command, *predict_words(tmp_path / "other"))
    prompt_card.write(tmp_path / "none", replace(coop_card(toys), backbone="tinny"), state)
    assert "did you mean 'tiny'?" in refused(run_command, *predict_words(tmp_path / "none"))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"context": torch.zeros(4, 33)}, "4 x 33, but 'coop' on backbone 'tiny' takes 4 x 32"),
        ({"context": torch.zeros(16, 32)}, "16 x 32"),
        ({"contxt": torch.zeros(4, 32)}, "the prompt lacks the parameter 'context'"),
        ({"context": torch.zeros(4, 32), "a": torch.zeros(1)}, "does not have the parameter 'a'"),
        ({"context": torch.full((4, 32), torch.nan)}, "not finite"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(
    toys: Registry, state: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        prompt_card.build_method(coop_card(toys), state, toys, make_tiny_clip())


def test_predict_explains_what_is_wrong_with_a_request(
    run_command: RunCommand, folder: Path
) -> None:
    head, image = ("predict", "--prompt", str(folder)), predict_words(folder)[-1]
    assert "names no classes: --classes A,B" in refused(run_command, *head, image)
    assert "at least two classes" in refused(run_command, *head, image, "--classes", "cat,")
    assert "'red cat' is named twice" in refused(
        run_command, *head, image, "--classes", "red_cat,red cat"
    )
    assert "class 2 of --classes has no name" in refused(
        run_command, *head, image, "--classes", "red cat,,dog"
    )
    Path("gap.txt").write_text("red square\n\nblack_cat\n")
    assert "line 2 is empty" in refused(run_command, *head, image, "--classes-file", "gap.txt")
    Path("names.txt").write_text("red square\nblack_cat\n\n")
    both = ("--classes", "a,b", "--classes-file", "names.txt")
    assert "cannot be used together" in refused(run_command, *head, image, *both)
    assert "cannot read the class names" in refused(
        run_command, *head, image, "--classes-file", "no.txt"
    )
    good = (*head, "--classes-file", "names.txt")
    Path("text.png").write_text("no image")
    assert "no images in *.jpeg" in refused(run_command, *good, "*.jpeg")
    assert "at least 1" in refused(run_command, *good, image, "--top", "0")
    assert "no device 'cuda:99'" in refused(run_command, *good, image, "--device", "cuda:99")
    status, text, _ = run_command(*good, image, image, "--top", "1")
    assert status == 0
    lines = text.splitlines()
    assert re.split(r" *\| *", lines[0].strip("| ")) == ["Image", "Class", "Probability"]
    Path("doubles.txt").write_text("missile\nred square\nMissile\nmissile\n")
    status, text, said = run_command(*head, image, "--classes-file", "doubles.txt", "--json")
    assert status == 0
    ranked = json_lines(text)[0]["classes"]
    lines_of_file = ("missile", "red square", "Missile", "missile")
    assert sorted((one["label"], one["name"]) for one in ranked) == list(enumerate(lines_of_file))
    assert "doubles.txt has names with equal tokens" in said
    assert "'missile' and 'Missile' and 'missile'" in said
    assert len(lines) == 4
    assert lines[2].startswith(f"| {image} ")
    assert lines[2].endswith("% |")


def test_classes_of_one_name_are_taken_in_order(toys: Registry) -> None:
    names = ("missile", "yak", "missile")
    options = (("class_specific", True), ("init", ""), ("length", 4))
    card = replace(coop_card(toys), method=Choice("coop", options), classes=names)
    state = {"context": torch.arange(3.0)[:, None, None].expand(3, 4, 32).contiguous()}
    method = prompt_card.build_method(card, state, toys, make_tiny_clip())

    def contexts(*asked: str) -> list[float]:
        text = prompt_card.prompts_for(card, method, list(asked)).text
        assert isinstance(text, Prompt)
        return text.input[:, 0, 0].tolist()

    assert contexts(*names) == [0, 1, 2]
    assert contexts("yak", "missile") == [1, 0]
    with pytest.raises(UsageError, match="'yak' is named more often"):
        contexts("yak", "yak")
