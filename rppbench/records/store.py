"""Where results are on disk: one JSON file a cell, one prompt file a training.

The place of a record follows from its cell alone, so nobody keeps an index that could go stale,
and any number of processes may write to one folder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from rppbench.files.atomic import Problem, write_whole
from rppbench.records.cell import Cell, Training
from rppbench.records.record import Record


class Store:
    """The records and learned prompts under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    @property
    def records(self) -> Path:
        return self.root / "records"

    def record_path(self, cell: Cell) -> Path:
        """records/<task>/<data set>/<method>/seed<n>-<key>.json"""
        folders = (cell.task.name, cell.dataset, cell.method.name)
        folder = self.records.joinpath(*map(file_name, folders))
        return folder / f"seed{cell.seed}-{cell.key}.json"

    def training_path(self, training: Training) -> Path:
        """prompts/<key>.safetensors"""
        return self.root / "prompts" / f"{training.key}.safetensors"

    def write(self, record: Record) -> Path:
        """Put the record in its place, replacing the one of an earlier run of the same cell.

        A reader, or a kill at any moment, finds the old record or the new one, never a part.
        A file in its place that is no record is kept beside it, as NAME.json.damaged.
        Raises ValueError for a record with NaN or infinity, which JSON does not know.
        """
        path = self.record_path(record.cell)
        text = json.dumps(record.to_json(), indent=1, allow_nan=False) + "\n"
        if path.is_file() and isinstance(self._load(path), Problem):
            os.replace(path, path.with_name(f"{path.name}.damaged"))
        write_whole(path, text)
        return path

    def read(self, cell: Cell) -> Record | None:
        """The record of this cell, ok or failed; None if there is none that can be trusted."""
        found = self._load(self.record_path(cell))
        return found if isinstance(found, Record) else None

    def all(
        self, report: Callable[[int, int], object] = lambda done, total: None
    ) -> tuple[list[Record], list[Problem]]:
        """Every record, ok and failed, and every JSON file that is not one, both sorted by path.

        `report` is called with the number of files read and of all files.
        """
        loaded = []
        paths = sorted(self.records.rglob("*.json"))
        for done, path in enumerate(paths, 1):
            loaded.append(self._load(path))
            report(done, len(paths))
        return (
            [found for found in loaded if isinstance(found, Record)],
            [found for found in loaded if isinstance(found, Problem)],
        )

    def _load(self, path: Path) -> Record | Problem:
        try:
            record = Record.from_json(_parse(path))
        except OSError as error:
            return Problem(path, f"cannot be read: {error.strerror}")
        except json.JSONDecodeError as error:
            return Problem(path, f"not whole JSON (cut off?): {error}")
        except KeyError as error:
            return Problem(path, f"not a record of rppbench: {error} is missing")
        except (TypeError, RecursionError) as error:
            return Problem(path, f"not a record of rppbench: {error}")
        except ValueError as error:
            return Problem(path, str(error))
        place = self.record_path(record.cell)
        if path != place:
            # One place a cell: otherwise a copied file would count as a second measurement.
            return Problem(path, f"a record in the wrong place; it belongs at {place}")
        return record


def file_name(name: str) -> str:
    """A component's name as one part of a path; readable, not necessarily unique."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")[:80] or "_"


def _parse(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a measurement")
