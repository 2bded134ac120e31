"""Hugging Face data sets: 'hf:/path' on disk, or 'hf:org/name' from the hub.

On disk: what `save_to_disk` wrote, or parquet files named after their split. Code that comes with
a data set is never run, and an image is taken only from the bytes in the table: a path in it
could name any file. 'hf:NAME?image=COLUMN&label=COLUMN' chooses where several columns fit.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from PIL import Image

from rppbench import cache_folder
from rppbench.contracts import Sample
from rppbench.errors import MissingDataError, UsageError, unknown
from rppbench_datasets import pictures
from rppbench_datasets.own import Lists, Own

SPLITS = {"train": ("train",), "val": ("validation", "valid", "val"), "test": ("test",)}
"""Ours -> theirs; the first that is there."""
COLUMNS = ("image", "label")


class HuggingFace(Own):
    """A column of images and a column of class labels."""

    kind = "hf"
    licence = ""

    def _layout(self) -> str:
        return (
            "hf: takes a folder of datasets.save_to_disk, a folder of parquet files named after "
            "their split (train-*.parquet, test-*.parquet), or org/name on the hub"
        )

    def _read(self) -> tuple[Path, Sequence[str], Lists]:
        where, _, query = self.path.partition("?")
        chosen = dict(parse_qsl(query))
        for option in chosen:
            if option not in COLUMNS:
                raise unknown(f"option of {self.kind}: is named", option, COLUMNS, "options")
        place = Path(where).expanduser()
        found = self._open(where, place)
        self._tables: dict[str, Any] = {}
        names: list[str] | None = None
        for split, theirs in SPLITS.items():
            table = next((found[name] for name in theirs if name in found), None)
            if table is None:
                continue
            image = self._column(table, "Image", "image", chosen)
            label = self._column(table, "ClassLabel", "label", chosen)
            if names not in (None, table.features[label].names):
                raise self._wrong(f"{split!r} has other class names than the splits before")
            names = table.features[label].names
            self._tables[split] = (table, image, label)
        if names is None:
            raise self._wrong(f"none of its splits is train, validation or test: {sorted(found)}")
        lists = {split: list(self._samples(split, len(names))) for split in self._tables}
        return place, [name.replace("_", " ").strip() for name in names], lists

    def _open(self, where: str, place: Path) -> dict[str, Any]:
        """Tables by split, as they are called there."""
        if find_spec("datasets") is None:
            raise MissingDataError(
                f"{self.name} needs the package datasets; pip install 'rppbench[hf]'"
            )
        import datasets  # takes seconds; only this kind of data needs it

        cache = str(cache_folder() / "huggingface")
        try:
            if (place / "dataset_dict.json").is_file() or (place / "state.json").is_file():
                found = datasets.load_from_disk(str(place))
            elif place.is_dir():
                files = _parquet(place)
                if not files:
                    raise self._wrong(f"{place} holds neither")
                found = datasets.load_dataset("parquet", data_files=files, cache_dir=cache)
            elif where.count("/") == 1 and not where.startswith(("/", ".", "~")):
                found = datasets.load_dataset(where)
            else:
                raise self._wrong(f"no folder {place}")
        except UsageError:
            raise
        except Exception as error:  # the library and what it reads with raise anything
            told = f"{type(error).__name__}: {error}"
            raise self._wrong(f"cannot open {where}: {told}") from error
        if isinstance(found, datasets.Dataset):
            return {str(found.split or "test"): found}
        return dict(found)

    def _column(self, table: Any, kind: str, option: str, chosen: dict[str, str]) -> str:
        fits = [name for name, f in table.features.items() if type(f).__name__ == kind]
        if option in chosen and chosen[option] not in fits:
            raise unknown(f"{kind} column of {self.name} is named", chosen[option], fits, "columns")
        if option in chosen:
            return chosen[option]
        if len(fits) != 1:
            told = ", ".join(f"{n} ({type(f).__name__})" for n, f in table.features.items())
            raise self._wrong(
                f"{len(fits)} columns are a {kind}; name one with ?{option}=COLUMN\ncolumns: {told}"
            )
        return fits[0]

    def _samples(self, split: str, classes: int) -> Iterator[Sample]:
        table, _, label = self._tables[split]
        for row, value in enumerate(table.data.column(label).to_pylist()):
            if value is None or not 0 <= value < classes:
                raise self._wrong(f"image {row} of {split!r} has no label: {value}")
            yield Sample(f"{split}/{row}", value)

    def _measure(self) -> Iterator[tuple[str, int]]:
        from pyarrow import compute

        for split, (table, image, _) in self._tables.items():
            sizes = compute.binary_length(compute.struct_field(table.data.column(image), "bytes"))
            for row, size in enumerate(sizes.to_pylist()):
                if size is None:
                    raise self._wrong(f"image {row} of {split!r} is not in the table, but a path")
                yield f"{split}/{row}", size

    def image(self, sample: Sample) -> Image.Image:
        split, _, row = sample.key.partition("/")
        table, image, _ = self._tables[split]
        content = table.data.column(image)[int(row)]["bytes"].as_py()
        return pictures.decode(io.BytesIO(content), f"{sample.key} of {self.name}")

    def _wrong(self, what: str) -> MissingDataError:
        return MissingDataError(f"{self.name}: {what}\n{self._layout()}")


def _parquet(place: Path) -> dict[str, list[str]]:
    """Parquet files by split: 'train.parquet', 'data/test-00000-of-00002.parquet'."""
    files: dict[str, list[str]] = {}
    for path in sorted([*place.glob("*.parquet"), *place.glob("data/*.parquet")]):
        head = path.stem.partition("-")[0]
        if any(head in theirs for theirs in SPLITS.values()):
            files.setdefault(head, []).append(str(path))
    return files
