"""The result of a cell as plain data: scores, cost, failure, and the record that holds them.

`records.codec` writes a record as a line of JSON and reads it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from rppbench.records.cell import Cell
from rppbench.records.outcomes import PerImage

LOWER_IS_BETTER = ("ece", "test_loss", "train_loss", "loss_gap")
"""Metrics of which less is better; a prefix may name a part of the classes: 'base_ece'."""


CRASH = "crash"
"""Kind of the failure of a cell in which the process of the run died."""
DETAILS = ("test_loss", "train_loss", *(f"_{name}" for name in ("top5", "per_class", "ece")))
"""Suffixes of the metrics that tables show only on request."""


def lower_is_better(metric: str) -> bool:
    """Whether less of this metric is better."""
    return metric.endswith(LOWER_IS_BETTER)


def is_detail(metric: str) -> bool:
    """Whether a table that shows all metrics leaves this one out."""
    return metric.endswith(DETAILS) or metric.endswith("_loss_gap")


def now() -> str:
    """The time as records keep it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Score(Struct, frozen=True, eq=False, gc=False, repr_omit_defaults=True):
    """One measured quantity of a cell.

    A `Struct`, as large grids hold a million of them and it is built in a tenth of the time of a
    frozen dataclass; `msgspec.structs.replace` makes a changed copy.
    """

    metric: str
    """'top1', 'top5', 'per_class', 'ece', 'base', 'new', ..."""
    value: float
    """Percent; losses are in nats."""
    correct: int | None = None
    total: int | None = None
    per_image: PerImage | None = None
    """Outcomes of the `total` images, or for a score without counts the influence of each image on
    it; None where neither is kept."""

    confidence: bytes | None = None
    """Probability of the best class of each of the `total` images, as little-endian float32. Held
    until the record is written, which puts them in a file of their own (`records.confidence`), and
    no part of what is compared."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Score) and self._measured() == other._measured()

    def __hash__(self) -> int:
        return hash(self._measured())

    def _measured(self) -> tuple[object, ...]:
        return (self.metric, self.value, self.correct, self.total, self.per_image)

    def outcomes(self) -> list[bool] | None:
        """For each test image in order, whether it was right; None where outcomes are not kept.

        Raises ValueError if they are damaged.
        """
        if self.per_image is None or self.total is None:
            return None
        return self.per_image.outcomes(self.total)

    def groups(self) -> list[int] | None:
        """For each test image in order, the number of its group; None if each is on its own, or if
        outcomes are not kept. Images of a group are not independent of each other.

        Raises ValueError if they are damaged.
        """
        if self.per_image is None or self.total is None:
            return None
        return self.per_image.groups(self.total)


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a cell. The cost of a shared training is repeated in each of its cells."""

    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    peak_bytes: int = 0
    """Peak memory: of the device on a GPU, resident set of the process on a CPU."""
    parameters: int = 0
    """Trainable parameters."""
    steps: int = 0
    training_reused: bool = False
    """True when the prompts came from an earlier cell or run."""
    flops_per_image: int = 0
    """Floating-point operations of a live prediction of one image, with the classes' features
    ready; 0 where they were not counted, as for the two below (`rppbench run --inference-cost`)."""
    flops_per_class_set: int = 0
    """Floating-point operations that the classes' features take, once for all images."""
    images_per_second: float = 0.0
    """Images that are predicted live in a second, without reading them."""


INFERENCE = ("flops_per_image", "flops_per_class_set", "images_per_second")
"""Fields of `Cost` that were not measured if all are 0; then a record leaves them out."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a cell has no numbers."""

    kind: str
    """The exception's class name, 'oom' or 'nan'."""
    message: str
    details: str = ""
    """Traceback, unless the failure is the user's mistake."""


VALIDATION = "validation"
"""Label of a record that says on which images values were chosen: 'few-shot', 'none', ..."""
ABOUT = "about"
"""Label of a record: one sentence on its method."""
LEARNS = "learns"
"""Label of a record: what its method learns, 'none', 'text', 'image', 'both' (prompts of these
towers) or 'adapter' (on top of features)."""
QUESTION = "question"
"""Label of a record: the question that its task answers."""
LOG = "log"
"""Entry of a record's environment: the worker's log, from the folder of records."""

FEWER_IMAGES = "classes with fewer images than shots"
"""Entry of a record's environment; tables say it in a footnote."""
SEEN_NAMES = "seen_names"
"""Label of a record: how many of its class names were learned on another data set, '12/47'."""


@dataclass(frozen=True)
class Record:
    """The result of one cell."""

    cell: Cell
    status: str
    """'ok' or 'failed'."""
    metric: str
    """Name of the primary metric."""
    scores: tuple[Score, ...] = ()
    cost: Cost = field(default_factory=Cost)
    failure: Failure | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    """Its texts in tables: method, method_options, task, dataset, recipe, paper, suite,
    `VALIDATION`, `SEEN_NAMES`."""
    training_log: Sequence[Mapping[str, float]] = ()
    """One entry per epoch: epoch, loss, accuracy (percent of the training batches), lr."""
    draw: str = ""
    """Digest of the training images, in the order in which they were drawn."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """Digests of what the data held, by part ('dtd:test'); {} in a record from before there were
    any, which is unverified. Two records of a cell with different digests are in conflict."""
    environment: Mapping[str, str] = field(default_factory=dict)
    started: str = ""
    """ISO 8601, UTC."""
    finished: str = ""
    confidence: str = ""
    """Digest of the file of its images' confidences (`records.confidence`); '' without one."""
    code: Mapping[str, str] = field(default_factory=dict)
    """Digests of the source of components that are not built in: 'method:x', 'dataset:x', ..."""
    earlier: tuple[Failure, ...] = ()
    """Failures of earlier tries in the same run, oldest first (`retries` of an engine)."""

    @property
    def key(self) -> str:
        return self.cell.key

    @property
    def reason(self) -> str:
        """Why there are no numbers, with the worker's log if it has one; '' without a failure.

        The log is named from the folder of records.
        """
        if self.failure is None:
            return ""
        log = self.environment.get(LOG)
        return f"{self.failure.message}\nlog: {log}" if log else self.failure.message

    def score(self, metric: str | None = None) -> Score | None:
        """The score of the named (default: the primary) metric."""
        wanted = metric or self.metric
        for score in self.scores:
            if score.metric == wanted:
                return score
        return None

    def measured(self) -> dict[str, Any]:
        """The part that must be equal whenever the same cell is run again."""
        data = asdict(self)
        kept = ("cell", "status", "metric", "scores", "training_log", "draw")
        return {name: data[name] for name in kept}


def other_contents(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The parts of data that both `contents` name, with different digests."""
    return [name for name, digest in one.items() if other.get(name, digest) != digest]
