"""Webdataset archives in CLIP_benchmark's layout: 'wds:/path' and 'wds/imagenet1k'.

Archives are never unpacked. The offset of each image is stored in an index outside the data root,
which is rebuilt when an archive changes; reading an image is then one read at its offset. Only
plain members with an image or a label are read; all others (pickles, for example) are skipped.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from rppbench import cache_folder
from rppbench.contracts import Extent, Sample, data_root
from rppbench.errors import MissingDataError, UsageError
from rppbench.files.lines import numbered_lines, read_lines
from rppbench.files.rgb import decode_image
from rppbench_datasets import image_files
from rppbench_datasets.own_images import NO_SPLIT, SHOWN, SPLITS, Lists, OwnDataset

ALIAS = "wds/"
"""Start of the names of CLIP_benchmark's data sets."""
VERSION = 2
"""Version of the index; increased when the same archive would give another index."""
MAX_IMAGE_BYTES = 256 * 2**20
"""A longer member is refused before it is read."""
MAX_LABEL_BYTES = 32
MAX_SHARDS = 100_000

KEY = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$", re.DOTALL)
"""Splits a member's name into sample and ending, as the webdataset library does."""

Row = tuple[str, int, int, int]
"""(member, offset, size in bytes, label) of an image."""


def folder_of(alias: str) -> Path:
    """Folder of a data set of CLIP_benchmark.

    ROOT/wds_vtab-pets, as on the hub, or ROOT/wds/vtab/pets. UsageError for an invalid name.
    """
    name = alias.removeprefix(ALIAS)
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", name):
        raise UsageError(
            f"{alias!r} is not a data set of CLIP_benchmark; write it like wds/imagenet1k"
        )
    folder = data_root() / f"wds_{name.replace('/', '-')}"
    nested = data_root() / ALIAS / name
    return nested if nested.is_dir() and not folder.is_dir() else folder


