"""Import of prompts from the checkpoints of official code, and the checkpoints it refuses."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from support.commands import RunCommand, predict_words, refused
from support.tiny import make_tiny_clip
from support.toy_data import COLOURS
from torch import Tensor

from rppbench import hookimpl
from rppbench.contracts.method import Method
from rppbench.exporters import prompt_card
from rppbench.plugins.registry import Registry
from rppbench_methods.clip_lora import CLIPLoRA
from rppbench_methods.cocoop import CoCoOp
from rppbench_methods.coop import CoOp
from rppbench_methods.maple import MaPLe
from rppbench_methods.mma import MMA
from rppbench_methods.pomp import POMP
from rppbench_methods.taskres import TaskRes
from rppbench_methods.tcp import TCP

NAMES = list(COLOURS)


class OfficialMethods:
    @hookimpl
    def rppbench_methods(self) -> list[type[Method]]:
        return [CoOp, CoCoOp, POMP, MaPLe, TaskRes, CLIPLoRA, MMA, TCP]


MORE = OfficialMethods()


class WarmupScheduler:
    """Dassl's scheduler in short: its state holds a second one, and an optimizer, as objects."""

    def __init__(self, parameter: torch.nn.Parameter, kind: Any) -> None:
        optimizer = kind([parameter], lr=0.002)
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        self.optimizer = optimizer
        self.successor = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)

    def state_dict(self) -> dict[str, object]:
        return {"successor": self.successor, "warmup_epoch": 1, "last_epoch": 50}


def save_official(
    path: str, state: dict[str, Tensor], epoch: int = 50, optimizer: Any = torch.optim.SGD
) -> None:
    """A checkpoint as Dassl's trainers write it, in half precision."""
    half = {name: value.detach().half() for name, value in state.items()}
    warmup = WarmupScheduler(torch.nn.Parameter(torch.zeros(2)), optimizer)
    content = {
        "state_dict": OrderedDict(half),
        "epoch": epoch,
        "optimizer": warmup.optimizer.state_dict(),
        "scheduler": warmup.state_dict(),
        "val_result": 71.5,
    }
    torch.save(content, path)


def buffers(head: str = "token_", n: int = 4) -> dict[str, Tensor]:
    """CoOp's buffers for seven classes: the embeddings before and after n context tokens."""
    clip = make_tiny_clip()
    rows = clip.tokenizer([f"{'X ' * n}{name}." for name in NAMES])
    vectors = clip.model.token_embedding(rows)
    return {f"{head}prefix": vectors[:, :1], f"{head}suffix": vectors[:, 1 + n :]}


def word_buffers(n: int) -> dict[str, Tensor]:
    """As `buffers`, but of texts that begin with the four words that MaPLe starts from."""
    clip = make_tiny_clip()
    vectors = clip.model.token_embedding(
        clip.tokenizer([f"a photo of a {name}." for name in NAMES])
    )
    return {"token_prefix": vectors[:, :1], "token_suffix": vectors[:, 1 + n :]}


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def maple_state(length: int = 2, depth: int = 3) -> dict[str, Tensor]:
    head = "prompt_learner."
    state = {
        f"{head}ctx": random(length, 32),
        f"{head}proj.weight": random(48, 32),
        f"{head}proj.bias": random(48),
        **{f"{head}{name}": value for name, value in word_buffers(length).items()},
        "image_encoder.conv1.weight": random(48, 3, 8, 8),
        "image_encoder.class_embedding": make_tiny_clip().model.visual.class_embedding,
        "logit_scale": torch.tensor(4.6),
    }
    for block in range(depth - 1):
        state[f"{head}compound_prompts_text.{block}"] = random(length, 32) + block
        state[f"{head}compound_prompt_projections.{block}.weight"] = random(48, 32) - block
        state[f"{head}compound_prompt_projections.{block}.bias"] = random(48) * block
    return state


def imported(
    run_command: RunCommand, method: str, *more: str
) -> tuple[prompt_card.Card, dict[str, Tensor]]:
    words = ("import", "official.tar", "--method", method, "--model", "tiny", "--to", "mine")
    status, _, complaints = run_command(*words, *more)
    assert status == 0, complaints
    return prompt_card.read(Path("mine"))


