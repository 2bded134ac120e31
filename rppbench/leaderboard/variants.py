"""What may be compared: records of one setting, and the variants whose records they are.

A *setting* is a task with its options, a backbone, a precision and a number of test images. Where
the data of a set changed between runs, each version of it is apart from the others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TypeVar

from rppbench.files.digests import digest
from rppbench.leaderboard.tables import NamedValues
from rppbench.records.cell import Cell, plain, recipe_name, spell
from rppbench.records.record import Record

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Variant:
    """A method with its options and the way it was learned: a row of a table."""

    label: str
    records: tuple[Record, ...]
    """They differ in data set and seed only."""

    @cached_property
    def newest(self) -> Record:
        return max(self.records, key=age)

    @property
    def deterministic(self) -> bool:
        """Learns nothing: another seed is the same number, not another draw."""
        return self.newest.cell.training is None

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """All seeds that were run anywhere; one if nothing is random."""
        seeds = {record.cell.seed for record in self.records}
        if self.deterministic:
            ok = {record.cell.seed for record in self.records if record.status == "ok"}
            return (min(ok or seeds),)
        return tuple(sorted(seeds))

    @cached_property
    def learned_on(self) -> str:
        """The source as tables print it; '' if nothing was learned."""
        if self.deterministic:
            return ""
        if at_home(self.records):
            return "each set itself"
        return self.newest.labels.get("source") or source(self.newest.cell)

    @cached_property
    def facts(self) -> NamedValues:
        """What can tell it from another variant of the same label, the plainest first."""
        cell, training = self.newest.cell, self.newest.cell.training
        options = tuple((name, spell(value)) for name, value in cell.method.options)
        if training is None:
            return (("method", cell.method.name), *options)
        return (
            ("method", cell.method.name),
            ("start", "pretrained" if training.start else "fresh"),
            ("recipe", recipe_name(training)),
            ("learned on", self.learned_on),
            ("shots", str(training.shots)),
            ("classes", training.classes),
            ("teacher", training.teacher or "none"),
            *options,
            *((f"recipe {name}", spell(value)) for name, value in training.recipe.options),
            ("learned in", training.precision),
            ("backbone learned with", training.backbone),
            *learned_from(cell, at_home(self.records)),
        )

    def record(self, dataset: str, seed: int) -> Record | None:
        """The record of this data set and seed; of any seed if nothing is random."""
        found = [
            record
            for record in self.records
            if record.cell.dataset == dataset and (self.deterministic or record.cell.seed == seed)
        ]
        # Several only where data was missing before it was there, or nothing is random.
        return max(found, key=lambda r: (r.status == "ok", *age(r)), default=None)


def age(record: Record) -> tuple[str, str]:
    """Sorts records from old to new."""
    return (record.finished, record.key)


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """The items by their key, in order of first appearance."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


# --- what may stand in one table ----------------------------------------------------------------


def comparable(records: Iterable[Record]) -> list[list[Record]]:
    """The records of one task, apart where numbers must not stand in one column."""
    settings = grouped(records, lambda record: setting(record.cell)).values()
    return [version for of_setting in settings for version in _versions(of_setting)]


def setting(cell: Cell) -> NamedValues:
    """What must agree in all cells of a table; the scored data set's own inputs are not in it."""
    return (
        ("backbone", cell.backbone),
        ("precision", cell.precision),
        ("test images", "all" if cell.limit is None else f"at most {cell.limit}"),
        *((f"task option {name}", spell(value)) for name, value in cell.task.options),
        *((what, value) for what, value in cell.inputs if not of_dataset(what, cell)),
    )


def of_dataset(what: str, cell: Cell) -> bool:
    """Whether this input of a cell belongs to the data set that is scored."""
    kind, _, subject = what.partition(":")
    return subject == cell.dataset and kind not in ("backbone", "task")


def blocked(record: Record) -> bool:
    """Whether data was missing, so that nothing was measured."""
    return record.failure is not None and record.failure.kind == "missing-data"


