"""FLOPs against counts by hand, and that stored features hide nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.toy_data import COLOURS, Toy
from support.toy_runner import Workspace
from torch import nn

from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Prompts
from rppbench.evaluation import inference_cost as module
from rppbench.evaluation.classify import COSINES, head_of
from rppbench.evaluation.inference_cost import InferenceCost, counted, inference_cost
from rppbench.models.clip import Clip
from rppbench.records.record import INFERENCE
from rppbench_methods.cocoop import CoCoOp
from rppbench_methods.coop import CoOp
from rppbench_methods.vpt import VPT

TOKENS, WIDTH, LAYERS, EMBED = 17, 48, 4, 32
"""Of the tiny CLIP's image tower: 32 x 32 pixels in patches of 8, and the class token."""


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.0)


def products(tokens: int) -> int:
    """FLOPs of a block's matrix products and attention, two for a multiplication and addition."""
    linear = 2 * tokens * WIDTH * (3 * WIDTH + WIDTH + 2 * 4 * WIDTH)
    return linear + 2 * 2 * tokens * tokens * WIDTH


def image_flops(tokens: int = TOKENS) -> int:
    patches = 2 * 16 * WIDTH * (3 * 8 * 8)
    return patches + LAYERS * products(tokens) + 2 * WIDTH * EMBED


def cost(clip: Clip, prompts: Prompts, names: list[str] | None = None, **of: Any) -> InferenceCost:
    names = list(COLOURS) if names is None else names
    data = Toy()
    given = {"head": COSINES, **of}
    return inference_cost(clip, prompts, data, data.samples("test"), names, **given)


def method(kind: type[Method], clip: Clip, **options: Any) -> Method:
    return kind(clip.space(7, torch.Generator().manual_seed(0)), **options)


def test_an_image_costs_what_its_products_cost(tiny_clip: Clip) -> None:
    prompts = method(CoOp, tiny_clip).prompts()
    measured = cost(tiny_clip, prompts)
    assert measured.flops_per_image == image_flops() + 2 * EMBED * 7
    assert measured.images_per_second > 0
    # Learned tokens of the image tower are rows of every product.
    deep = cost(tiny_clip, method(VPT, tiny_clip, length=3, depth=4).prompts())
    assert deep.flops_per_image == image_flops(TOKENS + 3) + 2 * EMBED * 7


def test_classes_add_up(tiny_clip: Clip) -> None:
    prompts = method(CoOp, tiny_clip).prompts()
    one, two, three = (
        cost(tiny_clip, prompts, ["red cat"] * count).flops_per_class_set for count in (1, 2, 3)
    )
    assert 0 < one < two < three
    assert three - two == two - one
    assert one > two - one, "the prefix is computed once"


def test_prompts_that_depend_on_the_image_encode_the_classes_each_time(tiny_clip: Clip) -> None:
    shared = method(CoOp, tiny_clip)
    conditional = method(CoCoOp, tiny_clip)
    one, other = cost(tiny_clip, shared.prompts()), cost(tiny_clip, conditional.prompts())
    assert other.flops_per_class_set == 0
    assert other.flops_per_image > one.flops_per_image + one.flops_per_class_set / 2


def test_a_head_of_the_method_counts(tiny_clip: Clip) -> None:
    coop = method(CoOp, tiny_clip)

    def twice(images: torch.Tensor, texts: torch.Tensor, *_: Any) -> torch.Tensor:
        return images @ texts.T + images @ texts.T

    head = replace(head_of(coop, tiny_clip, range(7)), logits=twice)
    plain, double = cost(tiny_clip, coop.prompts()), cost(tiny_clip, coop.prompts(), head=head)
    assert double.flops_per_image - plain.flops_per_image == 2 * EMBED * 7


def test_a_head_gets_features_of_the_length_that_the_method_asks_for(tiny_clip: Clip) -> None:
    coop, lengths = method(CoOp, tiny_clip), []

    def watched(images: torch.Tensor, texts: torch.Tensor, *_: Any) -> torch.Tensor:
        lengths.append(images.norm(dim=1))
        return images @ texts.T

    head = replace(head_of(coop, tiny_clip, range(7)), logits=watched)
    for unit in (True, False):
        lengths.clear()
        cost(tiny_clip, replace(coop.prompts(), unit_images=unit), head=head)
        close = (torch.cat(lengths) - 1).abs() < 1e-5
        assert close.all() if unit else not close.any()


def test_attention_counts_on_a_cpu_and_in_fused_layers() -> None:
    q = torch.rand(2, 4, 17, 12)
    _, flops = counted(lambda: nn.functional.scaled_dot_product_attention(q, q, q))
    assert flops == 2 * 2 * 2 * 17 * 17 * 48
    layer = nn.MultiheadAttention(48, 4, batch_first=True).eval()
    x = torch.rand(2, 17, 48)
    with torch.inference_mode():
        _, flops = counted(lambda: layer(x, x, x, need_weights=False)[0])
    assert flops == 2 * (2 * 17 * 48 * 4 * 48 + 2 * 2 * 17 * 17 * 48)


def test_it_is_deterministic_and_draws_nothing(tiny_clip: Clip) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    prompts = method(CoOp, tiny_clip).prompts()
    one, other = cost(tiny_clip, prompts), cost(tiny_clip, prompts)
    assert replace(one, images_per_second=0) == replace(other, images_per_second=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_record_holds_it_on_request_whatever_the_store_has(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Workspace(toys, tmp_path, monkeypatch)
    planned = space.plan("fixed", "context")
    plain, first, second = space.new("a"), space.new("b"), space.new("c")
    first.inference_cost = second.inference_cost = True
    for runner in (plain, first, second):
        runner(planned, lambda event: None)
    for cell in planned:
        without, one, other = (runner.store.read(cell) for runner in (plain, first, second))
        assert without is not None
        assert one is not None
        assert other is not None
        assert without.status == "ok"
        assert not any(getattr(without.cost, name) for name in INFERENCE)
        assert all(getattr(one.cost, name) for name in INFERENCE)
        assert one.cost.flops_per_image == other.cost.flops_per_image
        assert one.cost.flops_per_class_set == other.cost.flops_per_class_set
        assert one.measured() == without.measured()
        assert b"flops" not in plain.store.record_path(cell).read_bytes()