@pytest.mark.parametrize(
    ("method", "heads"), [("coop", ["token_"]), ("pomp", ["train_token_", "test_token_"])]
)
def test_a_context_of_the_official_code_is_read(
    run_command: RunCommand, method: str, heads: list[str]
) -> None:
    tokens = {name: value for head in heads for name, value in buffers(head, 16).items()}
    save_official("official.tar", {"ctx": random(16, 32), **tokens})
    card, state = imported(run_command, method)
    assert card.method["length"] == 16
    assert card.imported is not None
    assert card.imported["epoch"] == "50"
    assert card.imported["file"] == "official.tar"
    assert state.keys() == {"context"}
    assert state["context"].dtype == torch.float32
    assert torch.equal(state["context"], random(16, 32).half().float())
    assert run_command(*predict_words(Path("mine")))[0] == 0
    assert "Imported: sha256" in Path("mine/README.md").read_text()


def test_maple_of_the_official_code_is_read(run_command: RunCommand, toys: Registry) -> None:
    official = maple_state()
    save_official("official.tar", official, epoch=2)
    card, state = imported(run_command, "maple")
    assert (card.method["length"], card.method["depth"]) == (2, 3)
    clip = make_tiny_clip()
    prompts = prompt_card.build_method(card, state, toys, clip).prompts()
    half = {name.removeprefix("prompt_learner."): v.half().float() for name, v in official.items()}
    words = clip.text.embed_words("a photo of a")
    text: Any = prompts.text
    assert torch.equal(text.input, torch.cat([half["ctx"], words[2:]]))
    assert prompts.image is not None
    projected = half["ctx"] @ half["proj.weight"].T + half["proj.bias"]
    torch.testing.assert_close(prompts.image.input, projected)
    assert sorted(text.stream) == sorted(prompts.image.stream) == [1, 2]
    for block in (1, 2):
        deep = half[f"compound_prompts_text.{block - 1}"]
        assert torch.equal(text.stream[block], deep)
        layer = f"compound_prompt_projections.{block - 1}"
        projected = deep @ half[f"{layer}.weight"].T + half[f"{layer}.bias"]
        torch.testing.assert_close(prompts.image.stream[block], projected)
    assert run_command(*predict_words(Path("mine")))[0] == 0


def test_residuals_of_taskres_are_read_with_their_names(run_command: RunCommand) -> None:
    official = {"text_feature_residuals": random(7, 32), "base_text_features": random(32, 7).T}
    save_official("official.tar", official)
    words = ("import", "official.tar", "--method", "taskres", "--model", "tiny", "--to", "mine")
    assert "a part for each of 7 classes" in refused(run_command, *words)
    card, state = imported(run_command, "taskres", "--classes", ",".join(NAMES))
    assert card.classes == tuple(NAMES)
    assert torch.equal(state["residual"], official["text_feature_residuals"].half().float())
    assert run_command(*predict_words(Path("mine")))[0] == 0
    save_official("official.tar", {**official, "base_text_features": random(6, 32)})
    assert "differ in shape" in refused(run_command, *words[:-1], "other")


def lora_file(towers: tuple[tuple[int, int], ...], parts: str = "qkv") -> dict[str, Any]:
    """A file as CLIP-LoRA writes it, for towers of (layers, width), text first."""
    official = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "proj"}
    widths = [width for layers, width in towers for _ in range(layers)]
    weights = {
        f"layer_{i}": {
            official[part]: {
                "w_lora_A": random(3, width) + i + 10 * j,
                "w_lora_B": random(width, 3) - i - 10 * j,
            }
            for j, part in enumerate(parts)
        }
        for i, width in enumerate(widths)
    }
    facts = {"r": 3, "alpha": 2, "encoder": "both", "params": list(parts), "position": "all"}
    return {"weights": weights, "metadata": facts}


