"""`rppbench import dassl` and `clip-benchmark`: files that become records, and refused files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rppbench.cli import main
from rppbench.importers.runs import clip_benchmark_records, dassl_records
from rppbench.leaderboard.build import build
from rppbench.records.codec import encode
from rppbench.records.store import Store

LOG = """***************
** Arguments **
***************
config_file: configs/trainers/CoOp/vit_b16_ep50.yaml
eval_only: False
root: /home/someone/data
************
** Config **
************
DATALOADER:
  TRAIN_X:
    BATCH_SIZE: 32
DATASET:
  NAME: Caltech101
  NUM_SHOTS: 16
  SUBSAMPLE_CLASSES: all
MODEL:
  BACKBONE:
    NAME: ViT-B/16
OPTIM:
  LR: 0.002
SEED: 2
TRAINER:
  COOP:
    CTX_INIT: a photo of a
    N_CTX: 4
    PREC: fp16
  NAME: CoOp
Collecting env info ...
Evaluate on the *val* set
=> result
* total: 400
* correct: 10
* accuracy: 2.5%
Evaluate on the *test* set
=> result
* total: 2,465
* correct: 2,268
* accuracy: 92.0%
* error: 8.0%
"""
RESULT = {
    "dataset": "wds/cars",
    "model": "ViT-B-32",
    "pretrained": "openai",
    "task": "zeroshot_classification",
    "metrics": {"acc1": 4800 / 8041},
    "language": "en",
}


def test_a_log_becomes_a_cell_with_counts_seed_and_provenance(tmp_path: Path) -> None:
    path = tmp_path / "caltech101" / "seed2" / "log.txt"
    path.parent.mkdir(parents=True)
    path.write_text(LOG)
    (record,), problems = dassl_records(tmp_path)
    assert problems == []
    cell, score = record.cell, record.score()
    assert score is not None
    assert (score.correct, score.total, score.value) == (2268, 2465, 100 * 2268 / 2465)
    assert (cell.dataset, cell.seed, cell.backbone) == ("caltech101", 2, "ViT-B-16/openai")
    assert (cell.task.name, cell.task["shots"], cell.precision) == ("few-shot", 16, "fp16")
    assert cell.method.options == (("ctx_init", "a photo of a"), ("n_ctx", "4"))
    assert cell.training is not None
    assert cell.training.recipe.name == "vit_b16_ep50"
    assert dict(cell.training.recipe.options)["optim.lr"] == "0.002"
    assert record.environment["imported file"] == "caltech101/seed2/log.txt"
    assert b"someone" not in encode(record)
    (table,) = build([record])
    assert table.rows[0].label == "CoOp, imported from Dassl log"
    assert ("imported", "Dassl log") in table.setting


def evaluation_log(folder: str, name: str, half: str = "all") -> str:
    """A log that scores the prompts of the run in `folder`, as the scripts of CoOp write it."""
    log = LOG.replace("eval_only: False", f"eval_only: True\nmodel_dir: output/{folder}")
    return log.replace("NAME: Caltech101", f"NAME: {name}").replace(
        "CLASSES: all", f"CLASSES: {half}"
    )


REFUSED = {
    "unfinished": (LOG.partition("Evaluate on the *val*")[0], "was the run finished?"),
    "cut off": (LOG.partition("* correct: 2,268")[0], "was the run finished?"),
    "a half": (LOG.replace("CLASSES: all", "CLASSES: base"), "no log here has the new half"),
    "trained on the new half": (LOG.replace("CLASSES: all", "CLASSES: new"), "trained on the new"),
    "a part": (
        LOG.replace("CLASSES: all", "CLASSES: third"),
        "'third', not one of all, base and new",
    ),
    "a shift that was learned on": (LOG.replace("Caltech101", "ImageNetA"), "no training images"),
    "no seed": (LOG.replace("SEED: 2", "SEED: -1"), "has no seed"),
    "of another run": (LOG.replace("eval_only: False", "eval_only: True"), "of another run"),
    "of an unknown set": (
        evaluation_log("pets_things", "Caltech101"),
        "does not say that all classes",
    ),
    "of half of ImageNet": (
        evaluation_log("train_base/imagenet", "Caltech101"),
        "does not say that all",
    ),
    "of another seed": (
        evaluation_log("imagenet/seed3", "Caltech101"),
        "SEED is 2, but the prompts are of",
    ),
    "half of another set": (
        evaluation_log("train_base/dtd", "Caltech101", "new"),
        "whose path does not say train_base and caltech101",
    ),
    "another set": (LOG.replace("Caltech101", "PACS"), "'PACS' is not one of"),
    "cut in a number": (LOG.partition(",268")[0], "was the run finished?"),
    "edited": (
        LOG.replace("2,268", "2,368"),
        "2368 of 2465 images are right, but 92.0% is printed",
    ),
    "impossible": (LOG.replace("2,268", "2,999"), "2999 of 2465 images is not a valid result"),
    "not a log": ("hello", "no configuration"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_log_that_gives_no_cell_is_listed_with_its_reason(tmp_path: Path, case: str) -> None:
    text, reason = REFUSED[case]
    (tmp_path / "log.txt").write_text(text)
    records, (problem,) = dassl_records(tmp_path)
    assert records == []
    assert reason in problem.reason


def test_two_halves_of_a_run_are_one_cell_of_base_to_new(tmp_path: Path) -> None:
    base = LOG.replace("CLASSES: all", "CLASSES: base")
    base = base.replace("2,268", "1,425").replace("2,465", "1,549")
    new = evaluation_log(
        "base2new/train_base/caltech101/shots_16/CoOp/vit_b16_ep50/seed2", "Caltech101"
    )
    new = (
        new.replace("CLASSES: all", "CLASSES: new")
        .replace("2,268", "916")
        .replace("2,465", "916")
        .replace("92.0", "100.0")
    )
    for half, text in (("train_base", base), ("test_new", new)):
        path = tmp_path / half / "caltech101" / "log.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (record,), problems = dassl_records(tmp_path)
    assert problems == []
    scores = {score.metric: (score.correct, score.total) for score in record.scores}
    assert scores == {"harmonic_mean": (None, None), "base": (1425, 1549), "new": (916, 916)}
    rates = 1425 / 1549, 1.0
    main = record.score()
    assert main is not None
    assert main.value == pytest.approx(200 * rates[0] * rates[1] / sum(rates))
    assert (record.cell.task.name, record.cell.dataset) == ("base-to-new", "caltech101")
    assert record.cell.training is not None
    assert (record.cell.training.source, record.cell.training.classes) == ("caltech101", "base")
    assert (
        record.environment["imported sha256 (new)"] != record.environment["imported sha256 (base)"]
    )
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "log.txt").write_text(new)
    records, problems = dassl_records(tmp_path)
    assert records == []
    assert [problem.reason.partition(";")[0] for problem in problems] == [
        "3 logs are of the same halves and seed"
    ] * 3


def test_a_log_of_another_number_of_images_is_refused(tmp_path: Path) -> None:
    part = LOG.replace("2,465", "2,400").replace("2,268", "2,208")
    (tmp_path / "log.txt").write_text(part)
    records, (problem,) = dassl_records(tmp_path)
    assert records == []
    assert problem.reason == "scores 2,400 images, but caltech101 has 2,465 test images"


def test_halves_that_are_not_all_test_images_are_refused(tmp_path: Path) -> None:
    folder = "base2new/train_base/caltech101/shots_16/CoOp/vit_b16_ep50/seed2"
    new = evaluation_log(folder, "Caltech101", "new")
    for name, text in (("a", LOG.replace("CLASSES: all", "CLASSES: base")), ("b", new)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.txt").write_text(text)
    records, problems = dassl_records(tmp_path)
    assert records == []
    reason = "both halves together score 4,930 images, but caltech101 has 2,465 test images"
    assert [problem.reason for problem in problems] == [reason, reason]


def test_a_fraction_that_is_not_a_count_of_the_known_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps({**RESULT, "metrics": {"acc1": 4800 / 8000.1}}))
    records, (problem,) = clip_benchmark_records(tmp_path)
    assert records == []
    assert "which is not a count out of 8,041 images" in problem.reason


@pytest.mark.parametrize(
    ("name", "task", "dataset", "total"),
    [
        ("OxfordPets", "cross-dataset", "oxford_pets", 3669),
        ("ImageNetSketch", "cross-domain", "imagenet_sketch", 50889),
        ("ImageNet", "few-shot", "imagenet", 50000),
    ],
)
def test_prompts_of_imagenet_scored_on_another_set_are_a_transfer_cell(
    tmp_path: Path, name: str, task: str, dataset: str, total: int
) -> None:
    text = evaluation_log("imagenet/CoOp/vit_b16_ep50_16shots/seed2", name)
    text = text.replace("SHOTS: 16", "SHOTS: -1").replace("2,465", f"{total:,}")
    text = text.replace("92.0", f"{100 * 2268 / total:.1f}")
    (tmp_path / "log.txt").write_text(text)
    (record,), problems = dassl_records(tmp_path)
    assert problems == []
    assert (record.cell.task.name, record.cell.dataset) == (task, dataset)
    assert record.cell.training is not None
    assert (record.cell.training.source, record.cell.training.shots) == ("imagenet", 16)
    assert record.labels["source"] == "ImageNet"
    score = record.score()
    assert score is not None
    assert (score.correct, score.total) == (2268, total)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, (4800, 8041)),
        ({"metrics": {"acc1": 0.597}}, (None, None)),  # rounded
        ({"dataset": "wds/vtab/pets"}, (None, None)),  # how many images is not known
    ],
)
def test_a_fraction_has_counts_only_where_it_is_exact(
    tmp_path: Path, change: dict[str, object], counts: tuple[int | None, int | None]
) -> None:
    (tmp_path / "one.json").write_text(json.dumps({**RESULT, **change}))
    (record,), _ = clip_benchmark_records(tmp_path)
    score = record.score()
    assert score is not None
    assert (score.correct, score.total) == counts


def test_imported_cells_share_no_table_with_measured_ones(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(LOG)
    (imported,), _ = dassl_records(tmp_path)
    inputs = (("dataset:caltech101", "imported"),)  # even if only this pair were missing
    measured = replace(imported, cell=replace(imported.cell, inputs=inputs))
    assert imported.cell.comparability != measured.cell.comparability
    assert len(build([imported, measured])) == 2


def test_the_result_on_the_test_images_counts_wherever_it_is_printed(tmp_path: Path) -> None:
    head, val, test = LOG.partition("Evaluate on the *val*")
    val, test = (val + test).split("Evaluate on the *test*")
    (tmp_path / "log.txt").write_text(f"{head}Evaluate on the *test*{test}{val}")
    (record,), _ = dassl_records(tmp_path)
    assert record.scores[0].total == 2465


def test_the_command_writes_records_lists_refused_files_and_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old").mkdir()
    Path("old/a.json").write_text(json.dumps(RESULT))
    Path("old/nan.json").write_text(json.dumps({**RESULT, "metrics": {"acc1": float("nan")}}))
    Path("old/cut.json").write_text("{")
    assert main(["import", "clip-benchmark", "old"]) == 1
    complaints = capsys.readouterr().err
    assert "old/nan.json: acc1 is nan, which is not a fraction" in complaints
    assert "old/cut.json: " in complaints
    assert "1 added" in complaints
    assert len(Store(Path("runs")).all()[0]) == 1
    Path("old/a.json").write_text(json.dumps({**RESULT, "metrics": {"acc1": 0.5}}))
    assert main(["import", "clip-benchmark", "old/a.json"]) == 1
    assert "conflict: " in capsys.readouterr().err
    assert main(["import", "dasl", "old"]) == 2
    assert "did you mean 'dassl'" in capsys.readouterr().err
    assert main(["import", "model.tar"]) == 2
    assert "needs --method, --model, --to" in capsys.readouterr().err
