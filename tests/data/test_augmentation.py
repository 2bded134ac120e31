from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.toy_data import Toy

from rppbench.contracts.dataset import Sample
from rppbench.data.augmentation import AUGMENTATIONS, training_view
from rppbench.data.images import Images
from rppbench.data.preprocess import Preprocess
from rppbench.errors import UsageError

PREPROCESS = Preprocess(32, (0.48, 0.46, 0.41), (0.27, 0.26, 0.28))


def picture(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_the_evaluation_view_equals_pillow_resize_crop_and_normalise() -> None:
    image = picture()
    resized = image.resize((44, 32), Image.Resampling.BICUBIC)  # short side 32, 70/50 kept
    cropped = np.asarray(resized.crop((6, 0, 38, 32)), dtype=np.float64) / 255
    expected = (cropped - np.array(PREPROCESS.mean)) / np.array(PREPROCESS.std)
    got = PREPROCESS(image).permute(1, 2, 0).double().numpy()
    assert np.abs(got - expected).max() < 1e-5


@pytest.mark.parametrize("augment", AUGMENTATIONS[1:])
def test_a_view_is_a_pure_function_of_key_epoch_and_number(augment: str) -> None:
    view = training_view(PREPROCESS, augment)
    first = view(picture(), "a.jpg", 3, 0)
    torch.rand(5)  # someone else draws from the global stream
    assert torch.equal(first, view(picture(), "a.jpg", 3, 0))
    assert not torch.equal(first, view(picture(), "a.jpg", 4, 0))
    assert not torch.equal(first, view(picture(), "a.jpg", 3, 1))
    assert not torch.equal(first, view(picture(), "b.jpg", 3, 0))


def test_augmenting_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    training_view(PREPROCESS, "crop-flip")(picture(), "a.jpg", 0, 0)
    assert torch.equal(torch.rand(3), expected)


def test_two_backbones_see_the_same_crop() -> None:
    """A smooth picture cropped for 32 pixels equals its crop for 64, shrunk."""
    ramp = np.linspace(0, 255, 200)
    image = Image.fromarray(
        np.stack(
            [np.tile(ramp, (200, 1)), np.tile(ramp[:, None], (1, 200)), np.zeros((200, 200))], 2
        )
        .round()
        .astype(np.uint8)
    )
    small = training_view(PREPROCESS, "crop-flip")(image, "a", 0, 0)
    large_facts = Preprocess(64, PREPROCESS.mean, PREPROCESS.std)
    large = training_view(large_facts, "crop-flip")(image, "a", 0, 0)
    shrunk = torch.nn.functional.avg_pool2d(large[None], 2)[0]
    assert (small - shrunk)[:, 2:-2, 2:-2].abs().max() < 0.05


def test_all_operations_of_the_strong_augmentation_run_and_keep_the_size() -> None:
    view = training_view(PREPROCESS, "crop-flip-randaugment2")
    for number in range(120):  # 15 operations, two draws a view
        pixels = view(picture(), "a", 0, number)
        assert pixels.shape == (3, 32, 32)
        assert torch.isfinite(pixels).all()


def test_an_unknown_augmentation_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'crop-flip'"):
        training_view(PREPROCESS, "crop-flips")


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_workers_give_the_same_pixels_in_the_same_order(augment: str) -> None:
    toy = Toy()
    samples = toy.samples("train")
    here = list(Images(toy, samples, PREPROCESS, augment).in_order(4, 1))
    there = list(Images(toy, samples, PREPROCESS, augment, workers=2).in_order(4, 1))
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


def test_unaugmented_images_are_decoded_once() -> None:
    toy = Toy()
    images = Images(toy, toy.samples("train"), PREPROCESS)
    for epoch in range(3):
        list(images.in_order(4, epoch))
    assert len(toy.opened) == len(images)


def test_the_key_of_augmented_images_names_epoch_and_view() -> None:
    toy = Toy()
    plain = Images(toy, toy.samples("train"), PREPROCESS)
    assert plain.key(0, 0) == plain.key(5, 1)
    cropped = Images(toy, toy.samples("train"), PREPROCESS, "crop-flip")
    keys = [cropped.key(0, 0), cropped.key(1, 0), cropped.key(0, 1)]
    assert all(a != b for i, a in enumerate(keys) for b in keys[:i])
    assert plain.key() != cropped.key(0, 0)


def test_a_file_that_was_replaced_is_another_image_even_at_equal_size(tmp_path: Path) -> None:
    class Files(Toy):
        generated = False

        def file(self, sample: Sample) -> Path:
            return tmp_path / sample.key.replace("/", "_")

    toy = Files()
    samples = toy.samples("train")
    for sample in samples:
        toy.file(sample).write_bytes(b"before")

    def contents() -> list[str]:
        return Images(toy, samples, PREPROCESS).contents

    before = contents()
    assert contents() == before
    assert len(set(before)) == len(samples)
    replaced = toy.file(samples[0])
    replaced.write_bytes(b"behind")
    os.utime(replaced, ns=(0, 1))
    assert [a != b for a, b in zip(before, contents(), strict=True)] == [
        index == 0 for index in range(len(samples))
    ]
