"""Segmentation as ZSSeg and MaskCLIP compute it, against their equations written out."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from support.toy_data import Maps, Things
from torch import Tensor

from rppbench.contracts import Bench
from rppbench.contracts.regions import IGNORED, SegmentationSet
from rppbench.errors import UsageError
from rppbench_tasks.detection import Detection
from rppbench_tasks.proposing.masks import SoftMask
from rppbench_tasks.segmentation import Segmentation
from rppbench_tasks.segmenting.dense import DenseHead
from rppbench_tasks.segmenting.mean_iou import Confusion
from rppbench_tasks.segmenting.two_stage import Settings, TwoStageHead
from rppbench_tasks.segmenting.words import similarities, words_of

SIDE, WIDTH, SCALE = 24, 8, 30.0
MEAN, STD = torch.tensor([0.48, 0.46, 0.41]), torch.tensor([0.27, 0.26, 0.28])
NAMES = ["cat", "dog", "sky", "sea"]


def normalised(image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    return (pixels - MEAN[:, None, None]) / STD[:, None, None]


class Tower:
    """A linear tower whose features depend on every pixel; its prompt is another projection."""

    image_size, patch_size, mean_colour = SIDE, 8, (122, 117, 105)

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randn(2, 3 * SIDE * SIDE, WIDTH, generator=generator)

    def pixels(self, image: Image.Image) -> Tensor:
        return normalised(image)

    def encode(self, images: Any, *, prompted: bool = True) -> Tensor:
        rows = torch.stack([image.flatten() for image in images])
        return F.normalize(rows @ self.weights[int(prompted)], dim=-1)

    def patches(self, images: Sequence[Image.Image]) -> Tensor:
        cells = normalised(images[0]).unfold(1, 8, 8).unfold(2, 8, 8)  # (3, rows, columns, 8, 8)
        rows = cells.permute(1, 2, 0, 3, 4).flatten(2)
        return F.normalize(rows @ self.weights[0, : rows.shape[-1]], dim=-1)[None]


class Texts:
    scale, bias = SCALE, None

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.rows: dict[tuple[str, bool], Tensor] = {}
        for name in (*NAMES, "cloud", "ocean"):
            for prompted in (False, True):
                row = torch.randn(WIDTH, generator=generator)
                self.rows[name, prompted] = F.normalize(row, dim=0)

    def similarities(
        self, features: Tensor, names: Sequence[str], *, prompted: bool = True
    ) -> Tensor:
        return features @ torch.stack([self.rows[name, prompted] for name in names]).T


class Uncached:
    def features(self, key: Any, rows: int, compute: Any, *, prompted: bool = True) -> Tensor:
        return compute()

    def arrays(self, key: Any, compute: Any) -> Any:
        return compute()


class Queries:
    """Soft masks of a model; one is below every threshold, one is hardly believed in."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(2)
        self.logits = torch.randn(5, 6, 8, generator=generator) - 4
        for at, (top, left) in enumerate([(0, 0), (0, 4), (3, 0), (3, 4), (2, 2)]):
            self.logits[at, top : top + 3, left : left + 4] += 6
        self.logits[3] = -9.0
        self.confidence = [0.9, 0.7, 0.2, 0.8, 0.6]

    def __call__(self, image: Image.Image, key: str, original: tuple[int, int]) -> list[Any]:
        raise AssertionError("soft votes need no hard masks")

    def soft(self, image: Image.Image) -> list[SoftMask]:
        return list(map(SoftMask, self.logits, self.confidence))

    def identity(self, key: str) -> str:
        return "queries"


@pytest.fixture
def image() -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (30, 40, 3), np.uint8)
    return Image.fromarray(pixels)


def bench() -> Any:
    return SimpleNamespace(
        regions=SimpleNamespace(encoder=Tower(), classifier=Texts(), cache=Uncached())
    )


def zsseg(
    image: Image.Image, weight: float, threshold: float, seen: Sequence[float], size: Any
) -> Tensor:
    """(c, h, w) scores by the equations of ZSSeg, all masks at full size.

    But for masks below the threshold everywhere: they have no vote here, even with an ensemble.
    """
    queries, tower, texts = Queries(), Tower(), Texts()
    shape = (image.height, image.width)
    shares = F.interpolate(queries.logits[None], shape, mode="bilinear")[0].sigmoid()
    binary = shares > threshold
    kept = binary.flatten(1).any(1)
    crops = []
    for mask in binary[kept]:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        inside = (normalised(image) * mask)[:, box[0], box[1]]
        crops.append(F.interpolate(inside[None], (SIDE, SIDE), mode="bicubic")[0])
    own = (SCALE * texts.similarities(tower.encode(crops), NAMES)).softmax(-1)
    if weight > 0:
        plain = texts.similarities(tower.encode(crops, prompted=False), NAMES, prompted=False)
        sure = torch.tensor(queries.confidence)[kept, None]
        first = sure * (SCALE * plain).softmax(-1)
        trained = torch.tensor(seen)
        own = (
            trained * first**weight * own ** (1 - weight)
            + (1 - trained) * first ** (1 - weight) * own**weight
        )
    scores = torch.einsum("qc,qhw->chw", own, shares[kept])
    return F.interpolate(scores[None], size, mode="bilinear")[0]


