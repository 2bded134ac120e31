"""GDA: Gaussian discriminant analysis of frozen image features, added to the zero-shot logits.

Wang et al., A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation, ICLR 2024, eq. 3-8
(mrflogs/ICLR24 main_few_shots.py):

    logits = scale f t_k + alpha (w_k f + b_k)
    w_k = P mu_k,    b_k = log(1 / c) - mu_k P mu_k / 2
    P = e ((n - 1) S + tr(S) I)^-1

with f the image feature, t_k the text feature of class k, mu_k the mean feature of its training
images, S the covariance of their n features around these means, c classes and e dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rppbench.contracts import (
    Examples,
    FittedMethod,
    Learning,
    Prompts,
    Space,
    Templates,
    read_recipes,
)
from rppbench_methods.zeroshot import wordings

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)


class GDA(FittedMethod):
    """A Gaussian for each class with one covariance, from `views` augmented views of each image.

    `alpha` is searched among powers of ten from 1e-4 to 100 where there are validation images.
    Solved in float64. A class without a training image gets the mean of all images.
    """

    name = "gda"
    title = "GDA"
    paper = "arXiv:2402.04087"
    origin = "github.com/mrflogs/ICLR24"
    open_vocabulary = False
    learning = Learning(read_recipes(__file__))

    def __init__(
        self,
        space: Space,
        *,
        views: int = 10,
        alpha: float = 0.1,
        template: str = "dataset",
    ) -> None:
        super().__init__(space)
        self.views = views
        self.wordings = wordings(template)
        self.register_buffer("weight", torch.zeros(space.classes, space.embed))  # w_k
        self.register_buffer("bias", torch.zeros(space.classes))  # b_k
        self.register_buffer("alpha", torch.tensor(alpha))
        self.weight: Tensor
        self.bias: Tensor
        self.alpha: Tensor

    def prompts(self) -> Prompts:
        return Prompts(text=Templates(self.wordings))

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        """Zero-shot logits plus `alpha` times the Gaussians' log densities, up to a constant."""
        gaussian = images @ self.weight[classes].T + self.bias[classes]
        return scale * images @ texts.T + self.alpha * gaussian

    @torch.no_grad()
    def finish(self, examples: Examples) -> None:
        """Solve for w and b, then search alpha on the validation images."""
        features = examples.images.flatten(0, 1).double()  # (n, e)
        labels = examples.labels.repeat(len(examples.images))
        weight, bias = discriminants(features, labels, len(self.weight))
        self.weight.copy_(weight)
        self.bias.copy_(bias)
        if not len(examples.val_images):
            return
        classes, best = torch.arange(len(self.weight), device=labels.device), 0
        for alpha in GRID:
            chosen = self.alpha.clone()
            self.alpha.fill_(alpha)
            logits = self.classify(examples.val_images, examples.texts, classes, examples.scale)
            correct = int((logits.argmax(1) == examples.val_labels).sum())
            if correct > best:  # the first of equals
                best = correct
            else:
                self.alpha.copy_(chosen)


def discriminants(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """w (classes, e) and b (classes,) of features (n, e) with labels (n,)."""
    n, width = features.shape
    own = torch.nn.functional.one_hot(labels, classes).to(features)  # (n, classes)
    counts = own.sum(0)
    means = torch.where(
        counts[:, None] > 0, own.T @ features / counts.clamp(min=1)[:, None], features.mean(0)
    )
    covariance = (features - means[labels]).T.cov()  # S
    ridge = covariance.trace() * torch.eye(width).to(features)
    precision = width * torch.linalg.pinv((n - 1) * covariance + ridge, hermitian=True)  # P
    weight = means @ precision
    return weight, -math.log(classes) - (weight * means).sum(1) / 2
