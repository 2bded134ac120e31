"""`rppbench score`: results of other programs against pycocotools and by hand; what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from support.detections import RandomDetectionSet

from rppbench.cli import main
from rppbench.contracts.regions import IGNORED
from rppbench.errors import UsageError
from rppbench.files import rle
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench_datasets.detection import Objects
from rppbench_datasets.scenes import Scenes
from rppbench_datasets.segmentation.coco_stuff import CocoStuff
from rppbench_tasks.box_results import BoxResults, scores
from rppbench_tasks.segmenting import map_results

SCENES = 8


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Scenes, "count", SCENES)
    monkeypatch.chdir(tmp_path)


def boxes(seed: int = 0) -> list[dict[str, Any]]:
    """Boxes near those of the scenes, a third of them under another name; none on the last one."""
    data, draw, rows = Objects(), np.random.default_rng(seed), []
    ids = data.category_ids()
    images = zip(data.samples("test")[:-1], data.image_ids("test"), strict=False)
    for sample, number in images:
        for instance in data.instances(sample):
            edges = np.maximum(np.array(instance.box) + draw.normal(0, 2, 4), 1).round(3)
            right = draw.random() < 0.7
            label = instance.label if right else int(draw.integers(len(ids)))
            mask = np.roll(np.asarray(instance.mask), int(draw.integers(4)), 1)
            rows.append(
                {
                    "image_id": number,
                    "category_id": ids[label],
                    "bbox": edges.tolist(),
                    "score": round(float(draw.random()), 4),
                    "segmentation": rle.encode(mask),
                }
            )
    return rows


def maps(seed: int = 0) -> dict[str, Any]:
    """The scenes' label maps with a quarter of the rows under another name, by file name."""
    data, draw, maps = Scenes(), np.random.default_rng(seed), {}
    for sample in data.samples("test"):
        labels = data.label_map(sample).copy()
        labels[labels == IGNORED] = 5
        labels[::4] = draw.integers(len(data.classes))
        maps[data.stem(sample)] = labels
    return maps


def as_detectron(predicted: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "file_name": f"datasets/scenes/images/{name}.png",
            "category_id": int(label),
            "segmentation": rle.encode(labels == label),
        }
        for name, labels in predicted.items()
        for label in np.unique(labels)
    ]


def only(task: str) -> Record:
    records, problems = Store(Path("runs")).all()
    assert not problems
    (record,) = [record for record in records if record.cell.task.name == task]
    return record


def coco(words: str, results: Path) -> list[float]:
    """What pycocotools says of a results file on the exported scenes.

    Masks go without their boxes, as detectron2 gives them: their size is their own area then.
    """
    truth, rows = COCO("scenes/instances.json"), json.loads(results.read_text())
    if words == "segm":
        for row in rows:
            del row["bbox"]
    compared = COCOeval(truth, truth.loadRes(rows), words)
    compared.evaluate()
    compared.accumulate()
    compared.summarize()
    return [100 * float(value) for value in compared.stats[:5]]


def test_boxes_and_masks_of_a_file_score_as_pycocotools_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["export-coco", "demo-2-objects", "--to", "scenes"]) == 0
    Path("boxes.json").write_text(json.dumps(boxes()))
    words = ["--task", "detection", "--dataset", "demo-2-objects", "--variant", "Detic + RPP"]
    facts = ["--origin", "Detic at commit 1", "--note", "trained on LVIS", "--backbone", "ViT-B/16"]
    assert main(["score", "boxes.json", *words, *facts]) == 0
    assert "1 of 8 images have no entry" in capsys.readouterr().err
    record = only("detection")
    values = {score.metric: score.value for score in record.scores}
    for prefix, kind in (("", "bbox"), ("mask_", "segm")):
        ours = [values[prefix + name] for name in ("AP", "AP50", "AP75", "APs", "APm")]
        assert ours == pytest.approx(coco(kind, Path("boxes.json")), abs=1e-3)
        assert 20 < values[f"{prefix}AP50"] < 80
    assert record.metric == "AP50"
    assert record.environment["imported file"] == "boxes.json"
    assert len(record.environment["imported sha256"]) == 64
    assert record.environment["origin"] == "Detic at commit 1"
    assert record.environment["note"] == "trained on LVIS"
    assert ("imported", "predictions") in record.cell.inputs


def test_masks_without_boxes_have_the_boxes_around_them() -> None:
    listed = boxes()
    for entry in listed:
        del entry["bbox"]
    Path("masks.json").write_text(json.dumps(listed))
    results = scores(Objects(), Path("masks.json"), lambda a, b: None, lambda text: None)
    values = {score.metric: score.value for score in results}
    assert values["AP50"] > 20
    assert values["mask_AP50"] > 20


