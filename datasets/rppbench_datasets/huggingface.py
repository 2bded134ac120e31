"""Hugging Face data sets: 'hf:/path' on disk, or 'hf:org/name' from the hub.

On disk, a data set is the output of `save_to_disk`, or parquet files named after their split. Code
that comes with a data set is never run, and an image is read only from the bytes in the table: a
path in it could name any file. 'hf:NAME?image=COLUMN&label=COLUMN' chooses where several columns
fit.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from PIL import Image

from rppbench import cache_folder
from rppbench.contracts import Extent, Sample
from rppbench.errors import MissingDataError, UsageError, unknown
from rppbench.files.content_table import ContentTable
from rppbench.files.rgb import decode_image
from rppbench_datasets.own_images import Lists, OwnDataset

SPLITS = {"train": ("train",), "val": ("validation", "valid", "val"), "test": ("test",)}
"""Split -> its names on the hub, in the order to try."""
COLUMNS = ("image", "label")
"""Options that choose a column."""


class HuggingFace(OwnDataset):
    """A Hugging Face data set with a column of images and a column of class labels."""

    kind = "hf"
    licence = ""

    def _layout(self) -> str:
        return (
            "hf: takes a folder of datasets.save_to_disk, a folder of parquet files named after "
            "their split (train-*.parquet, test-*.parquet), or org/name on the hub"
        )

    def _read(self) -> tuple[Path, Sequence[str], Lists]:
        location, _, query = self.path.partition("?")
        chosen = dict(parse_qsl(query))
        for option in chosen:
            if option not in COLUMNS:
                raise unknown(f"option of {self.kind}: is named", option, COLUMNS, "options")
        place = Path(location).expanduser()
        parquet, others = _parquet(place) if place.is_dir() else ({}, [])
        self._note("parquet files that are not named after a split", others)
        tables = self._open(location, place, parquet)
        self._tables: dict[str, Any] = {}
        self._extents: dict[str, Sequence[Extent]] = {}
        names: list[str] | None = None
        for split, hub_names in SPLITS.items():
            name = next((name for name in hub_names if name in tables), None)
            if name is None:
                continue
            table = tables[name]
            image = self._column(table, "Image", "image", chosen)
            label = self._column(table, "ClassLabel", "label", chosen)
            if names not in (None, table.features[label].names):
                raise self._error(
                    f"the class names of {split!r} differ from those of earlier splits"
                )
            names = table.features[label].names
            self._tables[split] = (table, image, label)
            files = parquet.get(name) or [file["filename"] for file in table.cache_files]
            self._extents[split] = [Extent(Path(file)) for file in files]
        read = {id(table) for table, _, _ in self._tables.values()}
        unread = [name for name, table in tables.items() if id(table) not in read]
        self._note("splits that are not read", unread)
        if names is None:
            raise self._error(f"none of its splits is train, validation or test: {sorted(tables)}")
        lists = {split: list(self._samples(split, len(names))) for split in self._tables}
        return place, [name.replace("_", " ").strip() for name in names], lists

    def _open(
        self, location: str, place: Path, parquet: Mapping[str, Sequence[str]]
    ) -> dict[str, Any]:
        """Tables by the data set's own split names. MissingDataError if it cannot be opened."""
        if find_spec("datasets") is None:
            raise MissingDataError(
                f"{self.name} needs the package datasets; pip install 'rppbench[hf]'"
            )
        import datasets  # takes seconds; only this kind of data needs it

        try:
            if (place / "dataset_dict.json").is_file() or (place / "state.json").is_file():
                opened = datasets.load_from_disk(str(place))
            elif place.is_dir():
                if not parquet:
                    raise self._error(
                        f"{place} holds neither a saved data set nor parquet files of a split"
                    )
                opened = datasets.load_dataset(
                    "parquet", data_files=parquet, cache_dir=str(_converted(parquet))
                )
            elif location.count("/") == 1 and not location.startswith(("/", ".", "~")):
                opened = datasets.load_dataset(location)
            else:
                raise self._error(f"no folder {place}")
        except UsageError:
            raise
        except Exception as error:  # the library and its readers raise errors of any type
            reason = f"{type(error).__name__}: {error}"
            raise self._error(f"cannot open {location}: {reason}") from error
        if isinstance(opened, datasets.Dataset):
            return {str(opened.split or "test"): opened}
        return dict(opened)

    def _column(self, table: Any, kind: str, option: str, chosen: dict[str, str]) -> str:
        """The column with features of type `kind`; the user's `option` chooses if several fit."""
        fits = [name for name, f in table.features.items() if type(f).__name__ == kind]
        if option in chosen and chosen[option] not in fits:
            raise unknown(f"{kind} column of {self.name} is named", chosen[option], fits, "columns")
        if option in chosen:
            return chosen[option]
        if len(fits) != 1:
            columns = ", ".join(f"{n} ({type(f).__name__})" for n, f in table.features.items())
            raise self._error(
                f"{len(fits)} columns are a {kind}; name one with ?{option}=COLUMN\n"
                f"columns: {columns}"
            )
        return fits[0]

    def _samples(self, split: str, classes: int) -> Iterator[Sample]:
        table, _, label = self._tables[split]
        for row, value in enumerate(table.data.column(label).to_pylist()):
            if value is None or not 0 <= value < classes:
                raise self._error(f"image {row} of {split!r} has an invalid label: {value}")
            yield Sample(f"{split}/{row}", value)

    def _measure(self) -> Iterator[tuple[str, int]]:
        from pyarrow import compute

        for split, (table, image, _) in self._tables.items():
            sizes = compute.binary_length(compute.struct_field(table.data.column(image), "bytes"))
            for row, size in enumerate(sizes.to_pylist()):
                if size is None:
                    raise self._error(f"image {row} of {split!r} is a path, not bytes in the table")
                yield f"{split}/{row}", size

    def image(self, sample: Sample) -> Image.Image:
        split, _, row = sample.key.partition("/")
        table, image, _ = self._tables[split]
        content = table.data.column(image)[int(row)]["bytes"].as_py()
        return decode_image(io.BytesIO(content), f"{sample.key} of {self.name}")

    def extents(self, sample: Sample) -> Sequence[Extent]:
        """All files of the split: where in them an image is, the library does not say."""
        return self._extents[sample.key.partition("/")[0]]

    def _error(self, problem: str) -> MissingDataError:
        return MissingDataError(f"{self.name}: {problem}\n{self._layout()}")


def _converted(parquet: Mapping[str, Sequence[str]]) -> Path:
    """The cache of the library for files of this content.

    By itself it takes a file for unchanged if its modification time is.
    """
    paths = [file for files in parquet.values() for file in files]
    seen = ContentTable(cache_folder()).look(paths)
    name = hashlib.sha256(b"".join(seen[path][0] for path in paths)).hexdigest()[:32]
    return cache_folder() / "huggingface" / name


def _parquet(place: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Parquet files by split ('train.parquet', 'data/test-00000-of-00002.parquet'), and others."""
    files: dict[str, list[str]] = {}
    others = []
    for path in sorted([*place.glob("*.parquet"), *place.glob("data/*.parquet")]):
        head = path.stem.partition("-")[0]
        if any(head in hub_names for hub_names in SPLITS.values()):
            files.setdefault(head, []).append(str(path))
        else:
            others.append(str(path.relative_to(place)))
    return files, others
