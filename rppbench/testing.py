"""Checks that every method, data set and task must pass; call them from a plugin's own tests.

    from rppbench.testing import check_method
    def test_mine(): check_method(Mine)

Each raises an AssertionError that says what is wrong.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.contracts.fitted import Examples, FittedMethod
from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.objective import Step
from rppbench.contracts.prompts import Adapter, ClassAware, Conditional, Prompt, Templates, TokenMap
from rppbench.contracts.recipe import select
from rppbench.contracts.regions import (
    IGNORED,
    UNLABELLED,
    DenseDataset,
    DetectionSet,
    SegmentationSet,
)
from rppbench.contracts.task import Task
from rppbench.data.few_shot import few_shot
from rppbench.data.groups import groups_of
from rppbench.errors import ContractError, UsageError
from rppbench.evaluation.checked import check_prompt, checked_prompts, prompted_towers
from rppbench.models.clip import Clip, load
from rppbench.plugins.options import options, resolve
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Option

NAMES = ("cat", "red apple", "sailboat", "violin", "house", "guide dog", "key", "pizza")
IMAGES = 8
ROLES = ("source", "transfer", "shift", "segmentation", "detection")


@cache
def _plugins() -> Registry:
    return Registry.load()


@cache
def default_clip() -> Clip:
    """The default backbone, loaded."""
    plugins = _plugins()
    name = plugins.default_backbone().name
    return load(name, plugins.all("backbones"), kinds=plugins.towers())


def build(
    component: type[Method], clip: Clip, chosen: Mapping[str, Option], seed: int = 0
) -> Method:
    """The method in the backbone's space, its parameters drawn from `seed`."""
    supervised = Supervision.__dataclass_fields__
    own = {name: value for name, value in chosen.items() if name not in supervised}
    space = clip.space(len(NAMES), torch.Generator().manual_seed(seed), teacher=clip)
    method = component(space, **own)
    if isinstance(method, FittedMethod):
        method.start(examples_of(method, clip))
    return method


def noise(clip: Clip, seed: int) -> Tensor:
    """(b, 3, size, size) fixed noise images."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(IMAGES, 3, *[clip.preprocess.size] * 2, generator=generator)


def examples_of(method: FittedMethod, clip: Clip) -> Examples:
    """Noise images to fit a method to, one per class, in the method's number of views."""
    prompts = method.prompts()
    text, unit = prompts.text, prompts.unit_images
    assert isinstance(text, Templates), "a fitted method has no prompts in the towers"
    labels = torch.arange(IMAGES) % len(NAMES)

    def views(unit: bool) -> Tensor:
        return clip.image.encode(noise(clip, 1), unit=unit).expand(method.views, -1, -1)

    return Examples(
        images=views(unit),
        labels=labels,
        val_images=clip.image.encode(noise(clip, 2), unit=unit),
        val_labels=labels,
        texts=clip.text.encode_templates(NAMES, text.wordings or ("a photo of a {}.",)),
        scale=clip.scale,
        raw_images=views(unit=False) if method.raw_images else None,
    )


def step_of(method: Method, clip: Clip) -> Step:
    """A training step on fixed noise images, one of each class."""
    pixels = noise(clip, 1)
    prompts = method.prompts()
    images = clip.image.encode(pixels, prompts.image, unit=prompts.unit_images)
    if isinstance(prompts.text, Templates):
        wordings = prompts.text.wordings or ("a photo of a {}.",)
        texts = clip.text.encode_templates(NAMES, wordings, unit=prompts.text.unit)
    else:
        names = clip.names(NAMES, prompts.wording("a photo of a {}."))
        if isinstance(prompts.text, Conditional):
            texts = clip.text.encode_each(prompts.text.contexts(images), names)
        else:
            text = prompts.text
            if isinstance(text, ClassAware):
                wordings = text.wordings or ("a photo of a {}.",)
                text = text.prompt(clip.text.encode_templates(NAMES, wordings))
            texts = clip.text.encode(text, names)
    frozen_texts = frozen_images = None
    if (frozen := method.frozen) is not None:
        wordings = frozen.wordings or ("a photo of a {}.",)
        frozen_texts = clip.text.encode_templates(NAMES, wordings, raw=frozen.raw)
        frozen_images = clip.image.encode(pixels) if frozen.images else None
    classes = torch.arange(len(NAMES))
    teacher = None
    if isinstance(prompts.text, Templates) and prompts.text.teacher:  # the model is its own teacher
        teacher = clip.scale * clip.image.encode(pixels) @ texts.T
    return Step(
        images=images,
        texts=texts,
        classes=classes,
        labels=torch.arange(IMAGES) % len(NAMES),
        negatives=torch.ones(len(NAMES), dtype=torch.bool),
        total=len(NAMES),
        scale=clip.scale,
        supervision=Supervision(),
        teacher=teacher,
        frozen_texts=frozen_texts,
        frozen_images=frozen_images,
        head=method.classify(images, texts, classes, clip.scale),
    )


