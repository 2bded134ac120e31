"""Time and memory of the index that keeps ImageNet-21K from being listed at each start.

Folders are real, so that opening asks the file system what it would ask for real data; the names
of the images are generated. Each step is a process of its own: its peak is the high-water mark of
its resident set minus what was resident before it (the libraries).

    python benchmarks/manifest.py --entries 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rppbench.splits import few_shot
from rppbench_datasets.manifest import Listed, Manifest, folders, manifest, place, write

PARTS = ("imagenet21k_train", "imagenet21k_val")
VAL = 50
"""Images a class of the second part."""
STEPS = ("build", "open", "draw")
SHOTS = 16
GIB, MIB = 2**30, 2**20
LONG_AGO = 1_000_000_000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=11_582_723, help="images, both parts")
    parser.add_argument("--classes", type=int, default=10_450)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_folders(root: Path, classes: int) -> None:
    """Empty class folders that look as if nobody had touched them for years."""
    for part in PARTS:
        for number in range(classes):
            folder = root / part / f"n{number:08}"
            folder.mkdir(parents=True)
            os.utime(folder, (LONG_AGO, LONG_AGO))


def generated(options: argparse.Namespace) -> Iterator[Listed]:
    """What a scan of a full copy would find, folder by folder."""
    train = options.entries - VAL * options.classes
    for part in PARTS:
        for number, (path, stamp) in enumerate(folders(options.root, part)):
            each = VAL
            if part == PARTS[0]:  # as even as whole numbers allow
                each = train // options.classes + (number < train % options.classes)
            wnid = path.rpartition("/")[2].encode()
            names = b"".join(b"%b_%07d.JPEG\0" % (wnid, image) for image in range(each))
            yield Listed(path, stamp, names)


def resident(field: str) -> int:
    """A size in /proc/self/status (Linux), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def perform(options: argparse.Namespace) -> dict[str, Any]:
    """One step in this process."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again here
    before, start = resident("VmRSS"), time.perf_counter()
    told: dict[str, Any] = {}
    file = place(options.root, PARTS)
    if options.step == "build":
        write(file, generated(options))
        told["bytes"] = file.stat().st_size
    else:
        made = file.stat().st_mtime_ns
        found = manifest(options.root, PARTS)
        assert file.stat().st_mtime_ns == made, "the index was made again"
        samples = train_of(found)
        told["entries"] = sum(folder.count for folder in found.folders)
        if options.step == "draw":
            told["drawn"] = len(few_shot(samples, SHOTS, 42))
    seconds = time.perf_counter() - start
    return {**told, "seconds": seconds, "peak_bytes": resident("VmHWM") - before}


def train_of(found: Manifest) -> Any:
    paths = [f.path for f in found.folders if f.path.startswith(PARTS[0])]
    return found.samples({path: label for label, path in enumerate(paths)})


def spawn(options: argparse.Namespace, step: str, root: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--step", step, "--root", str(root)]
    for name in ("entries", "classes"):
        command += [f"--{name}", str(getattr(options, name))]
    environment = {**os.environ, "RPPBENCH_CACHE": str(root / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"step {step} failed (exit {done.returncode})\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{step:6} {result['seconds']:8.2f} s {result['peak_bytes'] / MIB:8.0f} MiB", flush=True)
    return result


def markdown(result: dict[str, Any]) -> str:
    steps = result["steps"]
    said = {
        "build": "build it (without listing: the names are generated)",
        "open": f"open it and ask {len(PARTS) * result['classes']:,} folders whether they changed",
        "draw": f"open it and draw {SHOTS} images of each class",
    }
    rows = [
        f"| {said[step]} | {steps[step]['seconds']:.2f} | {steps[step]['peak_bytes'] / GIB:.2f} |"
        for step in STEPS
    ]
    return "\n".join(
        [
            "# Manifest",
            "",
            f"{steps['open']['entries']:,} generated entries in {result['classes']:,} classes,"
            f" {steps['build']['bytes'] / MIB:,.0f} MiB on disk. One process a step, one run each;"
            " peak memory above that of the libraries.",
            "",
            "| step | seconds | peak GiB |",
            "|---|---|---|",
            *rows,
            "",
            ", ".join(f"{name} {version}" for name, version in result["environment"].items()),
            "",
        ]
    )


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
        "environment": {
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
        },
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "manifest.json").write_text(json.dumps(result, indent=1) + "\n")
    text = markdown(result)
    (options.output / "manifest.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
