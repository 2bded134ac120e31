"""A record as one line of compact JSON, and back: typed, checked and fast.

The line ends in the digest of all bytes before it. The fields that a person looks for come first;
they repeat values of the cell and the scores, and must agree with them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter
from typing import Any

import msgspec

from rppbench.records.cell import (
    COMPARABLE,
    Cell,
    Choice,
    Pairs,
    Training,
    cell_data,
    comparability_of,
    key_of,
    sorted_json,
)
from rppbench.records.outcomes import PerImage
from rppbench.records.record import INFERENCE, Cost, Failure, Record, Score
from rppbench.records.training_log import TrainingLog
from rppbench.records.wire import (
    WireCell,
    WireChoice,
    WireCost,
    WireFailure,
    WireRecord,
    WireScore,
    WireTraining,
)

SCHEMA = 2
"""Version of the record format; a reader of version n reads every version up to n."""

_CONSTANT = re.compile(rb"[:,\[]\s*(NaN|-?Infinity)\b")
"""Text that some programs write in place of a number, although JSON does not have it."""

_MARK = b',"digest":"'
_END = b'"}'
_DIGITS = 12
_TAIL = len(_MARK) + _DIGITS + len(_END)
_LINE_DIGEST = "_line_digest"
"""Where `decode` keeps the digest in a record. No field: a changed copy must not have it."""


_REPEATED = ("key", "method", "dataset", "seed", "value", "task", "training_key", "comparability")
"""Fields of a line that repeat values of its cell and scores."""


class OtherSchema(ValueError):  # noqa: N818 (not an error if it can be upgraded)
    """The line is a record of a schema other than `SCHEMA`."""

    def __init__(self, schema: object, content: dict[str, Any]) -> None:
        super().__init__(f"unknown record schema {schema!r}")
        self.schema, self.content = schema, content


_repeated = attrgetter(*_REPEATED)
_DECODER = msgspec.json.Decoder(WireRecord)
_CHOICE = msgspec.json.Decoder(WireChoice)
_TRAINING = msgspec.json.Decoder(WireTraining | None)
_TEXTS = msgspec.json.Decoder(dict[str, str])


def _plain(value: object) -> object:
    """A value of a subclass, such as NumPy's numbers, as plain `float`, `int` or `str`."""
    for kind in (float, int, str):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


def encode(record: Record) -> bytes:
    """The record as one line, without a line break.

    Raises ValueError for a record with NaN or infinity, which JSON does not have, and for one that
    `decode` would not read back unchanged.
    """
    cell, training, main = record.cell, record.cell.training, record.score()
    failure = record.failure
    per_image: dict[str, msgspec.Raw] = {}
    for score in record.scores:
        if score.per_image is not None:
            if score.metric in per_image:
                raise ValueError(f"two scores are named {score.metric!r}")
            per_image[score.metric] = msgspec.Raw(score.per_image.json)
    data = {
        "key": cell.key,
        "method": cell.method.name,
        "dataset": cell.dataset,
        "seed": cell.seed,
        "metric": record.metric,
        "value": None if main is None else float(main.value),
        "status": record.status,
        "task": cell.task.name,
        "schema": SCHEMA,
        "training_key": training and training.key,
        "comparability": cell.comparability,
        "labels": record.labels,
        "cell": cell_data(cell),
        "scores": [
            {"metric": s.metric, "value": float(s.value), "correct": s.correct, "total": s.total}
            for s in record.scores
        ],
        "cost": _cost_data(record.cost),
        "failure": failure and asdict(failure),
        "training_log": list(record.training_log),
        "draw": record.draw,
        **({"contents": record.contents} if record.contents else {}),
        "environment": record.environment,
        "started": record.started,
        "finished": record.finished,
        "per_image": per_image,
    }
    if record.code:
        data["code"] = record.code
    if record.confidence:
        data["confidence"] = record.confidence
    if record.earlier:
        data["earlier"] = [asdict(one) for one in record.earlier]
    for number in _numbers(data):
        if not math.isfinite(number):
            raise ValueError(f"{number} is not a measurement: a record cannot hold it")
    body = _ENCODER.encode(data)[:-1]
    line = body + _MARK + _digest(body) + _END
    if decode(line) != record:
        raise ValueError(f"the record of cell {cell.key} would not be read back unchanged")
    return line


