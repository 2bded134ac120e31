"""`export --format onnx|torch`: the model file, its card, the service of the docs, and refusals."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from support.commands import RunCommand, export_toy, json_lines, refused, save_test_images
from support.tiny import make_tiny_clip, randomise
from torch import Tensor, nn

from rppbench.contracts.method import Method
from rppbench.errors import UsageError
from rppbench.execution.image_classifier import ImageClassifier
from rppbench.execution.learned_prompt import LearnedPrompt
from rppbench.exporters import model_file
from rppbench.exporters.prompt_card import Card
from rppbench.models.clip import Clip
from rppbench.plugins.options import resolve
from rppbench.plugins.registry import Registry
from rppbench.testing import NAMES, build

COMPONENTS: dict[str, type[Method]] = Registry.load().all("methods")
LEARNED = [name for name, one in COMPONENTS.items() if one.learning is not None]
EXPORTED = [name for name in LEARNED if name != "cocoop"]
PAGE = Path(__file__).parents[2] / "docs" / "serve.md"


@pytest.fixture(scope="module")
def deep_clip() -> Clip:
    """A tiny CLIP with as many blocks as the methods' defaults prompt."""
    return make_tiny_clip(text_layers=12, image_layers=12)


def learned_prompt(clip: Clip, name: str) -> LearnedPrompt:
    """A built-in method with random parameters, as if it was learned on `NAMES`."""
    component = COMPONENTS[name]
    method = build(component, clip, {})
    randomise(method, 1)
    card = Card(
        method=resolve(component, {}),
        backbone="tiny",
        backbone_digest=clip.digest,
        precision="fp32",
        wording="a photo of a {}.",
        classes=NAMES,
    )
    return LearnedPrompt(card, method.eval(), clip, clip)


def pictures() -> list[Image.Image]:
    random = np.random.default_rng(1)
    return [Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)) for _ in range(3)]


def predicted(prompt: LearnedPrompt, names: list[str]) -> Tensor:
    """Probabilities (images, classes) of the pictures by `predict`."""
    answers = prompt.predict(pictures(), names, top=len(names))
    return torch.tensor([[g.probability for g in sorted(one.guesses)] for one in answers])


def module_and_pixels(prompt: LearnedPrompt, names: list[str]) -> tuple[ImageClassifier, Tensor]:
    pixels = torch.stack([prompt.clip.preprocess(one) for one in pictures()])
    return ImageClassifier(prompt, names), pixels