@pytest.mark.parametrize("parts", ["qkv", "vo"])
def test_low_rank_terms_are_read_layer_by_layer(run_command: RunCommand, parts: str) -> None:
    content = lora_file(((4, 32), (4, 48)), parts)
    torch.save(content, "official.tar")
    card, state = imported(run_command, "clip-lora")
    options = {name: card.method[name] for name in ("rank", "alpha", "projections", "encoders")}
    assert options == {"rank": 3, "alpha": 2.0, "projections": parts, "encoders": "both"}
    prompts = prompt_card.build_method(card, state, Registry.load(), make_tiny_clip()).prompts()
    text: Any = prompts.text
    assert prompts.image is not None
    for first, side in ((0, text), (4, prompts.image)):
        for block in range(4):
            terms = content["weights"][f"layer_{first + block}"]
            x = random(2, side.input.shape[1])
            matrices = terms["v_proj"]["w_lora_A"], terms["v_proj"]["w_lora_B"]
            expected = 2 / 3**0.5 * x @ matrices[0].T @ matrices[1].T
            torch.testing.assert_close(side.adapters[block].values(x), expected)
    assert run_command(*predict_words(Path("mine")))[0] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lora_file(((4, 32),)), "layers of one tower"),
        (lora_file(((4, 32), (3, 48))), "takes 4 x 3 x 3 x 48"),
        (lora_file(((2, 32), (2, 48))), "takes 4 x 3 x 3 x"),
        ({"weights": {"layer_1": {}}, "metadata": {"r": 1}}, "no 'weights.layer_0'"),
        ({"ctx": random(4, 32)}, "no 'weights.layer_0'"),
    ],
)
def test_other_files_are_no_low_rank_terms(
    run_command: RunCommand, content: dict[str, Any], message: str
) -> None:
    torch.save(content, "official.tar")
    words = ("import", "official.tar", "--method", "clip-lora", "--model", "tiny", "--to", "mine")
    assert message in refused(run_command, *words)


def test_bottlenecks_of_mma_are_read_by_their_numbers(run_command: RunCommand) -> None:
    state = {"token_embedding": torch.cat(list(buffers(n=0).values()), 1)}
    sizes = {"text": 32, "visual": 48}
    for number in (11, 12):
        for tower, width in sizes.items():
            for layer, (inputs, outputs) in {"down.0": (width, 8), "up": (8, width)}.items():
                head = f"{tower}_adapter.{number}.{layer}"
                state[f"{head}.weight"] = random(outputs, inputs) + number
                state[f"{head}.bias"] = random(outputs) - number
        state[f"shared_adapter.{number}.0.weight"] = random(8, 8) + number
        state[f"shared_adapter.{number}.0.bias"] = random(8)
    save_official("official.tar", state)
    card, tensors = imported(run_command, "mma")
    assert (card.method["depth"], card.method["width"]) == (2, 8)
    half = {name: value.half().float() for name, value in state.items()}
    for j, number in enumerate((11, 12)):
        assert torch.equal(
            tensors[f"image_up.{j}.weight"], half[f"visual_adapter.{number}.up.weight"]
        )
        assert torch.equal(
            tensors[f"text_down.{j}.bias"], half[f"text_adapter.{number}.down.0.bias"]
        )
        assert torch.equal(tensors[f"shared.{j}.weight"], half[f"shared_adapter.{number}.0.weight"])
    assert run_command(*predict_words(Path("mine")))[0] == 0
    save_official("official.tar", {"ctx": random(4, 32)})
    words = ("import", "official.tar", "--method", "mma", "--model", "tiny", "--to", "other")
    assert "no 'shared_adapter" in refused(run_command, *words)


def test_tcp_is_read_with_its_start_token(run_command: RunCommand) -> None:
    state = {
        "ctx": random(4, 32),
        "meta_net.linear1.weight": random(8, 32),
        "meta_net.linear1.bias": random(8),
        "meta_net.linear2.weight": random(128, 8),
        "meta_net.linear2.bias": random(128),
        **buffers(),
    }
    save_official("official.tar", state, optimizer=torch.optim.Adam)
    card, tensors = imported(run_command, "tcp:layer=2")
    assert card.method["length"] == 4
    assert torch.equal(tensors["widen.weight"], state["meta_net.linear2.weight"].half().float())
    assert run_command(*predict_words(Path("mine")))[0] == 0
    save_official("official.tar", {**state, "token_prefix": state["token_prefix"] + 1})
    words = ("import", "official.tar", "--method", "tcp:layer=2", "--model", "tiny", "--to", "x")
    assert "another backbone" in refused(run_command, *words)
    save_official("official.tar", {**state, "ctx": torch.tensor(1.0)})
    assert "has 0 dimensions" in refused(run_command, *words)


def test_class_specific_contexts_are_read_with_their_names(run_command: RunCommand) -> None:
    save_official("official.tar", {"ctx": random(7, 4, 32), **buffers()})
    words = ("import", "official.tar", "--method", "coop", "--model", "tiny", "--to", "mine")
    assert "a part for each of 7 classes" in refused(run_command, *words)
    assert "2 were given" in refused(run_command, *words, "--classes", "a,b")
    card, _ = imported(run_command, "coop", "--classes", ",".join(NAMES))
    assert card.method["class_specific"] is True
    assert run_command(*predict_words(Path("mine")))[0] == 0
    assert "did you mean" in refused(
        run_command, *predict_words(Path("mine"))[:4], "red squares,black cat", "0.png"
    )


