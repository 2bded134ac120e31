"""One training on the toy set with all its inputs computed by the slow towers, and SGD by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.objective import Step
from rppbench.contracts.recipe import Recipe
from rppbench.data.few_shot import few_shot_with_val
from rppbench.data.splits import of_classes
from rppbench.evaluation.scorer import Scorer
from rppbench.features.store import FeatureStore
from rppbench.records.cell import Choice, Option
from rppbench.training.state import Progress
from rppbench.training.trainer import Trainer
from support.parity import DECAY, IMAGES, NAMES, RATE, RECIPE, TRAINING, plain_images, plain_texts
from support.tiny import make_tiny_clip
from support.toy_data import Toy

FIT = replace(RECIPE, epochs=0)
SHOTS = 3


class World:
    """One training on the toy set, and the features of its images and texts."""

    def __init__(
        self,
        folder: Path,
        component: type[Method],
        recipe: Recipe = RECIPE,
        supervision: Supervision | None = None,
        dataset: Toy | None = None,
        **options: Option,
    ) -> None:
        self.clip, self.teacher = make_tiny_clip(), make_tiny_clip(seed=5)
        self.folder = folder
        stream = torch.Generator().manual_seed(1)
        space = self.clip.space(5, stream, SHOTS, self.teacher)
        self.method = component(space, **options)
        scorer = Scorer(self.clip, FeatureStore(folder), 4, 0, notify=lambda *state: None)
        supervision = supervision or Supervision()
        self.trainer = Trainer(
            replace(TRAINING, method=Choice(component.name), recipe=recipe.choice()),
            self.method,
            supervision,
            self.clip,
            self.teacher if supervision.kd else None,
            dataset or Toy(),
            scorer,
        )
        self.steps: list[Step] = []
        self.progress: Progress | None = None
        objective = self.method.loss

        def seen(step: Step) -> Tensor:
            self.steps.append(step)
            return objective(step)

        self.method.loss = seen  # type: ignore[method-assign]
        self.pixels = torch.cat(list(self.trainer.inputs.images.in_order(IMAGES)))
        self.features = plain_images(self.clip, self.pixels, None)
        self.labels = self.trainer.inputs.labels
        self.texts = plain_texts(self.clip, NAMES, None)
        self.scale = self.clip.model.logit_scale.detach().exp()
        train, val = (Toy().samples(split) for split in ("train", "val"))
        drawn = of_classes(few_shot_with_val(train, val, SHOTS, 0)[1], range(5))
        pixels = [self.clip.preprocess(Toy().image(sample)) for sample in drawn]
        self.val = plain_images(self.clip, torch.stack(pixels), None)
        self.val_labels = torch.tensor([sample.label for sample in drawn])

    @property
    def order(self) -> Tensor:
        return self.trainer.inputs.order(0)

    def run(self) -> None:
        self.progress = progress = self.trainer.run(self.folder / "prompts.safetensors")
        assert progress.log
        assert progress.train_loss is not None


def leaves(method: Method) -> dict[str, Tensor]:
    return {n: p.detach().clone().requires_grad_() for n, p in method.named_parameters()}


def moved_by_sgd(method: Method, start: dict[str, Tensor], loss: Tensor) -> None:
    gradients = torch.autograd.grad(loss, list(start.values()))
    for (key, value), gradient in zip(start.items(), gradients, strict=True):
        expected = -RATE * (gradient + DECAY * value)
        moved = dict(method.named_parameters())[key] - value
        assert gradient.abs().max() > 1e-7, key
        assert torch.allclose(moved, expected, rtol=1e-3, atol=2e-3 * expected.abs().max().item())
