"""The small network that proposes boxes in the embedded scenes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from rppbench.contracts.dataset import Sample
from rppbench.contracts.regions import UNLABELLED
from rppbench.errors import UsageError
from rppbench_datasets.scenes import Scenes
from rppbench_tasks.detection import Detection
from rppbench_tasks.proposing.boxes import overlaps
from rppbench_tasks.proposing.regions import Regions
from rppbench_tasks.proposing.small import MOST, OVERLAP, WEIGHTS, SmallProposer, network, proposed


def test_the_weights_are_small_and_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WEIGHTS.stat().st_size <= 2 * 2**20
    before = SmallProposer().identity()
    monkeypatch.setattr("rppbench_tasks.proposing.small.content_digest", lambda path: "other")
    assert SmallProposer().identity() != before


def test_it_covers_things_that_regions_of_colour_rank_below_the_background() -> None:
    data = Scenes()
    best: dict[str, int] = {"small": 0, "regions": 0}
    for number in range(4):  # validation scenes: the network did not learn from them
        sample = Sample(f"train/{number}", UNLABELLED)
        truth = np.array([one.box for one in data.instances(sample)], np.float32)
        for name, source in (("small", SmallProposer()), ("regions", Regions())):
            boxes, scores = source.find(sample, data.image(sample))
            assert (np.diff(scores) <= 0).all(), "best first"
            few = boxes[: len(truth)]
            shared = overlaps(np.concatenate([truth, few]))[: len(truth), len(truth) :]
            best[name] += int((shared >= 0.5).any(1).sum())
    assert best["small"] > best["regions"]


def test_boxes_of_any_image_are_in_its_pixels() -> None:
    made = network()
    large = Image.effect_noise((301, 90), 80).convert("RGB")
    boxes, scores = proposed(made, large)
    assert len(boxes) == len(scores) <= MOST
    assert overlaps(boxes)[~np.eye(len(boxes), dtype=bool)].max(initial=0) <= OVERLAP + 1e-6
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    assert (centres > -30).all()
    assert (centres < [331, 120]).all()
    assert boxes[:, 0].max() > 144, "not in those of the scaled image"
    assert len(proposed(made, Image.new("RGB", (3, 1)))[0]) <= MOST


def test_a_box_lies_where_the_network_says() -> None:
    class Known(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            height, width = pixels.shape[2] // 4, pixels.shape[3] // 4
            logits = torch.full((1, height, width), -9.0)
            logits[0, 10, 20] = 3
            distances = torch.tensor([10, 20, 30, 40.0]) / 144
            return logits, distances[None, :, None, None].expand(1, 4, height, width)

    boxes, scores = proposed(Known(), Image.new("RGB", (288, 288)))  # type: ignore[arg-type]
    # The centre (82, 42) of the scaled image, twice as large in the original.
    assert boxes[0].tolist() == pytest.approx([144, 44, 80, 120])
    assert scores[0] == pytest.approx(1 / (1 + np.exp(-3)))


def test_it_takes_no_path() -> None:
    with pytest.raises(UsageError, match="takes no path"):
        Detection(proposals="small", path="model")
