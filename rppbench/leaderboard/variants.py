"""Variants: methods with their options and trainings, one for each row of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from rppbench.leaderboard.comparability import age, is_of_dataset, lacks_data, newest_first
from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.tables import NamedValues
from rppbench.records.cell import DRAW, Cell, Choice, Training, recipe_name, spell
from rppbench.records.record import Record


@dataclass(frozen=True)
class Variant:
    """A method with its options and its training, and the records that measured it."""

    label: str
    records: tuple[Record, ...]
    """They differ in data set and seed only."""

    @cached_property
    def newest(self) -> Record:
        """The newest record; labels and options are read from it."""
        return max(self.records, key=age)

    @property
    def deterministic(self) -> bool:
        """Whether nothing is trained: another seed gives the same number, not another draw."""
        return self.newest.cell.training is None

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of all records, ascending; a single one if nothing is random."""
        seeds = {record.cell.seed for record in self.records}
        if self.deterministic:
            ok = {record.cell.seed for record in self.records if record.status == "ok"}
            return (min(ok or seeds),)
        return tuple(sorted(seeds))

    @cached_property
    def learned_on(self) -> str:
        """The training data set as tables print it; '' if nothing is trained."""
        if self.deterministic:
            return ""
        if trained_on_itself(self.records):
            return "each set itself"
        return self.newest.labels.get("source") or source(self.newest.cell)

    @cached_property
    def attributes(self) -> NamedValues:
        """Properties that can differ between variants of the same label, the plainest first."""
        cell, training = self.newest.cell, self.newest.cell.training
        options = tuple((name, spell(value)) for name, value in cell.method.options)
        if training is None:
            return (("method", cell.method.name), *options)
        return (
            ("method", cell.method.name),
            ("start", "pretrained" if training.start else "fresh"),
            ("recipe", recipe_name(training)),
            ("trained on", self.learned_on),
            ("shots", str(training.shots)),
            ("classes", training.classes),
            ("teacher", training.teacher or "none"),
            *options,
            *((f"recipe {name}", spell(value)) for name, value in training.recipe.options),
            ("learned in", training.precision),
            ("backbone learned with", training.backbone),
            *training_inputs(cell, trained_on_itself(self.records)),
        )

    def by_seed(self, dataset: str) -> Sequence[tuple[int, Record | None]]:
        """Each of `seeds` with its record of this data set."""
        if dataset not in self._by_seed:  # every metric of a table asks for them
            self._by_seed[dataset] = [(seed, self.record(dataset, seed)) for seed in self.seeds]
        return self._by_seed[dataset]

    @cached_property
    def _by_seed(self) -> dict[str, Sequence[tuple[int, Record | None]]]:
        return {}

    def record(self, dataset: str, seed: int) -> Record | None:
        """The record of this data set and seed (any seed if nothing is random), or None."""
        return self._by_place.get((dataset, 0 if self.deterministic else seed))

    @cached_property
    def _by_place(self) -> dict[tuple[str, int], Record]:
        """The record that counts of each data set and seed; seed 0 if nothing is random."""
        best: dict[tuple[str, int], Record] = {}
        deterministic = self.deterministic
        for record in self.records:
            place = (record.cell.dataset, 0 if deterministic else record.cell.seed)
            # There are several only if data was missing at first, or if nothing is random.
            other = best.setdefault(place, record)
            if other is not record and _weight(record) > _weight(other):
                best[place] = record
        return best


def variants(records: Iterable[Record]) -> list[Variant]:
    """The variants of comparable records, with a different label each."""
    identities: dict[tuple[object, ...], tuple[object, ...]] = {}

    def identity(record: Record) -> tuple[object, ...]:
        """`_identity`, which the cells of a training share."""
        cell = record.cell
        of_training = cell.training and cell.training.key
        key = (_typed(cell.method), of_training, record.labels.get("method_options", ""))
        if key not in identities:
            identities[key] = _identity(record)
        return identities[key]

    similar = group_by(records, identity).values()
    return _with_unique_labels(
        [_variant(of_one) for group in similar for of_one in _split_by_training_data(group)]
    )