@pytest.mark.parametrize("name", EXPORTED)
def test_the_module_gives_the_probabilities_of_predict(deep_clip: Clip, name: str) -> None:
    prompt = learned_prompt(deep_clip, name)
    for names in (list(NAMES), [NAMES[5], NAMES[2]]):
        module, pixels = module_and_pixels(prompt, names)
        with torch.no_grad():
            features, logits, probabilities = module(pixels)
        expected = predicted(prompt, names)
        assert expected.std() > 1e-3
        torch.testing.assert_close(probabilities, expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(logits.softmax(1), expected, atol=1e-6, rtol=0)
        assert features.shape == (3, 32)


def test_text_that_depends_on_the_image_is_refused(deep_clip: Clip) -> None:
    with pytest.raises(UsageError, match="'cocoop' words each class anew for every image"):
        ImageClassifier(learned_prompt(deep_clip, "cocoop"), list(NAMES))


@pytest.mark.slow
@pytest.mark.parametrize("form", list(model_file.FILES))
@pytest.mark.parametrize("name", EXPORTED)
def test_every_method_is_exported(deep_clip: Clip, name: str, form: str, tmp_path: Path) -> None:
    """`write` compares the file's probabilities with the module's."""
    module, _ = module_and_pixels(learned_prompt(deep_clip, name), list(NAMES))
    model_file.write(tmp_path / "model", form, module, deep_clip.preprocess, NAMES, {})
    assert (tmp_path / "model" / model_file.CARD).exists()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's service, for the model in the folder 'served'."""
    (code,) = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    lines = [one for one in code.splitlines() if one and not one.startswith(("import", "from"))]
    assert len(lines) <= 15
    monkeypatch.setenv("MODEL", "served")
    module = ModuleType("serve")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    return module


@pytest.mark.slow
def test_onnx_runtime_and_the_service_of_the_page_give_what_predict_gives(
    run_command: RunCommand, request: pytest.FixtureRequest
) -> None:
    from fastapi.testclient import TestClient

    run = ("--task", "cross-dataset:suite=toy", "--model", "tiny", "--dataset", "toy-one")
    run_command("run", "--method", "context:both=on", *run, "--set", "recipe.epochs=1")
    assert run_command("export", "context:both=on", "--to", "mine")[0] == 0
    status, _, log = run_command("export", "mine", "--format", "onnx", "--to", "served")
    assert status == 0, log
    assert "served" in log
    paths, _ = save_test_images()
    answers = json_lines(
        run_command("predict", "--prompt", "mine", "--json", "--top", "9", *paths)[1]
    )
    prompt = LearnedPrompt.load("mine")
    names = list(prompt.classes)
    expected = [
        [{g["name"]: g["probability"] for g in one["classes"]}[name] for name in names]
        for one in answers
    ]
    card = json.loads(Path("served/model.json").read_text())
    assert card["classes"] == names
    assert card["prompt"]["method"]["name"] == "context"
    assert card["preprocessing"] == {
        "size": 32,
        "resize": "shortest",
        "interpolation": "bicubic",
        "channels": "RGB",
        "range": [0, 1],
        "mean": pytest.approx([0.48145466, 0.4578275, 0.40821073]),
        "std": pytest.approx([0.26862954, 0.26130258, 0.27577711]),
    }
    session = onnxruntime.InferenceSession("served/model.onnx")
    pixels = torch.stack([prompt.clip.preprocess(Image.open(path)) for path in paths]).numpy()
    (shares,) = session.run(["probabilities"], {"pixels": pixels})
    assert shares == pytest.approx(np.array(expected), abs=1e-4)
    client = TestClient(request.getfixturevalue("service").app)
    for path, row in zip(paths[:3], expected, strict=False):
        answer = client.post("/classify", content=Path(path).read_bytes())
        assert answer.json() == pytest.approx(dict(zip(names, row, strict=True)), abs=1e-4)


@pytest.mark.slow
def test_a_torch_program_runs_where_rppbench_is_not(run_command: RunCommand) -> None:
    export_toy(run_command)
    words = ("export", "mine", "--format", "torch", "--classes", "black cat,red square")
    status, _, log = run_command(*words, "--to", "served")
    assert status == 0, log
    prompt, names = LearnedPrompt.load("mine"), ["black cat", "red square"]
    pixels = torch.stack([prompt.clip.preprocess(one) for one in pictures()])
    torch.save(pixels, "pixels.pt")
    code = (
        "import sys, torch; sys.modules.update(rppbench=None, open_clip=None)\n"
        "model = torch.export.load('served/model.pt2').module()\n"
        "print(model(torch.load('pixels.pt'))[2].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(
        torch.tensor(json.loads(done.stdout)), predicted(prompt, names), atol=1e-4, rtol=0
    )
    assert json.loads(Path("served/model.json").read_text())["classes"] == names


def test_what_cannot_be_exported_is_refused(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_toy(run_command)
    words = ("export", "mine", "--to", "new")
    assert "a prompt takes any classes" in refused(run_command, *words, "--classes", "cat,dog")
    assert "at least two" in refused(run_command, *words, "--format", "onnx", "--classes", "cat")
    assert "did you mean 'onnx'" in refused(run_command, *words, "--format", "onx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    message = refused(run_command, *words, "--format", "onnx")
    assert "onnxruntime, which is not installed: pip install 'rppbench[export]'" in message
    assert not Path("new").exists()


class Branching(nn.Module):
    """Code that depends on values, which no graph expresses."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return (pixels if float(pixels.sum()) > 0 else -pixels,) * 3


def test_code_that_is_no_graph_is_refused_with_the_reason(tiny_clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="torch cannot write this method or image tower as"):
        model_file.write(tmp_path / "new", "torch", Branching(), tiny_clip.preprocess, NAMES, {})
    assert not (tmp_path / "new" / model_file.CARD).exists()


@pytest.mark.slow
def test_a_file_with_other_probabilities_has_no_card(
    tiny_clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        model_file, "_write_torch", lambda program, path: lambda pixels: [pixels.sum() + 1]
    )

    class Sum(nn.Module):
        def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
            return (pixels.sum(),) * 3

    with pytest.raises(UsageError, match="other probabilities than `rppbench predict`, by up to 1"):
        model_file.write(tmp_path / "new", "torch", Sum(), tiny_clip.preprocess, NAMES, {})
    assert not (tmp_path / "new" / model_file.CARD).exists()
