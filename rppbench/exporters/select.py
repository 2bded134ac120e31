"""From the records of a run to one learned prompt: which one is meant, and its card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict

from rppbench.comparison.compare import fits, spelling
from rppbench.contracts.dataset import Component
from rppbench.data.splits import training_classes
from rppbench.errors import UsageError, unknown
from rppbench.exporters.prompt_card import Card, Number
from rppbench.leaderboard.variants import variants
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Training
from rppbench.records.record import Record

KEY = re.compile(r"[0-9a-f]{1,12}")


def pick(records: Sequence[Record], text: str, seed: int | None = None) -> Training:
    """The training that a cell's key (or its start) or a method with its options means.

    UsageError with what there is if it means none or several, and for what learned nothing.
    """
    meant = cells_of(records, text)
    if not any(record.cell.training for record in meant):
        raise UsageError(f"{meant[0].cell.method.name!r} learns nothing: there is no prompt")
    learned: dict[str, Record] = {}
    for record in meant:
        if record.cell.training and seed in (None, record.cell.seed):
            learned.setdefault(record.cell.training.key, record)
    if not learned:
        seeds = sorted({record.cell.seed for record in meant})
        raise UsageError(f"{text!r} was not run with seed {seed}; seeds: {_listed(seeds)}")
    if len(learned) > 1:
        lines = [f"  {_described(record)}" for record in learned.values()]
        head = f"{text!r} may be any of these; say --seed, or the key:"
        raise UsageError("\n".join([head, *lines]))
    (record,) = learned.values()
    assert record.cell.training
    return record.cell.training


def cells_of(records: Sequence[Record], text: str) -> list[Record]:
    """Records with a number that a key (or its start) or a method with its options means.

    UsageError with what there is if there are none.
    """
    good = [record for record in records if record.status == "ok"]
    meant = [r for r in good if KEY.fullmatch(text) and r.key.startswith(text)]
    known = variants(good)
    if not meant:
        fitting = [variant for variant in known if fits(variant, text)]
        meant = [record for variant in fitting for record in variant.records]
    if not meant:
        names = {spelling(variant) for variant in known}
        notes = ["or the key of a cell (as in the names of the records), or its start"]
        raise unknown("cell with a number is named", text, names, "methods", notes)
    return meant


def card(training: Training, records: Sequence[Record], registry: Registry) -> Card:
    """The card of a training's prompt, with every number that was measured with it.

    UsageError if the data set it was learned on is not here, or is another one by now.
    """
    method = registry.get("methods", training.method.name)
    source = registry.get("datasets", training.source)()
    digests = dict(training.inputs)
    if source.fingerprint() != digests[f"dataset:{training.source}"]:
        raise UsageError(
            f"data set {training.source!r} is not the one that the prompt was learned on: "
            "its images or names have changed"
        )
    sharing = [r for r in records if r.cell.training and r.cell.training.key == training.key]
    return Card(
        method=training.method,
        backbone=training.backbone,
        backbone_digest=digests[f"backbone:{training.backbone}"],
        precision=training.precision,
        wording=source.template,
        classes=tuple(source.classes[i] for i in training_classes(source, training.classes)),
        training={**asdict(training), "key": training.key},
        numbers=tuple(
            Number(r.key, r.cell.task.name, r.cell.dataset, score.metric, score.value)
            for r in sharing
            for score in r.scores
            if score.metric == r.metric
        ),
        method_facts=method_facts(method),
        licences=licences(registry, method, training.backbone, source),
    )


def method_facts(method: type[Component]) -> dict[str, str]:
    """What a card says of a method."""
    facts = {"title": method.title, "paper": method.paper, "origin": method.origin}
    return {name: value for name, value in facts.items() if value}


def licences(
    registry: Registry, method: type[Component], backbone: str, source: Component | None = None
) -> dict[str, str]:
    """Licences that a prompt may inherit from, where they are known."""
    shipped = registry.all("backbones").get(backbone)
    found = {
        f"the method's code ({method.name})": method.licence,
        **({f"the data ({source.name})": source.licence} if source else {}),
        f"the backbone ({backbone})": shipped.licence if shipped else "",
    }
    return {what: licence for what, licence in found.items() if licence}


def _described(record: Record) -> str:
    cell, training = record.cell, record.cell.training
    assert training
    changed = record.labels.get("method_options", "").replace(", ", ",")
    method = f"{cell.method.name}:{changed}" if changed else cell.method.name
    return (
        f"{record.key}  {method}, {training.recipe.name}, seed {cell.seed}, {training.shots} shots "
        f"of {training.classes} classes of {training.source}, {training.backbone}"
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
