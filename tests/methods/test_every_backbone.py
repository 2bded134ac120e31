"""Methods that prompt no text run on backbones whose text no prompt can enter."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from support.tiny import make_tiny_clip, tokenizer
from support.toy_plugin import ToyPlugin, registry_of
from support.toy_runner import Workspace
from torch import Tensor

from rppbench import hookimpl
from rppbench.contracts.method import Method
from rppbench_methods.clip_adapter import CLIPAdapter
from rppbench_methods.coop import CoOp
from rppbench_methods.linear_probe import LinearProbe
from rppbench_methods.tip_adapter import TipAdapter, TipAdapterF
from rppbench_methods.vpt import VPT

METHODS = (LinearProbe, TipAdapter, TipAdapterF, CLIPAdapter, VPT, CoOp)


class More:
    @hookimpl
    def rppbench_methods(self) -> list[type[Method]]:
        return list(METHODS)


class Rows:
    """A tokenizer of which nothing but its rows is known."""

    context_length = 77

    def __call__(self, texts: list[str]) -> Tensor:
        return tokenizer()(texts)


TOYS = ToyPlugin(Path())
"""Its data sets; its backbone in files is not used."""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    space = Workspace(registry_of(more=More(), toys=TOYS), tmp_path, monkeypatch)
    space.clips["tiny"] = dataclasses.replace(make_tiny_clip(), tokenizer=Rows())
    return space


def settings(method: type[Method]) -> tuple[tuple[str, str], ...]:
    known = ("recipe.augment", "none"), ("recipe.batch", "4")
    own: dict[type[Method], tuple[tuple[str, str], ...]] = {
        TipAdapter: (("method.views", "1"),),
        TipAdapterF: (("method.views", "1"), ("recipe.epochs", "1")),
        VPT: (("method.depth", "2"), ("recipe.epochs", "1")),
    }
    return (*known, *own.get(method, (("recipe.epochs", "1"),)))


@pytest.mark.parametrize("method", METHODS[:-1], ids=lambda method: method.name)
def test_a_method_that_prompts_no_text_needs_no_ids_of_names(
    workspace: Workspace, method: type[Method]
) -> None:
    planned = workspace.plan(
        method.name, task="few-shot", datasets=("toy-one",), settings=settings(method)
    )
    (record,) = workspace.run(planned)
    assert record.failure is None
    assert record.score("top1") is not None


def test_a_method_that_prompts_text_is_refused_with_the_reason(workspace: Workspace) -> None:
    planned = workspace.plan(
        "coop", task="few-shot", datasets=("toy-one",), settings=settings(CoOp)
    )
    (record,) = workspace.run(planned)
    assert record.failure is not None
    assert "neither CLIP's own nor transformers'" in record.failure.message
