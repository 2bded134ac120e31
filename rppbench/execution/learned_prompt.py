"""A learned prompt that classifies images, as `rppbench predict` and Python programs use it.

Shapes: B images, C classes, E width of the embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from PIL import Image
from torch import Tensor

from rppbench.contracts.dataset import ReportProgress
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Conditional
from rppbench.errors import MissingDataError, UsageError
from rppbench.evaluation.classify import class_features, head_of, probabilities
from rppbench.execution.devices import torch_device
from rppbench.exporters import prompt_card
from rppbench.exporters.prompt_card import Card
from rppbench.files.rgb import decode_image
from rppbench.models.blocks import at_least_float32, normalise
from rppbench.models.clip import Clip, load
from rppbench.plugins.registry import Registry

BATCH = 64
"""Images per forward pass."""

Picture: TypeAlias = str | PathLike[str] | Image.Image


class Guess(NamedTuple):
    """A class of an image, and how probable it is among the named ones."""

    label: int
    """Position among the class names."""
    name: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What became of one image."""

    guesses: tuple[Guess, ...]
    """The likeliest classes, the likeliest first; () for a file that is not an image."""
    error: str = ""
    """Why there are no guesses."""


class LearnedPrompt:
    """A prompt that was exported or imported, on its backbone.

        prompt = LearnedPrompt.load("my-prompt")
        prompt.predict(["photo.jpg"], ["red apple", "violin"])[0].guesses[0].name

    `load` makes one.
    """

    def __init__(self, card: Card, method: Method, clip: Clip, teacher: Clip | None) -> None:
        self.card, self.method, self.clip, self.teacher = card, method, clip, teacher

    @classmethod
    def load(cls, folder: str | PathLike[str], device: str = "cpu") -> LearnedPrompt:
        """The prompt in a folder made by `rppbench export` or `import`.

        UsageError for any other folder, for damage, and where the backbone has other weights than
        the prompt was learned for.
        """
        return cls.of(*prompt_card.read(Path(folder)), Registry.load(), device)

    @classmethod
    def of(
        cls, card: Card, state: Mapping[str, Tensor], registry: Registry, device: str = "cpu"
    ) -> LearnedPrompt:
        """The prompt of a card, with its learned parameters. UsageError as `load`."""
        prompt_card.check_backbone(card, registry)
        place = torch_device(device)

        def model(name: str) -> Clip:
            return load(
                name, registry.all("backbones"), card.precision, place, kinds=registry.towers()
            )

        clip = model(card.backbone)
        teacher = prompt_card.text_teacher(card, registry, clip, model)
        method = prompt_card.build_method(card, state, registry, clip, teacher)
        return cls(card, method, clip, teacher)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it was learned on; () if they are not known."""
        return self.card.classes

    def unknown_words(self, names: Sequence[str]) -> list[str]:
        """The names with words that the backbone's tokenizer does not know."""
        return self.clip.unknown_words(list(names))

    def predict(
        self,
        images: Iterable[Picture],
        names: Sequence[str] | None = None,
        *,
        top: int = 5,
        report_progress: ReportProgress = lambda done, total: None,
    ) -> list[Answer]:
        """The `top` likeliest classes of each image, which is a path or a PIL image.

        `names` are the candidate classes, by default those that the prompt was learned on. A file
        that is not an image has an answer with an `error`. UsageError for fewer than two classes.
        """
        return list(self.answers(images, names, top=top, report_progress=report_progress))

    def answers(
        self,
        images: Iterable[Picture],
        names: Sequence[str] | None = None,
        *,
        top: int = 5,
        report_progress: ReportProgress = lambda done, total: None,
    ) -> Iterator[Answer]:
        """As `predict`, a batch at a time, so that not all images are in memory."""
        chosen = self.candidates(names)
        if top < 1:
            raise UsageError(f"top must be at least 1, not {top}")
        pictures = list(images)
        prompts = prompt_card.prompts_for(self.card, self.method, chosen)
        ids = prompt_card.class_ids(self.card, self.method, chosen)
        head = head_of(self.method, self.clip, ids, self.teacher)
        errors: list[str] = []
        """An error or '' for each image that was read and not yet answered."""
        batches = self._batches(pictures, errors)
        done = 0
        for shares in probabilities(
            self.clip, prompts, chosen, batches, wording=self.card.wording, head=head
        ):
            best = _best(shares, chosen, top)
            for error in errors:
                yield Answer((), error) if error else Answer(tuple(next(best)))
            done += len(errors)
            errors.clear()
            report_progress(done, len(pictures))
        yield from (Answer((), error) for error in errors)

    @torch.inference_mode()
    def classifier(self, names: Sequence[str] | None = None) -> Tensor:
        """Text features [C, E] of the classes, rows of unit length, float32 on the CPU.

        The cosine of a row and a unit image feature, times `scale`, is the class's logit, for
        methods that compare by cosine. UsageError for text that depends on the image, and for
        methods that compare in another way.
        """
        chosen = self.candidates(names)
        prompts = prompt_card.prompts_for(self.card, self.method, chosen)
        if isinstance(prompts.text, Conditional):
            raise UsageError(
                "this prompt words each class anew for every image: no fixed array can hold that"
            )
        if type(self.method).classify is not Method.classify:
            raise UsageError(
                f"{self.card.method.name!r} does not compare by cosine: use predict, not classifier"
            )
        ids = prompt_card.class_ids(self.card, self.method, chosen)
        head = head_of(self.method, self.clip, ids, self.teacher)
        features = class_features(self.clip, prompts, chosen, wording=self.card.wording, head=head)
        return normalise(at_least_float32(features)).cpu()

    @property
    def scale(self) -> float:
        """CLIP's exp(logit_scale), which cosines are multiplied by."""
        return float(self.clip.scale)

    def candidates(self, names: Sequence[str] | None = None) -> list[str]:
        """The names, by default those that it was learned on. UsageError for fewer than two."""
        chosen = list(self.classes if names is None else names)
        if len(chosen) < 2:
            known = "" if names is not None or chosen else ": the prompt's card names none"
            raise UsageError(f"name at least two classes{known}")
        return chosen

    def _batches(self, pictures: Iterable[Picture], errors: list[str]) -> Iterator[Tensor]:
        """Pixels [B, 3, size, size] of the images that can be read.

        `errors` gets an error, or '', for each image.
        """
        pixels: list[Tensor] = []
        for one in pictures:
            try:
                image = one if isinstance(one, Image.Image) else _decoded(one)
                pixels.append(self.clip.preprocess(image.convert("RGB")))
                errors.append("")
            except MissingDataError as error:
                errors.append(str(error))
            if len(pixels) == BATCH:
                yield torch.stack(pixels)
                pixels.clear()
        if pixels:
            yield torch.stack(pixels)


def _decoded(path: str | PathLike[str]) -> Image.Image:
    return decode_image(Path(path), str(path))


def _best(shares: Tensor, names: Sequence[str], top: int) -> Iterator[list[Guess]]:
    """The best classes of each row of probabilities [B, C]."""
    values, ranked = shares.topk(min(top, len(names)))
    for labels, best in zip(ranked.tolist(), values.tolist(), strict=True):
        yield [Guess(label, names[label], share) for label, share in zip(labels, best, strict=True)]
