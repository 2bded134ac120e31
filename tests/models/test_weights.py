"""Weights as people have them: layouts of checkpoints, folders, and what is not on this machine."""

from __future__ import annotations

import argparse
import json
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.pretrained import _PRETRAINED
from safetensors.torch import save_file
from support.commands import RunCommand
from support.tiny import MEAN, STD, make_tiny_clip, tiny_config
from torch import Tensor

from rppbench.errors import UsageError
from rppbench.models import identity
from rppbench.models.clip import load
from rppbench.models.identity import BackboneSource, identify, resolve
from rppbench.models.loading import build
from rppbench.models.promptable import config_of
from rppbench.models.weights import on_disk
from rppbench.models.weights.configurations import fitting_configurations
from rppbench.models.weights.on_disk import Absent, absent
from rppbench.models.weights.state_dicts import read_checkpoint

PREPROCESS = {"size": 32, "mean": list(MEAN), "std": list(STD), "interpolation": "bicubic"}
TINY = "tiny-for-tests"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return make_tiny_clip().model.state_dict()


@pytest.fixture(autouse=True)
def tiny_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip lists the tiny model, under a name of its own."""
    path = tmp_path / f"{TINY}.json"
    path.write_text(json.dumps(tiny_config()))
    listed = {**identity.model_configs(), TINY: path}
    for module in ("identity", "weights.configurations", "weights.on_disk"):
        monkeypatch.setattr(f"rppbench.models.{module}.model_configs", lambda: listed)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, TINY, tiny_config())


def prefixed(state: State, *prefixes: str) -> State:
    return {"".join(prefixes) + name: value for name, value in state.items()}


def compiled_parts(state: State) -> State:
    """As torch.compile of the image tower alone leaves the names."""
    return {name.replace("visual.", "visual._orig_mod.", 1): v for name, v in state.items()}


LAYOUTS: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "model": lambda state: {"model": state, "epoch": 3},
    "model_state_dict": lambda state: {"model_state_dict": state, "step": torch.tensor(7)},
    "training of open_clip": lambda state: {
        "epoch": 1,
        "name": "run",
        "state_dict": prefixed(state, "module."),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []},
    },
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "compiled and parallel": lambda state: {"model": prefixed(state, "module.", "_orig_mod.")},
    "parallel and compiled": lambda state: {"model": prefixed(state, "_orig_mod.", "module.")},
    "compiled image tower": compiled_parts,
    "one in another": lambda state: {"model": {"state_dict": prefixed(state, "model.")}},
    "sizes beside the tensors": lambda state: {**state, "context_length": torch.tensor(77)},
}


@pytest.mark.filterwarnings("ignore:the activation")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", ["pt", "pth", "bin"])
def test_tensors_are_read_wherever_training_code_puts_them(
    layout: str, suffix: str, state: State, tmp_path: Path
) -> None:
    file = tmp_path / f"epoch_1.{suffix}"
    torch.save(LAYOUTS[layout](state), file)
    read = read_checkpoint(file).states[0]
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], value) for name, value in state.items())
    if suffix == "pt":
        clip = load(f"{TINY}/{file}", {})
        own = clip.model.state_dict()
        assert all(torch.equal(own[name], value) for name, value in state.items())


def test_safetensors_may_have_the_names_of_wrappers_too(state: State, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(prefixed(state, "module."), file)
    assert read_checkpoint(file).states[0].keys() == state.keys()


def test_a_message_says_where_the_tensors_lie(state: State, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    content = {"epoch": 1, "ema": {"shadow": state}, "optimizer": {"state": {"m": torch.ones(1)}}}
    torch.save(content, file)
    with pytest.raises(UsageError) as caught:
        load(f"{TINY}/{file}", {})
    first, second = str(caught.value).splitlines()
    assert first == (
        f"{file} has the keys epoch, ema, optimizer; its tensors are under "
        f"['ema']['shadow'] ({len(state)}), ['optimizer']['state'] (1)"
    )
    assert second == (
        "save those of the model alone: "
        f"torch.save(torch.load({str(file)!r})['ema']['shadow'], 'weights.pt')"
    )
    torch.save({"epoch": 1}, file)
    with pytest.raises(UsageError, match="has the keys epoch; no tensors are in it"):
        load(f"{TINY}/{file}", {})
    torch.save([1, 2], file)
    with pytest.raises(UsageError, match="holds a list, not tensors by name"):
        load(f"{TINY}/{file}", {})


def test_python_objects_beside_the_tensors_are_not_read(state: State, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save({"state_dict": state, "args": argparse.Namespace(lr=1.0)}, file)
    with pytest.raises(UsageError, match=r"not read: reading them can run any code\n.*torch\.save"):
        load(f"{TINY}/{file}", {})


# --- shapes -------------------------------------------------------------------------------------


def test_other_shapes_are_named_with_the_configuration_that_fits(
    state: State, tmp_path: Path
) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(state, file)
    with pytest.raises(UsageError) as caught:
        load(f"ViT-S-32-alt/{file}", {})
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{file} does not hold weights of ViT-S-32-alt: ")
    assert lines[0].endswith("tensors have another shape, for example")
    shapes = "(32, 32) in the file, (256, 256) in the model"
    assert f"  text_projection: {shapes}" in lines[1:4]
    assert any(
        "tensors are missing in the file: visual.transformer.resblocks.4." in line for line in lines
    )
    assert lines[-1] == f"it fits {TINY}: name it {TINY}/{file}"


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-L-14-336", "RN50", "RN101", "ViT-B-16-SigLIP"])
def test_a_configuration_is_known_by_its_shapes(name: str) -> None:
    config = open_clip.get_model_config(name)
    custom = config.pop("custom_text", False)
    with torch.device("meta"):
        model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config)
    fitting = fitting_configurations(model.state_dict())
    assert name in fitting
    if name != "ViT-B-16-SigLIP":  # the sizes of an image tower of timm are not compared
        assert {other.removesuffix("-quickgelu") for other in fitting} == {name}


def test_positions_of_another_image_size_are_interpolated(state: State, tmp_path: Path) -> None:
    """As open_clip's own loading does."""
    config = tiny_config()
    config["vision_cfg"]["image_size"] = 64
    larger = build(config).state_dict()
    file = tmp_path / "weights.safetensors"
    save_file(larger, file)
    own = load(f"{TINY}/{file}", {}).model.state_dict()
    model = open_clip.create_model(TINY, pretrained=str(file))
    assert own["visual.positional_embedding"].shape == (17, 48)
    assert all(torch.equal(own[name], value) for name, value in model.state_dict().items())


