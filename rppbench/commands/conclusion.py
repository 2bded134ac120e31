"""The last lines of a run: its failures, the counts, and the exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rppbench.records import stand_in
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench.terminal.console import hanging

if TYPE_CHECKING:  # needs torch
    from rppbench.planning.status import Planned


def conclude(
    planned: Sequence[Planned],
    due: Sequence[Planned],
    records: Sequence[Record],
    store: Store,
    faults: Sequence[str] = (),
) -> int:
    """Print the failures and the counts; 1 unless each requested cell has a good record.

    `faults` are lines about methods and tasks that could not be planned.
    """
    from rppbench.terminal.run_progress import titles

    results = {record.key: record for record in records}
    ran = [results[entry.cell.key] for entry in due if entry.cell.key in results]
    due_keys = {entry.cell.key for entry in due}
    crashed = [e for e in planned if e.state == "crashed" and e.cell.key not in due_keys]
    left = [results[entry.cell.key] for entry in crashed if entry.cell.key in results]
    failed = [record for record in (*ran, *left) if record.failure]
    names = titles([entry.cell for entry in (*due, *crashed)])
    alike: dict[tuple[str, str], list[str]] = {}
    for record in failed:
        assert record.failure is not None
        alike.setdefault((record.failure.kind, record.reason), []).append(names[record.key])
    for (kind, reason), (first, *more) in alike.items():
        others = f" and {len(more)} more" if more else ""  # each was named when it failed
        print(f"failed: {first}{others}: {kind}: {hanging(reason)}", file=sys.stderr)
    for line in faults:
        print(f"failed: {line}", file=sys.stderr)
    missing = len(due) - len(ran)
    counts = [
        f"{sum(not record.failure for record in ran)} done",
        f"{len(planned) - len(due)} had a record",
        f"{len(failed)} failed",
        *([f"{missing} not run"] if missing else []),
        *([f"{len(faults)} not planned"] if faults else []),
    ]
    if any(stand_in.of_cell(entry.cell) for entry in planned):
        print(f"{stand_in.HEADING} {stand_in.WARNING}", file=sys.stderr)
    print(f"cells: {', '.join(counts)}; records and pages in {store.root}", file=sys.stderr)
    return 1 if failed or missing or faults else 0
