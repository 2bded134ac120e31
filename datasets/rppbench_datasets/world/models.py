"""The two small CLIPs of the embedded world, trained on its train-pool drawings only."""

from __future__ import annotations

from rppbench.contracts import Backbone
from rppbench_datasets.world.artwork import WORLD, digests

_NOTE = (
    "trained on emoji artwork for an hour on two CPU cores; a stand-in for exercise and tests, "
    "no evidence about photographs"
)


def backbones() -> list[Backbone]:
    """The backbones `demo` and `demo-teacher`."""
    titles = {
        "demo": "Demo ViT (48 px, patches of 8)",
        "demo-teacher": "Demo ResNet (64 px)",
    }
    return [
        Backbone(
            name=name,
            title=title,
            config=WORLD / f"{name}.json",
            weights=WORLD / f"{name}.safetensors",
            sha256=digests().get(f"{name}.safetensors", ""),  # "" is no file's digest
            licence="Apache-2.0",
            note=_NOTE,
            teacher="demo-teacher",
            suite="demo",
            default=name == "demo",
        )
        for name, title in titles.items()
    ]
