"""Base of the tasks that classify proposals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rppbench.files.digests import content_digest
from rppbench_tasks.cross_dataset import CrossDataset


class ProposalTask(CrossDataset):
    """A task whose training is that of `cross-dataset` and whose proposals may come from files.

    The content of these files is part of a cell's identity: another file makes another cell.
    """

    path: str
    """File or folder of the proposals; '' if they are computed without one."""

    def inputs(self) -> Sequence[tuple[str, str]]:
        """Digest of the files or the model that proposals come from."""
        return [("proposals", content_digest(Path(self.path).expanduser()))] if self.path else []
