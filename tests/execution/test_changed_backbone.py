"""Methods that change the backbone of all cells: found out, named, and without effect on others."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from open_clip.transformer import VisionTransformer
from support.tiny import make_tiny_clip
from support.toy_data import Toy
from support.toy_plugin import Context, Fixed, PluginOf, ToyOne, ToyTwo, registry_of
from support.toy_runner import Workspace
from torch import Tensor, nn

from rppbench.contracts.objective import Step
from rppbench.contracts.prompts import Space
from rppbench.execution import backbones
from rppbench.features.store import FeatureStore
from rppbench.models import integrity
from rppbench.models.text_tower import TextTower

pytestmark = pytest.mark.slow  # the second pass of .ci/run has it


class Meddling(Context):
    """Does what a test sets, at one moment."""

    name, title = "meddling", "Meddling"
    moment: ClassVar[str] = ""
    change: ClassVar[Callable[[Any], object]]

    def __init__(self, space: Space, *, both: bool = False, length: int = 2) -> None:
        super().__init__(space, both=both, length=length)
        self.tower: list[Any] = [space.words.__self__]  # type: ignore[attr-defined]
        self.meddle("init")

    def meddle(self, moment: str) -> None:
        if moment == type(self).moment:
            type(self).change(self.tower[0].model)

    def loss(self, step: Step) -> Tensor:
        self.meddle("loss")
        return step.loss

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> None:
        self.meddle("classify" if torch.is_grad_enabled() else "test")


@torch.no_grad()
def in_place(model: Any) -> None:
    model.text_projection.add_(0.01)


def by_data(model: Any) -> None:
    model.positional_embedding.data[3, 5] += 1e-3


def by_collector(model: Any) -> None:
    """Of the image tower, which no method is given."""
    for tower in [one for one in gc.get_objects() if type(one) is VisionTransformer]:
        tower.conv1.weight.data[0, 0, 0, 0] += 1.0


def new_module(model: Any) -> None:
    model.ln_final = nn.Identity()


def new_parameter(model: Any) -> None:
    model.text_projection = nn.Parameter(model.text_projection.detach().clone())


def hook(model: Any) -> None:
    model.ln_final.register_forward_hook(lambda module, inputs, output: output + 1)


def mode(model: Any) -> None:
    model.train()


def gradient(model: Any) -> None:
    model.positional_embedding.requires_grad_(True)


def eps(model: Any) -> None:
    model.ln_final.eps = 0.5


def function(model: Any) -> None:
    model.ln_final.forward = lambda x: x


def of_class(model: Any) -> None:
    type(model.ln_final).forward = lambda self, x: x  # type: ignore[method-assign]


def of_tower(model: Any) -> None:
    TextTower.encode = lambda self, *rest: torch.zeros(7, 32)  # type: ignore[assignment,method-assign]


def everywhere(model: Any) -> None:
    nn.modules.module.register_module_forward_hook(lambda module, inputs, output: None)


CHANGES = {
    in_place: "the values of",
    by_data: "the values of positional_embedding",
    by_collector: "the values of visual.conv1.weight",
    new_module: "ln_final",
    new_parameter: "text_projection",
    hook: "hook 1 in _forward_hooks of",
    mode: "the mode (training or evaluation) of",
    gradient: "'requires_grad' of",
    eps: "'eps' of",
    function: "the function 'forward' of",
    of_class: "forward",
    of_tower: "the function TextTower.encode",
    everywhere: "_global_forward_hooks of torch",
}
CASES = [
    *((change, "loss") for change in CHANGES),
    *((change, moment) for change in (by_data, hook) for moment in ("init", "classify", "test")),
]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    plugin = PluginOf([Meddling, Context, Fixed], [Toy, ToyOne, ToyTwo])
    workspace = Workspace(registry_of(toys=plugin), tmp_path, monkeypatch)
    workspace.runner = fresh(workspace, "runs")
    return workspace


def fresh(workspace: Workspace, folder: str) -> Any:
    """A runner whose models are made anew when they are loaded."""
    runner = workspace.new(folder, folder)
    runner.resources.backbones._load = lambda name, precision: make_tiny_clip()
    return runner


@pytest.mark.parametrize(("change", "moment"), CASES, ids=lambda one: getattr(one, "__name__", one))
def test_a_changed_backbone_fails_its_cell_and_no_other(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Any], object],
    moment: str,
) -> None:
    good = workspace.plan("context", "fixed", datasets=("toy-one",))
    expected = [record.measured() for record in workspace.run(good, fresh(workspace, "expected"))]
    monkeypatch.setattr(Meddling, "moment", moment)
    monkeypatch.setattr(Meddling, "change", staticmethod(change), raising=False)
    bad = workspace.plan("meddling", datasets=("toy-one", "toy-two"))
    records = workspace.run([*bad, *good])
    for record in records[:2]:
        assert record.failure is not None
        assert record.failure.kind == "changed-backbone", record.failure
        assert record.failure.message.startswith("method 'meddling': it changed ")
        assert CHANGES[change] in record.failure.message
        assert "backbone 'tiny'" in record.failure.message
    assert [record.measured() for record in records[2:]] == expected
    training = bad[0].training
    assert training is not None
    path = workspace.runner.store.training_path(training)
    assert not path.exists()
    assert not path.with_suffix(".partial").exists()


def test_features_of_a_changed_backbone_do_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_tiny_clip()
    kept = backbones.Backbones(lambda name, precision: clip)
    store = FeatureStore(tmp_path, before_writing=kept.before_writing)
    kept("tiny", "fp32")

    def write(number: int) -> Path:
        key = {"kind": "texts", "number": number}
        store.get(key, 1, lambda: torch.zeros(1, 4))
        return store.path(key)

    kept.check()
    monkeypatch.setattr(backbones, "SHARE", 1e-9)  # the next files are written unchecked
    first = write(1)
    by_data(clip.model)
    second = write(2)
    assert first.exists()
    assert second.exists()
    monkeypatch.setattr(backbones, "SHARE", 1e9)  # and this one is checked
    with pytest.raises(backbones.ChangedBackboneError):
        write(3)
    assert not first.exists()
    assert not second.exists()
    assert not store.path({"kind": "texts", "number": 3}).exists()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_checksum_sees_each_number(dtype: torch.dtype) -> None:
    holder = nn.Module()
    values = torch.zeros(2 * integrity.CHUNK + 3, dtype=dtype)
    holder.register_buffer("values", values)
    seen = {integrity.checksums(holder)["values"]}
    places = [0, 1, 2, integrity.CHUNK - 1, integrity.CHUNK, len(values) - 2, len(values) - 1]
    for at in places:
        values[at] = 1
        seen.add(integrity.checksums(holder)["values"])
        values[at] = 0
    assert len(seen) == 1 + len(places)


def test_a_model_in_use_is_not_a_changed_one() -> None:
    clip = make_tiny_clip()
    before = integrity.snapshot(clip)
    clip.image.encode(torch.zeros(2, 3, 32, 32))
    clip.text.encode_templates(["cat"], ["a {}."])
    assert before.changes(clip) == []
