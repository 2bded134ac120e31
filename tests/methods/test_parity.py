"""One step of learning, logits included, against plain references written from the papers.

Everything runs in float32 on a small random CLIP: the towers of `reference`, a layout of each
method's parameters spelled out here, its loss in the formula of the paper, and SGD by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import torch
from open_clip import OPENAI_IMAGENET_TEMPLATES
from support.tiny import make_tiny_clip, tokenizer
from support.toy_data import Toy
from support.training_world import (
    DECAY,
    IMAGES,
    NAMES,
    RATE,
    TRAINING,
    Parameters,
    Text,
    plain_images,
    plain_texts,
    words,
)
from torch import Tensor

from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.objective import Step
from rppbench.contracts.prompts import Prompt
from rppbench.evaluation.scorer import Scorer
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip
from rppbench.records.cell import Choice, Option
from rppbench.training.trainer import Trainer
from rppbench_methods.cocoop import CoCoOp
from rppbench_methods.coop import CoOp
from rppbench_methods.ivlp import IVLP
from rppbench_methods.kgcoop import KgCoOp
from rppbench_methods.maple import MaPLe
from rppbench_methods.pomp import POMP
from rppbench_methods.promptsrc import PromptSRC
from rppbench_methods.rpp import RPP
from rppbench_methods.vpt import VPT

LABELS = Supervision()
TEXTURES = "a photo of a {}, a type of texture."
"""KgCoOp's wording of DTD, which is not the data set's own."""
SIXTY = [fill("{}") for fill in OPENAI_IMAGENET_TEMPLATES[:60]]
Layout = tuple[Text, Prompt | None]
"""What enters the text tower (None: the wording "a photo of a {}.") and the image tower."""


@dataclass(frozen=True)
class Plain:
    """What a loss of a paper is a function of: unit features, and where the truth is."""

    images: Tensor
    texts: Tensor
    labels: Tensor
    scale: Tensor
    negatives: Tensor
    """(k,) bool"""
    frozen_images: Tensor
    frozen_texts: Callable[[Sequence[str]], Tensor]
    """The frozen features, as long as they are, of all classes in one wording each."""
    teacher: Tensor
    """(b, k) zero-shot logits of the teacher."""

    @property
    def logits(self) -> Tensor:
        if self.texts.ndim == 3:  # each image has texts of its own
            pairs = zip(self.images, self.texts, strict=True)
            return torch.stack([self.scale * (texts @ image) for image, texts in pairs])
        return self.scale * self.images @ self.texts.T


def cross_entropy(plain: Plain) -> Tensor:
    rows = [
        -row.log_softmax(0)[label] for row, label in zip(plain.logits, plain.labels, strict=True)
    ]
    return torch.stack(rows).mean()


def deep(parameters: Parameters, tower: str) -> dict[int, Tensor]:
    """The vectors that take the prompt's rows before blocks 1 and 2."""
    return {1: parameters[f"{tower}.blocks.0"], 2: parameters[f"{tower}.blocks.1"]}


# --- where the parameters stand -------------------------------------------------------------------


def context(parameters: Parameters, clip: Clip) -> Layout:
    return Prompt(parameters["context"]), None


def around(before: int) -> Callable[[Parameters, Clip], Layout]:
    """The first `before` tokens in front of the class name, the others behind it."""

    def layout(parameters: Parameters, clip: Clip) -> Layout:
        context = parameters["context"]
        own = context[..., :before, :], context[..., before:, :]
        return Prompt(own[0], after_name=own[1]), None

    return layout


def conditional(parameters: Parameters, clip: Clip) -> Layout:
    def contexts(images: Tensor) -> list[Prompt]:
        hidden = images @ parameters["narrow.weight"].T + parameters["narrow.bias"]
        shifts = hidden.clamp(min=0) @ parameters["widen.weight"].T + parameters["widen.bias"]
        return [Prompt(parameters["context"] + shift) for shift in shifts]

    return contexts, None


def visual(parameters: Parameters, clip: Clip) -> Layout:
    return None, Prompt(parameters["image.input"], deep(parameters, "image"))


def independent(parameters: Parameters, clip: Clip) -> Layout:
    tail = words(clip, "a photo of a")[len(parameters["text.input"]) :]
    text = Prompt(torch.cat([parameters["text.input"], tail]), deep(parameters, "text"))
    return text, Prompt(parameters["image.input"], deep(parameters, "image"))


