"""RPP-SAPL at every point that the paper leaves open: logits, loss, gradient and one SGD step.

The reference spells out what each option means, block by block, on the slow towers, and its loss in
the formulas of the papers. A vector that the method holds for dead, and does not create, is noise
here: a difference would show that something reads it.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from support.training_world import (
    NAMES,
    World,
    leaves,
    moved_by_sgd,
    plain_images,
    plain_texts,
)
from torch import Tensor

from rppbench.contracts.learning import Supervision
from rppbench.contracts.prompts import Prompt
from rppbench_methods.rpp import RPP

LAYERS = 4
WIDTHS = {"text": 32, "image": 48}
DEFAULTS: dict[str, Any] = {
    "length": 3,
    "depth": 3,
    "residual": "keep",
    "unshared": "qkv",
    "encoders": "both",
    "input": "learned",
    "init": "a photo of a",
}
OPTIONS: list[dict[str, Any]] = [
    {},
    *({"depth": depth} for depth in (0, 1, 2, 4)),
    *({"length": length} for length in (1, 4)),
    {"init": "", "length": 2},
    {"input": "frozen"},
    *({"encoders": tower} for tower in ("text", "image")),
    *({"encoders": tower, "depth": 0} for tower in ("text", "image")),
    *(
        {"residual": residual, "unshared": unshared, "depth": depth}
        for residual, unshared, depth in product(
            ("keep", "q", "mean"), ("qkv", "kv", "qk", "qv", "q", "k", "v", "none"), (3, 4)
        )
        if residual != "q" or "q" in unshared or unshared == "none"
        if not (unshared == "q" and residual == "keep" and depth == 4)
    ),
]
TEACHERS = {
    "no teacher": Supervision(sampled=0),
    "teacher": Supervision(sampled=0, kd=True),
    "sampled": Supervision(sampled=4),
    "sampled, no margin": Supervision(sampled=4, correction=False),
    "sampled, teacher": Supervision(sampled=4, kd=True, kd_weight=0.25, temperature=2.0),
}
CASES = [
    *((options, name) for options in OPTIONS for name in ("no teacher", "teacher")),
    *(({}, name) for name in list(TEACHERS)[2:]),
]


def spelled(case: tuple[dict[str, Any], str]) -> str:
    options, teacher = case
    return ", ".join([*(f"{name}={value}" for name, value in options.items()), teacher])


def sapl(world: World, given: dict[str, Tensor], tower: str, options: dict[str, Any]) -> Prompt:
    """The prompt rows of a tower: what its stream, queries, keys and values are in each block."""
    noise = torch.Generator().manual_seed(11)

    def vectors(name: str) -> Tensor:
        dead = torch.randn(options["length"], WIDTHS[tower], generator=noise)
        return given.get(f"{tower}.vectors.{name}", dead)

    module = getattr(world.method, tower)
    start = given.get(f"{tower}.input")
    if start is None:
        start = module.input.detach()
        if options["input"] == "learned":  # and not created: nothing reads it
            start = torch.randn(start.shape, generator=noise)
    stream, reads = {}, {"q": {}, "k": {}, "v": {}}  # type: ignore[var-annotated]
    for block in range(options["depth"]):
        if options["unshared"] == "none":
            one = vectors(f"s{block}")
            for letter in "qkv":
                reads[letter][block] = one
            if options["residual"] != "keep":
                stream[block] = one
            continue
        for letter in options["unshared"]:
            reads[letter][block] = vectors(f"{letter}{block}")
        own = [reads[letter][block] for letter in options["unshared"]]
        if options["residual"] == "q":
            stream[block] = reads["q"][block]
        elif options["residual"] == "mean":
            stream[block] = sum(own) / len(own)
    return Prompt(start, stream, reads["q"], reads["k"], reads["v"])


def compared(world: World, candidates: Tensor, negatives: Tensor, label: int) -> list[int]:
    """Positions among the candidates: the true class first, then the negatives."""
    own = candidates.tolist().index(label)
    return [own, *(at for at in range(len(candidates)) if negatives[at] and at != own)]


def loss_of(
    world: World, logits: Tensor, teacher: Tensor, candidates: Tensor, negatives: Tensor
) -> Tensor:
    """POMP's cross-entropy with its correction, and weight T^2 KL(teacher || student)."""
    chosen: Supervision = world.trainer.supervision
    terms = []
    for row, soft, label in zip(logits, teacher, world.labels[world.order].tolist(), strict=True):
        places = compared(world, candidates, negatives, label)
        student, target = row[places], soft[places]
        shift = torch.zeros(len(places))
        if chosen.sampled and chosen.correction:
            shift[1:] = torch.log10(torch.tensor((len(NAMES) - 1) / (len(places) - 1)))
        term = (student + shift).logsumexp(0) - student[0]
        if chosen.kd:
            p = (target / chosen.temperature).softmax(0)
            q = (student / chosen.temperature).softmax(0)
            divergence = (p * (p.log() - q.log())).sum()
            term = term + chosen.kd_weight * chosen.temperature**2 * divergence
        terms.append(term)
    return torch.stack(terms).mean()


@pytest.mark.parametrize("case", CASES, ids=spelled)
def test_one_step_equals_the_plain_reference(
    case: tuple[dict[str, Any], str], tmp_path: Path
) -> None:
    chosen, teacher_name = case
    options, supervision = {**DEFAULTS, **chosen}, TEACHERS[teacher_name]
    world = World(tmp_path, RPP, supervision=supervision, **options)
    stir = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in world.method.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=stir), alpha=0.1)
    start = leaves(world.method)
    world.run()
    order, truth = world.order, world.labels[world.order]
    candidates, negatives = world.trainer.inputs.candidates(truth, supervision.sampled, 0, 0)
    names = [NAMES[label] for label in candidates]
    text, image = (
        sapl(world, start, tower, options) if options["encoders"] in (tower, "both") else None
        for tower in ("text", "image")
    )
    pixels = world.pixels[order]
    student = (
        world.scale
        * plain_images(world.clip, pixels, image)
        @ plain_texts(world.clip, names, text).T
    )
    scale = world.teacher.model.logit_scale.detach().exp()
    soft = (
        scale
        * plain_images(world.teacher, pixels, None)
        @ plain_texts(world.teacher, names, None).T
    )
    torch.testing.assert_close(world.steps[0].logits, student, rtol=1e-4, atol=1e-4)
    loss = loss_of(world, student, soft, candidates, negatives)
    assert world.progress is not None
    assert world.progress.log[0]["loss"] == pytest.approx(loss.item(), rel=1e-4)
    moved_by_sgd(world.method, start, loss)


def test_the_teacher_changes_the_step(tmp_path: Path) -> None:
    """Otherwise the cases with and without one would be the same test."""
    losses = []
    for name, supervision in TEACHERS.items():
        world = World(tmp_path / name, RPP, supervision=supervision, **DEFAULTS)
        world.run()
        assert world.progress is not None
        losses.append(world.progress.log[0]["loss"])
    assert len({round(loss, 5) for loss in losses}) == len(TEACHERS)
