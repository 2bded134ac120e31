"""What parity tests of methods share: settings, plain towers, and one training on the toy set.

All inputs of that training are computed by the slow towers, and its SGD step by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.objective import Step
from rppbench.contracts.prompts import Prompt
from rppbench.contracts.recipe import Recipe
from rppbench.data.few_shot import few_shot_with_val
from rppbench.data.splits import of_classes
from rppbench.evaluation.scorer import Scorer
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip
from rppbench.records.cell import Choice, Option, Training
from rppbench.training.state import Progress
from rppbench.training.trainer import Trainer
from support.reference import image_features, text_features
from support.tiny import make_tiny_clip, tokenizer
from support.toy_data import Toy

NAMES = list(Toy().classes)[:5]
SEVEN = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
"""The wordings that CLIP's authors found to suffice for ImageNet: `template=select`."""
IMAGES = 15
HEADS = 4
RATE, DECAY = 0.5, 5e-4
RECIPE = Recipe("step-1", epochs=1, batch=IMAGES, lr=RATE, warmup_epochs=0, augment="none")
TRAINING = Training(
    method=Choice("any"),
    recipe=RECIPE.choice(),
    source="toy",
    classes="seen",
    shots=3,
    seed=0,
    backbone="tiny",
    teacher=None,
    precision="fp32",
)


Parameters = Mapping[str, Tensor]


Text = Prompt | Callable[[Tensor], list[Prompt]] | None


def words(clip: Clip, text: str) -> Tensor:
    ids = tokenizer()([text])[0]
    embedded = clip.model.token_embedding.weight[ids]
    return embedded[1 : int(ids.argmax())]


def plain_texts(clip: Clip, names: Sequence[str], prompt: Prompt | None) -> Tensor:
    if prompt is None:
        empty = Prompt(torch.empty(0, 32))
        return plain_texts(clip, [f"a photo of a {name}" for name in names], empty)
    return text_features(clip.model.state_dict(), tokenizer(), names, prompt, HEADS, False)


def plain_images(clip: Clip, pixels: Tensor, prompt: Prompt | None) -> Tensor:
    return image_features(clip.model.state_dict(), pixels, prompt, HEADS, False)


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


def complete_and_resumed(
    make: Callable[[str], World], stop: int, patch: pytest.MonkeyPatch
) -> tuple[World, World]:
    """A training that ran in one go, and one that was interrupted after step `stop` and resumed.

    `make` makes the world of a folder's name.
    """
    patch.setattr("rppbench.training.trainer.SAVE_SECONDS", -1.0)
    complete, cut = make("complete"), make("cut")
    complete.run()

    def kill(phase: str, done: int, total: int, metrics: object) -> None:
        if phase == "train" and done == stop + 1:
            raise KeyboardInterrupt

    cut.trainer.notify = kill
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    resumed = make("cut")
    resumed.run()
    return complete, resumed


def leaves(method: Method) -> dict[str, Tensor]:
    return {n: p.detach().clone().requires_grad_() for n, p in method.named_parameters()}


def moved_by_sgd(method: Method, start: dict[str, Tensor], loss: Tensor) -> None:
    gradients = torch.autograd.grad(loss, list(start.values()))
    for (key, value), gradient in zip(start.items(), gradients, strict=True):
        expected = -RATE * (gradient + DECAY * value)
        moved = dict(method.named_parameters())[key] - value
        assert gradient.abs().max() > 1e-7, key
        assert torch.allclose(moved, expected, rtol=1e-3, atol=2e-3 * expected.abs().max().item())