def decode(line: bytes) -> Record:
    """The record that `encode` wrote.

    Raises ValueError, which says what is wrong, for any other line; its subclass OtherSchema for a
    record of an older schema.
    """
    try:
        wire = _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        _explain(line)
        raise ValueError(f"not a record of rppbench: {error}") from error
    if wire.schema != SCHEMA:
        _explain(line)
    if not _sealed(line):
        raise ValueError(DAMAGED)
    try:
        return _record(wire)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not a record of rppbench: {error}") from error


DAMAGED = "the content does not match its digest: edited or damaged"


def _explain(line: bytes) -> None:
    """Raise ValueError if the JSON, the schema or the digest of a line is wrong, in this order."""
    content = parse(line)
    schema = content["schema"]
    if type(schema) is int and schema > SCHEMA:
        raise ValueError(
            f"record schema {schema} is newer than this rppbench, which reads up to {SCHEMA}; "
            "upgrade rppbench to read it"
        )
    if schema != SCHEMA or type(schema) is not int:
        raise OtherSchema(schema, content)
    if not _sealed(line):
        raise ValueError(DAMAGED)


def parse(text: bytes) -> dict[str, Any]:
    """The JSON object of a record of any schema. ValueError says what is wrong with other text."""
    try:
        text.decode()
        content = msgspec.json.decode(text)
    except UnicodeError as error:
        raise ValueError(f"not UTF-8 text: {error}") from error
    except RecursionError as error:
        raise ValueError(f"not a record of rppbench: {error}") from error
    except msgspec.DecodeError as error:
        if constant := _CONSTANT.search(text):
            raise ValueError(f"{constant[1].decode()} is not a measurement") from error
        raise ValueError(f"not complete JSON (cut off?): {error}") from error
    if not isinstance(content, dict):
        raise ValueError("not a record of rppbench: not a JSON object")
    if "schema" not in content:
        raise ValueError("not a record of rppbench: 'schema' is missing")
    return content


def _digest(body: bytes) -> bytes:
    return sha256(body).hexdigest()[:_DIGITS].encode()


def line_digest(record: Record) -> str:
    """The digest that the record's line ends in; known without encoding it if it was read.

    Raises ValueError as `encode`.
    """
    known: str | None = record.__dict__.get(_LINE_DIGEST)
    return known or encode(record)[-_TAIL:].removeprefix(_MARK).removesuffix(_END).decode()


def _sealed(line: bytes) -> bool:
    """Whether a line ends in the digest of all bytes before it."""
    body = line[:-_TAIL]
    return line[-_TAIL:] == _MARK + _digest(body) + _END


def _record(wire: WireRecord) -> Record:
    """The record of a line whose digest is right. ValueError if its parts contradict each other."""
    cell = _cell(wire.cell)
    scores = _scores(wire.scores, wire.per_image)
    record = Record(
        cell=cell,
        status=wire.status,
        metric=wire.metric,
        scores=scores,
        cost=_cost(wire.cost),
        failure=_failure(wire.failure) if wire.failure else None,
        labels=_shared_texts(bytes(wire.labels)),
        training_log=_shared_log(bytes(wire.training_log)),
        draw=wire.draw,
        contents=_shared_texts(bytes(wire.contents)),
        environment=_shared_texts(bytes(wire.environment)),
        started=wire.started,
        finished=wire.finished,
        code=_shared_texts(bytes(wire.code)),
        confidence=wire.confidence,
        earlier=tuple([_failure(one) for one in wire.earlier]),
    )
    if (wire.status == "ok") != (wire.failure is None) or (wire.status == "ok") != bool(scores):
        raise ValueError("a record that is ok has scores, and one that failed has a failure")
    main, training = record.score(), cell.training
    written = _repeated(wire)
    expected = (
        cell.key,
        cell.method.name,
        cell.dataset,
        cell.seed,
        None if main is None else main.value,
        cell.task.name,
        None if training is None else training.key,
        cell.comparability,
    )
    if written != expected:
        for name, one, other in zip(_REPEATED, written, expected, strict=True):
            if one != other:
                raise ValueError(f"{name!r} is {one!r}, but {other!r} by its cell and scores")
    record.__dict__[_LINE_DIGEST] = wire.digest
    return record


