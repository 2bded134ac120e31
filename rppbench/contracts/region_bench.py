"""Interfaces for tasks that score regions of images: the image tower, the classifier, a cache.

Shapes: b images, crops or patches; e embedding; c classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rppbench.contracts.dataset import Sample


class RegionEncoder(Protocol):
    """The image tower, with the tokens of the method's image prompt if it has any."""

    @property
    def image_size(self) -> int:
        """Pixels of a side of the square images that the tower was trained on."""

    @property
    def patch_size(self) -> int:
        """Pixels of a side of a patch. UsageError for towers without patches."""

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """Mean RGB colour of the tower's training images: a filling without content."""

    @property
    def unit(self) -> bool:
        """Whether features of the method's tower have unit length (`Prompts.unit_images`)."""

    def pixels(self, image: Image.Image) -> Tensor:
        """(3, h, w) normalised pixels of an image, neither scaled nor cropped; 0 is the mean."""

    def encode(self, images: Iterable[Image.Image | Tensor], *, prompted: bool = True) -> Tensor:
        """Features (b, e) of any images or crops, on the CPU, of unit length if `unit`.

        A tensor holds normalised pixels (3, s, s) of the tower's size, which are used as they are.
        Without the method's tokens, and of unit length, if not `prompted`. Images are taken one by
        one, so crops need not all be in memory. Nothing is stored: see `RegionCache`.
        """

    def patches(self, images: Sequence[Image.Image]) -> Tensor:
        """Features (b, rows, columns, e) of the patches of images of one size, on the CPU.

        They have unit length if `unit`. Each side of an image is a multiple of a patch's.
        UsageError for towers without patches.
        """


class RegionClassifier(Protocol):
    """A classifier that compares features with class names in the method's wording."""

    @property
    def scale(self) -> float:
        """CLIP's exp(logit_scale)."""

    @property
    def bias(self) -> float | None:
        """The logit bias of a backbone trained with a sigmoid (SigLIP); None for CLIP.

        sigmoid(scale * cosine + bias) is the probability of a class by itself. Among classes that
        exclude each other the bias cancels, and softmax(scale * cosine) is the probability.
        """

    def similarities(
        self, features: Tensor, names: Sequence[str], *, prompted: bool = True
    ) -> Tensor:
        """(b, c) cosines of features (b, e) of the encoder and any class names.

        Times `scale` they are CLIP's logits. If not `prompted`, names are in the data set's own
        wording, as in zero-shot CLIP. UsageError where the method knows only the classes that it
        learned.
        """


class RegionCache(Protocol):
    """A cache of arrays that this run or an earlier one computed."""

    def features(
        self,
        key: Mapping[str, object],
        rows: int,
        compute: Callable[[], Tensor],
        *,
        prompted: bool = True,
    ) -> Tensor:
        """Features (rows, e) of images or crops: stored ones, or those of `compute()`.

        `key` says which images; data, tower and precision are added to it. For parts of one image,
        its entry 'sample' is the sample's key: the content of that image is then added, else that
        of all test images. Where the method has an image prompt, nothing is stored unless the
        features are not `prompted`.
        """

    def arrays(
        self, key: Mapping[str, object], compute: Callable[[], Mapping[str, NDArray[Any]]]
    ) -> Mapping[str, NDArray[Any]]:
        """Arrays that depend on the data set's images but not on the method, such as proposals.

        Stored ones, or those of `compute()`. `key` says what they are; the data are added to it,
        as in `features`.
        """


class RegionBench(Protocol):
    """The part of a `Bench` for tasks that score regions of images."""

    @property
    def encoder(self) -> RegionEncoder: ...

    @property
    def classifier(self) -> RegionClassifier: ...

    @property
    def cache(self) -> RegionCache: ...

    def samples(self) -> Sequence[Sample]:
        """The test images to score: all of the data set, or up to the limit of the cell."""

    def report_progress(self, done: int, total: int) -> None:
        """Report the number of images scored so far."""