def coupled(parameters: Parameters, clip: Clip) -> Layout:
    tail = words(clip, "a photo of a")[2:]
    vectors = deep(parameters, "text")
    image = {
        block: vectors[block] @ parameters[f"deep_projections.{block - 1}.weight"].T
        + parameters[f"deep_projections.{block - 1}.bias"]
        for block in (1, 2)
    }
    start = parameters["text.input"] @ parameters["projection.weight"].T
    return (
        Prompt(torch.cat([parameters["text.input"], tail]), vectors),
        Prompt(start + parameters["projection.bias"], image),
    )


def unshared(parameters: Parameters, clip: Clip) -> Layout:
    def tower(name: str) -> Prompt:
        given = [
            {block: parameters[f"{name}.vectors.{part}{block}"] for block in range(3)}
            for part in "qkv"
        ]
        return Prompt(parameters[f"{name}.input"], {}, *given)

    return tower("text"), tower("image")


# --- what is minimised ----------------------------------------------------------------------------


def pomp_loss(plain: Plain) -> Tensor:
    """Sampled negatives, shifted by log10(N - 1) - log10(their number); N = 5."""
    rows = []
    for row, label in zip(plain.logits, plain.labels.tolist(), strict=True):
        others = [k for k in range(len(row)) if plain.negatives[k] and k != label]
        shift = torch.log10(torch.tensor(4.0)) - torch.log10(torch.tensor(float(len(others))))
        compared = torch.cat([row[label : label + 1], row[others] + shift])
        rows.append(compared.logsumexp(0) - row[label])
    return torch.stack(rows).mean()


def rpp_loss(plain: Plain) -> Tensor:
    """Labels, and the teacher's zero-shot probabilities: KL(teacher || student), mean of images."""
    teacher, student = plain.teacher.softmax(1), plain.logits.softmax(1)
    divergence = (teacher * (teacher.log() - student.log())).sum(1).mean()
    return cross_entropy(plain) + divergence


def kgcoop_loss(plain: Plain, wording: str = "a photo of a {}.") -> Tensor:
    """Cross-entropy, and 8 times the mean of 1 - cos to the wording."""
    crafted = plain.frozen_texts([wording])
    cosines = torch.cosine_similarity(plain.texts, crafted, dim=1)
    return cross_entropy(plain) + 8 * torch.stack([1 - cosine for cosine in cosines]).mean()


def promptsrc_loss(plain: Plain) -> Tensor:
    """Cross-entropy + 25 L1(text) + 10 L1(image) + KL / (images x classes)."""
    texts = plain.frozen_texts(SIXTY)
    texts = texts / texts.norm(dim=1, keepdim=True)
    zero_shot = (plain.scale * plain.frozen_images @ texts.T).softmax(1)
    student = plain.logits.softmax(1)
    divergence = (zero_shot * (zero_shot / student).log()).sum() / student.numel()
    text = (plain.texts - texts).abs().sum() / texts.numel()
    image = (plain.images - plain.frozen_images).abs().sum() / plain.images.numel()
    return cross_entropy(plain) + 25 * text + 10 * image + divergence


@dataclass(frozen=True)
class Case:
    component: type[Method]
    options: Mapping[str, Option]
    layout: Callable[[Parameters, Clip], Layout]
    loss: Callable[[Plain], Tensor] = cross_entropy
    supervision: Supervision = LABELS


CASES = {
    "coop": Case(CoOp, {}, context),
    "coop, random": Case(CoOp, {"init": "", "length": 3}, context),
    "coop, middle": Case(CoOp, {"position": "middle", "init": "", "length": 5}, around(2)),
    "coop, front": Case(CoOp, {"position": "front"}, around(0)),
    "coop, middle of each class": Case(
        CoOp, {"position": "middle", "init": "", "class_specific": True}, around(2)
    ),
    "cocoop": Case(CoCoOp, {}, conditional),
    "vpt": Case(VPT, {"length": 3, "depth": 3}, visual),
    "ivlp": Case(IVLP, {"length": 2, "depth": 3}, independent),
    "kgcoop": Case(KgCoOp, {}, context, kgcoop_loss),
    "kgcoop, textures": Case(
        KgCoOp, {"crafted": TEXTURES}, context, partial(kgcoop_loss, wording=TEXTURES)
    ),
    "promptsrc": Case(PromptSRC, {"length": 4, "depth": 3}, independent, promptsrc_loss),
    "maple": Case(MaPLe, {"length": 2, "depth": 3}, coupled),
    "pomp": Case(POMP, {"length": 3}, context, pomp_loss, Supervision(sampled=4)),
    "rpp": Case(RPP, {"length": 3, "depth": 3}, unshared, rpp_loss, Supervision(kd=True)),
}