def test_label_maps_score_the_same_from_json_and_png_and_as_counted_by_hand() -> None:
    predicted, data = maps(), Scenes()
    Path("sem_seg_predictions.json").write_text(json.dumps(as_detectron(predicted)))
    Path("png").mkdir()
    for name, labels in predicted.items():
        Image.fromarray(labels.astype(np.uint8)).save(f"png/{name}.png")
    words = ["--task", "segmentation", "--dataset", "demo-2-scenes", "--variant"]
    assert main(["score", "sem_seg_predictions.json", *words, "ZSSeg", "--seed", "1"]) == 0
    record = only("segmentation")
    values = {score.metric: score.value for score in record.scores}
    folder = map_results.scores(data, Path("png"), lambda done, total: None, print)
    assert {score.metric: score.value for score in folder} == values
    truth = np.stack([data.label_map(sample) for sample in data.samples("test")])
    guess = np.stack([predicted[data.stem(sample)] for sample in data.samples("test")])
    scored = truth != IGNORED
    assert values["pixel_accuracy"] == pytest.approx(100 * (truth == guess)[scored].mean())
    ious = []
    for label in range(len(data.classes)):
        one, two = (truth == label)[scored], (guess == label)[scored]
        if (one | two).any():
            ious.append((one & two).sum() / (one | two).sum())
    assert values["miou"] == pytest.approx(100 * np.mean(ious))


def test_options_that_scoring_reads_are_part_of_the_cell_and_others_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    predicted = maps()
    Path("maps.json").write_text(json.dumps(as_detectron(predicted)))

    def scored(task: str) -> int:
        words = ["--dataset", "demo-2-scenes", "--variant", "ZSSeg"]
        return main(["score", "maps.json", "--task", task, *words])

    assert scored("segmentation") == 0
    usual = only("segmentation")
    assert usual.cell.task.options == (("suite", "demo-2"),)
    assert scored("segmentation:absent=count") == 0
    assert only("segmentation").key == usual.key, "the default is no option"
    assert scored("segmentation:absent=skip") == 0
    records, _ = Store(Path("runs")).all()
    (skipped,) = [record for record in records if record.key != usual.key]
    assert skipped.cell.task.options == (("absent", "skip"), ("suite", "demo-2"))
    expected = map_results.scores(
        Scenes(), Path("maps.json"), lambda done, total: None, print, "skip"
    )
    values = {score.metric: score.value for score in skipped.scores}
    assert values == {score.metric: score.value for score in expected}
    assert values["miou"] > {score.metric: score.value for score in usual.scores}["miou"]
    capsys.readouterr()
    for task, message in [
        ("segmentation:threshold=0.4", "option 'threshold' .* options that do: absent"),
        ("segmentation:absnt=skip", "did you mean 'absent'"),
        ("segmentation:absent=never", "absent"),
        ("detection:suite=coop", r"option 'suite' .* options that do: \(none\)"),
    ]:
        assert scored(task) == 2
        assert re.search(message, capsys.readouterr().err)
    assert len(Store(Path("runs")).all()[0]) == 2


def test_imported_predictions_stand_apart_and_seeds_make_one_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--task", "detection", "--dataset", "demo-2-objects", "--variant"]
    for seed in (1, 2):
        for variant, extra in (("POMP", 0), ("RPP", 10)):
            path = Path(f"{variant}-{seed}.json")
            path.write_text(json.dumps(boxes(seed + extra)))
            assert main(["score", str(path), *words, variant, "--seed", str(seed)]) == 0
    page = Path("runs/detection.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| POMP")]
    assert "imported predictions" in row
    assert row.endswith("| 2 | – | – |")
    assert main(["report", "--output", "runs", "--to", "site"]) == 0
    drawers = Path("site/rows-detection.js").read_text()
    assert '["imported", "predictions"]' in drawers or '["imported","predictions"]' in drawers
    capsys.readouterr()
    assert main(["compare", "POMP", "RPP", "--output", "runs"]) == 0
    assert "RPP" in capsys.readouterr().out
    assert main(["score", "RPP-1.json", *words, "POMP", "--seed", "1"]) == 1
    assert "--variant or --seed" in capsys.readouterr().err
    assert main(["score", "POMP-1.json", *words, "POMP", "--seed", "1"]) == 0  # the same again


def test_what_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.json").write_text("[]")
    for words, message in [
        (["no.json", "detection", "demo-2-objects", "A"], "nothing is at no.json"),
        (["x.json", "detectoin", "demo-2-objects", "A"], "did you mean 'detection'"),
        (["x.json", "detection", "demo-objcts", "A"], "did you mean 'demo-2-objects'"),
        (["x.json", "few-shot", "demo-2-objects", "A"], "reads no files of predictions"),
        (["x.json", "detection", "demo-2-animals", "A"], "no boxes to find"),
        (["x.json", "segmentation", "demo-2-animals", "A"], "no label maps"),
        (["x.json", "detection", "demo-2-objects", " "], "1 to 80 characters"),
        (["x.json", "segmentation", "demo-2-scenes", "A"], "no prediction for 8 of 8 images"),
    ]:
        path, task, data, variant = words
        asked = ["score", path, "--task", task, "--dataset", data, "--variant", variant]
        assert main(asked) == 2
        assert message in capsys.readouterr().err
    assert not Path("runs").exists()