def _versions(records: Sequence[Record]) -> list[list[Record]]:
    """Records of one setting, split where a data set has several comparability keys.

    The newest version of every set comes first, together with the sets that have only one.
    """
    parts: list[list[Record]] = []
    for here in grouped(records, lambda record: record.cell.dataset).values():
        # Where data was missing no number was measured: it is no version of the data.
        missing = [record for record in here if blocked(record)]
        measured = [record for record in here if not blocked(record)]
        versions = _newest_first(grouped(measured, lambda r: r.cell.comparability).values())
        for index, version in enumerate(versions or [[]]):
            if index == len(parts):
                parts.append([])
            parts[index] += version + (missing if index == 0 else [])
    return parts


def _newest_first(groups: Iterable[list[Record]]) -> list[list[Record]]:
    return sorted(groups, key=lambda group: max(map(age, group)), reverse=True)


# --- the variants of one table ------------------------------------------------------------------


def variants(records: Iterable[Record]) -> list[Variant]:
    """Comparable records by what they measure, under labels that tell them apart."""
    similar = grouped(records, _identity).values()
    return _told_apart([_entrant(of_one) for group in similar for of_one in _by_data(group)])


def at_home(records: Sequence[Record]) -> bool:
    """Whether each of several data sets was learned on itself: that is one variant all the same."""
    home = all(source(record.cell) == record.cell.dataset for record in records)
    return home and len({record.cell.dataset for record in records}) > 1


def source(cell: Cell) -> str:
    """The data set that was learned on; '' if none was."""
    return cell.training.source if cell.training else ""


def learned_from(cell: Cell, home: bool) -> NamedValues:
    """The inputs of the training, without the scored data set's own where it is learned on."""
    inputs = cell.training.inputs if cell.training else ()
    return tuple(pair for pair in inputs if not (home and of_dataset(pair[0], cell)))


def _by_data(similar: Sequence[Record]) -> list[list[Record]]:
    """Records of one way to learn, split by what was learned on."""
    home = at_home(similar)
    found = []
    for alike in grouped(similar, lambda r: "" if home else source(r.cell)).values():
        variants = grouped(alike, lambda r: learned_from(r.cell, home))
        measured = _newest_first(v for v in variants.values() if not all(map(blocked, v)))
        missing = [r for v in variants.values() if all(map(blocked, v)) for r in v]
        if measured:
            measured[0] += missing  # its inputs could not be read; it can only be the same one
        found += measured or [missing]
    return found


def _identity(record: Record) -> str:
    cell = record.cell
    method: object = asdict(cell.method)
    training = plain(cell.training) if cell.training else {}
    kept = {n: value for n, value in training.items() if n not in ("seed", "source", "inputs")}
    if before := kept.get("start"):
        kept["start"] = {n: value for n, value in before.items() if n not in ("seed", "inputs")}
    if cell.training and recipe_name(cell.training) != cell.training.recipe.name:
        # Its values and options differ by data set; what the user changed has a name of its own.
        kept = {**kept, "method": None, "recipe": recipe_name(cell.training)}
        method = [cell.method.name, record.labels.get("method_options", "")]
    return digest([method, kept])


def _entrant(records: Sequence[Record]) -> Variant:
    newest = max(records, key=age)
    method = newest.labels.get("method") or newest.cell.method.name
    options = newest.labels.get("method_options", "")
    return Variant(f"{method} ({options})" if options else method, tuple(records))


def _told_apart(found: Sequence[Variant]) -> list[Variant]:
    """Variants whose labels are equal get the facts they differ in, as few as are needed."""
    result: list[Variant] = []
    for alike in grouped(found, lambda variant: variant.label).values():
        group = list(alike)
        for name in dict.fromkeys(name for variant in alike for name, _ in variant.facts):
            if len({variant.label for variant in group}) == len(group):
                break
            values = [dict(variant.facts).get(name) for variant in group]
            if len(set(values)) > 1:
                group = [
                    e if value is None else replace(e, label=f"{e.label} · {name} {value}")
                    for e, value in zip(group, values, strict=True)
                ]
        result += group
    return result
