"""`rppbench gallery`: pictures of boxes and label maps, the page, and refused cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import RunCommand
from support.detections import CLASSES, RandomDetectionSet

from rppbench import hookimpl
from rppbench.cli import main
from rppbench.contracts.regions import IGNORED, Comparison, Detections
from rppbench.reporting import gallery
from rppbench.reporting.gallery import GAP, LINE, PALETTE, PANEL, draw, matched
from rppbench_datasets.scenes import Scenes


class Boxes:
    @hookimpl
    def rppbench_datasets(self) -> list[type[RandomDetectionSet]]:
        return [RandomDetectionSet]


MORE = Boxes()


def detections(*rows: tuple[int, float, tuple[float, ...]]) -> Detections:
    """Detections from rows of (label, score, box)."""
    return Detections(
        np.array([box for *_, box in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([label for label, *_ in rows], np.int64),
    )


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(image).reshape(-1, 3).tolist()))


def panel(image: Image.Image, number: int) -> Image.Image:
    left = GAP + number * (PANEL + GAP)
    return image.crop((left, GAP + LINE, left + PANEL, GAP + LINE + PANEL))


def test_a_box_matches_one_true_box_of_its_class_that_none_before_has_matched() -> None:
    truth = detections((0, 1, (0, 0, 10, 10)), (0, 1, (1, 0, 10, 10)), (1, 1, (30, 30, 10, 10)))
    predicted = detections(
        (0, 0.9, (0, 0, 10, 10)),
        (0, 0.8, (0, 0, 10, 10)),  # overlaps the second thing by more than half
        (0, 0.7, (0, 0, 10, 10)),  # both are matched by now
        (0, 0.6, (30, 30, 10, 10)),  # another name
        (1, 0.5, (34, 34, 10, 10)),  # too far
    )
    assert matched(truth, predicted) == [True, True, False, False, False]
    assert matched(truth, detections()) == []
    assert matched(detections(), predicted) == [False] * 5


def test_as_many_boxes_as_things_are_drawn_in_the_colours_of_the_legend() -> None:
    image = Image.new("RGB", (100, 100), (200, 200, 200))
    truth = detections((4, 1, (10, 10, 40, 40)))
    predicted = detections((2, 0.3, (60, 60, 30, 30)), (4, 0.8, (11, 10, 40, 40)))
    picture = draw(Comparison("a", image, truth, predicted), CLASSES, [4])
    assert picture.caption == "1 of 1 objects found with the right class"
    assert PALETTE[0] in colours(panel(picture.image, 1))
    assert PALETTE[0] in colours(panel(picture.image, 2))
    assert PALETTE[1] not in colours(picture.image), "the worse box is not shown"
    assert colours(panel(picture.image, 0)) == {(200, 200, 200)}
    nothing = draw(Comparison("a", image, detections(), detections()), CLASSES, [])
    assert nothing.caption == "0 of 0 objects found with the right class"


def test_a_wrong_box_has_a_broken_line() -> None:
    image = Image.new("RGB", (100, 100), (200, 200, 200))
    truth = detections((4, 1, (10, 10, 80, 80)))
    counts = []
    for label in (4, 3):
        scene = Comparison("a", image, truth, detections((label, 0.5, (10, 10, 80, 80))))
        picture = draw(scene, ["x"] * 6, [])
        row = np.asarray(panel(picture.image, 2))[360]  # the lower edge
        counts.append(int((row == PALETTE[label == 3]).all(1).sum()))
    assert 0.4 * counts[0] < counts[1] < 0.6 * counts[0]


def test_label_maps_are_painted_where_they_are_scored() -> None:
    image = Image.new("RGB", (40, 20), (100, 100, 100))
    truth = np.full((20, 40), IGNORED, np.uint16)
    truth[:10, :25], truth[:10, 25:] = 3, 1
    predicted = np.full((20, 40), 3, np.uint16)
    predicted[:5, :10] = IGNORED
    picture = draw(Comparison("a", image, truth, predicted), CLASSES, [1])
    assert picture.caption == "50 % of the scored pixels have the right class"
    painted = [
        tuple(round(35 + 0.65 * part) for part in colour)
        for colour in (PALETTE[0], PALETTE[1], gallery.NO_CLASS)
    ]
    sheet = np.asarray(picture.image)
    top, height = GAP + LINE, PANEL // 2
    second, third = (
        sheet[top : top + height, left : left + PANEL]
        for left in (2 * GAP + PANEL, 3 * GAP + 2 * PANEL)
    )

    def near(pixel: object, expected: tuple[int, ...]) -> bool:
        return bool(np.abs(np.array(pixel, int) - expected).max() <= 1)

    assert near(second[20, 20], painted[0])
    assert near(second[20, 390], painted[1])
    assert near(third[20, 20], painted[2])
    assert near(third[20, 390], painted[0])
    assert near(second[190, 200], (100, 100, 100))
    assert near(third[190, 200], (100, 100, 100))


def test_two_predictions_stand_side_by_side_with_the_classes_that_changed() -> None:
    image = Image.new("RGB", (100, 100), (200, 200, 200))
    names = ["a", "b", "c", "d"]
    truth = np.repeat(np.array([[0, 1, 2]], np.uint16), 9, 0)
    before = np.where(truth == 2, 0, truth).astype(np.uint16)
    after = np.where(truth == 0, 3, truth).astype(np.uint16)
    scene = Comparison("x", Image.new("RGB", (3, 9)), truth, after)
    picture = draw(scene, names, [2], {"zeroshot": before, "coop": after})
    assert picture.caption == (
        "67 % of the scored pixels have the right class (zeroshot: 67 %; gained c (unseen), lost a)"
    )
    assert picture.image.width > draw(scene, names, []).image.width
    boxes = detections((0, 1, (0, 0, 40, 40)), (1, 1, (50, 50, 40, 40)))
    one, both = detections((0, 1, (0, 0, 40, 40))), detections(*[(0, 1, (0, 0, 40, 40))] * 2)
    predictions = {"zeroshot": one, "coop": boxes}
    picture = draw(Comparison("x", image, boxes, boxes), names, [], predictions)
    assert picture.caption == ("2 of 2 objects found with the right class (zeroshot: 1; gained b)")
    same = draw(Comparison("x", image, boxes, both), names, [], {"zeroshot": one, "coop": both})
    assert same.caption.endswith("(zeroshot: 1; nothing changed)")


def test_classes_beyond_the_palette_share_a_colour_and_the_legend_stays_within_the_sheet() -> None:
    names = [f"a rather long name of class {label}" for label in range(40)]
    truth = np.arange(40, dtype=np.uint16)[None].repeat(40, 0)
    picture = draw(Comparison("a", Image.new("RGB", (40, 40)), truth, truth), names, [])
    assert gallery.OTHERS in colours(picture.image)
    legend = np.asarray(picture.image)[GAP + LINE + PANEL + GAP :]
    assert (legend[:, -3:] == 255).all()
    assert (legend[-5:] == 255).all()


def test_scenes_of_both_tasks_become_a_page_and_are_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Scenes, "count", 4)
    monkeypatch.chdir(tmp_path)
    tasks = ("detection:proposals=true", "segmentation:proposals=regions")
    assert main(["run", "--method", "zeroshot", "--task", *tasks]) == 0
    assert main(["gallery", "zeroshot", "--to", "x"]) == 2
    assert "matches several cells; give --task" in capsys.readouterr().err
    for name in ("detection", "segmentation"):
        for folder in (f"{name}-1", f"{name}-2"):
            words = ("zeroshot", "--task", name, "--images", "2", "--to", folder)
            assert main(["gallery", *words]) == 0
        first, second = (
            {path.name: path.read_bytes() for path in Path(f"{name}-{n}").iterdir()} for n in (1, 2)
        )
        assert first == second
        assert sorted(first) == ["001.png", "002.png", "index.html"]
        text = first["index.html"].decode()
        assert "2 of 4 test scenes, evenly spaced" in text
        assert [text.index(f"test/{number}:") for number in (0, 2)]
        assert "Zero-shot CLIP" in text
    capsys.readouterr()
    assert main(["gallery", "zeroshot", "--task", "detection", "--to", "detection-1"]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    monkeypatch.setattr(Scenes, "count", 5)
    assert main(["gallery", "zeroshot", "--task", "detection", "--to", "other"]) == 2
    assert "dataset:demo-2-objects is not what" in capsys.readouterr().err


def test_a_learned_prompt_comes_from_the_run_and_is_not_trained_again(
    run_command: RunCommand,
) -> None:
    toy = ("--model", "tiny", "--set", "recipe.epochs=1", "--set", "source=toy")
    task = "detection:suite=toy,proposals=true"
    words = ("--method", "context", "--task", task, "cross-dataset:suite=toy", *toy)
    status, _, stderr = run_command("run", *words)
    assert status == 0, stderr
    status, _, stderr = run_command("gallery", "context", "--task", "detection", "--to", "page")
    assert status == 0, stderr
    assert len(list(Path("page").glob("*.png"))) == 12
    words = ("gallery", "context", "--task", "detection", "--images", "2")
    status, _, stderr = run_command(*words, "--beside", "fixed", "--to", "beside")
    assert status == 0, stderr
    assert "(fixed: " in Path("beside/index.html").read_text()
    status, _, stderr = run_command(*words, "--beside", "context:both=on", "--to", "no")
    assert status == 2
    assert "--beside takes a method without training; 'context' learns" in stderr
    status, _, stderr = run_command("gallery", "context", "--dataset", "toy-one", "--to", "no")
    assert status == 2
    assert "has no pictures to show" in stderr
    assert not Path("no").exists()
    assert run_command("gallery", "context", "--task", "few-shot", "--to", "no")[0] == 2
    for path in Path("runs/prompts").glob("*"):
        path.unlink()
    status, _, stderr = run_command("gallery", "context", "--task", "detection", "--to", "none")
    assert status == 2
    assert "no learned prompts in" in stderr
