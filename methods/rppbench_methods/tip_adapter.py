"""Tip-Adapter: the training features as a cache, beside zero-shot CLIP; -F learns its keys.

Zhang et al., Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification, ECCV 2022,
eq. 3-8 (gaopengcuhk/Tip-Adapter main.py, utils.py). The official -F keeps the epoch that is best
on the test images; here it is the last.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from rppbench.contracts import Examples, Method, Prompts, Recipe, Space

_CODE = "github.com/gaopengcuhk/Tip-Adapter main.py and configs"
PUBLISHED = Recipe(
    "tip-adapter-1",
    epochs=0,
    batch=256,
    lr=0.001,
    warmup_epochs=0,
    optimiser="adamw",
    weight_decay=0.01,
    augment="half-crop-flip",
    origin=_CODE,
)
DEMO = replace(
    PUBLISHED,
    name="tip-adapter-demo-1",
    augment="none",
    options=(("views", 1),),
    suite="demo",
    origin="rppbench: one view, so that stored features serve; else as published",
)


class TipAdapter(Method):
    """Logits of zero-shot CLIP + `alpha` sum over the class of exp(-`beta` (1 - cos to the key)).

    Keys are the training features, mean of `views` augmented ones. Where there are validation
    images, alpha and beta are searched on them: `betas` values of beta from 0.1 to `beta_scale`
    and `alphas` of alpha from 0.1 to `alpha_scale`, their ends left out.
    """

    name = "tip-adapter"
    title = "Tip-Adapter"
    paper = "arXiv:2111.03930, arXiv:2207.09519"
    origin = "github.com/gaopengcuhk/Tip-Adapter"
    licence = "MIT"
    open_vocabulary = False
    recipes = (PUBLISHED, DEMO)
    learned_keys = False

    def __init__(
        self,
        space: Space,
        *,
        views: int = 10,
        alpha: float = 1.17,
        beta: float = 1.0,
        alpha_scale: float = 3.0,
        beta_scale: float = 7.0,
        alphas: int = 20,
        betas: int = 200,
    ) -> None:
        super().__init__(space)
        self.shown = views
        self.alphas = [0.1 + i * (alpha_scale - 0.1) / alphas for i in range(alphas)]
        self.betas = [0.1 + i * (beta_scale - 0.1) / betas for i in range(betas)]
        rows = space.classes * space.shots  # those of a class one after the other
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
        return Prompts()

    @torch.no_grad()
    def start(self, examples: Examples) -> None:
        """Put each image into a row of its class; rows that no image fills stay out."""
        features = normalize(examples.images.mean(0), dim=1)
        classes, shots = self.filled.shape
        order = examples.labels.argsort(stable=True)
        labels = examples.labels[order]
        counts = torch.bincount(labels, minlength=classes)
        first = counts.cumsum(0) - counts
        place = torch.arange(len(labels), device=labels.device) - first[labels]
        self.keys[labels * shots + place] = features[order].to(self.keys)
        self.filled[labels, place] = 1.0

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        """Zero-shot logits and those of the cache."""
        cached = self.cached(images @ self.keys.T, self.beta)
        return scale * images @ texts.T + self.alpha * cached[:, classes]

    def cached(self, affinity: Tensor, beta: Tensor | float) -> Tensor:
        """(b, c) sums of what the keys of each class say, of cosines (b, c * shots)."""
        weights = (-beta * (1 - affinity)).exp().unflatten(1, self.filled.shape)
        return (weights * self.filled).sum(2)

    @torch.no_grad()
    def finish(self, examples: Examples) -> None:
        """Search beta, then alpha; the first of equals is kept."""
        if not len(examples.val_images):
            return
        images, best = examples.val_images, -1
        affinity = images @ self.keys.T
        zero_shot = examples.scale * images @ examples.texts.T
        for beta in self.betas:
            cached = self.cached(affinity, beta)
            for alpha in self.alphas:
                predicted = (zero_shot + alpha * cached).argmax(1)
                right = int((predicted == examples.val_labels).sum())
                if right > best:
                    best = right
                    self.alpha.fill_(alpha)
                    self.beta.fill_(beta)


class TipAdapterF(TipAdapter):
    """Tip-Adapter whose keys are learned with the first `alpha` and `beta`, before the search."""

    name = "tip-adapter-f"
    title = "Tip-Adapter-F"
    learned_keys = True
    recipes = (
        replace(
            PUBLISHED,
            name="tip-adapter-f-1",
            epochs=20,
            origin=f"{_CODE}; there the rate falls each step, here each epoch",
        ),
        replace(DEMO, name="tip-adapter-f-demo-1", epochs=20),
    )
