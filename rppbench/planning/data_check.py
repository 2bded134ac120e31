"""Whether the data that records and prompts were computed from are still what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rppbench.contracts.dataset import Dataset
from rppbench.data.contents import DataContents
from rppbench.data.draws import validation_of
from rppbench.data.parts import split_name, words_of
from rppbench.errors import MissingDataError, UsageError
from rppbench.files.tensors import read_contents
from rppbench.records.cell import Training
from rppbench.records.record import Record


class DataCheck:
    """Compares recorded digests with the data of today; implements `planning.staleness.Check`."""

    def __init__(self, open_dataset: Callable[[str], Dataset], contents: DataContents) -> None:
        self.open_dataset, self.contents = open_dataset, contents
        self._known: dict[tuple[object, ...], str] = {}
        """Reasons by part, recorded digest, limit and draws; '' for a part that is the same."""

    def of_record(self, record: Record) -> Sequence[str]:
        cell = record.cell
        return list(self._reasons(record.contents, cell.limit, cell.training))

    def of_prompts(self, training: Training, path: Path) -> Sequence[str]:
        return list(self._reasons(read_contents(path), None, training))

    def _reasons(
        self, recorded: Mapping[str, str], limit: int | None, training: Training | None
    ) -> Iterator[str]:
        for name, digest in recorded.items():
            key = (name, digest, limit, *_draws(training))
            if key not in self._known:
                self._known[key] = self._reason(name, digest, limit, training)
            if self._known[key]:
                yield self._known[key]

    def _reason(
        self, name: str, recorded: str, limit: int | None, training: Training | None
    ) -> str:
        dataset, part = split_name(name)
        what = f"{words_of(part)} of {dataset!r}"
        try:
            opened = self.open_dataset(dataset)
            which = self.contents.changes(opened, part, recorded, limit, training)
        except MissingDataError:
            return ""  # nothing to compare with; the cell is blocked
        except UsageError as error:
            return f"{what}: {error}"
        if which is None:
            return ""
        return f"{what} changed since" + (f" ({which})" if which else "")


def _draws(training: Training | None) -> Iterator[object]:
    """All that decides which images a training, and those before it, draw."""
    for one in training.chain if training else ():
        yield one.source, one.classes, one.shots, one.seed, validation_of(one), one.draw, one.inputs
