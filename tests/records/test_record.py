"""Records and what identifies them: lines, keys, the schema, and outcomes."""

import base64
import json
import math
import random
import re
import zlib
from dataclasses import fields, replace
from hashlib import sha256
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
import pytest
from msgspec import structs

from rppbench.records.cell import Cell, Choice, Training
from rppbench.records.codec import decode, encode
from rppbench.records.outcomes import PerImage, pack_outcomes, unpack_outcomes
from rppbench.records.record import INFERENCE, Cost, Failure, Record, Score
from rppbench.records.wire import (
    WireCell,
    WireChoice,
    WireCost,
    WireFailure,
    WireRecord,
    WireScore,
    WireTraining,
)

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
        Score("top1", 200 / 3, 2, 3, PerImage.of([True, False, True])),
        Score("per_class", 61.25, total=3),
    ),
    cost=Cost(12.5, 0.25, 10**9, 4096, 100, True),
    labels={"method": "RPP-SAPL", "dataset": "Flowers"},
    training_log=({"epoch": 1, "loss": 0.1, "lr": 1e-05},),
    environment={"torch": "2.13.0"},
    started="2026-01-02T03:04:05+00:00",
    finished="2026-01-02T03:04:18+00:00",
)
KEYS = ("dded9e2d195e", "af6de522cb81", "57b08ff94f9f")
FAILED = replace(
    OK, status="failed", scores=(), failure=Failure("oom", "out of memory", "trace"), metric=""
)
VERIFIED = replace(OK, contents={"flowers:test": "ab12", "flowers:classes": "cd34"})
TUNED = replace(OK, cell=replace(CELL, training=replace(TRAINING, start=TRAINING)))
UNTRAINED = replace(OK, cell=replace(CELL, training=None, method=Choice("zeroshot")))


def as_json(record: Record) -> dict[str, Any]:
    return json.loads(encode(record))


CODED = replace(OK, code={"method:mine": "0123456789abcdef", "dataset:mine": "fedcba9876543210"})


LIVE = replace(OK, cost=replace(OK.cost, flops_per_image=10**10, images_per_second=81.5))
CONFIDENT = replace(OK, confidence="0123456789abcdef")


RETRIED = replace(OK, earlier=(Failure("WorkerDied", "SIGKILL"), Failure("oom", "no", "at 1")))


@pytest.mark.parametrize(
    "record",
    [OK, FAILED, UNTRAINED, TUNED, VERIFIED, CODED, LIVE, CONFIDENT, RETRIED],
    ids=lambda one: one.key,
)
def test_a_record_survives_its_line_and_fits_the_schema(record: Record) -> None:
    line = encode(record)
    assert b"\n" not in line
    VALIDATOR.validate(json.loads(line))
    again = decode(line)
    assert again == record
    assert encode(again) == line
    # Keys that reading leaves behind are those that the fields give.
    anew = replace(again.cell, training=again.cell.training and replace(again.cell.training))
    assert anew.key == again.key == record.key
    assert anew.comparability == again.cell.comparability == record.cell.comparability
    if anew.training and again.cell.training:
        assert anew.training.key == again.cell.training.key


def test_what_a_person_looks_for_stands_first() -> None:
    names = list(as_json(OK))
    assert names[:7] == ["key", "method", "dataset", "seed", "metric", "value", "status"]
    assert names[-2:] == ["per_image", "digest"]
    assert as_json(OK)["cell"]["method"]["options"] == {"kd": True, "length": 4}
    assert as_json(FAILED)["value"] is None
    assert "contents" not in as_json(OK)
    assert list(as_json(VERIFIED))[-6:-4] == ["contents", "environment"]


def test_digests_of_code_are_no_part_of_the_key_and_absent_without_any() -> None:
    assert "code" not in as_json(OK)
    assert CODED.key == OK.key
    assert as_json(CODED)["code"] == CODED.code