@pytest.mark.parametrize(
    ("method", "state", "message"),
    [
        ("coop", {"weight": random(2, 2)}, "no 'ctx' in the checkpoint; it holds weight"),
        ("coop", {"ctx": random(4, 33)}, "4 x 33, but 'coop' on backbone 'tiny' takes 4 x 32"),
        ("coop", {"ctx": random(4, 512), **buffers()}, "4 x 512"),
        ("coop", {"ctx": random(32)}, "1 dimensions"),
        ("coop", {"ctx": random(4, 32), "meta_net.linear1.weight": random(2, 32)}, "meta_net"),
        ("pomp", {"ctx": random(7, 4, 32)}, "3 dimensions"),
        ("coop", {"ctx": random(4, 32) / 0}, "not finite"),
        ("coop", {"ctx": random(4, 32), "token_prefix": random(7, 1, 32)}, "another backbone"),
        ("coop", {"ctx": random(4, 32), "token_prefix": random(7, 32)}, "one for each class"),
        ("coop:length=8", {"ctx": random(4, 32)}, "length=8, but the checkpoint has length=4"),
        ("maple", {"ctx": random(2, 32)}, "no 'prompt_learner.ctx'"),
        ("maple", {"prompt_learner.ctx": random(2, 32)}, "no 'prompt_learner.proj.weight'"),
        ("maple", maple_state() | {"prompt_learner.ctx": torch.tensor(1.0)}, "has 0 dimensions"),
        ("maple", maple_state(depth=6), "has 4 blocks; write depth=4"),
        ("context", {"ctx": random(2, 32)}, "these can: coop, cocoop, pomp, maple"),
        ("cop", {"ctx": random(2, 32)}, "did you mean 'coop'?"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_explained(
    run_command: RunCommand, method: str, state: dict[str, Tensor], message: str
) -> None:
    save_official("official.tar", state)
    words = ("import", "official.tar", "--method", method, "--model", "tiny", "--to", "mine")
    assert message in refused(run_command, *words)
    assert not Path("mine").exists()


@pytest.mark.filterwarnings("ignore:.*(quantiz|Sparse invariant|TypedStorage).*:UserWarning")
@pytest.mark.parametrize("kind", ["sparse", "quantized", "complex", "meta"])
def test_a_tensor_of_another_kind_is_refused(run_command: RunCommand, kind: str) -> None:
    plain = random(4, 32)
    special = {
        "sparse": plain.to_sparse,
        "quantized": lambda: torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8),
        "complex": lambda: plain.to(torch.complex64),
        "meta": lambda: plain.to("meta"),
    }
    torch.save({"state_dict": {"ctx": special[kind]()}}, "official.tar")
    words = ("import", "official.tar", "--method", "coop", "--model", "tiny", "--to", "mine")
    assert "'ctx' is no plain tensor" in refused(run_command, *words)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("harm",))


def test_code_in_an_untrusted_file_never_runs(run_command: RunCommand) -> None:
    words = ("import", "official.tar", "--method", "coop", "--model", "tiny", "--to", "mine")
    assert "cannot read official.tar" in refused(run_command, *words)
    Path("official.tar").write_text("hello")
    assert "torch checkpoint" in refused(run_command, *words)
    Path("official.tar").write_bytes(b"")
    assert "torch checkpoint" in refused(run_command, *words)
    torch.save({"state_dict": {"ctx": random(4, 32)}, "more": Malicious()}, "official.tar")
    complaint = refused(run_command, *words)
    assert "no code in it was run" in complaint
    assert "mkdir" in complaint
    assert not Path("harm").exists()
    save_official("official.tar", {"ctx": random(4, 32)})
    complete = Path("official.tar").read_bytes()
    Path("official.tar").write_bytes(complete[: len(complete) // 2])
    assert "torch checkpoint" in refused(run_command, *words)
    for content in ([1, 2], {}, {"state_dict": {"ctx": 3}}, {1: random(2)}):
        torch.save(content, "official.tar")
        assert "no named tensors" in refused(run_command, *words)
    assert not Path("mine").exists()
