"""Why a stored result no longer follows from its inputs: the reasons of all checks, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rppbench.contracts.dataset import BeginStep
from rppbench.data.contents import DataContents
from rppbench.planning.code_digests import CodeCheck, CodeDigests
from rppbench.planning.data_check import DataCheck
from rppbench.planning.input_digests import InputDigests
from rppbench.planning.settings import Settings
from rppbench.records.cell import Training
from rppbench.records.record import Record


class Check(Protocol):
    """Compares what a result was computed from with what is there today."""

    def of_record(self, record: Record) -> Sequence[str]:
        """Why the record has to be computed again, one text for each reason; () to keep it.

        A record that does not say what it was computed from is unverified, not stale.
        """

    def of_prompts(self, training: Training, path: Path) -> Sequence[str]:
        """Why the prompts of a training, stored in `path`, have to be learned again."""


def checks(digests: InputDigests, chosen: Settings, begin_step: BeginStep) -> list[Check]:
    """All checks, for a run with these settings; looks at many files are steps of `begin_step`."""
    contents = DataContents(chosen.trust_data, chosen.data_since, begin_step=begin_step)
    data: list[Check] = [DataCheck(digests.dataset, contents)]
    # Accepted code is no reason; the run writes so into the records.
    return data if chosen.accept_code else [*data, CodeCheck(CodeDigests(digests.registry))]


def why_stale(record: Record, checks: Sequence[Check]) -> tuple[str, ...]:
    """The reasons of all checks against a record, each once; () if it is up to date."""
    return tuple(dict.fromkeys(reason for check in checks for reason in check.of_record(record)))


def why_learned_again(training: Training, path: Path, checks: Sequence[Check]) -> tuple[str, ...]:
    """The reasons of all checks against stored prompts, each once; () if they are up to date."""
    reasons = (reason for check in checks for reason in check.of_prompts(training, path))
    return tuple(dict.fromkeys(reasons))