def test_a_draw_is_part_of_the_line_and_the_key_only_where_there_is_one() -> None:
    assert "draw" not in as_json(OK)["cell"]["training"]
    training = OK.cell.training
    assert training is not None
    drawn = replace(OK, cell=replace(OK.cell, training=replace(training, draw="long-tail:10")))
    assert decode(encode(drawn)) == drawn
    assert decode(encode(drawn)).key == drawn.key != OK.key
    data = as_json(drawn)
    assert data["cell"]["training"]["draw"] == "long-tail:10"
    VALIDATOR.validate(data)


def test_earlier_failures_are_kept_and_absent_without_any() -> None:
    assert "earlier" not in as_json(OK)
    assert RETRIED.key == OK.key
    assert [one["kind"] for one in as_json(RETRIED)["earlier"]] == ["WorkerDied", "oom"]
    assert RETRIED.measured() == OK.measured()


def test_the_reason_of_a_failure_names_the_log_of_its_worker() -> None:
    assert OK.reason == ""
    assert FAILED.failure is not None
    assert FAILED.reason == FAILED.failure.message
    logged = replace(FAILED, environment={"log": "engine/run/logs/w0.log"})
    assert logged.reason == f"{FAILED.failure.message}\nlog: engine/run/logs/w0.log"


def test_the_schema_is_itself_a_schema_and_refuses_what_is_not_in_it() -> None:
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)
    data = as_json(VERIFIED)
    assert not VALIDATOR.is_valid({**data, "surprise": 1})
    assert not VALIDATOR.is_valid({**data, "contents": {}})
    for name in data.keys() - {"contents"}:
        assert not VALIDATOR.is_valid({k: v for k, v in data.items() if k != name}), name
    assert not VALIDATOR.is_valid({**data, "status": "failed"})
    assert not VALIDATOR.is_valid({**data, "scores": []})
    cell = {**data["cell"], "surprise": 1}
    assert not VALIDATOR.is_valid({**data, "cell": cell})


def test_the_schema_names_every_field_of_every_part_in_the_order_of_the_line() -> None:
    assert list(VALIDATOR.schema["properties"]) == list(WireRecord.__struct_fields__)
    defined = VALIDATOR.schema["$defs"]
    for name, kind in {
        "training": WireTraining,
        "cell": WireCell,
        "score": WireScore,
        "cost": WireCost,
        "failure": WireFailure,
        "choice": WireChoice,
    }.items():
        assert set(defined[name]["properties"]) == set(kind.__struct_fields__)
        optional = {"draw", *INFERENCE}  # left out where empty
        assert set(defined[name]["required"]) == set(kind.__struct_fields__) - optional
    for kind, wire in ((Training, WireTraining), (Cell, WireCell), (Cost, WireCost)):
        assert {field.name for field in fields(kind)} == set(wire.__struct_fields__)


def sealed(data: dict[str, Any]) -> bytes:
    """A line whose digest is right, whatever it holds."""
    body = json.dumps({n: v for n, v in data.items() if n != "digest"}, separators=(",", ":"))
    head = body.encode()[:-1]
    return head + b',"digest":"' + sha256(head).hexdigest()[:12].encode() + b'"}'


