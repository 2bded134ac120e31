"""Comparability: one table holds records of one setting and one version of the data.

A *setting* is a task with its options, a backbone, a precision and a number of test images. If
the data of a set changed between runs, the records of each version are kept apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.tables import TASK_OPTION, NamedValues
from rppbench.records.cell import METHOD, Cell, spell
from rppbench.records.record import Record


def comparable(records: Iterable[Record]) -> list[list[Record]]:
    """The records of one task in groups; numbers of different groups must not share a column."""
    settings: dict[str, NamedValues] = {}  # the same for all cells of one comparability

    def of_record(record: Record) -> NamedValues:
        key = record.cell.comparability
        if key not in settings:
            settings[key] = setting(record.cell)
        return settings[key]

    by_setting = group_by(records, of_record).values()
    return [version for of_setting in by_setting for version in _versions(of_setting)]


def setting(cell: Cell) -> NamedValues:
    """Conditions that all cells of a table share; without the inputs of the scored data set."""
    return (
        ("backbone", cell.backbone),
        ("precision", cell.precision),
        ("test images", "all" if cell.limit is None else f"at most {cell.limit}"),
        *((TASK_OPTION + name, spell(value)) for name, value in cell.task.options),
        *(
            (name, value)
            for name, value in cell.inputs
            if not is_of_dataset(name, cell) and not name.startswith(METHOD)
        ),
    )


def is_of_dataset(name: str, cell: Cell) -> bool:
    """Whether the input of this name ('dataset:dtd') belongs to the scored data set."""
    kind, _, subject = name.partition(":")
    return subject == cell.dataset and kind not in ("backbone", "task")


def lacks_data(record: Record) -> bool:
    """Whether data was missing, so that nothing was measured."""
    return record.failure is not None and record.failure.kind == "missing-data"


def age(record: Record) -> tuple[str, str]:
    """Sort key that orders records from old to new."""
    return (record.finished, record.cell.key)


def newest_first(groups: Iterable[list[Record]]) -> list[list[Record]]:
    """The groups by their newest record, the newest group first."""
    groups = list(groups)
    if len(groups) < 2:  # almost always; looking for the newest of very many records takes long
        return groups
    return sorted(groups, key=lambda group: max(map(age, group)), reverse=True)


def _versions(records: Sequence[Record]) -> list[list[Record]]:
    """Records of one setting, split where a data set has several comparability keys.

    The newest version of every set comes first, together with the sets that have only one.
    """
    groups: list[list[Record]] = []
    for of_set in group_by(records, lambda record: record.cell.dataset).values():
        # A record of missing data has no number, so it is not a version of the data.
        missing = [record for record in of_set if lacks_data(record)]
        measured = [record for record in of_set if not lacks_data(record)]
        versions = newest_first(group_by(measured, lambda r: r.cell.comparability).values())
        for index, version in enumerate(versions or [[]]):
            if index == len(groups):
                groups.append([])
            groups[index] += version + (missing if index == 0 else [])
    return groups
