"""Base of the tasks that classify proposals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from rppbench.files.digests import content_digest
from rppbench_tasks.cross_dataset import CrossDataset


class ProposalTask(CrossDataset):
    """A task whose training is that of `cross-dataset` and whose proposals may come from files.

    The content of these files is part of a cell's identity: another file makes another cell.
    """

    proposers: ClassVar[Mapping[str, Callable[..., object]]]
    """Sources of proposals by the value of `proposals=`."""
    proposals: str
    path: str
    """File or folder of the proposals; '' if they are computed without one."""

    def parts(self) -> Sequence[type | Callable[..., object]]:
        """The source of the proposals, which may be a plugin's."""
        return [self.proposers[self.proposals]]

    def inputs(self) -> Sequence[tuple[str, str]]:
        """Digest of the files or the model that proposals come from."""
        return [("proposals", content_digest(Path(self.path).expanduser()))] if self.path else []
