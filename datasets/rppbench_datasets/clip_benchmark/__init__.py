"""Data sets of CLIP_benchmark that torchvision reads, each a file of facts beside this module.

They are a suite of their own, without a source: `--dataset cifar10` adds one to the transfer sets
of a task, and few-shot tasks learn on the data set itself.
"""

from __future__ import annotations

from pathlib import Path

from rppbench_datasets.clip_benchmark.torchvision_images import TorchvisionImages, dataset_class

SETS: tuple[type[TorchvisionImages], ...] = tuple(
    dataset_class(path) for path in sorted(Path(__file__).parent.glob("*.toml"))
)
"""The data sets by name in alphabetical order."""
