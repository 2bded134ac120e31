"""Provenance of a learned prompt: its card, with scores, paper, origin and licences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rppbench.contracts.dataset import Component
from rppbench.data.splits import training_classes
from rppbench.errors import UsageError
from rppbench.exporters.prompt_card import Card, CardScore
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Training
from rppbench.records.record import Record


def trained_card(training: Training, records: Sequence[Record], registry: Registry) -> Card:
    """The card of a training's prompt, with the main score of every complete record that used it.

    UsageError if the data set it was learned on is not available, or has changed since.
    """
    method = registry.get("methods", training.method.name)
    source = registry.get("datasets", training.source)()
    digests = dict(training.inputs)
    if source.fingerprint() != digests[f"dataset:{training.source}"]:
        raise UsageError(
            f"data set {training.source!r} is not the one that the prompt was learned on: "
            "its images or names have changed"
        )
    same_training = [
        r
        for r in records
        if r.cell.training and r.cell.training.key == training.key and not r.cell.marks
    ]
    return Card(
        method=training.method,
        backbone=training.backbone,
        backbone_digest=digests[f"backbone:{training.backbone}"],
        precision=training.precision,
        wording=source.template,
        classes=tuple(source.classes[i] for i in training_classes(source, training.classes)),
        training={**asdict(training), "key": training.key},
        numbers=tuple(
            CardScore(r.key, r.cell.task.name, r.cell.dataset, score.metric, score.value)
            for r in same_training
            for score in r.scores
            if score.metric == r.metric
        ),
        method_facts=method_facts(method),
        licences=licences(registry, method, training.backbone, source),
    )


def of_prompt(card: Card) -> dict[str, Any]:
    """The part of another card, such as a classifier's, that says which prompt it is made from."""
    data = card.to_json()
    choice = ("method", "backbone", "backbone_digest", "precision")
    origin = ("training", "imported", "method_facts", "licences", "tensors")
    return {
        "prompt": {name: data[name] for name in (*choice, *origin)},
        "prompt_digest": data["digest"],
    }


def method_facts(method: type[Component]) -> dict[str, str]:
    """Title, paper and origin of a method, as far as the method states them."""
    facts = {"title": method.title, "paper": method.paper, "origin": method.origin}
    return {name: value for name, value in facts.items() if value}


def licences(
    registry: Registry, method: type[Component], backbone: str, source: Component | None = None
) -> dict[str, str]:
    """Licences that may bind a prompt, by what they cover; unknown ones are left out.

    source: the data set that the prompt was learned on.
    """
    backbone_source = registry.all("backbones").get(backbone)
    known = {
        f"the method's code ({method.name})": method.licence,
        **({f"the data ({source.name})": source.licence} if source else {}),
        f"the backbone ({backbone})": backbone_source.licence if backbone_source else "",
    }
    return {subject: licence for subject, licence in known.items() if licence}
