"""The fields and types of a record's line, as msgspec checks them on reading."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from rppbench.records.cell import Option

EMPTY = msgspec.Raw(b"{}")


class WireChoice(Struct, forbid_unknown_fields=True, gc=False):
    """`Choice` as JSON: the options are an object."""

    name: str
    options: dict[str, Option]


class WireTraining(Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """`Training` as JSON. Fields with a default are left out if empty."""

    method: msgspec.Raw
    """A `WireChoice`."""
    recipe: msgspec.Raw
    """A `WireChoice`."""
    source: str
    classes: str
    shots: int
    seed: int
    backbone: str
    teacher: str | None
    precision: str
    inputs: dict[str, str]
    start: WireTraining | None
    draw: str = ""


class WireCell(Struct, forbid_unknown_fields=True, gc=False):
    """`Cell` as JSON. Parts that many cells share are decoded once for all of them."""

    task: msgspec.Raw
    """A `WireChoice`."""
    dataset: str
    method: msgspec.Raw
    """A `WireChoice`."""
    backbone: str
    precision: str
    seed: int
    limit: int | None
    training: msgspec.Raw
    """A `WireTraining` or null."""
    inputs: msgspec.Raw
    """Texts by name."""


class WireScore(Struct, forbid_unknown_fields=True, gc=False):
    """`Score` as JSON, without the outcomes of its images."""

    metric: str
    value: float
    correct: int | None
    total: int | None


class WireCost(Struct, forbid_unknown_fields=True, gc=False):
    """`Cost` as JSON."""

    train_seconds: float
    eval_seconds: float
    peak_bytes: int
    parameters: int
    steps: int
    training_reused: bool
    flops_per_image: int = 0
    flops_per_class_set: int = 0
    images_per_second: float = 0.0


class WireFailure(Struct, forbid_unknown_fields=True, gc=False):
    """`Failure` as JSON."""

    kind: str
    message: str
    details: str


class WireRecord(Struct, forbid_unknown_fields=True, gc=False, kw_only=True):
    """`Record` as JSON, in the order of the line. Fields with a default are left out if empty."""

    key: str
    method: str
    dataset: str
    seed: int
    metric: str
    value: float | None
    """Value of the main metric; None for a cell that failed."""
    status: Literal["ok", "failed"]
    task: str
    schema: int
    training_key: str | None
    comparability: str
    labels: msgspec.Raw
    """Texts by name, as in the four other mappings: many records share them."""
    cell: WireCell
    scores: list[WireScore]
    cost: WireCost
    failure: WireFailure | None
    training_log: msgspec.Raw
    """A list of numbers by name."""
    draw: str
    contents: msgspec.Raw = EMPTY
    environment: msgspec.Raw
    started: str
    finished: str
    per_image: dict[str, msgspec.Raw]
    """Outcomes of images by metric; not decoded on reading."""
    code: msgspec.Raw = EMPTY
    confidence: str = ""
    """Left out of the line if empty, as `code` is."""
    earlier: list[WireFailure] = []
    """Left out of the line if empty."""
    digest: str