# --- folders and names --------------------------------------------------------------------------


def write_folder(folder: Path, content: Any, name: str = "epoch_2.pt") -> Path:
    folder.mkdir(exist_ok=True)
    config = {"model_cfg": tiny_config(), "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.save(content, folder / name)
    return folder


def test_a_folder_may_hold_a_checkpoint_of_a_training(state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", LAYOUTS["training of open_clip"](state))
    clip = load(str(folder), {})
    assert clip.name == f"local-dir:{folder}"
    assert all(torch.equal(clip.model.state_dict()[name], value) for name, value in state.items())
    before = identify(str(folder), {})
    assert before == identify(f"local-dir:{folder}", {})
    write_folder(
        folder, LAYOUTS["training of open_clip"](make_tiny_clip(seed=1).model.state_dict())
    )
    assert identify(str(folder), {}) != before


def test_a_folder_is_read_from_the_file_that_open_clip_takes(state: State, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", {"ema": state}, "a.bin")
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    clip = load(f"local-dir:{folder}", {})
    assert torch.equal(clip.model.state_dict()["text_projection"], state["text_projection"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no file .*model/open_clip_config.json"),
        ({"config.json": "{}"}, "holds a model of transformers"),
        ({"open_clip_config.json": "{}"}, "has no 'model_cfg'"),
        ({"open_clip_config.json": '{"model_cfg": '}, "config.json is not a JSON file: Expecting"),
        ({"open_clip_config.json": "[1]"}, "has no 'model_cfg', a mapping"),
        ({"open_clip_config.json": '{"model_cfg": null}'}, "has no 'model_cfg', a mapping"),
        (
            {"open_clip_config.json": '{"model_cfg": {"embed_dim": 32}}'},
            "open_clip_config.json: its 'model_cfg' has no 'vision_cfg'",
        ),
        (
            {"open_clip_config.json": '{"model_cfg": {"vision_cfg": {}, "text_cfg": {}}}'},
            "has no 'embed_dim'",
        ),
        (
            {"open_clip_config.json": json.dumps({"model_cfg": tiny_config()})},
            "no weights in .*model: no .safetensors",
        ),
    ],
)
def test_a_folder_that_is_not_a_model_is_refused(
    files: dict[str, str], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        resolve(str(folder), {})


def test_an_address_of_the_hub_names_its_repository() -> None:
    expected = BackboneSource("hub", "hf-hub:org/name", "org/name")
    for rest in ("", "/", "/tree/main", "/blob/main/open_clip_config.json"):
        assert resolve(f"https://huggingface.co/org/name{rest}", {}) == expected


def test_a_folder_of_the_name_of_a_tag_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ViT-B-16" / "openai").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("ViT-B-16/openai", {}).kind == "tag"


def test_a_name_that_means_nothing_gets_the_spelling_that_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").touch()
    with pytest.raises(UsageError, match=r"is a file: name its model too, MODEL/weights\.pt"):
        resolve("weights.pt", {})
    with pytest.raises(UsageError, match=r"no folder \./gone for backbone"):
        resolve("./gone", {})
    with pytest.raises(UsageError, match="is named as hf-hub:laion/CLIP-ViT-B-32"):
        resolve("laion/CLIP-ViT-B-32", {})


# --- what is not on this machine ----------------------------------------------------------------


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(folder), raising=False)
    return folder


def put(hub_cache: Path, repository: str, name: str, text: str = "") -> None:
    """A file as a download leaves it in the cache."""
    folder = hub_cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("1" * 40)
    (folder / "snapshots" / ("1" * 40)).mkdir(parents=True, exist_ok=True)
    (folder / "snapshots" / ("1" * 40) / name).write_text(text)


def test_weights_of_a_tag_are_looked_up_in_the_cache_of_the_hub(hub_cache: Path) -> None:
    source = resolve("ViT-B-16-SigLIP/webli", {})
    address = "https://huggingface.co/timm/ViT-B-16-SigLIP"
    assert absent(source) == [Absent("weights", address), Absent("tokenizer", address)]
    put(hub_cache, "timm/ViT-B-16-SigLIP", "tokenizer_config.json")
    assert absent(source) == [Absent("weights", address)]
    put(hub_cache, "timm/ViT-B-16-SigLIP", "open_clip_model.safetensors")
    assert absent(source) == []


def test_weights_from_elsewhere_are_looked_up_where_open_clip_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://example.org/models/tiny.pt"
    monkeypatch.setitem(_PRETRAINED, TINY, {"tag": {"url": url}})
    monkeypatch.setattr(on_disk, "URL_CACHE", tmp_path / "clip")
    assert absent(resolve(f"{TINY}/tag", {})) == [Absent("weights", url)]
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "tiny.pt").touch()
    assert absent(resolve(f"{TINY}/tag", {})) == []


def test_a_repository_needs_configuration_and_weights(hub_cache: Path) -> None:
    source = resolve("hf-hub:org/name", {})
    address = "https://huggingface.co/org/name"
    assert absent(source) == [Absent("open_clip_config.json and weights", address)]
    put(hub_cache, "org/name", "open_clip_config.json", json.dumps({"model_cfg": tiny_config()}))
    assert absent(source) == [Absent("weights", address)]
    put(hub_cache, "org/name", "open_clip_pytorch_model.bin")
    assert absent(source) == []
    put(hub_cache, "org/name", "open_clip_config.json", '{"model_cfg": null}')
    with pytest.raises(UsageError, match=r"open_clip_config\.json has no 'model_cfg'"):
        absent(source)
    with pytest.raises(UsageError, match=r"open_clip_config\.json has no 'model_cfg'"):
        config_of(source, {})


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def silent_host() -> Iterator[str]:
    """The address of a host that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def failure(named: str) -> tuple[str, float]:
    """The message of a backbone that cannot be downloaded, and the seconds until it came."""
    start = time.monotonic()
    with pytest.raises(UsageError) as caught:
        load(named, {})
    return str(caught.value), time.monotonic() - start


def test_a_host_that_does_not_answer_is_given_up_within_ten_seconds(
    silent_host: str, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has all that is needed to get the files another way; a second try is at once."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", silent_host)
    soon = partial(on_disk.unreachable, seconds=1.0)  # in place of REACH_SECONDS
    monkeypatch.setattr("rppbench.models.loading.unreachable", soon)
    message, seconds = failure("hf-hub:org/name")
    assert 1 <= seconds < 1 + 10 - on_disk.REACH_SECONDS
    assert "without a network, get https" in message
    assert "and name its folder: local-dir:FOLDER" in message
    assert f"weights at {silent_host}/org/name: " in message
    assert "timed out" in message or "no answer within 1 s" in message
    again, seconds = failure("hf-hub:org/name")
    assert again == message
    assert seconds < 1


def test_a_host_that_refuses_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"http://127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setitem(_PRETRAINED, TINY, {"tag": {"url": f"{host}/tiny.pt"}})
    message, seconds = failure(f"{TINY}/tag")
    assert seconds < 2
    assert f"{host}/tiny.pt\nand name the file: {TINY}/PATH" in message
    assert "refused" in message


def test_a_plan_says_what_a_run_would_download(
    run_command: RunCommand, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("plan", "--method", "fixed", "--task", "cross-dataset:suite=toy")
    line = (
        "not on disk: weights of ViT-B-32/openai (151,277,313 parameters): "
        "https://huggingface.co/timm/vit_base_patch32_clip_224.openai"
    )
    _, page, _ = run_command(*words, "--model", "ViT-B-32/openai", "tiny")
    assert page.splitlines().count(line) == 1
    assert page.count("not on disk") == 1
    put(hub_cache, "timm/vit_base_patch32_clip_224.openai", "open_clip_model.safetensors")
    _, page, _ = run_command(*words, "--model", "ViT-B-32/openai", "tiny")
    assert "not on disk" not in page
    trained = ("plan", "--method", "context:kd=on", *words[3:], "--teacher", "ViT-L-14/openai")
    _, page, _ = run_command(*trained, "--model", "tiny")
    assert "not on disk: weights of ViT-L-14/openai" in page
