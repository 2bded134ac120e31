"""What a run is made of, as plain data: choices, trainings, cells, scores and records.

Stdlib only, so that `rppbench leaderboard` needs neither torch nor the plugins. Everything here
is frozen and turns into JSON and back; the digest of that JSON is its identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from rppbench.files.digests import digest
from rppbench.records.cell import Cell, _cell

LOWER_IS_BETTER = ("ece", "test_loss", "train_loss", "loss_gap")
"""Metrics of which less is better, also behind the name of a part of the classes."""


DETAILS = ("test_loss", "train_loss", *(f"_{name}" for name in ("top5", "per_class", "ece")))
"""Ends of the names of metrics that tables show only when asked."""


def lower_is_better(metric: str) -> bool:
    """Whether less of this metric is better."""
    return metric.endswith(LOWER_IS_BETTER)


def is_detail(metric: str) -> bool:
    """Whether a table that shows all metrics leaves this one out."""
    return metric.endswith(DETAILS) or metric.endswith("_loss_gap")


SCHEMA = 1
"""Version of the record format; a reader of version n must read every version up to n."""


def now() -> str:
    """The time as records keep it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Score:
    """One measured quantity of a cell."""

    metric: str
    """'top1', 'top5', 'per_class', 'ece', 'base', 'new', ..."""
    value: float
    """Percent; losses are in nats."""
    correct: int | None = None
    total: int | None = None
    outcomes: str | None = None
    """One bit for each test image in order (1 = right), packed, zlib, base64."""


@dataclass(frozen=True)
class Cost:
    """What a cell took. Training cost is that of the shared training, repeated in its cells."""

    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    peak_bytes: int = 0
    """Peak memory: of the device on a GPU, resident set of the process on a CPU."""
    parameters: int = 0
    """Trainable parameters."""
    steps: int = 0
    training_reused: bool = False
    """True when the prompts came from an earlier cell or run."""


@dataclass(frozen=True)
class Failure:
    """Why a cell has no numbers."""

    kind: str
    """The exception's class name, 'oom' or 'nan'."""
    message: str
    details: str = ""
    """Traceback for what is not the user's mistake."""


@dataclass(frozen=True)
class Record:
    """The result of one cell: one JSON file, written whole or not at all."""

    cell: Cell
    status: str
    """'ok' or 'failed'."""
    metric: str
    """Name of the primary metric."""
    scores: tuple[Score, ...] = ()
    cost: Cost = field(default_factory=Cost)
    failure: Failure | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    """How tables print it: method, method_options, task, dataset, recipe, paper, suite."""
    training_log: tuple[Mapping[str, float], ...] = ()
    """One entry an epoch: epoch, loss, accuracy (percent of the training batches), lr."""
    draw: str = ""
    """Digest of the images that were learned on, in the order they were drawn."""
    environment: Mapping[str, str] = field(default_factory=dict)
    started: str = ""
    """ISO 8601, UTC."""
    finished: str = ""
    schema: int = SCHEMA

    @property
    def key(self) -> str:
        return self.cell.key

    def score(self, metric: str | None = None) -> Score | None:
        """The score of the named (default: the primary) metric."""
        wanted = metric or self.metric
        return next((score for score in self.scores if score.metric == wanted), None)

    def measured(self) -> dict[str, Any]:
        """The part that must be equal whenever the same cell is run again."""
        data = asdict(self)
        kept = ("cell", "status", "metric", "scores", "training_log", "draw")
        return {name: data[name] for name in kept}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data, with the identities that readers group by spelled out."""
        data = asdict(self)
        training = self.cell.training
        content = {
            "schema": self.schema,
            "key": self.key,
            "comparability": self.cell.comparability,
            "training_key": training.key if training else None,
            **{name: value for name, value in data.items() if name != "schema"},
        }
        return {**content, "digest": digest(content)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """The record that `to_json` wrote. KeyError, TypeError or ValueError if it is none."""
        schema = data["schema"]
        if type(schema) is int and schema > SCHEMA:
            raise ValueError(
                f"record schema {schema} is newer than this rppbench, which reads up to {SCHEMA}; "
                "upgrade rppbench to read it"
            )
        if schema != SCHEMA:
            raise ValueError(f"no record schema {schema!r} is known")
        content = {name: value for name, value in data.items() if name != "digest"}
        if data["digest"] != digest(content):
            raise ValueError("the content does not match its digest: edited or damaged")
        record = cls(
            cell=_cell(data["cell"]),
            status=data["status"],
            metric=data["metric"],
            scores=tuple(Score(**score) for score in data["scores"]),
            cost=Cost(**data["cost"]),
            failure=Failure(**data["failure"]) if data["failure"] else None,
            labels=data["labels"],
            training_log=tuple(data["training_log"]),
            draw=data.get("draw", ""),  # records from before draws had digests
            environment=data["environment"],
            started=data["started"],
            finished=data["finished"],
        )
        if record.key != data["key"]:
            raise ValueError(f"key {data['key']} is not the digest of its cell ({record.key})")
        return record