@torch.no_grad()
def frozen_texts(clip: Clip, wordings: Sequence[str]) -> Tensor:
    """(c, e) mean over wordings of what open_clip itself makes of the sentences."""
    sentences = [[wording.replace("{}", name) for name in NAMES] for wording in wordings]
    return torch.stack([clip.model.encode_text(tokenizer()(rows)) for rows in sentences]).mean(0)


def test_promptsrc_averages_by_a_gaussian_over_epochs() -> None:
    """The published 15 and 1 over 20 epochs; and a wide one is nearly flat."""
    space = make_tiny_clip().space(5, torch.Generator())
    narrow = list(PromptSRC(space, depth=3).epoch_weights(20))
    rounded = [round(weight, 3) for weight in narrow]
    assert rounded[12:17] == [0.054, 0.242, 0.399, 0.242, 0.054]
    assert max(rounded[:11] + rounded[18:]) == 0.0
    wide = list(PromptSRC(space, depth=3, mean=6.0, std=10.0).epoch_weights(20))
    assert sum(narrow) == pytest.approx(1)
    assert sum(wide) == pytest.approx(1)
    assert wide.index(max(wide)) == 5  # epoch 6


@pytest.mark.parametrize("name", CASES)
def test_logits_and_one_step_equal_the_plain_reference(name: str, tmp_path: Path) -> None:
    case, clip, teacher = CASES[name], make_tiny_clip(), make_tiny_clip(seed=5)
    method = case.component(clip.space(5, torch.Generator().manual_seed(1)), **case.options)
    stream = torch.Generator().manual_seed(2)
    with torch.no_grad():  # away from the start, where KgCoOp's distance has no gradient
        for parameter in method.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=stream), alpha=0.1)
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    trainer = Trainer(
        replace(TRAINING, method=Choice(case.component.name)),
        method,
        case.supervision,
        clip,
        teacher if case.supervision.kd else None,
        Toy(),
        Scorer(clip, FeatureStore(tmp_path), 4, 0, notify=lambda *state: None),
    )
    steps: list[Step] = []
    objective = method.loss

    def seen(step: Step) -> Tensor:
        steps.append(step)
        return objective(step)

    method.loss = seen  # type: ignore[method-assign]
    progress = trainer.run(tmp_path / "prompts.safetensors")
    assert progress.step == 1

    order = trainer.inputs.order(0)
    pixels = torch.cat(list(trainer.inputs.images.in_order(IMAGES)))[order]
    labels = trainer.inputs.labels[order]
    candidates, negatives = trainer.inputs.candidates(labels, case.supervision.sampled, 0, 0)
    leaves = {name: value.clone().requires_grad_() for name, value in before.items()}
    text, image = case.layout(leaves, clip)
    cosines = plain_images(teacher, pixels, None) @ plain_texts(teacher, NAMES, None).T
    names = [NAMES[label] for label in candidates]
    images = plain_images(clip, pixels, image)
    if callable(text):
        texts = torch.stack([plain_texts(clip, names, own) for own in text(images)])
    else:
        texts = plain_texts(clip, names, text)
    plain = Plain(
        images=images,
        texts=texts,
        labels=torch.tensor([candidates.tolist().index(label) for label in labels.tolist()]),
        scale=clip.model.logit_scale.detach().exp(),
        negatives=negatives,
        frozen_images=plain_images(clip, pixels, None),
        frozen_texts=lambda wordings: frozen_texts(clip, wordings),
        teacher=cosines[:, candidates] * teacher.model.logit_scale.detach().exp(),
    )
    assert torch.allclose(steps[0].logits, plain.logits, rtol=1e-4, atol=1e-4)
    loss = case.loss(plain)
    assert progress.log[0]["loss"] == pytest.approx(loss.item(), rel=1e-4)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    for (key, start), gradient in zip(before.items(), gradients, strict=True):
        moved = dict(method.named_parameters())[key] - start
        expected = -RATE * (gradient + DECAY * start)  # the first step has no momentum yet
        assert gradient.abs().max() > 1e-6, key
        assert torch.allclose(moved, expected, rtol=1e-3, atol=float(1e-3 * expected.abs().max()))
