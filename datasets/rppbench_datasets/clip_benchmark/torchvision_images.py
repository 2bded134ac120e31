"""The reader of data sets in the files that torchvision knows; nothing is downloaded.

A data set is a file of facts, 'cifar10.toml':

- title, paper, origin, template, classes: as of any data set; counts: images of each split.
- reader: the class of `torchvision.datasets`; splits: its arguments for each split.
- labels: where the opened reader has the labels: 'targets' or 'labels' (numbers), '_samples' (pairs
  of an image and its label) or 'h5' (a file of labels, of PCAM alone).
- holds: the file or folder, below the reader's root, that a copy is recognised by.
- url and md5 of the archive, or `files`: what a person has to put into the folder, in words.

The reader's root is ROOT/NAME or ROOT itself, where ROOT is the data root.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from rppbench.contracts import Dataset, Sample, SourceFile, data_root
from rppbench.errors import WRONG_COUNT, MissingDataError, unknown
from rppbench.files.presence import holds_something
from rppbench.files.rgb import decode_image

VERSION = 1
"""Version of fingerprints; increased when the same files would give other images or labels."""


class TorchvisionImages(Dataset):
    """Images of a data set that torchvision reads; `dataset_class` makes a subclass of its facts.

    Splits are opened when they are asked for, so a copy with test images alone can be scored.
    """

    suite = "clip-benchmark"
    facts_file: ClassVar[Path]
    reader: ClassVar[str]
    """Name of the class in `torchvision.datasets`."""
    labels: ClassVar[str]
    holds: ClassVar[str]
    files: ClassVar[str] = ""
    names: ClassVar[tuple[str, ...]]
    splits: ClassVar[Mapping[str, Mapping[str, Any]]]
    """Split -> arguments of the reader."""

    def __init__(self) -> None:
        self.root = self._find()
        self._readers: dict[str, Any] = {}
        self._samples: dict[str, list[Sample]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker cannot import a class that was made from a file, and reads the images itself.
        return _unpickle, (self.facts_file,)

    @classmethod
    def places(cls, root: Path) -> tuple[Path, Path]:
        """The folders that may be the reader's root."""
        return root / cls.name, root

    @classmethod
    def lacks(cls, root: Path) -> Sequence[SourceFile]:
        there = any(holds_something(place / cls.holds) for place in cls.places(root))
        return () if there else cls.sources

    def _find(self) -> Path:
        for place in self.places(data_root()):
            if (place / self.holds).exists():
                return place
        raise MissingDataError(f"{self.name}: nothing at {self._where()}\n{self._advice()}")

    def _where(self) -> str:
        return " or ".join(str(place / self.holds) for place in self.places(data_root()))

    @classmethod
    def _advice(cls) -> str:
        """What to put where, for messages."""
        place = cls.places(data_root())[0]
        if cls.sources[0].url:
            return (
                f"unpack {cls.sources[0].url} into {place}, or run: "
                f"rppbench data prepare {cls.name}"
            )
        folder = (place / cls.holds).parent if Path(cls.holds).suffix else place / cls.holds
        return f"put {cls.files} into {folder}; the files are at {cls.origin}"

    @property
    def classes(self) -> Sequence[str]:
        return self.names

    def samples(self, split: str) -> Sequence[Sample]:
        if split not in self.splits:
            raise unknown(f"split of {self.name} is named", split, self.splits, "splits")
        if split not in self._samples:
            self._samples[split] = self._listed(split)
        return self._samples[split]

    def image(self, sample: Sample) -> Image.Image:
        if file := self.file(sample):
            return decode_image(file, f"{file} of {self.name}", drop_transparency=True)
        split, _, index = sample.key.partition("/")
        image: Image.Image = self._open(split)[int(index)][0]
        return image.convert("RGB")

    def file(self, sample: Sample) -> Path | None:
        key = sample.key.partition("/")[2]
        return None if key.isdecimal() else self.root / key

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        facts = (VERSION, self.name, self.template, list(self.classes))
        sha = hashlib.sha256(json.dumps(facts).encode())
        for split in self.splits:
            for sample in self.samples(split):
                sha.update(f"{sample.key}\0{sample.label}\n".encode("utf-8", "surrogatepass"))
            for part in self._contents(split):
                sha.update(part)
        return sha.hexdigest()[:32]

    def _contents(self, split: str) -> list[bytes]:
        """What stands for the images that have no file of their own."""
        reader = self._open(split)
        if self.labels == "h5":  # gigabytes: their size must do
            return [str(os.stat(path).st_size).encode() for path in _h5_files(reader)]
        if hasattr(reader, "data"):
            return [_bytes(reader.data)]
        if self.samples(split) and self.file(self.samples(split)[0]) is None:
            return [_bytes(image) for image, _ in reader._samples]
        return []

    def _open(self, split: str) -> Any:
        """The opened reader of a split. MissingDataError for missing or damaged files."""
        if split not in self._readers:
            from rppbench import torchvision_shim  # noqa: F401, I001  before torchvision
            from torchvision import datasets

            try:
                self._readers[split] = getattr(datasets, self.reader)(
                    self.root, **self.splits[split]
                )
            except ImportError as error:
                raise MissingDataError(f"{self.name}: {error}") from error
            except (RuntimeError, OSError, ValueError, KeyError) as error:
                if "h5py" in str(error):
                    text = f"{self.name} is in HDF5 files: pip install h5py"
                    raise MissingDataError(text) from error
                # torchvision's own advice is to download, which is not done behind a run.
                text = f"{self.name}: the {split!r} images below {self.root} are incomplete or "
                raise MissingDataError(f"{text}damaged\n{self._advice()}") from error
        return self._readers[split]

    def _listed(self, split: str) -> list[Sample]:
        """The images of a split; those with a file of their own are named by its path."""
        reader = self._open(split)
        labels: Sequence[Any]
        pairs = getattr(reader, "samples", None) or getattr(reader, "_samples", ())
        if pairs and isinstance(pairs[0][0], (str, os.PathLike)):
            labels = [label for _, label in pairs]
            keys = [Path(path).relative_to(self.root).as_posix() for path, _ in pairs]
        else:
            labels = [label for _, label in pairs] if pairs else _numbers(reader, self.labels)
            keys = [str(index) for index in range(len(labels))]
        if None in labels:
            raise MissingDataError(f"{self.name}: the {split!r} images have no labels")
        listed = [Sample(f"{split}/{key}", int(k)) for key, k in zip(keys, labels, strict=True)]
        if len(listed) != self.counts[split]:
            raise MissingDataError(
                f"{self.name}: {self.root} has {len(listed):,} {split!r} images, "
                f"not {self.counts[split]:,}",
                WRONG_COUNT,
            )
        known = len(getattr(reader, "class_to_idx", self.names))  # folders of classes, where used
        if known != len(self.names) or not all(0 <= s.label < len(self.names) for s in listed):
            raise MissingDataError(
                f"{self.name}: {self.root} does not have the {len(self.names)} classes", WRONG_COUNT
            )
        return listed