@pytest.mark.parametrize("weight", [-1.0, 0.0, 0.7])
@pytest.mark.parametrize("threshold", [0.5, 0.4])
def test_soft_votes_are_those_of_zsseg(image: Image.Image, weight: float, threshold: float) -> None:
    settings = Settings(weight, "stretch", "soft", threshold)
    head = TwoStageHead(bench(), Queries(), settings, [[name] for name in NAMES], unseen=[2, 3])
    scores = head._soft(Queries(), image, {"sample": "a"})(0, image.height)
    expected = zsseg(image, weight, threshold, [1.0, 1.0, 0.0, 0.0], (30, 40))
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-6)
    size = (45, 61)
    labels = head(image, "a", size)
    large = zsseg(image, weight, threshold, [1.0, 1.0, 0.0, 0.0], size)
    assert (labels != large.argmax(0).numpy()).mean() < 0.002  # ties
    assert len(np.unique(labels)) > 1


def test_a_mask_below_the_threshold_everywhere_has_no_vote(image: Image.Image) -> None:
    source = Queries()
    source.logits[:] = -9.0
    head = TwoStageHead(bench(), source, Settings(votes="soft"), [["cat"], ["dog"]], [])
    assert (head(image, "a", (30, 40)) == IGNORED).all()


@pytest.mark.parametrize("enlarge", ["cosines", "probabilities"])
def test_the_dense_head_enlarges_cosines_as_maskclip_or_probabilities(
    image: Image.Image, enlarge: Any
) -> None:
    head = DenseHead(bench(), [[name] for name in NAMES], windows=False, enlarge=enlarge)
    fitted = image.resize((40, 32), Image.Resampling.BICUBIC)
    cosines = Texts().similarities(Tower().patches([fitted])[0], NAMES).permute(2, 0, 1)
    grid = cosines if enlarge == "cosines" else (SCALE * cosines).softmax(0)
    expected = F.interpolate(grid[None], (60, 80), mode="bilinear")[0].argmax(0)
    labels = head(image, "a", (60, 80))
    assert (labels != expected.numpy()).mean() < 0.002


def test_a_class_scores_as_the_best_of_its_words() -> None:
    features = F.normalize(torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(4)))
    words = [["cat"], ["sky", "cloud"], ["sea", "ocean"]]
    texts = Texts()
    parts = [texts.similarities(features, one).amax(1) for one in words]
    torch.testing.assert_close(similarities(texts, features, words), torch.stack(parts, 1))
    one_each = similarities(texts, features, [["cat"], ["sky"]])
    assert torch.equal(one_each, texts.similarities(features, ["cat", "sky"]))


def test_names_hold_synonyms_which_may_be_words_of_their_own() -> None:
    data = SimpleNamespace(words=lambda: [["rock, stone"], ["sea"]])
    assert words_of(data, "own") == [["rock, stone"], ["sea"]]  # type: ignore[arg-type]
    assert words_of(data, "synonyms") == [["rock", "stone"], ["sea"]]  # type: ignore[arg-type]

    class Toy(SegmentationSet):
        name = "toy"

    Toy.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="MaskCLIP has no class names for data set 'toy'"):
        words_of(Toy(), "maskclip")  # type: ignore[abstract]


def test_classes_absent_from_the_truth_count_or_are_left_out() -> None:
    confusion = Confusion(3)
    confusion.add(np.array([[0, 0, 1, 1]], np.uint16), np.array([[0, 2, 1, 1]], np.uint16))
    counted = {one.metric: one.value for one in confusion.scores()}
    skipped = {one.metric: one.value for one in confusion.scores(absent="skip")}
    assert counted["miou"] == pytest.approx(100 * (1 / 2 + 1 + 0) / 3)
    assert skipped["miou"] == pytest.approx(100 * (1 / 2 + 1) / 2)
    assert counted["pixel_accuracy"] == skipped["pixel_accuracy"]


@pytest.mark.parametrize(
    "option", [{"short": 512}, {"votes": "soft"}, {"names": "synonyms"}, {"threshold": 0.4}]
)
def test_what_published_sets_cannot_be_given_beside_it(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="published=on sets"):
        Segmentation(published=True, **option)
    assert Segmentation(published=True, weight=0.4).settings.weight == 0.4


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        (Segmentation(published=True), Maps(), "toy-maps' has no published settings"),
        (Segmentation(published=True, head="dense"), Maps(), "MaskCLIP has no settings"),
        (Segmentation(names="maskclip"), Maps(), "MaskCLIP has no class names"),
        (Detection(published=True), Things(), "toy-things' has no published settings"),
    ],
)
def test_what_a_data_set_does_not_have_is_said_before_anything_is_learned(
    task: Segmentation | Detection, data: Any, message: str
) -> None:
    def fit() -> None:
        raise AssertionError("learned first")

    regions = SimpleNamespace(samples=lambda: data.samples("test"))
    bench = SimpleNamespace(dataset=data, regions=regions, fit=fit)
    with pytest.raises(UsageError, match=message):
        list(task.run(cast(Bench, bench)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proposals": "files"}, "proposals=files takes path=..."),
        ({"proposals": "transformers"}, "proposals=transformers takes path=..."),
        ({"path": "masks"}, "proposals=regions takes no path"),
    ],
)
def test_a_source_of_masks_has_a_path_or_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Segmentation(**options)
