"""Time and memory of ImageNet-21K's index, which saves listing its folders at each start.

Folders are real, so that opening the index makes the same requests to the file system as for real
data; the names of the images are generated. Each step is a process of its own: its peak is the
high-water mark of its resident set minus what was resident before it (the libraries).

    python benchmarks/manifest.py --entries 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import GIB, MIB, RESULTS, environment, table, write_report
from usage import run_child, usage_of

from rppbench.data.few_shot import few_shot
from rppbench_datasets.manifest import (
    Manifest,
    ScannedFolder,
    class_folders,
    index_path,
    open_manifest,
    write_manifest,
)

PARTS = ("imagenet21k_train", "imagenet21k_val")
VAL = 50
"""Images per class in the second part."""
STEPS = ("build", "open", "draw")
SHOTS = 16
LONG_AGO = 1_000_000_000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=11_582_723, help="images, both parts")
    parser.add_argument("--classes", type=int, default=10_450)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_folders(root: Path, classes: int) -> None:
    """Make empty class folders with an old modification time."""
    for part in PARTS:
        for number in range(classes):
            folder = root / part / f"n{number:08}"
            folder.mkdir(parents=True)
            os.utime(folder, (LONG_AGO, LONG_AGO))


def generated_folders(options: argparse.Namespace) -> Iterator[ScannedFolder]:
    """The folders that a scan of a full copy would list, with generated image names."""
    train = options.entries - VAL * options.classes
    for part in PARTS:
        for number, (path, stamp) in enumerate(class_folders(options.root, part)):
            each = VAL
            if part == PARTS[0]:  # as evenly as integers allow
                each = train // options.classes + (number < train % options.classes)
            wnid = path.rpartition("/")[2].encode()
            names = b"".join(b"%b_%07d.JPEG\0" % (wnid, image) for image in range(each))
            yield ScannedFolder(path, stamp, names)


def perform(options: argparse.Namespace) -> dict[str, Any]:
    """One step in this process: its seconds and peak memory, and what it counted."""
    counts: dict[str, Any] = {}
    file = index_path(options.root, PARTS)

    def build() -> None:
        write_manifest(file, generated_folders(options))

    def opened() -> None:
        written = file.stat().st_mtime_ns
        index = open_manifest(options.root, PARTS)
        assert file.stat().st_mtime_ns == written, "the index was written again"
        samples = train_samples(index)
        counts["entries"] = sum(folder.count for folder in index.folders)
        if options.step == "draw":
            counts["drawn"] = len(few_shot(samples, SHOTS, 42))

    spent = usage_of(build if options.step == "build" else opened)
    if options.step == "build":
        counts["bytes"] = file.stat().st_size
    return {**counts, "seconds": spent.wall, "peak_bytes": spent.peak}


def train_samples(index: Manifest) -> Any:
    """The samples of the first part, a label for each folder."""
    paths = [f.path for f in index.folders if f.path.startswith(PARTS[0])]
    return index.samples({path: label for label, path in enumerate(paths)})


def spawn(options: argparse.Namespace, step: str, root: Path) -> dict[str, Any]:
    words = ["--step", step, "--root", str(root)]
    for name in ("entries", "classes"):
        words += [f"--{name}", str(getattr(options, name))]
    os.environ["RPPBENCH_CACHE"] = str(root / "cache")
    result = run_child(__file__, words)
    print(f"{step:6} {result['seconds']:8.2f} s {result['peak_bytes'] / MIB:8.0f} MiB", flush=True)
    return result


def markdown(result: dict[str, Any]) -> list[str]:
    steps = result["steps"]
    titles = {
        "build": "build it (without listing: the names are generated)",
        "open": f"open it and ask {len(PARTS) * result['classes']:,} folders whether they changed",
        "draw": f"open it and draw {SHOTS} images of each class",
    }
    rows = [
        [titles[step], f"{steps[step]['seconds']:.2f}", f"{steps[step]['peak_bytes'] / GIB:.2f}"]
        for step in STEPS
    ]
    return [
        f"{steps['open']['entries']:,} generated entries in {result['classes']:,} classes,"
        f" {steps['build']['bytes'] / MIB:,.0f} MiB on disk. One process a step, one run each;"
        " peak memory above that of the libraries.",
        "",
        *table(("step", "seconds", "peak GiB"), rows),
    ]


def main() -> None:
    options = arguments()
    if options.step:
        print(json.dumps(perform(options)))
        return
    if sys.platform != "linux":
        raise SystemExit("peak memory is read from /proc, which only Linux has")
    if options.entries < (VAL + 1) * options.classes:
        raise SystemExit(f"--entries must be at least {(VAL + 1) * options.classes}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_folders(root, options.classes)
        steps = {step: spawn(options, step, root) for step in STEPS}
    result = {
        "classes": options.classes,
        "steps": steps,
        "environment": environment("numpy"),
    }
    write_report(options.output, "manifest", "Manifest", result, markdown(result))


if __name__ == "__main__":
    main()