def check_method(component: type[Method], clip: Clip | None = None, **chosen: Option) -> None:
    """Check a method's facts, parameters, prompts and gradients, built with `chosen` options.

    `clip` defaults to the default backbone. Options that are not chosen have the values of the
    method's recipe for the suite of the default backbone.
    """
    clip = clip or default_clip()
    assert component.name, "a method needs a name"
    assert component.title, "a method needs a title for tables"
    recipes = component.learning.recipes if component.learning else ()
    names = [recipe.name for recipe in recipes]
    assert len(set(names)) == len(names), f"two recipes of {component.name} share a name"
    for recipe in recipes:
        unknown = set(dict(recipe.options)) - set(options(component))
        assert not unknown, f"recipe {recipe.name} sets unknown options: {sorted(unknown)}"
        resolve(component, dict(recipe.options))
    recipe = select(recipes, "", _plugins().default_backbone().suite)
    chosen = {**dict(recipe.options), **chosen}
    method = build(component, clip, chosen)
    _check_prompts(method, clip)
    declared = set(component.prompted_towers({**options(component), **chosen}))
    actual = prompted_towers(method.prompts())
    assert declared == actual, (
        f"prompted_towers names {sorted(declared)}, but vectors enter {sorted(actual)}"
    )
    if component.conditional != isinstance(method.prompts().text, Conditional):
        raise AssertionError(f"conditional = {component.conditional} is not what its prompts are")
    again = build(component, clip, chosen)
    for name, value in method.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), (
            f"{name} is not drawn from the generator of the space"
        )
    if component.learning is None:
        assert not list(method.parameters()), "a method that learns nothing has parameters"
        return
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    if isinstance(method, FittedMethod) and not recipe.epochs:
        trained = []  # fitted at the end, without training steps
    else:
        assert trained, "a method that learns has nothing to train"
    assert all(p.dtype == torch.float32 for p in trained), "parameters are float32"
    loss = method.loss(step_of(method, clip))
    assert loss.ndim == 0, "a loss is one number"
    assert torch.isfinite(loss), "the first loss is not finite"
    if trained:
        loss.backward()
        _check_gradients(method, clip)
    assert not any(p.requires_grad for p in clip.model.parameters()), "the backbone is not frozen"
    if trained:
        _check_learns(method, clip, trained)
    if isinstance(method, FittedMethod):
        method.finish(examples_of(method, clip))
    other = build(component, clip, chosen, seed=1)
    other.load_state_dict(method.state_dict())
    same = zip(_vectors(method, clip), _vectors(other, clip), strict=True)
    assert all(torch.equal(one, two) for one, two in same), "state_dict does not hold everything"


def _check_gradients(method: Method, clip: Clip) -> None:
    """Every parameter has a gradient, now or once the others have moved (LoRA's A waits for B)."""
    still = _without_gradient(method)
    if still:
        moved = deepcopy(method)
        with torch.no_grad():
            for parameter, own in zip(moved.parameters(), method.parameters(), strict=True):
                if own.grad is not None:
                    parameter.sub_(0.1 * own.grad / own.grad.norm().clamp(min=1e-12))
        moved.loss(step_of(moved, clip)).backward()
        still &= _without_gradient(moved)
    assert not still, f"{min(still)} has no gradient: it cannot change anything"


def _without_gradient(method: Method) -> set[str]:
    learned = {name: p.grad for name, p in method.named_parameters() if p.requires_grad}
    return {name for name, grad in learned.items() if grad is None or not grad.abs().max() > 0}