# --- files that are not as they must be -----------------------------------------------------------

GOOD: dict[str, Any] = {"image_id": 103, "category_id": 7, "bbox": [1, 2, 30, 40], "score": 0.5}
MASK = rle.encode(np.eye(200, dtype=bool))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 104}, "entry 2: no image of 'made' has the id 104"),
        ({"image_id": "103"}, "'image_id' is not an integer"),
        ({"category_id": 3}, "no class of 'made' has the id 3; .* from 1 to 40"),
        ({"bbox": [1, 2, -3, 4]}, "'bbox' is not"),
        ({"bbox": [1, 2, 3]}, "'bbox' is not"),
        ({"score": "high"}, "'score' is not a number"),
        ({"score": float("nan")}, "'score' is not a number"),
        ({}, "entries 1 and 2 are the same detection"),
        ({"segmentation": MASK}, "others have none"),
        ({"segmentation": {"size": [200, 200]}}, "a mask must be"),
        ({"segmentation": {"size": [200, 200], "x": 1}}, "a mask must be"),
        ({"segmentation": {**MASK, "size": [20, 20]}}, "does not fit"),
        ({"segmentation": {**MASK, "counts": MASK["counts"][:-1]}}, "mask"),
    ],
)
def test_a_wrong_detection_is_named(change: dict[str, Any], message: str) -> None:
    Path("x.json").write_text(json.dumps([GOOD, {**GOOD, **change}]))
    with pytest.raises(UsageError, match=message):
        BoxResults(RandomDetectionSet(), Path("x.json"), print)


@pytest.mark.parametrize("text", ["", "[", "{}}", "[1]", "[null]", '{"a": 1', "[" * 9000])
def test_a_broken_file_is_named(text: str) -> None:
    Path("x.json").write_text(text)
    with pytest.raises(UsageError, match=r"x\.json"):
        BoxResults(RandomDetectionSet(), Path("x.json"), print)
    with pytest.raises(UsageError, match=r"x\.json"):
        list(map_results.scores(Scenes(), Path("x.json"), lambda done, total: None, print))


Change = Callable[[list[dict[str, Any]]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop(), "no prediction for 1 of 8 images of 'demo-2-scenes': 000007"),
        (lambda rows: rows.append(rows[0]), "'000000' occurs again"),
        (lambda rows: rows.insert(1, rows[0]), "a pixel of image '000000' has two classes"),
        (lambda rows: rows[0].update(category_id=60), "id 60; ids go from 0 to 59"),
        (lambda rows: rows[0].update(file_name="a/17.jpg"), "'a/17.jpg' is not one of the test"),
        (lambda rows: rows[0].update(file_name=3), "'file_name' is not a text"),
        (lambda rows: rows[0].update(segmentation=None), "entry 1: a mask must be"),
        (lambda rows: rows[0]["segmentation"].update(size=[9, 9]), "entry 1: .* does not fit"),
    ],
)
def test_a_wrong_label_map_is_named(change: Change, message: str) -> None:
    rows = as_detectron({name: np.full_like(labels, 2) for name, labels in maps().items()})
    change(rows)
    Path("x.json").write_text(json.dumps(rows))
    with pytest.raises(UsageError, match=message):
        list(map_results.scores(Scenes(), Path("x.json"), lambda done, total: None, print))


def test_a_wrong_png_is_named() -> None:
    Path("png").mkdir()
    for name, labels in maps().items():
        Image.fromarray(labels.astype(np.uint8)).save(f"png/{name}.png")
    for wrong, message in [
        (Image.new("L", (144, 144), 60), "label 60 is not one of the 60 classes"),
        (Image.new("L", (9, 9)), "not one number for each"),
        (Image.new("RGB", (144, 144)), "has mode RGB"),
    ]:
        wrong.save("png/000003.png")
        with pytest.raises(UsageError, match=rf"000003\.png: .*{message}"):
            list(map_results.scores(Scenes(), Path("png"), lambda done, total: None, print))
    Image.new("L", (144, 144), 255).save("png/000003.png")  # no class anywhere: misses, no error
    assert list(map_results.scores(Scenes(), Path("png"), lambda done, total: None, print))


def test_results_of_coco_stuff_have_its_ids_with_gaps() -> None:
    numbers = CocoStuff.result_ids(CocoStuff.__new__(CocoStuff))  # it needs no data
    ids = dict(zip(numbers, CocoStuff.vocabulary(), strict=True))
    assert (ids[1], ids[90], ids[92], ids[182]) == ("person", "toothbrush", "banner", "wood")
    assert len(ids) == 171
    assert 12 not in ids
