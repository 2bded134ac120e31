"""The data sets and backbones that come with rppbench."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rppbench import hookimpl

if TYPE_CHECKING:  # the contracts need torch; artwork and renderer do not
    from rppbench.contracts import Backbone, Dataset


@hookimpl
def rppbench_datasets() -> list[type[Dataset]]:
    """The data sets of the embedded world, and published ones."""
    from rppbench_datasets import coop, demo, detection, labelled
    from rppbench_datasets.imagenet21k import ImageNet21K
    from rppbench_datasets.scenes import Scenes

    return [*demo.SETS, *coop.SETS, ImageNet21K, Scenes, *labelled.SETS, *detection.SETS]


@hookimpl
def rppbench_resolve_dataset(name: str) -> type[Dataset] | None:
    """'folder:/path', 'json:/path', 'wds:/path', 'wds/NAME' and 'hf:NAME'."""
    from rppbench_datasets.named import resolve

    return resolve(name)


@hookimpl
def rppbench_backbones() -> list[Backbone]:
    """The two CLIPs of the embedded world."""
    from rppbench_datasets.world.models import backbones

    return backbones()
