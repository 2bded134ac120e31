"""What a task is handed: one cell's data, its method fitted, and accuracy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.contracts.evaluation import Evaluation
from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Conditional, Prompt, Prompts
from rppbench.data.augmentation import normalised
from rppbench.data.images import Notify
from rppbench.data.splits import of_classes, spread, training_classes
from rppbench.errors import UsageError
from rppbench.evaluation.classify import COSINES, Head, head_of, similarities
from rppbench.evaluation.scorer import Scorer
from rppbench.features.keys import dataset_key, part_key
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip, embed_width
from rppbench.planning.plan import SUPERVISION
from rppbench.plugins.registry import Registry
from rppbench.random_streams import torch_stream
from rppbench.records.cell import Cell, Choice, Training
from rppbench.records.record import Cost
from rppbench.training.distributed import ALONE, Group
from rppbench.training.state import Progress, load_state
from rppbench.training.trainer import Trainer


@dataclass
class Resources:
    """What one worker keeps between cells: models, data sets, the feature store."""

    registry: Registry
    load: Callable[[str, str], Clip]
    """(backbone, precision) -> a frozen model; loads each once."""
    features: FeatureStore
    prompts: Callable[[Training], Path]
    """Where a training's prompts are kept."""
    batch_size: int = 128
    """Images a forward pass at test time."""
    workers: int = 0
    group: Group = ALONE
    """The processes that share each training."""
    datasets: dict[str, Dataset] = field(default_factory=dict)
    fitted: dict[str, tuple[Method, Progress]] = field(default_factory=dict)
    """The last training's method: the cells of a batch share it."""

    def dataset(self, name: str) -> Dataset:
        if name not in self.datasets:
            self.datasets[name] = self.registry.get("datasets", name)()
        return self.datasets[name]


