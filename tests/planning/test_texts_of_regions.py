"""A plan says where a method encodes the class names anew for every region of an image."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.toy_data import Maps
from support.toy_plugin import PluginOf, ToyPlugin, registry_of

import rppbench_methods
from rppbench.planning.plan import cells
from rppbench.planning.request import Request


@pytest.mark.parametrize("method", ["coop", "cocoop"])
def test_only_for_methods_whose_text_depends_on_the_image(method: str, models: Path) -> None:
    registry = registry_of(
        toys=ToyPlugin(models), dense=PluginOf([], [Maps]), methods=rppbench_methods
    )
    lines: list[str] = []
    tasks = ("segmentation:suite=toy", "cross-dataset:suite=toy")
    cells(registry, Request((method,), tasks, backbone="tiny"), warn=lines.append)
    said = [line for line in lines if "of toy-maps anew for every region of an image" in line]
    assert len(said) == (method == "cocoop")
    assert all(f"({10 * len(Maps().classes)} texts for ten regions)" in line for line in said)
    assert sum("anew" in line for line in lines) == len(said)
