"""Tip-Adapter: zero-shot CLIP with a cache of the training features; -F learns its keys.

Zhang et al., Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification, ECCV 2022,
eq. 3-8 (gaopengcuhk/Tip-Adapter main.py, utils.py):

    logits = alpha phi(f F_train^T) L_train + scale f W^T
    phi(x) = exp(-beta (1 - x))

with f the image feature, F_train the training features (`keys`), L_train their one-hot labels and W
the text features. docs/tip-adapter.md compares the recipes with the official settings; the official
-F keeps the epoch that is best on the test images, here the last epoch is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from rppbench.contracts import (
    Examples,
    FittedMethod,
    ImportedState,
    Learning,
    Prompts,
    Range,
    ReadsOfficialCheckpoints,
    Space,
    Templates,
    read_recipes,
)
from rppbench.errors import UsageError
from rppbench_methods.official import required
from rppbench_methods.zeroshot import wordings

FILES = re.compile(r"(?:keys|best_F)_(\d+shots\.pt)")
"""The official code's files of keys: of Tip-Adapter (e, n), and learned ones of -F (n, e)."""


class TipAdapter(FittedMethod, ReadsOfficialCheckpoints):
    """Zero-shot logits, plus `alpha` times those of the cache with sharpness `beta`.

    Each key is the mean feature of `views` augmented views of a training image, as a unit vector;
    with `raw_keys` the mean of features as the tower gives them, else of unit features. Where there
    are validation images, alpha and beta are searched on them: `betas` values of beta from 0.1 to
    `beta_scale` and `alphas` of alpha from 0.1 to `alpha_scale`, without the upper ends. `template`
    is the wording of the text features, as that of `zeroshot`.
    """

    name = "tip-adapter"
    title = "Tip-Adapter"
    paper = "arXiv:2111.03930, arXiv:2207.09519"
    origin = "github.com/gaopengcuhk/Tip-Adapter"
    licence = "MIT"
    open_vocabulary = False
    learning = Learning(read_recipes(__file__))
    later_options = ("raw_keys", "template")
    learned_keys = False

    def __init__(
        self,
        space: Space,
        *,
        views: Annotated[int, Range(1, 1000)] = 10,
        alpha: float = 1.17,
        beta: float = 1.0,
        alpha_scale: float = 3.0,
        beta_scale: float = 7.0,
        alphas: Annotated[int, Range(1, 10_000)] = 20,
        betas: Annotated[int, Range(1, 10_000)] = 200,
        raw_keys: bool = False,
        template: str = "dataset",
    ) -> None:
        super().__init__(space)
        self.views, self.raw_images = views, raw_keys
        self.wordings = wordings(template)
        self.alphas = [0.1 + i * (alpha_scale - 0.1) / alphas for i in range(alphas)]
        self.betas = [0.1 + i * (beta_scale - 0.1) / betas for i in range(betas)]
        rows = space.classes * space.shots  # by class
        keys = torch.zeros(rows, space.embed)
        self.keys: Tensor
        if self.learned_keys:
            self.keys = nn.Parameter(keys)
        else:
            self.register_buffer("keys", keys)
        self.register_buffer("filled", torch.zeros(space.classes, space.shots))
        self.register_buffer("alpha", torch.tensor(alpha))
        self.register_buffer("beta", torch.tensor(beta))
        self.filled: Tensor
        self.alpha: Tensor
        self.beta: Tensor

    def prompts(self) -> Prompts:
        return Prompts(text=Templates(self.wordings))

    @torch.no_grad()
    def start(self, examples: Examples) -> None:
        """Fill the rows of each class with its images; `filled` masks unused rows."""
        views = examples.images if examples.raw_images is None else examples.raw_images
        features = normalize(views.mean(0), dim=1)
        _fill(self.keys, self.filled, features, examples.labels)

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        """Zero-shot logits plus `alpha` times those of the cache."""
        cache = self.cache_logits(images @ self.keys.T, self.beta)
        return scale * images @ texts.T + self.alpha * cache[:, classes]

    def cache_logits(self, cosines: Tensor, beta: Tensor | float) -> Tensor:
        """(b, c) phi(x) L_train of the cosines x (b, c * shots) to the keys."""
        phi = (-beta * (1 - cosines)).exp().unflatten(1, self.filled.shape)
        return (phi * self.filled).sum(2)

    @torch.no_grad()
    def finish(self, examples: Examples) -> None:
        """Search alpha and beta on the validation images; the first of equals is kept."""
        if not len(examples.val_images):
            return
        images, best = examples.val_images, -1
        cosines = images @ self.keys.T
        zero_shot = examples.scale * images @ examples.texts.T
        for beta in self.betas:
            cache = self.cache_logits(cosines, beta)
            for alpha in self.alphas:
                predicted = (zero_shot + alpha * cache).argmax(1)
                correct = int((predicted == examples.val_labels).sum())
                if correct > best:
                    best = correct
                    self.alpha.fill_(alpha)
                    self.beta.fill_(beta)

    @classmethod
    def companions(cls, file: str) -> Mapping[str, str]:
        """The one-hot labels of the keys."""
        if match := FILES.fullmatch(file):
            return {"values": f"values_{match[1]}"}
        raise UsageError(
            "the official files of keys are named keys_16shots.pt or best_F_16shots.pt, and the "
            f"labels beside them values_16shots.pt; {file!r} is neither"
        )

    @classmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """The cache; alpha and beta are in no file of the official code."""
        keys, values = required(checkpoint, "tensor"), required(checkpoint, "values")
        one_hot = values.ndim == 2 and bool(((values == 0) | (values == 1)).all())
        if not one_hot or not len(values) or not bool((values.sum(1) == 1).all()):
            raise UsageError("the values of the cache are not a one-hot label for each key")
        if keys.ndim == 2 and not cls.learned_keys:
            keys = keys.T
        if keys.ndim != 2 or len(keys) != len(values):
            raise UsageError(
                f"{len(values)} labels do not fit keys of shape {tuple(keys.shape)}: files named "
                "keys_... are of tip-adapter, files named best_F_... of tip-adapter-f"
            )
        labels, classes = values.argmax(1), values.shape[1]
        shots = int(values.sum(0).max())
        state = {"keys": torch.zeros(classes * shots, keys.shape[1])}
        state["filled"] = torch.zeros(classes, shots)
        _fill(state["keys"], state["filled"], keys, labels)
        return ImportedState(
            {}, state, classes=classes, shots=shots, from_options=("alpha", "beta")
        )


def _fill(keys: Tensor, filled: Tensor, features: Tensor, labels: Tensor) -> None:
    """Write features (n, e) with labels (n,) to the rows of their classes, in the given order.

    keys: (classes * shots, e). filled: (classes, shots), 1 where there is a feature.
    """
    classes, shots = filled.shape
    order = labels.argsort(stable=True)
    labels = labels[order]
    counts = torch.bincount(labels, minlength=classes)
    first = counts.cumsum(0) - counts
    place = torch.arange(len(labels), device=labels.device) - first[labels]
    keys[labels * shots + place] = features[order].to(keys)
    filled[labels, place] = 1.0


class TipAdapterF(TipAdapter):
    """Tip-Adapter whose keys are learned with the initial `alpha` and `beta`, before the search."""

    name = "tip-adapter-f"
    title = "Tip-Adapter-F"
    learning = Learning(read_recipes(Path(__file__).with_name("tip_adapter_f.toml")))
    learned_keys = True
