"""The built-in methods: published sizes and starts, and RPP's structures without dead vectors."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Prompt, Space, Templates
from rppbench.errors import UsageError
from rppbench.models.clip import Clip
from rppbench.plugins.options import options
from rppbench.plugins.registry import Registry
from rppbench.testing import build, check_method, step_of
from rppbench_methods.clip_adapter import CLIPAdapter
from rppbench_methods.clip_lora import CLIPLoRA
from rppbench_methods.cocoop import CoCoOp
from rppbench_methods.coop import CoOp
from rppbench_methods.gda import GDA
from rppbench_methods.ivlp import IVLP
from rppbench_methods.kgcoop import KgCoOp
from rppbench_methods.linear_probe import LinearProbe
from rppbench_methods.maple import MaPLe
from rppbench_methods.mma import MMA
from rppbench_methods.pomp import POMP
from rppbench_methods.promptkd import PromptKD
from rppbench_methods.promptsrc import PromptSRC
from rppbench_methods.rpp import RPP
from rppbench_methods.taskres import TaskRes
from rppbench_methods.tcp import TCP
from rppbench_methods.tip_adapter import TipAdapter, TipAdapterF
from rppbench_methods.vpt import VPT
from rppbench_methods.zeroshot import ZeroShot

PROMPTED = [CoCoOp, CoOp, IVLP, KgCoOp, MaPLe, POMP, PromptKD, PromptSRC, RPP, VPT]
ADAPTED = [CLIPLoRA, MMA]
METHODS = [
    *PROMPTED,
    *ADAPTED,
    CLIPAdapter,
    GDA,
    LinearProbe,
    TaskRes,
    TCP,
    TipAdapter,
    TipAdapterF,
    ZeroShot,
]
RESIDUALS = ("keep", "q", "mean")
UNSHARED = ("qkv", "kv", "qk", "qv", "q", "k", "v", "none")


def vit_b_16(seed: int = 0) -> Space:
    """The room of CLIP ViT-B/16; word embeddings are any fixed ones."""
    words = torch.randn(77, 512, generator=torch.Generator().manual_seed(9))
    return Space(
        *(512, 12, 768, 12, 512, 1000),
        words=lambda text: words[: len(text.split())],
        generator=torch.Generator().manual_seed(seed),
    )


def count(method: Method) -> int:
    return sum(p.numel() for p in method.parameters() if p.requires_grad)


def text_prompt(method: Method) -> Prompt:
    prompt = method.prompts().text
    assert isinstance(prompt, Prompt)
    return prompt


@pytest.mark.parametrize("component", METHODS, ids=lambda c: c.name)
def test_every_built_in_method_passes_the_checks_for_methods(
    component: type[Method], tiny_clip: Clip
) -> None:
    fewer = {"depth": 4} if component is VPT else {}  # than the six layers of its recipe
    check_method(component, tiny_clip, **fewer)
    assert component.paper


def test_the_registry_offers_exactly_these() -> None:
    known = Registry.load().all("methods")
    assert set(known.values()) == set(METHODS)


def test_parameter_counts_are_the_published_ones() -> None:
    assert count(POMP(vit_b_16(), length=4)) == 2048
    assert count(POMP(vit_b_16(), length=16)) == 8192
    # muzairkhattak/multimodal-prompt-learning, depth 9 and 3.
    assert count(MaPLe(vit_b_16(), depth=9)) == 3_555_072
    assert count(MaPLe(vit_b_16(), depth=3)) == 1_185_024
    assert count(VPT(vit_b_16())) == 73_728
    assert count(IVLP(vit_b_16(), length=4, depth=9)) == 46_080
    assert count(KgCoOp(vit_b_16())) == 2048
    assert count(CoCoOp(vit_b_16())) == 35_360
    assert count(PromptSRC(vit_b_16(), depth=9)) == 46_080
    assert count(PromptSRC(vit_b_16(), depth=3)) == 15_360


@pytest.mark.parametrize("length", [4, 16])
def test_sapl_has_three_vectors_a_token_and_block(length: int) -> None:
    both = RPP(vit_b_16(), length=length, depth=9, input="frozen")
    assert count(both) == 3 * 9 * length * (512 + 768)
    text = RPP(vit_b_16(), length=length, depth=9, input="frozen", encoders="text")
    assert count(text) == 3 * 9 * length * 512
    learned = RPP(vit_b_16(), length=length, depth=9)
    assert count(learned) == count(both) + length * (512 + 768)


def test_contexts_start_from_words_or_at_random() -> None:
    words = vit_b_16().words("a photo of a")
    assert torch.equal(text_prompt(CoOp(vit_b_16())).input, words)
    longer = text_prompt(CoOp(vit_b_16(), length=6)).input
    assert torch.equal(longer[:4], words)
    assert longer[4:].std() < 0.04
    for method in (CoOp(vit_b_16(), init="", length=16), POMP(vit_b_16(), length=16)):
        drawn = text_prompt(method).input
        assert 0.018 < drawn.std() < 0.022
        assert abs(drawn.mean()) < 0.002


def test_class_specific_contexts_have_one_row_a_class() -> None:
    shared = text_prompt(CoOp(vit_b_16(), class_specific=True)).input
    assert shared.shape == (1000, 4, 512)
    assert torch.equal(shared[0], shared[999])
    drawn = text_prompt(CoOp(vit_b_16(), class_specific=True, init="")).input
    assert not torch.equal(drawn[0], drawn[1])


def test_maple_keeps_the_last_words_frozen_and_couples_the_towers() -> None:
    method = MaPLe(vit_b_16(), depth=3)
    prompts = method.prompts()
    text, image = prompts.text, prompts.image
    assert isinstance(text, Prompt)
    assert image is not None
    words = vit_b_16().words("a photo of a")
    assert torch.equal(text.input, words)
    assert not method.text.tail.requires_grad
    assert method.text.input.shape == (2, 512)
    assert list(text.stream) == list(image.stream) == [1, 2]
    assert text.stream[1].shape == (2, 512)
    assert image.input.shape == image.stream[1].shape == (2, 768)
    torch.testing.assert_close(
        image.stream[2],
        text.stream[2] @ method.deep_projections[1].weight.T + method.deep_projections[1].bias,
    )


def test_maples_deep_projections_start_as_copies_and_the_first_does_not() -> None:
    method = MaPLe(vit_b_16(), depth=4)
    first, *others = [layer.weight for layer in method.deep_projections]
    assert all(torch.equal(first, other) for other in others)
    assert len({id(weight) for weight in (first, *others)}) == 3
    assert not torch.equal(method.projection.weight, first)


def test_vpt_with_depth_1_is_shallow_and_its_text_is_fixed() -> None:
    shallow, deep = VPT(vit_b_16(), depth=1).prompts(), VPT(vit_b_16(), depth=12).prompts()
    assert shallow.text == deep.text == Templates(("a photo of a {}.",))
    assert shallow.image is not None
    assert deep.image is not None
    assert not shallow.image.stream
    assert list(deep.image.stream) == list(range(1, 12))
    assert torch.equal(shallow.image.input, deep.image.input)
    assert 0.018 < torch.cat(list(deep.image.stream.values())).std() < 0.022


def test_ivlp_prompts_the_towers_independently() -> None:
    method = IVLP(vit_b_16(), length=2, depth=3)
    prompts = method.prompts()
    text, image = prompts.text, prompts.image
    assert isinstance(text, Prompt)
    assert image is not None
    assert torch.equal(text.input, vit_b_16().words("a photo of a"))
    assert list(text.stream) == list(image.stream) == [1, 2]
    learned = {id(parameter) for parameter in method.parameters()}
    assert {id(v) for p in (text, image) for v in p.stream.values()} < learned
    language = IVLP(vit_b_16(), length=4, depth=12, encoders="text")
    assert language.prompts().image is None
    assert count(language) == 4 * 12 * 512


def test_promptsrc_looks_at_sixty_wordings_and_has_the_structure_of_ivlp(tiny_clip: Clip) -> None:
    method = build(PromptSRC, tiny_clip, {"depth": 3})
    assert method.frozen is not None
    assert len(set(method.frozen.wordings)) == 60
    assert "a photo of a {}." in method.frozen.wordings
    assert method.frozen.wordings[-1] == "itap of the {}."
    other = build(IVLP, tiny_clip, {"depth": 3, "length": 4})
    assert method.state_dict().keys() == other.state_dict().keys()
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in method.state_dict().items())


@pytest.mark.parametrize(
    ("component", "weights", "chosen"),
    [
        (KgCoOp, ["weight"], {}),
        (PromptSRC, ["text_weight", "image_weight", "logit_weight"], {"depth": 3}),
    ],
)
def test_without_its_weights_a_regularised_loss_is_the_supervised_one(
    tiny_clip: Clip, component: type[Method], weights: list[str], chosen: dict[str, int]
) -> None:
    without = build(component, tiny_clip, {**chosen, **dict.fromkeys(weights, 0.0)})
    with torch.no_grad():  # KgCoOp starts at the wording that it is held near
        for parameter in without.parameters():
            parameter.mul_(3)
    step = step_of(without, tiny_clip)
    assert torch.equal(without.loss(step), step.cross_entropy)
    for weight in weights:
        only = {name: float(name == weight) for name in weights}
        assert build(component, tiny_clip, {**chosen, **only}).loss(step) > step.cross_entropy


def test_a_start_depends_on_its_stream_and_nothing_else() -> None:
    for component in (CoCoOp, CoOp, IVLP, KgCoOp, MaPLe, POMP, PromptSRC, RPP, VPT):
        torch.manual_seed(0)
        one = component(vit_b_16(3)).state_dict()
        torch.manual_seed(1)
        two = component(vit_b_16(3)).state_dict()
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(POMP(vit_b_16(3)).context, POMP(vit_b_16(4)).context)


@pytest.mark.parametrize("depth", [0, 1, 3, 4])
@pytest.mark.parametrize(("residual", "unshared"), list(itertools.product(RESIDUALS, UNSHARED)))
def test_no_structure_of_rpp_has_a_dead_parameter(
    tiny_clip: Clip, residual: str, unshared: str, depth: int
) -> None:
    if residual == "q" and "q" not in unshared and unshared != "none":
        with pytest.raises(UsageError, match="unshared=" + unshared):
            build(RPP, tiny_clip, {"residual": residual, "unshared": unshared, "depth": depth})
        return
    chosen = {"residual": residual, "unshared": unshared, "depth": depth}
    method = build(RPP, tiny_clip, chosen)
    step_of(method, tiny_clip).cross_entropy.backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("residual", "depth", "queries"),
    [("keep", 3, [0, 1, 2]), ("keep", 4, []), ("q", 3, [2]), ("q", 4, []), ("mean", 3, [2])],
)
def test_query_vectors_exist_where_they_can_act(
    tiny_clip: Clip, residual: str, depth: int, queries: list[int]
) -> None:
    method = build(RPP, tiny_clip, {"residual": residual, "depth": depth})
    prompts = method.prompts()
    for prompt in (prompts.text, prompts.image):
        assert isinstance(prompt, Prompt)
        assert sorted(prompt.queries) == queries
        assert sorted(prompt.keys) == sorted(prompt.values) == list(range(depth))


def test_leaving_dead_queries_out_changes_nothing(tiny_clip: Clip) -> None:
    """With every block prompted, 'qkv' is 'kv'; and any query put back in leaves the result."""
    full = build(RPP, tiny_clip, {"depth": 4, "unshared": "qkv"})
    without = build(RPP, tiny_clip, {"depth": 4, "unshared": "kv"})
    assert full.state_dict().keys() == without.state_dict().keys()
    prompt = text_prompt(full)
    noise = {block: torch.randn_like(prompt.keys[block]) for block in range(4)}
    names = tiny_clip.names(["cat", "sailboat"])
    torch.testing.assert_close(
        tiny_clip.text.encode(prompt, names),
        tiny_clip.text.encode(replace(prompt, queries=noise), names),
    )


def test_rpp_with_depth_0_is_coop_and_shallow_visual_prompts(tiny_clip: Clip) -> None:
    rpp, coop = build(RPP, tiny_clip, {"depth": 0}), build(CoOp, tiny_clip, {})
    names = tiny_clip.names(["cat", "sailboat"])
    assert torch.equal(
        tiny_clip.text.encode(text_prompt(rpp), names),
        tiny_clip.text.encode(text_prompt(coop), names),
    )
    image = rpp.prompts().image
    assert image is not None
    assert not image.stream
    assert not image.keys
    assert count(rpp) == 4 * (32 + 48)


@pytest.mark.parametrize("residual", ["q", "mean"])
def test_equal_vectors_are_the_shared_deep_prompt(tiny_clip: Clip, residual: str) -> None:
    names = tiny_clip.names(["cat", "sailboat"])
    shared = build(RPP, tiny_clip, {"depth": 3, "unshared": "none", "residual": residual})
    deep = text_prompt(shared)
    assert not deep.keys
    assert sorted(deep.stream) == [0, 1, 2]
    own = build(RPP, tiny_clip, {"depth": 3, "residual": residual})
    with torch.no_grad():
        vectors: dict[str, Tensor] = dict(own.text.vectors.items())  # type: ignore[union-attr]
        for name, parameter in vectors.items():
            parameter.copy_(deep.stream[int(name[1:])])
    torch.testing.assert_close(
        tiny_clip.text.encode(text_prompt(own), names),
        tiny_clip.text.encode(deep, names),
        rtol=1e-5,
        atol=1e-5,
    )


def test_either_tower_can_be_left_alone(tiny_clip: Clip) -> None:
    text = build(RPP, tiny_clip, {"depth": 2, "encoders": "text"}).prompts()
    image = build(RPP, tiny_clip, {"depth": 2, "encoders": "image"}).prompts()
    assert text.image is None
    assert isinstance(text.text, Prompt)
    assert image.text == Templates()
    assert image.image is not None


@pytest.mark.parametrize(
    ("component", "chosen", "message"),
    [
        (RPP, {"depth": 5}, "depth=5 does not fit"),
        (RPP, {"length": 0}, "at least 1"),
        (RPP, {"depth": 0, "input": "frozen"}, "nothing to learn"),
        (MaPLe, {"depth": 0}, "at least 1"),
        (MaPLe, {"depth": 9}, "depth=9 does not fit"),
        (VPT, {"depth": 0}, "at least 1"),
        (VPT, {"depth": 12}, "has 4 blocks; write depth=4 or less"),
        (IVLP, {"depth": 5}, "depth=5 does not fit"),
        (MMA, {"depth": -1}, "depth=-1 does not fit"),
        (ZeroShot, {"template": "ensembel"}, "did you mean 'ensemble'"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(
    tiny_clip: Clip, component: type[Method], chosen: dict[str, int | str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build(component, tiny_clip, chosen)


def test_a_tower_that_takes_no_prompt_is_named() -> None:
    space = replace(vit_b_16(), image_width=0, image_layers=0)
    with pytest.raises(UsageError, match="image tower"):
        MaPLe(space)
    assert count(RPP(space, encoders="text")) > 0


def test_zero_shot_wordings() -> None:
    def wordings(template: str) -> tuple[str, ...]:
        text = ZeroShot(vit_b_16(), template=template).prompts().text
        assert isinstance(text, Templates)
        return text.wordings

    assert wordings("dataset") == ()
    assert wordings("single") == ("a photo of a {}.",)
    assert len(wordings("ensemble")) == 80
    assert all(wording.count("{}") == 1 for wording in wordings("ensemble"))
    assert wordings("art of the {}.") == ("art of the {}.",)


def test_every_trained_method_takes_every_supervision() -> None:
    fields = set(Supervision.__dataclass_fields__)
    for component in METHODS:
        expected = fields if component.learning is not None else set()
        assert set(options(component)) & fields == expected
    assert options(POMP)["sampled"] == options(RPP)["sampled"] == 1000
    assert options(RPP)["kd"] is True
    assert options(CoOp)["kd"] is False