class CellBench:
    """The bench of one cell; implements `contracts.Bench`."""

    def __init__(self, cell: Cell, resources: Resources, notify: Notify, retrain: bool) -> None:
        self.cell, self.resources, self.notify, self.retrain = cell, resources, notify, retrain
        self.clip = resources.load(cell.backbone, cell.precision)
        self.seed = cell.seed
        self.cost = Cost()
        self.fitted = 0.0
        """When the prompts were ready; what comes after is scoring."""
        self.log: tuple[Mapping[str, float], ...] = ()
        self._method: Method | None = None
        self._classifiers: dict[tuple[bool, tuple[str, ...]], Tensor] = {}
        """(prompted, names) -> (e, c) text features, for `similarities`."""
        self._train_loss: float | None = None
        self.draw = ""
        self._scorer = Scorer(
            self.clip, resources.features, resources.batch_size, resources.workers, notify
        )

    @property
    def dataset(self) -> Dataset:
        return self.resources.dataset(self.cell.dataset)

    def fit(self) -> None:
        """Learn the cell's prompts, or fetch them if they were learned before."""
        self._fit()
        self.fitted = time.monotonic()

    @property
    def eval_seconds(self) -> float:
        """Since the prompts were ready."""
        return time.monotonic() - self.fitted if self.fitted else 0.0

    def _fit(self) -> None:
        training = self.cell.training
        if training is None:
            self._method = self._build(self.cell.method, None, len(self.dataset.classes)).eval()
            return
        reused = True
        if training.key not in self.resources.fitted:
            method, progress, reused = self._learn(training, self.retrain)
            self.resources.fitted = {training.key: (method.eval(), progress)}
        self._method, progress = self.resources.fitted[training.key]
        self.log = progress.log
        self._train_loss, self.draw = progress.train_loss, progress.draw
        self.cost = Cost(
            train_seconds=progress.seconds,
            parameters=sum(p.numel() for p in self._method.parameters() if p.requires_grad),
            steps=progress.step,
            training_reused=reused,
        )

    def _learn(self, training: Training, again: bool) -> tuple[Method, Progress, bool]:
        """The method with its prompts, how far it got, and whether they were there before."""
        path = self.resources.prompts(training)
        method = self._start(training)
        progress = Progress() if again else load_state(path, training.key, method)
        if progress.log:
            return method, progress, True
        if again:
            path.with_suffix(".partial").unlink(missing_ok=True)
        if training.start is not None:
            pretrained, _, _ = self._learn(training.start, again=False)
            _take_over(method, pretrained)
        group = self.resources.group
        group.call((self.cell, training))
        with group.together():
            return method, self._train(training, method), False

    def assist(self, training: Training) -> None:
        """Take a part in a training that another process leads."""
        self._train(training, self._start(training))

    def _start(self, training: Training) -> Method:
        """The method as the training finds it."""
        source = self.resources.dataset(training.source)
        classes = len(training_classes(source, training.classes))
        return self._build(training.method, training, classes).to(self.clip.device)

    def _build(self, choice: Choice, training: Training | None, classes: int) -> Method:
        component = self.resources.registry.get("methods", choice.name)
        options = {name: value for name, value in choice.options if name not in SUPERVISION}
        source, shots = (training.source, training.shots) if training else ("", 1)
        stream = torch_stream("initialise", source, self.cell.seed)
        space = self.clip.space(classes, stream, shots, self._teacher(training))
        method: Method = component(space, **options)
        return method

    def _teacher(self, training: Training | None) -> Clip | None:
        if training is None or training.teacher is None:
            return None
        return self.resources.load(training.teacher, training.precision)

    def _train(self, training: Training, method: Method) -> Progress:
        options = {k: v for k, v in training.method.options if k in SUPERVISION}
        trainer = Trainer(
            training=training,
            method=method,
            supervision=Supervision(**options),  # type: ignore[arg-type]  # options are typed by it
            clip=self.clip,
            teacher=self._teacher(training),
            dataset=self.resources.dataset(training.source),
            scorer=self._scorer,
            group=self.resources.group,
        )
        return trainer.run(self.resources.prompts(training))

    def evaluate(self, classes: Sequence[int] | None = None, split: str = "test") -> Evaluation:
        """Classify the images of the given classes (default all) among those classes."""
        chosen = list(range(len(self.dataset.classes))) if classes is None else list(classes)
        return self._evaluate(chosen, [range(len(chosen))], split)[0]

    def evaluate_each(self, parts: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Classify the test images of each part of the classes among that part, in one pass."""
        return self._evaluate(list(range(len(self.dataset.classes))), parts, "test")

    def _evaluate(
        self, chosen: Sequence[int], parts: Sequence[Sequence[int]], split: str
    ) -> list[Evaluation]:
        if self._class_specific:
            self._check_classes(chosen)
        samples = spread(of_classes(self.dataset.samples(split), chosen), self.cell.limit)
        if not samples:
            raise UsageError(f"data set {self.dataset.name!r} has no {split!r} images to score")
        names = [self.dataset.classes[label] for label in chosen]
        training = self.cell.training
        own = training is not None and training.source == self.cell.dataset
        head = self._head(self._ids(names, chosen if own else None))
        found = self._scorer(self._prompts, self.dataset, samples, chosen, parts, head)
        return [replace(evaluation, train_loss=self._train_loss) for evaluation in found]

    def samples(self, split: str = "test") -> Sequence[Sample]:
        """The images to score."""
        return spread(self.dataset.samples(split), self.cell.limit)

    def progress(self, done: int, total: int) -> None:
        """Report how many of the images are scored."""
        self.notify("evaluate", done, total, {})

    def remembered(
        self,
        key: Mapping[str, object],
        rows: int,
        compute: Callable[[], Tensor],
        *,
        prompted: bool = True,
    ) -> Tensor:
        """Features (rows, e) from the store, or computed (and stored, if the tower is frozen)."""
        if prompted and not self.frozen_images:
            return compute()
        full_key = {**key, **part_key(self.clip, self.dataset)}
        return self.resources.features.get(full_key, rows, compute)

    def kept(
        self, key: Mapping[str, object], compute: Callable[[], Mapping[str, NDArray[Any]]]
    ) -> Mapping[str, NDArray[Any]]:
        """Arrays from the store, or computed and stored."""
        return self.resources.features.arrays({**key, **dataset_key(self.dataset)}, compute)

    @torch.inference_mode()
    def encode(self, images: Iterable[Image.Image], *, prompted: bool = True) -> Tensor:
        """Unit features (b, e) of any images, through the tower as the method prompts it."""
        prompt = self._prompts.image if prompted else None
        rest, parts = map(self.clip.preprocess, images), []
        while batch := list(islice(rest, self.resources.batch_size)):
            pixels = torch.stack(batch)
            parts.append(self.clip.image.encode(pixels.to(self.clip.device), prompt).cpu())
        return torch.cat(parts) if parts else torch.zeros(0, embed_width(self.clip.model))

    @torch.inference_mode()
    def patches(self, images: Sequence[Image.Image]) -> Tensor:
        """Unit features (b, rows, columns, e) of the patches of images of one size."""
        prompt, size, parts = self._prompts.image, self.resources.batch_size, []
        for start in range(0, len(images), size):
            pixels = [normalised(self.clip.preprocess, im) for im in images[start : start + size]]
            parts.append(self.clip.image.patches(torch.stack(pixels), prompt).cpu())
        return torch.cat(parts)

    @property
    def sides(self) -> tuple[int, int]:
        return self.clip.preprocess.size, self.clip.image.patch

    @property
    def fill(self) -> tuple[int, int, int]:
        red, green, blue = (round(255 * mean) for mean in self.clip.preprocess.mean)
        return red, green, blue

    @property
    def frozen_images(self) -> bool:
        return self._prompts.image is None

    @torch.inference_mode()
    def similarities(
        self, features: Tensor, names: Sequence[str], *, prompted: bool = True
    ) -> Tensor:
        """(b, c) cosines of unit features (b, e) and any class names."""
        prompts = self._prompts if prompted else Prompts()
        if prompted and self._class_specific:
            raise UsageError(
                f"{self.cell.method.name!r} learned a context for each class it was trained on "
                "and has none for other names; set class_specific=off"
            )
        if not len(features):
            return torch.zeros(0, len(names))
        head = self._head(self._ids(names)) if prompted else COSINES

        def cosines(rows: Tensor) -> Tensor:
            wording = self.dataset.template
            parts = similarities(
                self.clip,
                prompts,
                names,
                rows,
                wording=wording,
                head=head,
                notify=self.notify,
                store=self.resources.features,
            )
            return torch.cat([part.cpu() for part in parts])

        assert self._method is not None, "fit first"
        own_head = prompted and type(self._method).classify is not Method.classify
        if isinstance(prompts.text, Conditional) or own_head:
            return cosines(features)
        key = (prompted, tuple(names))
        if key not in self._classifiers:  # an image at a time is asked for, all of the same names
            self._classifiers[key] = cosines(torch.eye(embed_width(self.clip.model)))
        return features @ self._classifiers[key]

    @property
    def scale(self) -> float:
        return float(self.clip.scale)

    @property
    def _prompts(self) -> Prompts:
        assert self._method is not None, "fit first"
        return self._method.prompts()

    @property
    def _class_specific(self) -> bool:
        text = self._prompts.text
        return isinstance(text, Prompt) and text.input.ndim == 3

    def _head(self, ids: Sequence[int]) -> Head:
        assert self._method is not None, "fit first"
        return head_of(self._method, self.clip, ids, self._teacher(self.cell.training))

    def _ids(self, names: Sequence[str], labels: Sequence[int] | None = None) -> list[int]:
        """Positions among the learned classes, for a method that knows no others; else in order.

        By label where the data set is the source, else by name. UsageError for another class.
        """
        training = self.cell.training
        if training is None or self._method is None or self._method.open_vocabulary:
            return list(range(len(names)))
        source = self.resources.dataset(training.source)
        learned = training_classes(source, training.classes)
        if labels is not None:
            known = {label: at for at, label in enumerate(learned)}
            found = [known.get(label) for label in labels]
        else:
            named = {source.classes[label]: at for at, label in enumerate(learned)}
            found = [named.get(name) for name in names]
        for name, at in zip(names, found, strict=True):
            if at is None:
                raise UsageError(
                    f"{self.cell.method.name!r} knows only the {training.classes} classes of "
                    f"{training.source!r}, which it learned; {name!r} is none of them"
                )
        return [at for at in found if at is not None]

    def _check_classes(self, chosen: Sequence[int]) -> None:
        """UsageError unless class-specific contexts were learned for just these classes."""
        training = self.cell.training
        learned = (
            training_classes(self.resources.dataset(training.source), training.classes)
            if training and training.source == self.cell.dataset
            else []
        )
        if list(chosen) != learned:
            raise UsageError(
                f"{self.cell.method.name!r} learned a context for each class of "
                f"{training.source if training else '?'!r} and cannot classify "
                f"{self.cell.dataset!r}; set class_specific=off or score the training classes"
            )


def _take_over(method: Method, pretrained: Method) -> None:
    """Start from pretrained parameters. UsageError if some belong to the classes of the source."""
    state = pretrained.state_dict()
    for name, value in method.state_dict().items():
        if state[name].shape != value.shape:
            raise UsageError(
                f"{name!r} of {method.name!r} has a part for each class of what it was pretrained "
                "on and cannot start on other classes"
            )
    method.load_state_dict(state)
