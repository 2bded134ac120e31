"""Plugins that misbehave, each in one way: components for the table of tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NoReturn

import numpy as np
import torch
from PIL import Image

from rppbench.contracts.dataset import Sample
from rppbench.contracts.engine import Engine
from rppbench.contracts.evaluation import Evaluation
from rppbench.contracts.prompts import Prompt, Prompts, Templates
from rppbench.contracts.task import Assignment, Task
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Score
from support.toy_plugin import Context, ToyOne


class Odd(BaseException):
    """An exception that `except Exception` does not catch."""


class MuteError(Exception):
    """An exception whose text cannot be read."""

    def __str__(self) -> str:
        raise ValueError("no text")


def fails(error: BaseException | type[BaseException]) -> Callable[..., NoReturn]:
    def act(*given: Any, **options: Any) -> NoReturn:
        raise error

    return act


def leaves(status: int) -> Callable[..., None]:
    """`os._exit`, looked up when it is called, as a plugin does."""
    return lambda *given, **options: os._exit(status)


def gives(value: Any) -> Callable[..., Any]:
    return lambda *given, **options: value


def endless(*given: Any, **options: Any) -> int:
    return endless(*given, **options)


def swallows(*given: Any) -> None:
    try:
        sys.exit(0)
    except BaseException:  # noqa: BLE001
        raise RuntimeError("changed its mind") from None


# --- methods ------------------------------------------------------------------------------------


def method(**facts: Any) -> type[Context]:
    return type("Bad", (Context,), {"name": "bad", "title": "Bad", **facts})


def prompts(*shape: int, dtype: torch.dtype = torch.float32, **inner: Any) -> Any:
    return lambda self: Prompts(Prompt(torch.zeros(shape, dtype=dtype), **inner))


def nan_prompts(self: Context) -> Prompts:
    return Prompts(Prompt(self.context * float("nan")))


def bad_wording(self: Context) -> Prompts:
    return Prompts(Templates(("a photo",)))


def logits(*shape: int, fill: float = 0.0, dtype: torch.dtype = torch.float32) -> Any:
    """`classify` with this shape; 0 stands for the right size."""

    def classify(self: Context, images: Any, texts: Any, classes: Any, scale: Any) -> Any:
        right = (len(images), len(texts))
        sizes = [size or right[at] for at, size in enumerate(shape)]
        return (torch.full(sizes, fill) + 0 * self.context.sum()).to(dtype)

    return classify


def nan_when_scoring(self: Context, images: Any, texts: Any, classes: Any, scale: Any) -> Any:
    value = 0.0 if self.training else float("nan")
    return scale * images @ texts.T + value


def vector_loss(self: Context, step: Any) -> Any:
    return step.loss.repeat(2)


def free_loss(self: Context, step: Any) -> Any:
    return torch.tensor(1.0)


def short_init(self: Context, space: Any) -> None:
    sys.exit(0)


# --- data sets ----------------------------------------------------------------------------------


def dataset(**facts: Any) -> type[ToyOne]:
    return type("Bad", (ToyOne,), {"name": "bad", "title": "Bad", **facts})


def picture(mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> Callable[..., Image.Image]:
    return lambda self, sample: Image.new(mode, size)


def samples(change: Callable[[list[Sample]], Any]) -> Callable[..., Any]:
    return lambda self, split: change(list(ToyOne.samples(self, split)))


_calls = count()


def shuffled(listed: list[Sample]) -> list[Sample]:
    start = next(_calls) % len(listed)
    return [*listed[start:], *listed[:start]]


def other_classes(self: ToyOne) -> list[str]:
    return [f"class {next(_calls)}" for _ in range(7)]


def fresh_fingerprint(self: ToyOne) -> str:
    return f"now-{next(_calls)}"


# --- tasks --------------------------------------------------------------------------------------


class Same(Task):
    """Learn nothing but what the method does, and score the toys."""

    name, title = "bad", "Bad"

    def assignments(self, catalog: Any, method: Any) -> Any:
        return [Assignment("toy-one", "toy")]

    def run(self, bench: Any) -> Any:
        bench.fit()
        return bench.evaluate().scores()


def task(**facts: Any) -> type[Same]:
    return type("Bad", (Same,), facts)


def scores(*given: Any) -> Callable[..., Any]:
    """A `run` that classifies all 14 images and then gives these scores."""

    def run(self: Same, bench: Any) -> Any:
        bench.fit()
        bench.evaluate()
        return given

    return run


def forever(self: Same, bench: Any) -> Iterator[Score]:
    return (Score(f"m{number}", 50.0) for number in count())


WRONG_BITS = PerImage.of([True] * 4 + [False] * 10)


def empty_evaluation(self: Same, bench: Any) -> Any:
    nothing = torch.zeros(0, dtype=torch.int64)
    return Evaluation(nothing, nothing[:, None], 7).scores()


# --- engines ------------------------------------------------------------------------------------


def engine(**facts: Any) -> type[Engine]:
    return type("Bad", (Engine,), {"name": "bad", "title": "Bad", "run": gives(None), **facts})


ARRAY = np.zeros((8, 8, 3), np.uint8)
