"""The small CLIPs of the embedded world, trained on the train-pool drawings of version 1 only."""

from __future__ import annotations

from rppbench.contracts import Backbone
from rppbench_datasets.world.artwork import WORLD, WORLD_2, digests

_NOTE = (
    "trained on emoji artwork for an hour on two CPU cores; a stand-in for exercise and tests, "
    "no evidence about photographs"
)


def backbones() -> list[Backbone]:
    """The backbones `demo`, `demo-teacher`, and `demo-2-teacher`, which knows version 2's style."""
    shipped = [
        ("demo", "Demo ViT (48 px, patches of 8)", WORLD, "demo-teacher", "demo"),
        ("demo-teacher", "Demo ResNet (64 px)", WORLD, "demo-teacher", "demo"),
        ("demo-2-teacher", "Demo ResNet (64 px), style", WORLD_2, "demo-2-teacher", "demo-2"),
    ]
    return [
        Backbone(
            name=name,
            title=title,
            config=folder / f"{name}.json",
            weights=folder / f"{name}.safetensors",
            sha256=digests(folder).get(f"{name}.safetensors", ""),  # "" is no file's digest
            licence="Apache-2.0",
            note=_NOTE,
            teacher=teacher,
            suite=suite,
            default=name == "demo",
        )
        for name, title, folder, teacher, suite in shipped
    ]
