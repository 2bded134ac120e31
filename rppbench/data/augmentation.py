"""Augmented views of training images, each a pure function of image, epoch and view number."""

from __future__ import annotations

from collections.abc import Callable

import rppbench.torchvision_shim  # noqa: F401  torchvision cannot be imported before this

# isort: split
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from rppbench.data.preprocess import Preprocess
from rppbench.errors import unknown
from rppbench.random_streams import seed_of

INTERPOLATIONS = {
    "bicubic": v2.InterpolationMode.BICUBIC,
    "bilinear": v2.InterpolationMode.BILINEAR,
}
AUGMENTATIONS = ("none", "crop-flip", "half-crop-flip", "crop-flip-randaugment2")
"""'half-crop-flip' keeps at least half of an image's area, other crops at least 8 %,
as torchvision does by default."""


def training_view(
    preprocess: Preprocess, augment: str
) -> Callable[[Image.Image, str, int, int], Tensor]:
    """A function that turns (image, its key, epoch, view number) into the augmented view.

    The view depends on nothing but these: its draws come from a stream of their own, independent of
    the seed, the method and the order of images. Two backbones of different input size see the same
    crop.
    """
    if augment == "none":
        return lambda image, key, epoch, view: preprocess(image)
    if augment not in AUGMENTATIONS:
        raise unknown("augmentation is named", augment, AUGMENTATIONS, "augmentations")
    steps: list[Callable[..., object]] = [
        v2.RandomResizedCrop(
            preprocess.size,
            scale=(0.5 if augment.startswith("half") else 0.08, 1.0),
            interpolation=_mode(preprocess),
            antialias=True,
        ),
        v2.RandomHorizontalFlip(),
    ]
    if augment == "crop-flip-randaugment2":
        steps.append(_RandAugment2())
    transform = v2.Compose([*steps, *_to_tensor(preprocess)])

    def augmented(image: Image.Image, key: str, epoch: int, view: int) -> Tensor:
        # torchvision draws from torch's global stream, which has our seed during the call.
        # `torch.manual_seed` would seed every device as well, for each image.
        state = torch.get_rng_state()
        try:
            torch.default_generator.manual_seed(seed_of("augment", augment, key, epoch, view))
            return transform(image)
        finally:
            torch.set_rng_state(state)

    return augmented


def normalised(preprocess: Preprocess, image: Image.Image) -> Tensor:
    """Pixels [3, H, W] of an image, neither scaled nor cropped."""
    return v2.Compose(_to_tensor(preprocess))(image)


class _RandAugment2:
    """Dassl's 'randaugment2': two of 15 operations, each applied with probability 0.6.

    Magnitudes are uniform over the ranges of KaiyangZhou/Dassl.pytorch `transforms/
    autoaugment.py`, which torchvision's RandAugment (one magnitude for all) cannot express.
    """

    def __call__(self, image: Image.Image) -> Image.Image:
        for _ in range(2):
            choice = int(torch.randint(len(_OPERATIONS), ()))
            apply, amount = torch.rand(2).tolist()
            if apply < 0.6:
                low, high, operation = _OPERATIONS[choice]
                image = operation(image, low + (high - low) * amount)
        return image


def _random_sign(value: float) -> float:
    return value if torch.rand(()) < 0.5 else -value


def _shear(image: Image.Image, x: float, y: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, (1, x, 0, y, 1, 0))


def _shift(image: Image.Image, x: float, y: float) -> Image.Image:
    offsets = (1, 0, x * image.size[0], 0, 1, y * image.size[1])
    return image.transform(image.size, Image.Transform.AFFINE, offsets)


F = v2.functional
_OPERATIONS: tuple[tuple[float, float, Callable[[Image.Image, float], Image.Image]], ...] = (
    (0, 1, lambda image, m: F.autocontrast(image)),
    (0.1, 1.9, F.adjust_brightness),
    (0.1, 1.9, F.adjust_saturation),
    (0.1, 1.9, F.adjust_contrast),
    (0, 1, lambda image, m: F.equalize(image)),
    (0, 1, lambda image, m: image),
    (0, 1, lambda image, m: F.invert(image)),
    (4, 8, lambda image, m: F.posterize(image, int(m))),
    (0, 30, lambda image, m: F.rotate(image, _random_sign(m))),
    (0.1, 1.9, F.adjust_sharpness),
    (0, 0.3, lambda image, m: _shear(image, _random_sign(m), 0)),
    (0, 0.3, lambda image, m: _shear(image, 0, _random_sign(m))),
    (0, 256, F.solarize),
    (0, 0.3, lambda image, m: _shift(image, _random_sign(m), 0)),
    (0, 0.3, lambda image, m: _shift(image, 0, _random_sign(m))),
)


def _mode(preprocess: Preprocess) -> v2.InterpolationMode:
    return INTERPOLATIONS[preprocess.interpolation]


def _to_tensor(preprocess: Preprocess) -> list[Callable[..., object]]:
    return [
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(list(preprocess.mean), list(preprocess.std)),
    ]
