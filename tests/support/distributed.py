"""Toy runs of two processes that share each training, started without torchrun to save time."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rppbench import hookimpl
from rppbench.contracts.engine import Event
from rppbench.contracts.method import Method
from rppbench.contracts.objective import FrozenFeatures, Step
from rppbench.contracts.prompts import Space
from rppbench.errors import LostError
from rppbench.execution.engines import Inline
from rppbench.execution.resources import Resources
from rppbench.execution.runner import follow
from rppbench.features import store
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell
from rppbench.training import distributed, trainer
from rppbench.training.distributed import joined
from rppbench_methods.clip_adapter import CLIPAdapter
from rppbench_methods.cocoop import CoCoOp
from rppbench_methods.promptkd import PromptKD
from rppbench_methods.promptsrc import PromptSRC
from support.toy_plugin import Context, ToyPlugin, registry_of
from support.toy_runner import ToyRunner

SETTINGS = (
    ("recipe.augment", "none"),
    ("recipe.batch", "5"),
    ("recipe.epochs", "3"),
    ("recipe.lr", "0.02"),
    ("recipe.warmup_epochs", "0"),
)
"""10 images of 5 classes in two batches of 5, which two processes cannot halve."""


class Coupled(Context):
    """Its loss depends on the entire batch: on distances from all images to all texts."""

    name, title = "coupled", "Coupled"
    frozen = FrozenFeatures(images=True)

    def __init__(self, space: Space) -> None:
        super().__init__(space, both=True)
        self.factor = nn.Parameter(torch.ones(()))
        self.unused = nn.Parameter(torch.ones(3))

    def loss(self, step: Step) -> Tensor:
        spread = torch.cdist(step.images, step.texts).std() + step.images.std(0).mean()
        return step.loss + self.factor * spread


class Breaking(Context):
    """Trains in one process; of two, the second fails in its third step."""

    name, title = "breaking", "Breaking"

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.calls = 0

    def loss(self, step: Step) -> Tensor:
        self.calls += 1
        if self.calls == 3 and dist.is_initialized() and dist.get_rank() == 1:
            self.end()
        return step.loss

    def end(self) -> None:
        raise OSError("the disk of this process is gone")


class Dying(Breaking):
    """As `Breaking`, but the process is killed."""

    name, title = "dying", "Dying"

    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Exploding(Context):
    """Its loss is infinite from the fourth step on."""

    name, title = "exploding", "Exploding"

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.calls = 0

    def loss(self, step: Step) -> Tensor:
        self.calls += 1
        return step.loss / (self.calls < 4)


class DistributedPlugin:
    """The methods above, and rppbench's own whose trainings are harder to share."""

    @hookimpl
    def rppbench_methods(self) -> list[type[Method]]:
        own: list[type[Method]] = [Coupled, Breaking, Dying, Exploding]
        return [*own, CLIPAdapter, CoCoOp, PromptKD, PromptSRC]


@dataclass
class GroupRunner(ToyRunner):
    """A toy runner whose trainings are shared by its group of processes."""

    @cached_property
    def resources(self) -> Resources:
        resources = ToyRunner.resources.func(self)  # type: ignore[attr-defined]
        resources.registry, resources.group = registry(self.models), self.group
        return resources


def registry(models: Path) -> Registry:
    return registry_of(toys=ToyPlugin(models), more=DistributedPlugin())


def planned(models: Path, *methods: str, **request: Any) -> list[Cell]:
    options = {"settings": SETTINGS, "shots": (2,), "teacher": "tiny", **request}
    tasks = ("cross-dataset:suite=toy",)
    return cells(
        registry(models),
        Request(methods, tasks, backbone="tiny", datasets=("toy-one",), **options),
    )


def run(
    connection: Connection[Any, Any], rank: int, port: int, output: Path, work: Sequence[Cell]
) -> None:
    """Main function of one of two processes; the first sends each event, and None at the end."""
    trainer.SAVE_SECONDS = 0.0
    # Ten images are encoded and kept in several parts, as many images are.
    distributed.TOGETHER, trainer.ENCODED, store.SAVE_SECONDS = 1, 2, -1.0
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test"})
    models = output.parent / "models"
    own = output if rank == 0 else output / f"process{rank}"
    runner = GroupRunner(own, batch_size=5, models=models)
    try:
        with joined("cpu") as runner.group:
            if rank:
                follow(runner)
            else:
                Inline().run(runner, cell_groups(list(work)), connection.send)
    except LostError as error:
        connection.send(str(error))
    connection.send(None)


class ProcessPair:
    """Two processes that share a run; quick to start, as their server has torch loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.models = folder, folder / "models"
        self.context = get_context("forkserver")
        self.context.set_forkserver_preload(["support.distributed"])

    def plan(self, *methods: str, **request: Any) -> list[Cell]:
        return planned(self.models, *methods, **request)

    def run(self, work: Sequence[Cell], name: str = "two", kill: int = 0) -> list[Event]:
        """Run the cells in both processes and return the events of the first.

        kill: the step of a training at which both are killed; 0 for none.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        near, far = zip(*(self.context.Pipe() for _ in range(2)), strict=True)
        both = [
            self.context.Process(target=run, args=(far[r], r, port, self.folder / name, work))
            for r in range(2)
        ]
        for process, end in zip(both, far, strict=True):
            process.start()
            end.close()
        events: list[Event] = []
        try:
            while isinstance(event := near[0].recv(), Event):
                events.append(event)
                if kill and (event.phase, event.done) == ("train", kill):
                    return events
            for process in both:
                process.join(60)
                assert process.exitcode is not None, "the process hangs"
        finally:
            for process in both:
                process.kill()
                process.join(60)
        return events

    def alone(self, work: Sequence[Cell]) -> GroupRunner:
        """Run the cells in this process alone and return the runner."""
        runner = GroupRunner(self.folder / "one", batch_size=5, models=self.models)
        Inline().run(runner, cell_groups(list(work)), lambda event: None)
        return runner
