"""A writer of data sets as tar shards in CLIP_benchmark's layout, with the `webdataset` library.

Layout: LAION-AI/CLIP_benchmark, clip_benchmark/webdataset_builder.py and datasets/builder.py.
JPEG and PNG files are copied byte by byte; other images are written as PNG, which keeps every
pixel.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rppbench.contracts.dataset import BeginStep, Dataset, ReportProgress, Sample
from rppbench.errors import UsageError

SHARD_IMAGES, SHARD_BYTES = 10_000, 1_000_000_000
"""Maximum images and bytes of a shard, as in CLIP_benchmark."""
EXTENSIONS = {b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png"}
"""First bytes -> extension, since a file's name may be wrong; all readers decode these two."""


def export(data: Dataset, splits: Sequence[str], to: Path, begin_step: BeginStep) -> dict[str, int]:
    """Write splits of a data set to a new folder; the number of shards by split.

    UsageError if `webdataset` is not installed, the folder exists or cannot be written, or a line
    cannot hold a class name.
    """
    try:
        import webdataset
    except ImportError:
        raise UsageError(
            "tar shards need the webdataset library: pip install 'rppbench[data]'"
        ) from None
    logging.getLogger("webdataset").setLevel(logging.WARNING)
    if to.exists():
        raise UsageError(f"{to} exists; an export is written to a new folder")
    for name in data.classes:
        if not name or name != name.strip() or "\r" in name or "\n" in name:
            raise UsageError(f"{data.name}: classnames.txt cannot hold a class called {name!r}")
    samples = {split: data.samples(split) for split in splits}
    partial = to.with_name(f"{to.name}.partial")
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        _lines(partial / "classnames.txt", data.classes)
        wording = data.template.replace("{}", "{c}")
        _lines(partial / "zeroshot_classification_templates.txt", [wording])
        _lines(partial / "dataset_type.txt", ["zeroshot_classification"])
        shards = {
            split: _write(data, listed, partial / split, begin_step(f"export {split}"), webdataset)
            for split, listed in samples.items()
        }
        os.rename(partial, to)
    except OSError as error:
        raise UsageError(f"cannot write {to}: {error}") from error
    return shards


def _write(
    data: Dataset, samples: Sequence[Sample], to: Path, report: ReportProgress, webdataset: Any
) -> int:
    """Write the shards of one split, and return their number."""
    to.mkdir()
    with webdataset.ShardWriter(
        f"{to}/%d.tar", maxcount=SHARD_IMAGES, maxsize=SHARD_BYTES, verbose=0
    ) as sink:
        for number, sample in enumerate(samples):
            extension, content = _encoded(data, sample)
            sink.write({"__key__": f"s{number:07}", extension: content, "cls": sample.label})
            report(number + 1, len(samples))
        shards: int = sink.shard
    _lines(to / "nshards.txt", [str(shards)])
    return shards


def _encoded(data: Dataset, sample: Sample) -> tuple[str, bytes]:
    """The file extension of an image, and its bytes."""
    path = data.file(sample)
    if path is not None and path.is_file():
        content = path.read_bytes()
        for start, extension in EXTENSIONS.items():
            if content.startswith(start):
                return extension, content
    with io.BytesIO() as out:
        data.image(sample).save(out, "PNG")
        return "png", out.getvalue()


def _lines(file: Path, lines: Sequence[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
