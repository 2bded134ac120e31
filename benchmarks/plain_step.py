"""The plain train step: as in the methods' official code, with rppbench's towers and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Prompt
from rppbench.contracts.recipe import Recipe, override
from rppbench.models.blocks import normalise
from rppbench.models.class_names import Names
from rppbench.models.clip import Clip
from rppbench.models.text_tower import TextTower
from rppbench.planning.recipes import SUPERVISION
from rppbench.plugins.options import options as options_of
from rppbench.plugins.registry import Registry
from rppbench.random_streams import torch_stream

RECIPES = {"coop": "coop-200-1", "maple": "maple-1", "pomp": "pomp-20-1", "rpp": "rpp-20-1"}
"""Published recipes by method; POMP and RPP with one view of each image and without a teacher."""


@dataclass(frozen=True)
class MethodSetting:
    """A method with the model, recipe and options that it is trained with."""

    name: str
    clip: Clip
    recipe: Recipe
    supervision: Supervision
    options: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, clip: Clip) -> MethodSetting:
        """The published setting of a method by name."""
        component = Registry.load().get("methods", name)
        recipe = next(r for r in component.learning.recipes if r.name == RECIPES[name])
        supervision = replace(component.learning.supervision, kd=False)
        own = {**options_of(component), **dict(recipe.options)}
        options = {k: v for k, v in own.items() if k not in SUPERVISION}
        if "depth" in options:  # small towers have fewer blocks
            space = clip.space(1, torch.Generator())
            options["depth"] = min(options["depth"], space.text_layers, space.image_layers)
        return cls(name, clip, override(recipe, {"views": 1}), supervision, options)

    def method(self, classes: int) -> Method:
        """The method with the parameters that a training starts from."""
        component = Registry.load().get("methods", self.name)
        space = self.clip.space(classes, torch_stream("initialise", "generated", 0))
        method: Method = component(space, **self.options)
        return method.to(self.clip.device)

    def candidates(self, classes: int) -> int:
        """Number of classes that a step of the published code compares."""
        return min(self.supervision.sampled or classes, classes)

    @property
    def prompts_images(self) -> bool:
        """Whether the image tower has prompts, so that its features cannot be stored."""
        return self.method(2).prompts().image is not None


class PlainStep:
    """The published train step: live images, 77 tokens for each class, one autograd graph."""

    def __init__(self, setting: MethodSetting) -> None:
        self.setting, self.clip = setting, setting.clip
        self.method = setting.method(2)
        self.optimizer = torch.optim.SGD(self.method.parameters(), lr=0.001, momentum=0.9)
        size = self.clip.preprocess.size
        stream = torch.Generator().manual_seed(0)
        self.pixels = torch.randn(setting.recipe.batch, 3, size, size, generator=stream)
        self.pixels = self.pixels.to(self.clip.device)

    def images(self) -> Tensor:
        """Features [B, E] of a batch of random images."""
        prompt = self.method.prompts().image
        with torch.set_grad_enabled(prompt is not None):
            return self.clip.image.encode(self.pixels, prompt)

    def texts(self, names: Names) -> Tensor:
        """Features [C, E] of the class names behind the method's prompt."""
        text = self.method.prompts().text
        assert isinstance(text, Prompt)
        return self.clip.text.encode(text, names, plain=True)

    def step(self, names: Names | None) -> None:
        """One step with the names as candidate classes; None runs only its image part."""
        images = self.images()
        self.optimizer.zero_grad(set_to_none=True)
        if names is None:
            if images.requires_grad:
                images.sum().backward()
        else:
            labels = torch.arange(len(images), device=images.device) % len(names)
            logits = self.clip.scale * images @ self.texts(names).T
            F.cross_entropy(logits, labels).backward()
        self.optimizer.step()


def competent_texts(text: TextTower, prompt: Prompt, names: Names) -> Tensor:
    """Features [C, E] as a competent user gets them: every class whole, cut to the longest name.

    Prompts at the input pass open_clip's own modules, deep ones our towers.
    """
    if prompt.stream or prompt.queries or prompt.keys or prompt.values:
        return cut_to_longest(text, prompt, names)
    return official_texts(text, prompt.input, names, cut=True)


def cut_to_longest(text: TextTower, prompt: Prompt, names: Names) -> Tensor:
    """Features [C, E] by our tower with every class whole, cut to the longest name."""
    return normalise(text._run_unshared(names.ids, prompt))


def official_texts(text: TextTower, context: Tensor, names: Names, cut: bool = False) -> Tensor:
    """Features [C, E] from CoOp's text encoder (KaiyangZhou/CoOp `trainers/coop.py`).

    It runs open_clip's own modules. context: [length, D]. With `cut`, the text ends with the
    longest name, which alters no feature, since no token sees a later one.
    """
    model, count = text.model, len(names)
    free = names.ids.shape[1] if cut else model.context_length - 1 - len(context)
    ids = F.pad(names.ids, (0, free - names.ids.shape[1]))
    start = model.token_embedding(torch.full((count, 1), text.tokenizer.sot_token_id))
    x = torch.cat([start, context.expand(count, -1, -1), model.token_embedding(ids)], 1)
    tokens = x.shape[1]
    mask = model.attn_mask[:tokens, :tokens]
    x = model.transformer(x + model.positional_embedding[:tokens], attn_mask=mask)
    ends = 1 + len(context) + ids.argmax(-1)
    x = model.ln_final(x)[torch.arange(count), ends] @ model.text_projection
    return F.normalize(x, dim=-1)