def _check_learns(method: Method, clip: Clip, trained: list[torch.nn.Parameter]) -> None:
    before = float(method.loss(step_of(method, clip)).detach())
    gradients = torch.autograd.grad(method.loss(step_of(method, clip)), trained)
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    state = [parameter.detach().clone() for parameter in trained]
    for size in (1e-1, 1e-2, 1e-3, 1e-4):  # one of these steps must lower the loss
        with torch.no_grad():
            for parameter, start, gradient in zip(trained, state, gradients, strict=True):
                parameter.copy_(start - size * gradient / norm)
            if float(method.loss(step_of(method, clip))) < before:
                return
    raise AssertionError("a step along the gradient does not lower the loss")


def _check_prompts(method: Method, clip: Clip) -> None:
    try:
        prompts = checked_prompts(method, clip)
        for tower, prompt in ((clip.text, prompts.text), (clip.image, prompts.image)):
            if isinstance(prompt, ClassAware):
                prompt = prompt.prompt(_unit_rows(clip))
                check_prompt(prompt, clip.text.kind, "the text prompt", (2, 3))
            if isinstance(prompt, Conditional):
                contexts = prompt.contexts(_unit_rows(clip))
                shape = (len(contexts), contexts.shape[-1])
                known = (IMAGES, clip.text.kind.width)
                assert shape == known, "contexts are (images, tokens, width of the tower)"
            for adapter in prompt.adapters.values() if isinstance(prompt, Prompt) else ():
                for add in _maps(adapter):
                    _check_map(add, tower.kind.width)
    except ContractError as error:
        raise AssertionError(str(error)) from error
    wording = prompts.wording("a photo of a {}, a type of pet.")
    assert wording.count("{}") == 1, "the wording has one '{}' for the class name"


def _maps(adapter: Adapter) -> list[TokenMap]:
    given = (adapter.queries, adapter.keys, adapter.values, adapter.output, adapter.block)
    return [add for add in given if add is not None]


def _check_map(add: TokenMap, width: int) -> None:
    """Check that a map treats every token by itself and gives the same when it is called again."""
    tokens = torch.randn(2, 3, width, generator=torch.Generator().manual_seed(0))
    every = add(tokens)
    assert every.shape == tokens.shape, f"an adapter does not map {width} values to {width}"
    assert torch.equal(every, add(tokens)), "an adapter gives other values when it is called again"
    alone = torch.stack([add(token) for token in tokens.flatten(0, 1)]).view_as(tokens)
    close = torch.allclose(every, alone, rtol=1e-4, atol=1e-5 * float(every.detach().abs().max()))
    assert close, "an adapter treats a token differently when there are others"


def _unit_rows(clip: Clip) -> Tensor:
    """(b, e) distinct unit vectors in place of image features."""
    return torch.eye(IMAGES, clip.space(len(NAMES), torch.Generator()).embed)


def _vectors(method: Method, clip: Clip) -> list[Tensor]:
    prompts = method.eval().prompts()
    vectors: list[Tensor] = []
    if (head := step_of(method, clip).head) is not None:
        assert head.shape == (IMAGES, len(NAMES)), "logits are (images, classes)"
        vectors.append(head)
    for prompt in (prompts.text, prompts.image):
        if isinstance(prompt, ClassAware):
            prompt = prompt.prompt(_unit_rows(clip))
        if isinstance(prompt, Conditional):
            vectors.append(prompt.contexts(_unit_rows(clip)))
        if isinstance(prompt, Prompt):
            parts = (prompt.stream, prompt.queries, prompt.keys, prompt.values)
            vectors += [prompt.input, *(v for part in parts for v in part.values())]
            vectors += [] if prompt.after_name is None else [prompt.after_name]
            tokens = torch.ones(1, prompt.input.shape[-1])
            for adapter in prompt.adapters.values():
                vectors += [add(tokens) for add in _maps(adapter)]
    return vectors


