"""Records of earlier schemas, read by the rules of their schema and converted to the current one.

Schema 1 (rppbench 0.1) kept options as lists of pairs, and outcomes with the scores. Its keys left
out fields that were added after the first records, where these had their defaults: the start of a
training, and the schedule, the optimiser and the protocol of a recipe.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from rppbench.records.cell import Cell, Choice, Option, Training
from rppbench.records.codec import DAMAGED, OtherSchema
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Cost, Failure, Record, Score
from rppbench.records.wire import WireCost, WireFailure

LATER_OPTIONS: Mapping[str, Option] = {"schedule": "cosine", "optimiser": "sgd", "protocol": ""}
"""Options of a recipe that schema 1 left out where they had these values."""


class _Choice(Struct, forbid_unknown_fields=True):
    name: str
    options: list[tuple[str, Option]]


class _Training(Struct, forbid_unknown_fields=True):
    method: _Choice
    recipe: _Choice
    source: str
    classes: str
    shots: int
    seed: int
    backbone: str
    teacher: str | None
    precision: str
    inputs: list[tuple[str, str]]
    start: _Training | None = None


class _Cell(Struct, forbid_unknown_fields=True):
    task: _Choice
    dataset: str
    method: _Choice
    backbone: str
    precision: str
    seed: int
    limit: int | None
    training: _Training | None
    inputs: list[tuple[str, str]]


class _Score(Struct, forbid_unknown_fields=True):
    metric: str
    value: float
    correct: int | None = None
    total: int | None = None
    outcomes: str | None = None


class _Record(Struct, forbid_unknown_fields=True):
    schema: int
    key: str
    comparability: str
    training_key: str | None
    cell: _Cell
    status: str
    metric: str
    scores: list[_Score]
    cost: WireCost
    failure: WireFailure | None
    labels: dict[str, str]
    training_log: list[dict[str, int | float]]
    environment: dict[str, str]
    started: str
    finished: str
    digest: str
    draw: str = ""


def upgrade(older: OtherSchema) -> tuple[Record, str]:
    """A record of an earlier schema in the current one, and the key that it had.

    Raises ValueError for an unknown schema, and for a record that is damaged by its own rules.
    """
    if older.schema != 1 or type(older.schema) is not int:
        raise older
    content = older.content
    if content.get("digest") != _digest({n: v for n, v in content.items() if n != "digest"}):
        raise ValueError(DAMAGED)
    try:
        old = msgspec.convert(content, _Record)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f"not a record of rppbench: {error}") from error
    key = _digest(_without_start(content["cell"], "training"))
    if old.key != key:
        raise ValueError(f"key {old.key} is not the digest of its cell ({key})")
    return _record(old), key


def _digest(value: Any) -> str:
    """The digest of schema 1: that of the JSON as Python's own module writes it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_start(data: dict[str, Any], name: str = "start") -> dict[str, Any]:
    """A cell or training without the starts that are null."""
    data = dict(data)
    if data.get(name) is not None:
        data[name] = _without_start(data[name])
    elif name == "start":
        data.pop(name, None)
    return data


def _record(old: _Record) -> Record:
    cost, failure = old.cost, old.failure
    return Record(
        cell=_cell(old.cell),
        status=old.status,
        metric=old.metric,
        scores=tuple(map(_score, old.scores)),
        cost=Cost(**{name: getattr(cost, name) for name in cost.__struct_fields__}),
        failure=Failure(failure.kind, failure.message, failure.details) if failure else None,
        labels=old.labels,
        training_log=tuple(old.training_log),
        draw=old.draw,
        environment=old.environment,
        started=old.started,
        finished=old.finished,
    )


def _cell(old: _Cell) -> Cell:
    # An imported training is described in the other program's words, which lack these fields.
    imported = any(name == "imported" for name, _ in old.inputs)
    return Cell(
        task=_choice(old.task),
        dataset=old.dataset,
        method=_choice(old.method),
        backbone=old.backbone,
        precision=old.precision,
        seed=old.seed,
        limit=old.limit,
        training=_training(old.training, {} if imported else LATER_OPTIONS)
        if old.training
        else None,
        inputs=tuple(old.inputs),
    )


def _training(old: _Training, later: Mapping[str, Option]) -> Training:
    options = {**later, **dict(old.recipe.options)}
    return Training(
        method=_choice(old.method),
        recipe=Choice(old.recipe.name, tuple(sorted(options.items()))),
        source=old.source,
        classes=old.classes,
        shots=old.shots,
        seed=old.seed,
        backbone=old.backbone,
        teacher=old.teacher,
        precision=old.precision,
        inputs=tuple(old.inputs),
        start=_training(old.start, later) if old.start else None,
    )


def _choice(old: _Choice) -> Choice:
    return Choice(old.name, tuple(old.options))


def _score(old: _Score) -> Score:
    packed = old.outcomes
    per_image = None if packed is None else PerImage(msgspec.json.encode({"outcomes": packed}))
    return Score(old.metric, old.value, old.correct, old.total, per_image)