def _numbers(reader: Any, labels: str) -> Sequence[int]:
    """The labels of a reader without a list of pairs."""
    if labels != "h5":
        return [int(label) for label in getattr(reader, labels)]
    with reader.h5py.File(_h5_files(reader)[1]) as file:
        return [int(label) for label in file["y"][:].ravel()]


def _h5_files(reader: Any) -> list[Path]:
    """The files of images and of labels of PCAM."""
    files = reader._FILES[reader._split]
    return [reader._base_folder / files[part][0] for part in ("images", "targets")]


def _bytes(values: Any) -> bytes:
    """The content of a NumPy array or a tensor, in C order."""
    import numpy as np

    return np.asarray(values).tobytes()


@cache
def dataset_class(facts_file: Path) -> type[TorchvisionImages]:
    """The data set of a file of facts."""
    facts = tomllib.loads(facts_file.read_text(encoding="utf-8"))
    name, names, url = facts_file.stem, facts.pop("classes"), facts.pop("url", "")
    source = SourceFile(
        url,
        f"{name}/{facts['holds']}",
        into=name if url else "",
        md5=facts.pop("md5", ""),
        file=facts.get("files", ""),
        pages=(facts["origin"],),
    )
    attributes = {
        **facts,
        "name": name,
        "names": tuple(names),
        "size": len(names),
        "sources": (source,),
        "facts_file": facts_file,
        "__doc__": f"{facts['title']}, in the files that torchvision reads.",
        "__module__": TorchvisionImages.__module__,
    }
    return type(TorchvisionImages.__name__, (TorchvisionImages,), attributes)


def _unpickle(facts_file: Path) -> TorchvisionImages:
    """The data set, opened again in another process."""
    return dataset_class(facts_file)()