def trained_on_itself(records: Sequence[Record]) -> bool:
    """Whether there are several data sets, each trained on itself: still one variant."""
    itself = all(source(record.cell) == record.cell.dataset for record in records)
    return itself and len({record.cell.dataset for record in records}) > 1


def source(cell: Cell) -> str:
    """Name of the data set that the cell was trained on; '' if nothing is trained."""
    return cell.training.source if cell.training else ""


def training_inputs(cell: Cell, on_itself: bool) -> NamedValues:
    """Inputs of the training, without the digests of its draw, which differ by seed.

    If trained `on_itself`, also without the scored data set's own.
    """
    inputs = cell.training.inputs if cell.training else ()
    return tuple(
        pair
        for pair in inputs
        if not (on_itself and is_of_dataset(pair[0], cell)) and not pair[0].startswith(DRAW)
    )


def _split_by_training_data(similar: Sequence[Record]) -> list[list[Record]]:
    """Records of one method and training procedure, split by the data that was trained on."""
    on_itself = trained_on_itself(similar)
    split = []
    for same_source in group_by(similar, lambda r: "" if on_itself else source(r.cell)).values():
        groups = group_by(same_source, lambda r: training_inputs(r.cell, on_itself)).values()
        measured = newest_first(group for group in groups if not all(map(lacks_data, group)))
        missing = [r for group in groups if all(map(lacks_data, group)) for r in group]
        if measured:
            measured[0] += missing  # their inputs are unknown: they join the newest version
        split += measured or [missing]
    return split


def _weight(record: Record) -> tuple[bool, str, str]:
    return (record.status == "ok", *age(record))


def _identity(record: Record) -> tuple[object, ...]:
    """What defines a variant, except the training data, which is compared later."""
    cell, training = record.cell, record.cell.training
    method = _typed(cell.method)
    if training is None:
        return (method,)
    start = training.start
    before = start and (*_procedure(start), start.source, _typed(start.method), start.start)
    if (name := recipe_name(training)) != training.recipe.name:
        # A protocol's values and options differ by data set; its name holds the user's changes.
        options = record.labels.get("method_options", "")
        return (cell.method.name, options, name, *_procedure(training)[1:], before)
    return (method, _typed(training.method), *_procedure(training), before)


def _procedure(training: Training) -> tuple[object, ...]:
    """How a training learns, whatever it learns from and with which seed; the recipe first."""
    return (
        _typed(training.recipe),
        training.classes,
        training.shots,
        training.backbone,
        training.teacher,
        training.precision,
        training.draw,
    )


def _typed(choice: Choice) -> bytes:
    """Text that differs if options do: values such as 1, 1.0 and True are equal in Python."""
    return bytes(choice.json)


def _variant(records: Sequence[Record]) -> Variant:
    newest = max(records, key=age)
    method = newest.labels.get("method") or newest.cell.method.name
    options = newest.labels.get("method_options", "")
    label = f"{method} ({options})" if options else method
    training = newest.cell.training
    if training is not None and training.draw:  # also where no other row has another draw
        label += f" · draw {training.draw}"
    return Variant(label, tuple(records))


def _with_unique_labels(variants: Sequence[Variant]) -> list[Variant]:
    """Adds to equal labels the attributes in which their variants differ, as few as are needed."""
    result: list[Variant] = []
    for same_label in group_by(variants, lambda variant: variant.label).values():
        group = list(same_label)
        for name in dict.fromkeys(name for v in same_label for name, _ in v.attributes):
            # Only labels that are still equal get the attribute, so that labels stay short.
            labels = [variant.label for variant in group]
            for equal in group_by(range(len(group)), labels.__getitem__).values():
                values = {i: dict(group[i].attributes).get(name) for i in equal}
                for i, value in values.items() if len(set(values.values())) > 1 else ():
                    if value is not None:
                        group[i] = replace(group[i], label=f"{group[i].label} · {name} {value}")
        result += group
    return result
