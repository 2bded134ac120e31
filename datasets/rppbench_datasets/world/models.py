"""The small CLIPs of the embedded world, trained on none of its drawings."""

from __future__ import annotations

from rppbench.contracts import Backbone
from rppbench_datasets.world.artwork import WORLD, digests

_NOTE = (
    "trained on emoji artwork for an hour on two CPU cores; a stand-in for exercise and tests, "
    "no evidence about photographs"
)


def backbones() -> list[Backbone]:
    """The backbone `demo`, and its teacher `demo-2-teacher`, which knows the world's style."""
    shipped = [
        ("demo", "Demo ViT (48 px, patches of 8)"),
        ("demo-2-teacher", "Demo ResNet (64 px), style"),
    ]
    return [
        Backbone(
            name=name,
            title=title,
            config=WORLD / f"{name}.json",
            weights=WORLD / f"{name}.safetensors",
            sha256=digests().get(f"{name}.safetensors", ""),  # "" is no file's digest
            licence="Apache-2.0",
            note=_NOTE,
            teacher="demo-2-teacher",
            suite="demo-2",
            default=name == "demo",
        )
        for name, title in shipped
    ]