def changed(data: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    if head.isdigit():
        assert isinstance(data, list)
        return [changed(v, rest, value) if i == int(head) else v for i, v in enumerate(data)]
    return {**data, head: changed(data[head], rest, value) if rest else value}


WRONG = {
    "a wrong type": ("scores.0.value", "high", "Expected `float`, got `str`"),
    "a wrong type in a training": ("cell.training.shots", "many", "Expected `int`, got `str`"),
    "an option that is a list": ("cell.method.options", [["kd", True]], "Expected `object`"),
    "a word for a word's object": ("environment", "here", "Expected `object`, got `str`"),
    "null for a number": ("cost.steps", None, "Expected `int`, got `null`"),
    "an unknown field": ("cost.colour", "red", "unknown field `colour`"),
    "another status": ("status", "perhaps", "Invalid enum value 'perhaps'"),
    "another schema": ("schema", "2", "unknown record schema '2'"),
    "another key": ("key", "0" * 12, "'key' is '000000000000', but"),
    "another method": ("method", "coop", "'method' is 'coop', but 'rpp' by its cell"),
    "another data set": ("dataset", "pets", "'dataset' is 'pets', but 'flowers'"),
    "another seed": ("seed", 2, "'seed' is 2, but 1"),
    "another metric": ("metric", "per_class", "'value' is 66.6"),
    "another value": ("value", 99.0, "'value' is 99.0, but 66.6"),
    "another task": ("task", "few-shot", "'task' is 'few-shot', but 'cross-dataset'"),
    "another training": ("training_key", None, "'training_key' is None, but"),
    "another comparability": ("comparability", "0" * 12, "'comparability' is '000000000000', but"),
    "a cell that its key is not of": ("cell.limit", 5, "'key' is"),
    "no score, yet ok": ("scores", [], "but no such score"),
    "outcomes of no score": ("per_image", {"top9": {}}, "has outcomes of top9, but no such score"),
    "failed with a score": ("status", "failed", "a record that is ok has scores"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_type_or_a_contradiction_behind_a_right_digest_is_a_value_error(what: str) -> None:
    path, value, message = WRONG[what]
    assert decode(sealed(as_json(OK))) == OK
    with pytest.raises(ValueError, match=re.escape(message)):
        decode(sealed(changed(as_json(OK), path, value)))


def test_outcomes_are_covered_by_the_digest_but_not_looked_into_on_reading() -> None:
    line = encode(OK)
    with pytest.raises(ValueError, match="digest"):
        decode(line.replace(b'"outcomes":"', b'"outcomes":"A'))
    odd = decode(sealed(changed(as_json(OK), "per_image.top1", {"outcomes": 7})))
    score = odd.score()
    assert score is not None
    with pytest.raises(ValueError, match="Expected `str`, got `int`"):
        score.outcomes()


def test_two_scores_of_one_name_cannot_both_keep_their_outcomes() -> None:
    twice = replace(OK, scores=(OK.scores[0], structs.replace(OK.scores[0], value=1.0)))
    with pytest.raises(ValueError, match="two scores are named 'top1'"):
        encode(twice)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_word_for_is_refused_wherever_it_stands(number: float) -> None:
    option = Choice("rpp", (("weight", number),))
    for record in (
        replace(OK, scores=(Score("top1", number),)),
        replace(OK, training_log=({"loss": number},)),
        replace(OK, cost=Cost(train_seconds=number)),
        replace(OK, cell=replace(CELL, method=option)),
    ):
        with pytest.raises(ValueError, match="is not a measurement"):
            encode(record)


def test_numbers_of_numpy_are_numbers() -> None:
    value = np.float64(1) / 3
    record = replace(OK, scores=(Score("top1", value),), training_log=({"loss": value},))
    assert decode(encode(record)) == record


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
    "draw": "long-tail:10",
}


def test_keys_are_what_they_were() -> None:
    """A change here means that stored records are lost: it needs a schema and an upgrade."""
    assert (TRAINING.key, CELL.key, CELL.comparability) == KEYS


def test_options_of_other_types_are_other_cells() -> None:
    kinds = (1, 1.0, True, "1")
    keys = {replace(CELL, method=Choice("rpp", (("length", kind),))).key for kind in kinds}
    assert len(keys) == len(kinds)


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


def test_a_record_of_a_later_schema_or_with_a_changed_number_is_refused() -> None:
    line = encode(OK)
    with pytest.raises(ValueError, match=r"schema 3 is newer .* reads up to 2; upgrade rppbench"):
        decode(line.replace(b'"schema":2', b'"schema":3'))
    with pytest.raises(ValueError, match="digest"):
        decode(line.replace(b"61.25", b"99.9"))


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


@pytest.mark.parametrize(
    "per_image",
    [PerImage.of([True, False, True], ["a", "a", "b"], "drawing"), PerImage.left_out([9.0, 11.0])],
)
def test_groups_and_the_influence_of_images_fit_the_schema(per_image: PerImage) -> None:
    counted = (2, 3) if per_image.influence() is None else (None, None)
    value = 200 / 3 if counted[1] else 10.0
    record = replace(OK, scores=(Score(OK.metric, value, *counted, per_image),))
    line = encode(record)
    VALIDATOR.validate(json.loads(line))
    assert decode(line) == record
