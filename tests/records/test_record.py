import base64
import json
import math
import random
import zlib
from dataclasses import fields, replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

from rppbench.files.digests import digest
from rppbench.records.cell import Cell, Choice, Training, plain
from rppbench.records.outcomes import pack_outcomes, unpack_outcomes
from rppbench.records.record import Cost, Failure, Record, Score

VALIDATOR = jsonschema.Draft202012Validator(
    json.loads(files("rppbench").joinpath("record.schema.json").read_text("utf-8"))
)
TRAINING = Training(
    method=Choice("rpp", (("kd", True), ("length", 4))),
    recipe=Choice("rpp-1", (("epochs", 5), ("lr", 0.002))),
    source="vocabulary",
    classes="seen",
    shots=16,
    seed=1,
    backbone="demo",
    teacher="demo-teacher",
    precision="fp32",
    inputs=(("dataset:vocabulary", "aa11"), ("backbone:demo", "bb22")),
)
CELL = Cell(
    task=Choice("cross-dataset", (("suite", "demo"),)),
    dataset="flowers",
    method=TRAINING.method,
    backbone="demo",
    precision="fp32",
    seed=1,
    limit=None,
    training=TRAINING,
    inputs=(("dataset:flowers", "cc33"),),
)
OK = Record(
    cell=CELL,
    status="ok",
    metric="top1",
    scores=(
        Score("top1", 200 / 3, 2, 3, pack_outcomes([True, False, True])),
        Score("per_class", 61.25, total=3),
    ),
    cost=Cost(12.5, 0.25, 10**9, 4096, 100, True),
    labels={"method": "RPP-SAPL", "dataset": "Flowers"},
    training_log=({"epoch": 1, "loss": 0.1, "lr": 1e-05},),
    environment={"torch": "2.13.0"},
    started="2026-01-02T03:04:05+00:00",
    finished="2026-01-02T03:04:18+00:00",
)
FAILED = replace(
    OK, status="failed", scores=(), failure=Failure("oom", "out of memory", "trace"), metric=""
)
UNTRAINED = replace(OK, cell=replace(CELL, training=None, method=Choice("zeroshot")))


def through_json(record: Record) -> dict:
    return json.loads(json.dumps(record.to_json()))


@pytest.mark.parametrize("record", [OK, FAILED, UNTRAINED], ids=["ok", "failed", "untrained"])
def test_a_record_survives_json_and_fits_the_schema(record):
    data = through_json(record)
    VALIDATOR.validate(data)
    assert Record.from_json(data) == record


def test_the_schema_is_itself_a_schema_and_refuses_what_is_not_in_it():
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)
    whole = through_json(OK)
    assert not VALIDATOR.is_valid({**whole, "surprise": 1})
    for name in set(whole) - {"draw"}:  # records from before draws had digests lack it
        assert not VALIDATOR.is_valid({k: v for k, v in whole.items() if k != name}), name
    assert not VALIDATOR.is_valid({**whole, "status": "failed"})
    assert not VALIDATOR.is_valid({**whole, "scores": []})
    cell = {**whole["cell"], "surprise": 1}
    assert not VALIDATOR.is_valid({**whole, "cell": cell})


def test_the_schema_names_every_field_of_every_part():
    defined = VALIDATOR.schema["$defs"]
    for name, kind in {
        "training": Training,
        "cell": Cell,
        "score": Score,
        "cost": Cost,
        "failure": Failure,
        "choice": Choice,
    }.items():
        assert set(defined[name]["properties"]) == {field.name for field in fields(kind)}


CHANGES = {
    "task": Choice("cross-dataset", (("suite", "coop"),)),
    "dataset": "pets",
    "method": Choice("rpp", (("kd", False), ("length", 4))),
    "backbone": "other",
    "precision": "bf16",
    "seed": 2,
    "limit": 100,
    "training": replace(TRAINING, shots=4),
    "inputs": (("dataset:flowers", "cc34"),),
}
TRAINING_CHANGES = {
    "method": Choice("rpp", (("kd", True), ("length", 8))),
    "recipe": Choice("rpp-1", (("epochs", 5), ("lr", 0.003))),
    "source": "other",
    "classes": "all",
    "shots": 4,
    "seed": 2,
    "backbone": "other",
    "teacher": None,
    "precision": "bf16",
    "inputs": (),
    "start": TRAINING,
}


def test_a_start_that_is_none_is_no_part_of_a_key():
    """Records from before trainings had starts keep their keys."""
    tuned = replace(TRAINING, start=TRAINING)
    assert "start" not in plain(TRAINING)
    assert "start" not in plain(tuned)["start"]
    record = replace(OK, cell=replace(CELL, training=tuned))
    assert Record.from_json(through_json(record)) == record
    earlier = through_json(OK)
    del earlier["cell"]["training"]["start"]
    content = {name: value for name, value in earlier.items() if name != "digest"}
    assert Record.from_json({**content, "digest": digest(content)}) == OK


def test_the_key_of_a_cell_changes_with_every_field():
    assert set(CHANGES) == {field.name for field in fields(Cell)}
    keys = {replace(CELL, **{name: value}).key for name, value in CHANGES.items()}
    assert len(keys | {CELL.key}) == len(CHANGES) + 1


def test_the_key_of_a_training_changes_with_every_field_and_so_does_its_cells():
    assert set(TRAINING_CHANGES) == {field.name for field in fields(Training)}
    changed = [replace(TRAINING, **{name: value}) for name, value in TRAINING_CHANGES.items()]
    assert len({training.key for training in (*changed, TRAINING)}) == len(changed) + 1
    cells = {replace(CELL, training=training).key for training in (*changed, TRAINING)}
    assert len(cells) == len(changed) + 1


def test_comparability_changes_with_everything_but_method_training_and_seed():
    for name, value in CHANGES.items():
        same = replace(CELL, **{name: value}).comparability == CELL.comparability
        assert same == (name in ("method", "training", "seed")), name


def test_a_record_of_a_later_schema_or_with_a_changed_number_is_refused():
    data = through_json(OK)
    with pytest.raises(ValueError, match=r"schema 2 is newer .* upgrade rppbench"):
        Record.from_json({**data, "schema": 2})
    data["scores"][0]["value"] = 99.9
    with pytest.raises(ValueError, match="digest"):
        Record.from_json(data)


@pytest.mark.parametrize("total", [0, 1, 7, 8, 9, 64, 10_001])
def test_outcomes_survive_packing_and_read_as_numpy_packs_bits(total):
    right = [random.Random(total).random() < 0.7 for _ in range(total)]
    text = pack_outcomes(right)
    assert unpack_outcomes(text, total) == right
    expected = np.packbits(np.array(right, dtype=bool)).tobytes()
    assert zlib.decompress(base64.b64decode(text)) == expected
    assert len(text) <= 4 * math.ceil((total / 8 + 32) / 3) + 4


@pytest.mark.parametrize("text", ["", "!!", "AAAA", pack_outcomes([True] * 9)])
def test_damaged_outcomes_are_a_value_error(text):
    with pytest.raises(ValueError, match=r".+"):
        unpack_outcomes(text, 8)


def test_outcomes_of_more_images_than_asked_for_are_refused():
    with pytest.raises(ValueError, match="more than 5"):
        unpack_outcomes(pack_outcomes([True] * 8), 5)
