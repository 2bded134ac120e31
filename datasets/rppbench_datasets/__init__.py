"""The data sets and backbones that come with rppbench, as a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rppbench import hookimpl

if TYPE_CHECKING:  # the contracts need torch; artwork and renderer do not
    from rppbench.contracts import Backbone, Dataset


@hookimpl
def rppbench_datasets() -> list[type[Dataset]]:
    """The rendered data sets of the embedded world, and published data sets."""
    from rppbench_datasets import clip_benchmark, coop, demo, detection, segmentation
    from rppbench_datasets.imagenet21k import ImageNet21K
    from rppbench_datasets.scenes import Scenes

    return [
        *demo.SETS,
        *coop.SETS,
        ImageNet21K,
        Scenes,
        *segmentation.SETS,
        *detection.SETS,
        *clip_benchmark.SETS,
    ]


@hookimpl
def rppbench_resolve_dataset(name: str) -> type[Dataset] | None:
    """The data set of a name: 'folder:/path', 'json:/path', 'wds:/path', 'wds/NAME', 'hf:NAME'.

    Or the one that another program knows by that name: 'imagenet1k', 'vtab/eurosat'.
    """
    from rppbench_datasets.named_by_path import resolve
    from rppbench_datasets.synonyms import usual_name

    usual = usual_name(name)
    if usual != name:
        known = {one.name: one for one in rppbench_datasets()}
        return known.get(usual)
    return resolve(name)


@hookimpl
def rppbench_backbones() -> list[Backbone]:
    """The small CLIPs of the embedded world."""
    from rppbench_datasets.world.models import backbones

    return backbones()
