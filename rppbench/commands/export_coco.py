"""`rppbench export-coco`: a data set of scenes as files that any tool reads."""

from __future__ import annotations

import argparse
from pathlib import Path


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `export-coco`."""
    parser.add_argument("dataset", metavar="DATASET", help="a data set with boxes: demo-scenes")
    parser.add_argument("--split", default="test", help="its images (default: test)")
    parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="a new folder")


def export(arguments: argparse.Namespace) -> int:
    """Write the images, their things and their label maps."""
    from rppbench.contracts.regions import DetectionSet
    from rppbench.errors import UsageError
    from rppbench.exporters.coco import write
    from rppbench.plugins.registry import Registry

    data = Registry.load().get("datasets", arguments.dataset)()
    if not isinstance(data, DetectionSet):
        raise UsageError(f"data set {arguments.dataset!r} has no boxes to export")
    folder = arguments.to.expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there and not empty; name a new folder")
    images, things = write(data, arguments.split, folder)
    print(f"{images} images and {things} things in {folder}")
    return 0
