"""Linear probe: logistic regression on frozen image features.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021,
appendix A.3; few-shot as in Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022
(KaiyangZhou/CoOp lpclip/linear_probe.py):

    logits_k = w_k f + b_k
    w, b = argmin of C (sum over images of cross-entropy) + ||w||^2 / 2

with f the image feature, of unit length here, and C searched on validation images.
"""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor, nn

from rppbench.contracts import Examples, FittedMethod, Learning, Prompts, Space, read_recipes

GRID = (1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6)
STEPS = 8
WITHOUT_IMAGES = 0.316
"""CLIP's own value on ImageNet, for a data set without validation images."""
NEVER = -1e4
"""Logit of a class without a training image."""


class LinearProbe(FittedMethod):
    """One row of weights and a bias for each class; the class names are not used.

    The inverse penalty C is searched on the validation images: first the best of a grid
    of even powers of ten, then eight bisections between a tenth and ten times that value.
    """

    name = "linear-probe"
    title = "Linear probe"
    paper = "arXiv:2103.00020, arXiv:2109.01134"
    origin = "github.com/KaiyangZhou/CoOp"
    licence = "MIT"
    open_vocabulary = False
    learning = Learning(read_recipes(__file__))

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.weight = nn.Parameter(torch.zeros(space.classes, space.embed))
        self.bias = nn.Parameter(torch.zeros(space.classes))
        self.register_buffer("inverse_penalty", torch.tensor(0.0))
        self.inverse_penalty: Tensor

    def prompts(self) -> Prompts:
        return Prompts()

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        """The logits of the candidate classes."""
        return images @ self.weight[classes].T + self.bias[classes]

    @torch.no_grad()
    def finish(self, examples: Examples) -> None:
        """Fit for the best C by accuracy on the validation images."""

        @cache
        def solved(exponent: float) -> tuple[Tensor, Tensor]:
            return logistic(examples.images[0], examples.labels, 10**exponent, len(self.weight))

        @cache
        def correct(exponent: float) -> int:
            weight, bias = solved(exponent)
            predicted = (examples.val_images @ weight.T + bias).argmax(1)
            return int((predicted == examples.val_labels).sum())

        best = float(torch.tensor(WITHOUT_IMAGES).log10())
        if len(examples.val_images):
            grid = [float(torch.tensor(c).log10()) for c in GRID]
            peak = max(grid, key=correct)  # of equals the first: the weakest penalty
            low, high = peak - 1, peak + 1
            for _ in range(STEPS):
                middle = (low + high) / 2
                if correct(low) < correct(high):
                    best, low = high, middle
                else:
                    best, high = low, middle
        weight, bias = solved(best)
        self.weight.copy_(weight)
        self.bias.copy_(bias)
        self.inverse_penalty.fill_(10**best)


def logistic(
    images: Tensor, labels: Tensor, inverse_penalty: float, classes: int
) -> tuple[Tensor, Tensor]:
    """(classes, e) weights and (classes,) biases of the multinomial fit with this C."""
    # It takes a second to import, and only this method needs it.
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=inverse_penalty, max_iter=1000)  # L-BFGS
    # A small problem: more threads would wait for each other.
    with threadpool_limits(1), warnings.catch_warnings():
        # With one image a class, sklearn asks whether this is a regression.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model.fit(images.double().cpu().numpy(), labels.cpu().numpy())
    rows, shifts = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
    if len(rows) == 1:  # of two classes, sklearn has one row: the second's logit
        rows, shifts = torch.cat([0 * rows, rows]), torch.cat([0 * shifts, shifts])
    weight, bias = torch.zeros(classes, images.shape[1]), torch.full((classes,), NEVER)
    seen = torch.from_numpy(model.classes_)
    weight[seen], bias[seen] = rows.float(), shifts.float()
    return weight.to(images), bias.to(images)
