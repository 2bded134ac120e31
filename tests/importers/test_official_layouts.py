"""Checkpoints with the tensors that official trainers save: their logits, and what is refused.

The state dicts have the names and shapes that the official model classes register. Logits are
compared with the plain towers of `support.reference`, which know nothing of rppbench's methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from support.commands import RunCommand, predict_words, refused
from support.tiny import make_tiny_clip
from support.toy_data import COLOURS
from support.toy_plugin import PluginOf
from support.training_world import plain_images, plain_texts, words
from torch import Tensor

from rppbench.contracts.prompts import Conditional, Prompt, Templates
from rppbench.exporters import prompt_card
from rppbench.models.clip import Clip
from rppbench.plugins.registry import Registry
from rppbench_methods.cocoop import CoCoOp
from rppbench_methods.coop import CoOp
from rppbench_methods.ivlp import IVLP
from rppbench_methods.kgcoop import KgCoOp
from rppbench_methods.promptsrc import PromptSRC
from rppbench_methods.vpt import VPT

NAMES = list(COLOURS)
State = dict[str, Tensor]


MORE = PluginOf([CoOp, CoCoOp, KgCoOp, IVLP, PromptSRC, VPT], [])


def random(*shape: int, seed: int = 0) -> Tensor:
    """Values that float16 holds exactly."""
    stream = torch.Generator().manual_seed(sum(shape) + 1000 * seed)
    return (0.5 * torch.randn(shape, generator=stream)).half().float()


def token_buffers(n: int, start: str = "X", head: str = "") -> State:
    """What is embedded before and behind n learned tokens, of texts that begin with `start`."""
    clip = make_tiny_clip()
    start = start if start != "X" else " ".join("X" * n)
    rows = clip.tokenizer([f"{start} {name}." for name in NAMES])
    vectors = clip.model.token_embedding(rows).detach()
    return {f"{head}token_prefix": vectors[:, :1], f"{head}token_suffix": vectors[:, 1 + n :]}


def prompt_learner(n: int = 4, start: str = "a photo of a", head: str = "") -> State:
    return {f"{head}ctx": random(n, 32), **token_buffers(n, start, head)}


def frozen(zero_shot: bool = False) -> State:
    """Some of the frozen weights that are saved with a complete model."""
    visual = make_tiny_clip().model.visual
    heads = ["image_encoder."] + ["prompt_learner.ZS_image_encoder."] * zero_shot
    return {
        f"{head}{name}": getattr(visual, name).detach()
        for head in heads
        for name in ("class_embedding", "positional_embedding", "proj")
    } | {"logit_scale": torch.tensor(4.6)}


def deep(tower: str, n: int, depth: int) -> State:
    width = 48 if tower == "image" else 32
    head = f"{tower}_encoder.transformer.resblocks"
    first = {"image_encoder.VPT": random(n, width, seed=9)} if tower == "image" else {}
    return first | {
        f"{head}.{block}.VPT_shallow": random(n, width, seed=block) for block in range(1, depth)
    }


def cocoop_state() -> State:
    return {
        **prompt_learner(),
        "meta_net.linear1.weight": random(2, 32, seed=1),
        "meta_net.linear1.bias": random(2),
        "meta_net.linear2.weight": random(32, 2, seed=2),
        "meta_net.linear2.bias": random(32),
    }


def kgcoop_state() -> State:
    """The official code registers a bias and a layer that it computes nothing with."""
    unused = {
        "bias_vectors": random(1, 512),
        "meta_net.linear1.weight": random(512, 512),
        "meta_net.linear1.bias": random(512),
    }
    return {**prompt_learner(), **unused}


def both_towers(n: int = 2, depth: int = 3, zero_shot: bool = False) -> State:
    learner = prompt_learner(n, head="prompt_learner.")
    return {**learner, **frozen(zero_shot), **deep("image", n, depth), **deep("text", n, depth)}


def text_alone() -> State:
    return {**prompt_learner(head="prompt_learner."), **frozen(), **deep("text", 4, 4)}


def images_alone() -> State:
    return {**frozen(), **deep("image", 8, 4)}


# --- the forward of the official models, on plain towers ------------------------------------------


def plain_deep(state: Mapping[str, Tensor], tower: str) -> dict[int, Tensor]:
    head = f"{tower}_encoder.transformer.resblocks."
    return {
        b: state[f"{head}{b}.VPT_shallow"] for b in range(1, 4) if f"{head}{b}.VPT_shallow" in state
    }


def by_image(state: State, clip: Clip, pixels: Tensor) -> Tensor:
    images = plain_images(clip, pixels, None)
    rows = []
    for image in images:
        hidden = (state["meta_net.linear1.weight"] @ image + state["meta_net.linear1.bias"]).relu()
        shift = state["meta_net.linear2.weight"] @ hidden + state["meta_net.linear2.bias"]
        rows.append(plain_texts(clip, NAMES, Prompt(state["ctx"] + shift)) @ image)
    return torch.stack(rows)


def one_context(state: State, clip: Clip, pixels: Tensor) -> Tensor:
    return plain_images(clip, pixels, None) @ plain_texts(clip, NAMES, Prompt(state["ctx"])).T


def both(state: State, clip: Clip, pixels: Tensor) -> Tensor:
    context = state["prompt_learner.ctx"]
    context = torch.cat([context, words(clip, "a photo of a")[len(context) :]])
    image = None
    if "image_encoder.VPT" in state:
        image = Prompt(state["image_encoder.VPT"], plain_deep(state, "image"))
    texts = plain_texts(clip, NAMES, Prompt(context, plain_deep(state, "text")))
    return plain_images(clip, pixels, image) @ texts.T


def fixed_text(state: State, clip: Clip, pixels: Tensor) -> Tensor:
    image = Prompt(state["image_encoder.VPT"], plain_deep(state, "image"))
    return plain_images(clip, pixels, image) @ plain_texts(clip, NAMES, None).T


Forward = Callable[[State, Clip, Tensor], Tensor]
CASES: dict[str, tuple[str, Callable[[], State], Forward, dict[str, object]]] = {
    "cocoop": ("cocoop", cocoop_state, by_image, {"length": 4}),
    "kgcoop": ("kgcoop", kgcoop_state, one_context, {"length": 4}),
    "ivlp": ("ivlp", both_towers, both, {"length": 2, "depth": 3, "encoders": "both"}),
    "language": ("ivlp", text_alone, both, {"length": 4, "depth": 4, "encoders": "text"}),
    "vpt": ("vpt", images_alone, fixed_text, {"length": 8, "depth": 4}),
    "promptsrc": (
        "promptsrc",
        lambda: both_towers(4, 3, zero_shot=True),
        both,
        {"length": 4, "depth": 3},
    ),
}


def save(state: Mapping[str, Tensor]) -> None:
    half = {name: value.half() for name, value in state.items()}
    torch.save({"state_dict": half, "epoch": 5, "val_result": None}, "official.tar")


def words_of_import(method: str, to: str = "mine") -> tuple[str, ...]:
    return ("import", "official.tar", "--method", method, "--model", "tiny", "--to", to)


@torch.no_grad()
def logits(folder: Path, clip: Clip, pixels: Tensor) -> Tensor:
    """Those of the exported folder by rppbench, without the scale."""
    card, state = prompt_card.read(folder)
    prompts = prompt_card.build_method(card, state, Registry.load(), clip).prompts()
    images = clip.image.encode(pixels, prompts.image)
    names = clip.names(NAMES, prompts.wording(card.wording))
    match prompts.text:
        case Conditional(contexts=contexts):
            return torch.einsum(
                "be,bke->bk", images, clip.text.encode_each(contexts(images), names)
            )
        case Templates(wordings=wordings):
            return images @ clip.text.encode_templates(NAMES, wordings).T
        case Prompt() as prompt:
            return images @ clip.text.encode(prompt, names).T
    raise AssertionError(prompts.text)


@pytest.mark.parametrize("case", CASES)
def test_logits_of_an_official_checkpoint(run_command: RunCommand, case: str) -> None:
    method, make, forward, options = CASES[case]
    state, clip = make(), make_tiny_clip()
    save(state)
    status, _, complaints = run_command(*words_of_import(method), "--classes", ",".join(NAMES))
    assert status == 0, complaints
    card, _ = prompt_card.read(Path("mine"))
    assert {name: card.method[name] for name in options} == options
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = forward(state, clip, pixels)
    torch.testing.assert_close(logits(Path("mine"), clip, pixels), expected, rtol=1e-4, atol=1e-5)
    assert run_command(*predict_words(Path("mine")))[0] == 0


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("class_specific", [False, True])
def test_the_position_of_the_name_is_in_the_folder_of_coop(
    run_command: RunCommand, position: str, class_specific: bool
) -> None:
    """The tensors are the same for all three: only `CLASS_TOKEN_POSITION` differs."""
    context = random(*[7] * class_specific, 5, 32)
    state, clip = {"ctx": context, **token_buffers(5)}, make_tiny_clip()
    save(state)
    folder = Path(f"rn50_16shots/nctx5_csc{class_specific}_ctp{position}/seed1/prompt_learner")
    folder.mkdir(parents=True)
    file = Path("official.tar").rename(folder / "model.pth.tar-50")
    command = ("import", str(file), *words_of_import("coop")[2:], "--classes", ",".join(NAMES))
    status, _, complaints = run_command(*command)
    assert status == 0, complaints
    before = {"end": 5, "middle": 2, "front": 0}[position]
    prompt = Prompt(context[..., :before, :], after_name=context[..., before:, :])
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = plain_images(clip, pixels, None) @ plain_texts(clip, NAMES, prompt).T
    torch.testing.assert_close(logits(Path("mine"), clip, pixels), expected, rtol=1e-4, atol=1e-5)
    other = "front" if position != "front" else "end"
    command = tuple(f"coop:position={other}" if word == "coop" else word for word in command)
    assert f"the name of its folder has position={position}" in refused(run_command, *command)


def test_the_position_can_be_given_without_the_folder(run_command: RunCommand) -> None:
    save({"ctx": random(4, 32), **token_buffers(4)})
    status, _, complaints = run_command(*words_of_import("coop:position=middle"))
    assert status == 0, complaints
    assert prompt_card.read(Path("mine"))[0].method["position"] == "middle"


def without(state: State, name: str) -> State:
    return {key: value for key, value in state.items() if key != name}


def deep_text(block: int) -> str:
    return f"text_encoder.transformer.resblocks.{block}.VPT_shallow"


REFUSED: dict[str, tuple[str, State, str]] = {
    "coop as cocoop": ("cocoop", prompt_learner(), "no 'meta_net.linear1.weight'"),
    "kgcoop as cocoop": ("cocoop", kgcoop_state(), "no 'meta_net.linear2.weight'"),
    "cocoop as kgcoop": ("kgcoop", cocoop_state(), "no 'bias_vectors'"),
    "promptsrc as ivlp": ("ivlp", both_towers(zero_shot=True), "also holds 'prompt_learner.ZS_"),
    "ivlp as promptsrc": ("promptsrc", both_towers(), "no 'prompt_learner.ZS_image_encoder"),
    "ivlp as vpt": ("vpt", both_towers(), "also holds 'prompt_learner.ctx'"),
    "vpt as ivlp": ("ivlp", images_alone(), "no 'prompt_learner.ctx'"),
    "coop as vpt": ("vpt", prompt_learner(), "no 'image_encoder.VPT'"),
    "maple as ivlp": (
        "ivlp",
        {**both_towers(), "prompt_learner.proj.weight": random(48, 32)},
        "also holds 'prompt_learner.proj.weight'",
    ),
    "a block is missing": ("ivlp", without(both_towers(2, 4), deep_text(2)), "blocks 1, 3"),
    "towers differ in depth": (
        "ivlp",
        without(both_towers(), deep_text(2)),
        "2 tokens in 2 blocks of the text tower, but 2 in 3 of the image tower",
    ),
    "blocks differ in length": (
        "ivlp",
        {**both_towers(), deep_text(2): random(3, 32)},
        "differ in shape: 2x32 and 3x32",
    ),
    "another width": (
        "vpt",
        {**frozen(), "image_encoder.VPT": random(8, 50)},
        "8 x 50, but 'vpt' on backbone 'tiny' takes 8 x 48",
    ),
    "a number for tokens": (
        "vpt",
        {**images_alone(), "image_encoder.VPT": torch.tensor(1.0)},
        "the tokens of the image tower have 0 dimensions",
    ),
    "another image tower": (
        "vpt",
        {**images_alone(), "image_encoder.class_embedding": random(48)},
        "its image class token has another embedding",
    ),
    "another text tower": (
        "cocoop",
        {**cocoop_state(), "token_prefix": random(7, 1, 32)},
        "its start token has another embedding",
    ),
    "other words behind the prompt": (
        "ivlp",
        {**both_towers(), **token_buffers(2, "X", "prompt_learner.")},
        "other words follow the learned tokens",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_file_is_refused_with_what_is_wrong(run_command: RunCommand, case: str) -> None:
    method, state, message = REFUSED[case]
    save(state)
    assert message in refused(run_command, *words_of_import(method))
    assert not Path("mine").exists()


def test_random_words_need_to_be_said(run_command: RunCommand) -> None:
    """IVLP's code starts two tokens from words that stay behind them, or at random without any."""
    save({**both_towers(), **token_buffers(2, "X", "prompt_learner.")})
    status, _, complaints = run_command(*words_of_import("ivlp:init="))
    assert status == 0, complaints


@pytest.mark.parametrize("case", ["kgcoop", "cocoop", "ivlp", "promptsrc"])
def test_names_in_another_order_than_in_the_file(run_command: RunCommand, case: str) -> None:
    method, make, _, _ = CASES[case]
    save(make())
    command = words_of_import(method)
    turned = [*NAMES[1:], NAMES[0]]
    complaint = refused(run_command, *command, "--classes", ",".join(turned))
    assert f"{turned[0]!r} is not the name that the checkpoint has at its place" in complaint
    complaint = refused(run_command, *command, "--classes", ",".join(NAMES[:3]))
    assert "learned on 7 classes, 3 are named" in complaint