class WebdatasetImages(OwnDataset):
    """Images in webdataset archives, each with its label in a '.cls' member."""

    kind = "wds"
    licence = ""

    def _layout(self) -> str:
        return (
            f"{self.place} should hold classnames.txt and train or test with nshards.txt, 0.tar, "
            "1.tar, ... (CLIP_benchmark's layout)"
        )

    def _read(self) -> tuple[Path, Sequence[str], Lists]:
        if not self.place.is_dir():
            raise MissingDataError(f"{self.name}: no folder {self.place}\n{self._layout()}")
        kind = self.place / "dataset_type.txt"
        if kind.is_file() and (lines := self._lines(kind)) != ["zeroshot_classification"]:
            raise self._error(f"{kind} says {' '.join(lines)[:40]!r}, not zeroshot_classification")
        named = self._lines(self.place / "classnames.txt", numbered_lines)
        classes = [name.replace("_", " ") for name in named]
        wordings = self.place / "zeroshot_classification_templates.txt"
        lines = self._lines(wordings) if wordings.is_file() else []
        if len(lines) > 1:
            self._note(f"unused wordings ({self.template!r} is used)", lines)
        elif lines:
            self.template = lines[0].replace("{c}", "{}")  # type: ignore[misc]  # this set's own
            if self.template.count("{}") != 1:
                raise self._error(f"{wordings} should have one '{{c}}' in {lines[0][:80]!r}")
        self._check_splits()
        self._offsets: dict[str, tuple[Path, int, int]] = {}
        lists: Lists = {
            split: list(self._samples(split, len(classes)))
            for split in SPLITS
            if (self.place / split / "nshards.txt").is_file()
        }
        return self.place, classes, lists

    def _check_splits(self) -> None:
        """Note folders of archives that are no split. MissingDataError for one without nshards."""
        for path in sorted(self.place.glob("*/*.tar")):
            split, counted = path.parent.name, (path.parent / "nshards.txt").is_file()
            if split in SPLITS and not counted:
                raise self._error(f"{path.parent} has archives, but no nshards.txt")
            if split not in SPLITS and split not in self._left_out.get(NO_SPLIT, ()):
                self._note(NO_SPLIT, [split])

    def _samples(self, split: str, classes: int) -> Iterator[Sample]:
        for shard in range(self._shards(split)):
            path = self.place / split / f"{shard}.tar"
            for member, offset, size, label in self._rows(path):
                key = f"{split}/{shard}.tar/{member}"
                if not 0 <= label < classes:
                    problem = f"{path}: {member} has label {label}"
                    raise self._error(f"{problem}, classnames.txt has {classes} names")
                if key in self._offsets:
                    raise self._error(f"{path} has {member} twice")
                self._offsets[key] = (path, offset, size)
                yield Sample(key, label)

    def _shards(self, split: str) -> int:
        path = self.place / split / "nshards.txt"
        text = "".join(self._lines(path))[:20]
        if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= MAX_SHARDS:
            raise self._error(f"{path} holds {text!r}, which is not a number of archives")
        archives = [name for name in os.listdir(path.parent) if re.fullmatch(r"[0-9]+\.tar", name)]
        if len(archives) > int(text):
            raise self._error(f"{path} says {int(text)}, but {len(archives)} archives are there")
        return int(text)

    def _rows(self, path: Path) -> list[Row]:
        """The images of an archive, from the index if it is up to date."""
        try:
            stat = os.stat(path)
        except OSError as error:
            raise self._error(f"cannot read {path}: {error.strerror}") from error
        # The last two change even if a file is replaced by one of equal size and time.
        times = stat.st_mtime_ns, stat.st_ctime_ns
        stamp = [VERSION, stat.st_size, *times, stat.st_ino]
        name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
        index = cache_folder() / "tars" / f"{name}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):  # an invalid index is rebuilt
            content = json.loads(index.read_text(encoding="utf-8"))
            if content["stamp"] == stamp:
                return [(str(m), int(o), int(n), int(k)) for m, o, n, k in content["rows"]]
        try:
            rows = self._scan(path, stat.st_size)
        except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
            raise self._error(f"{path} cannot be read as an archive: {error}") from error
        _write_index(index, json.dumps({"stamp": stamp, "rows": rows}))
        return rows

    def _scan(self, path: Path, archive_size: int) -> list[Row]:
        """The images of an archive of `archive_size` bytes, from its headers and labels."""
        images: dict[str, tuple[str, int, int]] = {}
        labels: dict[str, int] = {}
        unread: dict[str, str] = {}  # sample -> a member with another ending
        # Not compressed: offsets are positions in the file itself.
        with tarfile.open(path, mode="r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # else tarfile holds all headers in memory
                match = KEY.match(member.name)
                if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or match is None:
                    continue
                sample, ending = match[1], match[2].lower()
                if ending != "cls" and f".{ending}" not in image_files.SUFFIXES:
                    unread[sample] = member.name
                    continue
                limit = MAX_LABEL_BYTES if ending == "cls" else MAX_IMAGE_BYTES
                if member.size > limit or member.offset_data + member.size > archive_size:
                    raise self._error(f"{path}: {member.name!r} says it has {member.size:,} bytes")
                if sample in (labels if ending == "cls" else images):
                    raise self._error(f"{path} has {member.name!r} twice")
                if ending == "cls":
                    file = archive.extractfile(member)
                    assert file is not None
                    labels[sample] = self._label(file.read(), f"{path}: {member.name!r}")
                else:
                    member.name.encode()  # ValueError for a name that is not valid text
                    images[sample] = (member.name, member.offset_data, member.size)
        if unlabelled := sorted(set(images) - set(labels)):
            raise self._error(
                f"{path}: {len(unlabelled):,} of {len(images):,} images have no label: "
                f"{unlabelled[0]}.cls is missing"
            )
        if without := [sample for sample in labels if sample not in images]:
            beside = [unread[sample] for sample in without if sample in unread]
            first = ", ".join((beside or [f"{sample}.cls" for sample in without])[:SHOWN])
            raise self._error(
                f"{path}: {len(without):,} of {len(labels):,} labels have no image of a format "
                f"that is read; the first ones: {first}"
            )
        return [(*image, labels[sample]) for sample, image in images.items()]

    def _label(self, content: bytes, where: str) -> int:
        """The label in a '.cls' member, which messages call `where`."""
        text = content.decode("ascii", "replace").strip()
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise self._error(f"{where} holds {text!r}, which is not a label")
        return int(text)

    def _measure(self) -> Iterator[tuple[str, int]]:
        return ((key, size) for key, (_, _, size) in self._offsets.items())

    def image(self, sample: Sample) -> Image.Image:
        where = f"{self.place / sample.key}"
        try:
            path, offset, size = self._offsets[sample.key]
            with open(path, "rb") as file:
                file.seek(offset)
                content = file.read(size)
        except (KeyError, OSError) as error:
            raise MissingDataError(f"no image {where}: {error}") from error
        return decode_image(io.BytesIO(content), where)

    def extents(self, sample: Sample) -> Sequence[Extent]:
        return [Extent(*self._offsets[sample.key])]

    def _lines(self, path: Path, read: Callable[[Path], list[str]] = read_lines) -> list[str]:
        try:
            return read(path)
        except (OSError, ValueError) as error:
            raise self._error(f"cannot read {path}: {error}") from error

    def _error(self, problem: str) -> MissingDataError:
        return MissingDataError(f"{self.name}: {problem}\n{self._layout()}")


def _write_index(index: Path, text: str) -> None:
    """Write an index in one step. UsageError if the cache cannot be written."""
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=index.parent, suffix=".partial")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(partial, index)
    except OSError as error:
        raise UsageError(
            f"cannot write the index {index}: {error.strerror}\n"
            "set RPPBENCH_CACHE to a folder that can be written"
        ) from error