def _training(wire: WireTraining) -> Training:
    method, recipe = _shared_choice(bytes(wire.method)), _shared_choice(bytes(wire.recipe))
    training = Training(
        method,
        recipe,
        wire.source,
        wire.classes,
        wire.shots,
        wire.seed,
        wire.backbone,
        wire.teacher,
        wire.precision,
        tuple(wire.inputs.items()),
        _training(wire.start) if wire.start else None,
        wire.draw,
    )
    # Fills the cached property: computing it from the fields of the dataclass takes longer.
    wire.method, wire.recipe = method.json, recipe.json
    training.__dict__["key"] = key_of(wire)
    return training


@lru_cache(maxsize=4096)
def _shared_choice(text: bytes) -> Choice:
    wire = _CHOICE.decode(text)
    choice = Choice(wire.name, tuple(wire.options.items()))
    choice.__dict__["json"] = sorted_json(wire)
    return choice


@lru_cache(maxsize=4096)
def _shared_texts(text: bytes) -> Mapping[str, str]:
    """Texts by name; records that share them must not change them."""
    return _TEXTS.decode(text)


@lru_cache(maxsize=4096)
def _shared_inputs(text: bytes) -> tuple[Pairs, msgspec.Raw]:
    inputs = _TEXTS.decode(text)
    return tuple(inputs.items()), sorted_json(inputs)


@lru_cache(maxsize=4096)  # all cells of a column of a table have the same
def _shared_comparability(
    task: bytes, dataset: str, backbone: str, precision: str, limit: int | None, inputs: bytes
) -> str:
    texts = _TEXTS.decode(inputs)
    values = (_shared_choice(task).json, dataset, backbone, precision, limit, texts)
    return comparability_of(dict(zip(COMPARABLE, values, strict=True)), texts)


@lru_cache(maxsize=4096)
def _shared_log(text: bytes) -> TrainingLog:
    return TrainingLog(text)


@lru_cache(maxsize=16_384)  # the trainings of a grid, which come back for each data set
def _shared_training(text: bytes) -> tuple[Training | None, msgspec.Raw]:
    wire = _TRAINING.decode(text)
    return _training(wire) if wire else None, sorted_json(wire)


def _cell(wire: WireCell) -> Cell:
    task_text, inputs_text = bytes(wire.task), bytes(wire.inputs)
    task, method = _shared_choice(task_text), _shared_choice(bytes(wire.method))
    training, training_json = _shared_training(bytes(wire.training))
    inputs, inputs_json = _shared_inputs(inputs_text)
    cell = Cell(
        task,
        wire.dataset,
        method,
        wire.backbone,
        wire.precision,
        wire.seed,
        wire.limit,
        training,
        inputs,
    )
    wire.task, wire.method, wire.training = task.json, method.json, training_json
    wire.inputs = inputs_json
    cell.__dict__["key"] = key_of(wire)
    cell.__dict__["comparability"] = _shared_comparability(
        task_text, wire.dataset, wire.backbone, wire.precision, wire.limit, inputs_text
    )
    return cell


def _scores(wires: Iterable[WireScore], per_image: dict[str, msgspec.Raw]) -> tuple[Score, ...]:
    """The scores with the outcomes of their images. ValueError for outcomes of no score."""
    scores = []
    for wire in wires:
        raw = per_image.pop(wire.metric, None) if per_image else None
        outcomes = None if raw is None else PerImage(bytes(raw))
        scores.append(Score(wire.metric, wire.value, wire.correct, wire.total, outcomes))
    if per_image:
        raise ValueError(f"has outcomes of {', '.join(per_image)}, but no such score")
    return tuple(scores)


def _cost(wire: WireCost) -> Cost:
    return Cost(
        wire.train_seconds,
        wire.eval_seconds,
        wire.peak_bytes,
        wire.parameters,
        wire.steps,
        wire.training_reused,
        wire.flops_per_image,
        wire.flops_per_class_set,
        wire.images_per_second,
    )


def _cost_data(cost: Cost) -> dict[str, Any]:
    data = asdict(cost)
    measured = any(data[name] for name in INFERENCE)
    return {name: value for name, value in data.items() if measured or name not in INFERENCE}


def _failure(wire: WireFailure) -> Failure:
    return Failure(wire.kind, wire.message, wire.details)


def _numbers(value: object) -> Iterator[float]:
    """All floats in JSON data."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        yield from _numbers(value.values())
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for inner in value:
            yield from _numbers(inner)