def check_dataset(component: type[Dataset], images: int = 3) -> None:
    """Check a data set's facts, lists, draws and the first `images` images of the test split.

    All lists are read, so call it on a small copy of a large data set.
    """
    assert component.name, "a data set needs a name"
    assert component.title, "a data set needs a title for tables"
    assert component.role in ROLES, f"{component.role!r} is not a role"
    assert component.template.count("{}") == 1, "the template has one '{}' for the class name"
    data, again = component(), component()
    classes = list(data.classes)
    assert classes, "the data set has no classes"
    assert all(name and "_" not in name for name in classes), "a class name is empty or has a '_'"
    samples = list(data.samples("test"))
    assert samples, "the data set has no test images"
    assert samples == list(again.samples("test")), "the order of the images is not fixed"
    assert len({sample.key for sample in samples}) == len(samples), "two images share a key"
    if isinstance(data, DenseDataset):
        assert all(s.label == UNLABELLED for s in samples), (
            "an image of several objects has a label"
        )
        for sample in islice(samples, images):
            _check_dense(data, sample)
    else:
        _check_labels(data, again)
    assert data.fingerprint() == again.fingerprint(), "the fingerprint is not fixed"
    assert all(0 <= label < len(classes) for label in data.held_out()), (
        "a held-out label is out of range"
    )
    assert groups_of(data, samples) == groups_of(again, samples), "the groups are not fixed"
    shown = list(islice(samples, images))
    files = [file and str(file) for file in map(data.file, shown)]
    assert list(data.paths(shown)) == files, "`paths` are not those of `file`"
    for sample in shown:
        image = data.image(sample)
        assert image.mode == "RGB", f"{sample.key} is not RGB"
        renamed = data.image(replace(sample, label=0))  # labels count among the chosen classes
        assert renamed == image, f"the image of {sample.key} depends on its label"
    try:
        data.samples("no such split")
    except UsageError:
        return
    raise AssertionError("an unknown split does not raise UsageError")


def _check_labels(data: Dataset, again: Dataset) -> None:
    """Check labels, draws and halves of a data set whose images have one label each."""
    classes, samples, splits = list(data.classes), list(data.samples("test")), _splits(data)
    for split, listed in splits.items():
        assert all(0 <= s.label < len(classes) for s in listed), f"{split} has an invalid label"
        assert listed == list(again.samples(split)), f"the order of {split} is not fixed"
    if train := splits.get("train"):
        drawn = few_shot(train, 1, 1)
        assert len(drawn) == len({s.label for s in train}), "a draw is one image of each class"
        assert not {s.key for s in train} & {s.key for s in samples}, (
            "a training image is also a test image"
        )
    base, new = data.halves()
    assert sorted([*base, *new]) == list(range(len(classes))), "halves do not hold each class once"
    copy = pickle.loads(pickle.dumps(data))  # as it is sent to a worker
    assert copy.fingerprint() == data.fingerprint(), "a worker's copy is another data set"
    assert copy.image(samples[0]) == data.image(samples[0]), "a worker's copy has other images"


def _check_dense(data: DenseDataset, sample: Sample) -> None:
    """Check that label map and instances of one image fit it and the classes."""
    (width, height), classes, key = data.image(sample).size, len(data.classes), sample.key
    assert all(0 <= label < classes for label in data.unseen()), "an unseen label is out of range"
    if isinstance(data, SegmentationSet):
        labels = data.label_map(sample)
        assert labels.shape == (height, width), f"the label map of {key} has another size"
        assert labels.dtype == np.uint16, "a label map is uint16"
        assert ((labels < classes) | (labels == IGNORED)).all(), "a pixel's label is out of range"
    if isinstance(data, DetectionSet):
        for instance in data.instances(sample):
            assert 0 <= instance.label < classes, f"an instance's label is out of range in {key}"
            assert instance.mask is None or instance.mask.shape == (height, width), (
                f"a mask in {key} does not have the size of the image"
            )


def _splits(data: Dataset) -> dict[str, list[Sample]]:
    splits = {}
    for split in ("train", "val", "test"):
        with suppress(UsageError):
            splits[split] = list(data.samples(split))
    return splits


def check_task(component: type[Task], method: type[Method], registry: Registry) -> None:
    """Check a task's facts and its cells for one method, with default options."""
    assert component.name, "a task needs a name"
    assert component.title, "a task needs a title for tables"
    listed = list(component().assignments(registry, method))
    assert listed, "the task has no cells for this method"
    known = registry.all("datasets")
    for assignment in listed:
        assert assignment.dataset in known, f"no data set is named {assignment.dataset!r}"
        assert assignment.source in known, f"no data set is named {assignment.source!r}"
