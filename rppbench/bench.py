"""What a task is handed: one cell's data, its method fitted, and accuracy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from rppbench.classify import similarities
from rppbench.clip import Clip, embed_width
from rppbench.contracts import (
    Dataset,
    Evaluation,
    Method,
    Prompt,
    Prompts,
    Sample,
    Supervision,
)
from rppbench.errors import UsageError
from rppbench.features import FeatureStore
from rppbench.images import Images, Notify, encode
from rppbench.plugins import Registry
from rppbench.records import Cell, Cost, Training, digest
from rppbench.resume import Progress, load_state
from rppbench.splits import of_classes, spread, training_classes
from rppbench.streams import torch_stream
from rppbench.training import Trainer

SUPERVISION = tuple(Supervision.__dataclass_fields__)


@dataclass
class Workshop:
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
    datasets: dict[str, Dataset] = field(default_factory=dict)
    fitted: dict[str, tuple[Method, Progress]] = field(default_factory=dict)
    """The last training's method: the cells of a batch share it."""

    def dataset(self, name: str) -> Dataset:
        if name not in self.datasets:
            self.datasets[name] = self.registry.get("datasets", name)()
        return self.datasets[name]


class CellBench:
    """The bench of one cell; implements `contracts.Bench`."""

    def __init__(self, cell: Cell, workshop: Workshop, notify: Notify, retrain: bool) -> None:
        self.cell, self.workshop, self.notify, self.retrain = cell, workshop, notify, retrain
        self.clip = workshop.load(cell.backbone, cell.precision)
        self.seed = cell.seed
        self.cost = Cost()
        self.fitted = 0.0
        """When the prompts were ready; what comes after is scoring."""
        self.log: tuple[Mapping[str, float], ...] = ()
        self._method: Method | None = None

    @property
    def dataset(self) -> Dataset:
        return self.workshop.dataset(self.cell.dataset)

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
            self._method = self._build(len(self.dataset.classes)).eval()
            return
        known = self.workshop.fitted.get(training.key)
        path = self.workshop.prompts(training)
        reused = True
        if known is None:
            source = self.workshop.dataset(training.source)
            method = self._build(len(training_classes(source, training.classes)))
            method.to(self.clip.device)
            progress = Progress() if self.retrain else load_state(path, training.key, method)
            if not progress.log:
                if self.retrain:
                    path.with_suffix(".partial").unlink(missing_ok=True)
                reused = False
                progress = self._train(training, method, source, path)
            known = (method.eval(), progress)
            self.workshop.fitted = {training.key: known}
        self._method, progress = known
        self.log = progress.log
        self.cost = Cost(
            train_seconds=progress.seconds,
            parameters=sum(p.numel() for p in self._method.parameters() if p.requires_grad),
            steps=progress.step,
            training_reused=reused,
        )

    def _build(self, classes: int) -> Method:
        component = self.workshop.registry.get("methods", self.cell.method.name)
        options = {k: v for k, v in self.cell.method.options if k not in SUPERVISION}
        training = self.cell.training
        source = training.source if training else ""
        space = self.clip.space(classes, torch_stream("initialise", source, self.cell.seed))
        method: Method = component(space, **options)
        return method

    def _train(self, training: Training, method: Method, source: Dataset, path: Path) -> Progress:
        options = {k: v for k, v in training.method.options if k in SUPERVISION}
        teacher = None
        if training.teacher is not None:
            teacher = self.workshop.load(training.teacher, training.precision)
        trainer = Trainer(
            training=training,
            method=method,
            supervision=Supervision(**options),  # type: ignore[arg-type]  # options are typed by it
            clip=self.clip,
            teacher=teacher,
            dataset=source,
            features=self.workshop.features,
            notify=self.notify,
            workers=self.workshop.workers,
        )
        return trainer.run(path)

    @torch.inference_mode()
    def evaluate(self, classes: Sequence[int] | None = None, split: str = "test") -> Evaluation:
        """Classify the images of the given classes (default all) among those classes."""
        assert self._method is not None, "evaluate before fit"
        chosen = list(range(len(self.dataset.classes))) if classes is None else list(classes)
        prompts = self._method.prompts()
        samples = spread(of_classes(self.dataset.samples(split), chosen), self.cell.limit)
        if not samples:
            raise UsageError(f"data set {self.dataset.name!r} has no {split!r} images to score")
        images = Images(self.dataset, samples, self.clip.preprocess, workers=self.workshop.workers)
        logits = self._logits(self._features(images, prompts), prompts, chosen)
        ranked = torch.cat([part.topk(min(5, len(chosen))).indices.cpu() for part in logits])
        labels = torch.tensor([sample.label for sample in samples])
        return Evaluation(labels, ranked, len(chosen))

    def samples(self, split: str = "test") -> Sequence[Sample]:
        """The images to score."""
        return spread(self.dataset.samples(split), self.cell.limit)

    def progress(self, done: int, total: int) -> None:
        """Tell how many of the images are scored."""
        self.notify("evaluate", done, total, {})

    def remembered(
        self, key: Mapping[str, object], rows: int, compute: Callable[[], Tensor]
    ) -> Tensor:
        """Features (rows, e) from the store, or computed (and stored, if the tower is frozen)."""
        if not self.frozen_images:
            return compute()
        own = {
            "dataset": self.dataset.name,
            "fingerprint": self.dataset.fingerprint(),
            "preprocess": digest(asdict(self.clip.preprocess), 32),
            "tower": self.clip.digest,
            "precision": str(self.clip.dtype),
        }
        return self.workshop.features.get({**key, **own}, rows, compute)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image.Image]) -> Tensor:
        """Unit features (b, e) of any images, through the tower as the method prompts it."""
        prompt, size = self._prompts.image, self.workshop.batch_size
        parts = []
        for start in range(0, len(images), size):
            pixels = torch.stack([self.clip.preprocess(im) for im in images[start : start + size]])
            parts.append(self.clip.image.encode(pixels.to(self.clip.device), prompt).cpu())
        return torch.cat(parts) if parts else torch.zeros(0, embed_width(self.clip.model))

    @property
    def frozen_images(self) -> bool:
        return self._prompts.image is None

    @torch.inference_mode()
    def similarities(self, features: Tensor, names: Sequence[str]) -> Tensor:
        """(b, c) cosines of unit features (b, e) and any class names."""
        prompts = self._prompts
        if isinstance(prompts.text, Prompt) and prompts.text.input.ndim == 3:
            raise UsageError(
                f"{self.cell.method.name!r} learned a context for each class it was trained on "
                "and has none for other names; set class_specific=off"
            )
        parts = similarities(
            self.clip, prompts, names, features, wording=self.dataset.template, notify=self.notify
        )
        return torch.cat([part.cpu() for part in parts])

    @property
    def scale(self) -> float:
        return float(self.clip.scale)

    @property
    def _prompts(self) -> Prompts:
        assert self._method is not None, "fit first"
        return self._method.prompts()

    def _logits(
        self, features: Tensor, prompts: Prompts, chosen: Sequence[int]
    ) -> Iterator[Tensor]:
        """(b, c) cosine similarities of the images, in parts."""
        if isinstance(prompts.text, Prompt) and prompts.text.input.ndim == 3:
            self._check_classes(chosen)
        return similarities(
            self.clip,
            prompts,
            [self.dataset.classes[label] for label in chosen],
            features,
            wording=self.dataset.template,
            notify=self.notify,
        )

    def _check_classes(self, chosen: Sequence[int]) -> None:
        """UsageError unless class-specific contexts were learned for just these classes."""
        training = self.cell.training
        learned = (
            training_classes(self.workshop.dataset(training.source), training.classes)
            if training and training.source == self.cell.dataset
            else []
        )
        if list(chosen) != learned:
            raise UsageError(
                f"{self.cell.method.name!r} learned a context for each class of "
                f"{training.source if training else '?'!r} and cannot classify "
                f"{self.cell.dataset!r}; set class_specific=off or score the training classes"
            )

    def _features(self, images: Images, prompts: Prompts) -> Tensor:
        """(b, e) image features: from the store where the image tower is frozen, else live."""
        size = self.workshop.batch_size
        if prompts.image is None:
            key = {**images.key(), "tower": self.clip.digest, "precision": str(self.clip.dtype)}
            return self.workshop.features.get(
                key, len(images), lambda: encode(self.clip, images, size, self.notify)
            )
        total, done, parts = len(images), 0, []
        for batch in images.in_order(size):
            parts.append(self.clip.image.encode(batch.to(self.clip.device), prompts.image).cpu())
            done += len(batch)
            self.notify("evaluate", done, total, {})
        return torch.cat(parts)
