"""What the tasks share that take an image apart by a source of proposals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rppbench.files.digests import content_digest
from rppbench_tasks.cross_dataset import CrossDataset


class ProposalTask(CrossDataset):
    """The training is that of `cross-dataset`; `path` names what proposals come from, if anything.

    What stands there is part of a cell by its content: another file is another cell.
    """

    path: str

    def inputs(self) -> Sequence[tuple[str, str]]:
        """The files or the model that proposals come from."""
        return [("proposals", content_digest(Path(self.path).expanduser()))] if self.path else []
