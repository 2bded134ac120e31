"""`rppbench import dassl|clip-benchmark PATH`: read runs of other harnesses into records."""

from __future__ import annotations

import sys
from pathlib import Path

from rppbench.commands.leaderboard import read_records, report_damage, write_all_pages
from rppbench.commands.merge import summary
from rppbench.errors import UsageError
from rppbench.importers.runs import clip_benchmark_records, dassl_records
from rppbench.records.merge import Arriving, Merged, merge_records
from rppbench.records.store import Store
from rppbench.terminal.step_progress import step_progress

KINDS = {"dassl": dassl_records, "clip-benchmark": clip_benchmark_records}


def bring(kind: str, source: Path, into: Path) -> int:
    """Read runs into a folder of records; 1 if a file could not be read."""
    if not source.exists():
        raise UsageError(f"no file or folder {source}")
    records, problems = KINDS[kind](source)
    if not records and not problems:
        raise UsageError(f"no results of {kind} below {source}")
    result = Merged(problems=problems)
    try:
        with step_progress() as begin_step:
            arriving = [Arriving(one, one.environment["imported file"]) for one in records]
            report = begin_step(f"import runs of {kind}")
            merge_records(Store(into), arriving, result, report=report)
    except OSError as error:
        raise UsageError(f"cannot write to {into}: {error.strerror}") from error
    everything, damaged = read_records(Store(into))
    report_damage([*problems, *damaged])
    if everything:
        write_all_pages(everything, into)
    for line in summary(result, len(everything), into):
        print(line, file=sys.stderr)
    return 1 if result.conflicts or problems or damaged else 0
