"""Base of the tasks that classify proposals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from rppbench.contracts import Assignment, Catalog, Method
from rppbench.errors import UsageError, unknown
from rppbench.files.digests import content_digest
from rppbench_tasks.cross_dataset import CrossDataset

Start = Literal["pretrained", "new"]
"""The prompts that are tuned on regions: those of the task `pretraining`, or new ones."""


class ProposalTask(CrossDataset):
    """A task whose training is that of `cross-dataset` and whose proposals may come from files.

    The content of these files is part of a cell's identity: another file makes another cell. With
    `tune`, prompts learn from the true regions of seen classes in training images, as POMP's for
    segmentation; `regions` names the data set of these images, by default the scored one.
    """

    tuning_options: ClassVar[tuple[str, ...]] = ("tune", "start", "regions")
    tune: bool
    start: Start
    regions: str
    proposers: ClassVar[Mapping[str, Callable[..., object]]]
    """Sources of proposals by the value of `proposals=`."""
    need_path: ClassVar[tuple[str, ...]] = ()
    """Those of `proposers` that are nothing without `path=`."""
    take_no_path: ClassVar[tuple[str, ...]] = ()
    """Those of `proposers` that read no file; a plugin's may or may not."""
    proposals: str
    path: str
    """File or folder of the proposals; '' if they are computed without one."""

    def _propose(self, proposals: str, path: str) -> None:
        """Take the options. UsageError for an unknown source, and for a path missing or unread."""
        if proposals not in self.proposers:
            raise unknown("source of proposals is named", proposals, self.proposers, "sources")
        if proposals in self.need_path and not path:
            raise UsageError(f"proposals={proposals} takes path=...")
        if proposals in self.take_no_path and path:
            raise UsageError(f"proposals={proposals} takes no path")
        self.proposals, self.path = proposals, path

    def _tune(self, tune: bool, start: Start, regions: str) -> None:
        """Take the options. UsageError for others without `tune`."""
        if not tune and (start, regions) != ("pretrained", ""):
            raise UsageError("start and regions say what tune=on learns from: add tune=on")
        self.tune, self.start, self.regions = tune, start, regions
        self.learns_as = "fine-tune" if tune else ""

    def crops(self) -> str:
        """How true regions are cut out, as at the start of a data set's name ('masks')."""
        raise NotImplementedError

    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """Those of `cross-dataset`, or a training for each set whose regions are learned from."""
        if not self.tune:
            return super().assignments(catalog, method)
        before = self.learned_on(catalog, method, True)
        start = before if self.start == "pretrained" else ""
        return [
            Assignment(
                target,
                f"{self.crops()}:{self.regions or target}",
                "seen",
                self.shots or None,
                start,
            )
            for target in catalog.names(self.suite, self.targets)
        ]

    def parts(self) -> Sequence[type | Callable[..., object]]:
        """The source of the proposals, which may be a plugin's."""
        return [self.proposers[self.proposals]]

    def inputs(self) -> Sequence[tuple[str, str]]:
        """Digest of the files or the model that proposals come from."""
        return [("proposals", content_digest(Path(self.path).expanduser()))] if self.path else []
