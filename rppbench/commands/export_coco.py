"""`rppbench export-coco`: write a data set of scenes as COCO-format files."""

from __future__ import annotations

import argparse
from pathlib import Path


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `export-coco`."""
    parser.add_argument("dataset", metavar="DATASET", help="a data set with boxes: demo-2-scenes")
    parser.add_argument("--split", default="test", help="split to export [test]")
    parser.add_argument(
        "--to", required=True, type=Path, metavar="DIR", help="new folder for the files"
    )


def export(arguments: argparse.Namespace) -> int:
    """Write the images, their annotations and their label maps."""
    from rppbench.contracts.regions import DetectionSet
    from rppbench.errors import UsageError
    from rppbench.exporters.coco import write
    from rppbench.plugins.registry import Registry
    from rppbench.terminal.step_progress import step_progress

    data = Registry.load().get("datasets", arguments.dataset)()
    if not isinstance(data, DetectionSet):
        raise UsageError(f"data set {arguments.dataset!r} has no boxes to export")
    folder = arguments.to.expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder; name a new one")
    with step_progress() as begin_step:
        images, instances = write(data, arguments.split, folder, begin_step("export scenes"))
    print(f"{images} images and {instances} annotated objects in {folder}")
    return 0
