"""`rppbench import dassl|clip-benchmark PATH`: runs of other harnesses as records."""

from __future__ import annotations

import sys
from pathlib import Path

from rppbench.commands.leaderboard import report_damage, write_all_pages
from rppbench.commands.merge import told
from rppbench.errors import UsageError
from rppbench.importers.runs import clip_benchmark, dassl
from rppbench.leaderboard.build import build
from rppbench.records.merge import Merged, merge_record
from rppbench.records.store import Store

KINDS = {"dassl": dassl, "clip-benchmark": clip_benchmark}


def bring(kind: str, source: Path, into: Path) -> int:
    """Read what is there into a folder of records; 1 if a file gave none."""
    if not source.exists():
        raise UsageError(f"nothing is at {source}")
    records, problems = KINDS[kind](source)
    if not records and not problems:
        raise UsageError(f"no results of {kind} below {source}")
    result = Merged(problems=problems)
    try:
        for record in records:
            merge_record(Store(into), record, record.environment["imported file"], result)
    except OSError as error:
        raise UsageError(f"cannot write to {into}: {error.strerror}") from error
    everything, damaged = Store(into).all()
    report_damage([*problems, *damaged])
    if everything:
        write_all_pages(everything, build(everything), into)
    for line in told(result, len(everything), into):
        print(line, file=sys.stderr)
    return 1 if result.conflicts or problems or damaged else 0
