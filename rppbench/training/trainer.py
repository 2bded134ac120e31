"""The one training loop: a method's parameters against a frozen backbone, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from rppbench.contracts.dataset import Dataset
from rppbench.contracts.method import Method
from rppbench.contracts.objective import Examples, Step, Supervision
from rppbench.contracts.prompts import Conditional, Prompt, Prompts, Templates
from rppbench.data.images import Images, View
from rppbench.data.splits import draw_digest, few_shot, of_classes, spread, training_classes
from rppbench.errors import DivergedError, UsageError
from rppbench.evaluation.classify import head_of
from rppbench.evaluation.scorer import LEARNED_IMAGES, Scorer
from rppbench.features.image_features import encode_images, frozen_image_features
from rppbench.features.text_features import frozen_text_features
from rppbench.models.clip import Clip
from rppbench.models.memory import retry_with_less_memory
from rppbench.models.tokens import Names
from rppbench.random_streams import torch_stream
from rppbench.records.cell import Training
from rppbench.training.closed_form import fit_of, validation
from rppbench.training.distributed import ALONE, Group
from rppbench.training.optimizer import add_to_average, optimiser_of, rate, scaler_of
from rppbench.training.state import Progress, load_state, save_state

T = TypeVar("T")

SAVE_SECONDS = 10.0
"""A kill loses at most this much training (or one step, if a step takes longer)."""

ENCODED = 256
"""Images of a frozen tower at once."""


@dataclass(frozen=True)
class Batch:
    """What one step learns from: its images, one view of them all after the other."""

    picks: Tensor
    """(b,) positions in the training list."""
    images: Tensor
    """(share of b, 3, height, width), or (b, e) where the image tower is frozen."""
    taught: Tensor | None
    """(b, e) the teacher's features."""
    frozen: Tensor | None
    """(b, e) the frozen image tower's, where the method's loss asks for them."""


class Trainer:
    """One training: what it learns from, its state, and its steps."""

    def __init__(
        self,
        training: Training,
        method: Method,
        supervision: Supervision,
        clip: Clip,
        teacher: Clip | None,
        dataset: Dataset,
        scorer: Scorer,
        group: Group = ALONE,
    ) -> None:
        self.training, self.method, self.supervision = training, method, supervision
        self.clip, self.teacher, self.scorer, self.group = clip, teacher, scorer, group
        self.features, self.notify, workers = scorer.features, scorer.notify, scorer.workers
        self.dataset = dataset
        self.recipe = dict(training.recipe.options)
        self.classes = training_classes(dataset, training.classes)
        drawn = few_shot(dataset.samples("train"), training.shots, training.seed)
        self.draw = draw_digest(drawn)
        samples = of_classes(drawn, self.classes)  # after the draw, as CoOp does
        self.labels = torch.tensor([sample.label for sample in samples])
        names = [dataset.classes[label] for label in self.classes]
        self.names = Names(names, clip.tokenizer)
        augment = str(self.recipe["augment"])
        self.images = Images(dataset, samples, clip.preprocess, augment, workers)
        self.template_texts: Tensor | None = None
        if isinstance(text := method.prompts().text, Templates):
            wordings = text.wordings or (dataset.template,)
            worded = teacher if method.teacher_texts and teacher is not None else clip
            self.template_texts = frozen_text_features(self.features, worded, names, wordings)
        if teacher is not None:
            self.teacher_images = Images(dataset, samples, teacher.preprocess, augment, workers)
            self.teacher_texts = frozen_text_features(
                self.features, teacher, names, (dataset.template,)
            )
        self.frozen_texts: Tensor | None = None
        if (frozen := method.frozen) is not None:
            wordings = frozen.wordings or (dataset.template,)
            self.frozen_texts = frozen_text_features(
                self.features, clip, names, wordings, frozen.raw
            )
        self.batch = min(int(self.recipe["batch"]), len(samples))
        self.views = int(self.recipe["views"])
        self.scaler = scaler_of(clip.device.type, clip.dtype)
        self.epoch_steps = len(samples) // self.batch  # Dassl drops an incomplete last batch
        self.steps = self.epoch_steps * int(self.recipe["epochs"])

    def run(self, path: Path) -> Progress:
        """Train to the end and write the prompts to `path`, going on from its .partial if any.

        Tells after each step the loss and accuracy of the running epoch. Of several processes only
        the first reads and writes; the others start from what it has and are done with the steps.
        """
        parameters = [p for p in self.method.parameters() if p.requires_grad]
        optimiser = optimiser_of(self.recipe, parameters)
        weights = self.method.averaging(int(self.recipe["epochs"]))
        unfinished = path.with_suffix(".partial")
        examples = self._examples() if self.method.shown else None
        if examples is not None:
            self.method.start(examples)
        progress = Progress()
        if self.group.first:
            progress = load_state(unfinished, self.training.key, self.method, optimiser)
            progress = replace(progress, draw=self.draw)
        progress = self._same_state(progress, optimiser)
        if progress.scaler:
            self.scaler.load_state_dict(dict(progress.scaler))
        started, saved = time.monotonic() - progress.seconds, time.monotonic()
        while progress.step < self.steps:
            epoch, first = divmod(progress.step, self.epoch_steps)
            for group in optimiser.param_groups:
                group["lr"] = rate(self.recipe, epoch)
            for step, batch in self._epoch(epoch, first):
                # A step that was cut short is taken again. Not where others are in the middle of
                # the same step.
                take = partial(self._step, progress, step, batch, optimiser)
                if self.group.size == 1:
                    take = partial(
                        retry_with_less_memory, self.clip.text, with_same_buffers(self.method, take)
                    )
                progress = take()
                running = progress
                progress = replace(progress, seconds=time.monotonic() - started)
                if progress.step % self.epoch_steps == 0:
                    progress = _close_epoch(progress, epoch, rate(self.recipe, epoch))
                    if weights is not None:
                        add_to_average(optimiser, parameters, weights[epoch])
                means = _means(running, self.epoch_steps)
                self.notify("train", progress.step, self.steps, means)
                if self.group.first and time.monotonic() - saved > SAVE_SECONDS:
                    save_state(unfinished, self.training.key, self.method, optimiser, progress)
                    saved = time.monotonic()
        if not self.group.first:
            return progress
        if weights is not None:
            with torch.no_grad():
                for parameter in parameters:
                    parameter.copy_(optimiser.state[parameter]["average"])
        if examples is not None:
            self.method.finish(examples)
            if not self.steps:
                seconds = time.monotonic() - started
                fit = fit_of(self.method, examples)
                if not math.isfinite(fit["loss"]):
                    raise self._diverged(f"the loss is {fit['loss']} after the fit")
                progress = replace(progress, seconds=seconds, log=(fit,))
        self.method.eval()
        final = self._final_loss()
        if not math.isfinite(final):
            raise self._diverged(f"the loss is {final} after all {progress.step} steps")
        progress = replace(progress, train_loss=final)
        save_state(path, self.training.key, self.method, None, progress)
        unfinished.unlink(missing_ok=True)
        return progress

    def _same_state(self, progress: Progress, optimiser: torch.optim.Optimizer) -> Progress:
        """Start where the first process does."""
        if self.group.size == 1:
            return progress
        state = self.method.state_dict(), optimiser.state_dict(), progress
        method_state, optimiser_state, progress = self.group.same(state)
        self.method.load_state_dict(method_state)
        optimiser.load_state_dict(optimiser_state)
        return progress

    def _final_loss(self) -> float:
        """Plain cross-entropy of the learned prompts on images learned on, unaugmented."""
        samples = spread(self.images.samples, LEARNED_IMAGES)
        with torch.no_grad():
            prompts = self.method.prompts()
        every = range(len(self.classes))
        head = head_of(self.method, self.clip, every, self.teacher)
        (evaluation,) = self.scorer(prompts, self.dataset, samples, self.classes, [every], head)
        assert evaluation.losses is not None
        return evaluation.losses.double().mean().item()

    def _examples(self) -> Examples:
        """The training images in the views that the method asks for, and those to choose by."""
        if self.template_texts is None or self.method.prompts().image is not None:
            raise UsageError(f"{self.method.name!r} is fitted to what frozen towers see")
        device, views = self.clip.device, range(self.method.shown)
        images = torch.stack([self._view(self.clip, self.images, 0, view) for view in views])
        drawn = validation(self.dataset, self.training, self.classes)
        val = Images(self.dataset, drawn, self.clip.preprocess)
        empty = torch.zeros(0, images.shape[2])
        return Examples(
            images=images.to(device),
            labels=self.labels.to(device),
            val_images=(self._view(self.clip, val, 0, 0) if drawn else empty).to(device),
            val_labels=torch.tensor([s.label for s in drawn], dtype=torch.int64).to(device),
            texts=self.template_texts,
            scale=self.clip.scale,
        )

    def _epoch(self, epoch: int, first: int) -> Iterator[tuple[int, Batch]]:
        """(step within the epoch, its images) from step `first` on."""
        order = torch.randperm(len(self.labels), generator=self._stream("order", epoch))
        picks = [
            order[step * self.batch : (step + 1) * self.batch]
            for step in range(first, self.epoch_steps)
        ]
        prompted = self.method.prompts().image is not None
        asked = self.method.frozen is not None and self.method.frozen.images
        views: Sequence[Sequence[View]] = [
            [(int(i), epoch, view) for view in range(self.views) for i in pick] for pick in picks
        ]
        if prompted and self.group.size > 1:
            views = [[every[i] for i in self._share(len(every))] for every in views]
        pixels = self.images.batches(views) if prompted else iter(())
        frozen = self._frozen(self.clip, self.images, epoch) if asked or not prompted else None
        taught = (
            None if self.teacher is None else self._frozen(self.teacher, self.teacher_images, epoch)
        )
        for step, pick in enumerate(picks, first):
            own = _rows(frozen, pick)
            yield (
                step,
                Batch(
                    picks=pick.repeat(self.views),
                    images=next(pixels) if own is None or prompted else own,
                    taught=_rows(taught, pick),
                    frozen=own if asked else None,
                ),
            )

    def _frozen(self, clip: Clip, images: Images, epoch: int) -> Tensor:
        """(views, n, e) features of a tower that is not prompted, from the store."""
        return torch.stack([self._view(clip, images, epoch, view) for view in range(self.views)])

    def _view(self, clip: Clip, images: Images, epoch: int, view: int) -> Tensor:
        """(n, e) of one view."""

        def encoded(picks: Sequence[int], done: int, total: int) -> Iterator[Tensor]:
            return encode_images(
                clip, images, ENCODED, self.notify, epoch, view, picks, done, total
            )

        def get(compute: Callable[[Sequence[int]], Iterable[Tensor]]) -> Tensor:
            return frozen_image_features(self.features, clip, images, compute, epoch, view)

        return self.group.stored(get, encoded, ENCODED)

    def _candidates(self, labels: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Sorted candidate classes (k,) and which of them were drawn as negatives (k,)."""
        total = len(self.classes)
        sampled = self.supervision.sampled
        if not 0 < sampled < total:
            return torch.arange(total), torch.ones(total, dtype=torch.bool)
        stream = self._stream("classes", epoch, step)
        # From all classes, the batch's own included: POMP masks the collisions afterwards.
        negatives = torch.randperm(total, generator=stream)[: sampled - 1]
        candidates = torch.cat([labels, negatives]).unique()
        return candidates, torch.isin(candidates, negatives)

    def _step(
        self,
        progress: Progress,
        step: int,
        batch: Batch,
        optimiser: torch.optim.Optimizer,
    ) -> Progress:
        epoch = progress.step // self.epoch_steps
        device = self.clip.device
        labels = self.labels[batch.picks]
        candidates, negatives = self._candidates(labels, epoch, step)
        prompts = self.method.prompts()
        images = batch.images.to(device)
        if prompts.image is not None:
            images = self.clip.image.encode(images, prompts.image)
        texts = self._texts(prompts, images, candidates, len(labels))
        if prompts.image is not None:
            images = self.group.gather(images, self._share(len(labels)), len(labels))
        teacher = None
        if self.teacher is not None and batch.taught is not None:
            teacher_texts = self.teacher_texts[candidates.to(device)]
            teacher = self.teacher.scale * batch.taught.to(device) @ teacher_texts.T
        state = Step(
            images=images,
            texts=texts,
            classes=candidates.to(device),
            labels=torch.searchsorted(candidates, labels).to(device),
            negatives=negatives.to(device),
            total=len(self.classes),
            scale=self.clip.scale,
            supervision=self.supervision,
            teacher=teacher,
            frozen_texts=None if self.frozen_texts is None else self.frozen_texts[candidates],
            frozen_images=None if batch.frozen is None else batch.frozen.to(device),
            head=self.method.classify(images, texts, candidates.to(device), self.clip.scale),
        )
        loss = self.method.loss(state)
        value = loss.item()
        when = f"at step {progress.step} of {self.steps} (epoch {epoch})"
        if not math.isfinite(value):
            raise self._diverged(f"the loss became {value} {when}")
        optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.group.average([p for group in optimiser.param_groups for p in group["params"]])
        self.scaler.step(optimiser)
        self.scaler.update()
        if self.scaler.get_scale() < 1:  # halved again and again: it is not the scale
            raise self._diverged(f"gradients overflow float16 {when} and the loss is {value}")
        right = (state.logits.argmax(1) == state.labels).sum().item()
        return replace(
            progress,
            step=progress.step + 1,
            epoch_loss=progress.epoch_loss + value,
            epoch_right=progress.epoch_right + int(right),
            epoch_seen=progress.epoch_seen + len(labels),
            scaler=self.scaler.state_dict(),
        )

    def _texts(self, prompts: Prompts, images: Tensor, candidates: Tensor, batch: int) -> Tensor:
        """(k, e) features of the candidate classes, or (b, k, e); each process encodes its share.

        `images` are features: of the share where the image tower is prompted, else of all.
        """
        if self.template_texts is not None:
            return self.template_texts[candidates]
        if isinstance(prompts.text, Conditional):
            if self.group.size == 1:
                contexts = prompts.text.contexts(images)
                return self.clip.text.encode_each(contexts, self.names, candidates)
            rows = self._share(batch)
            own = images if prompts.image is not None else images[rows.to(images.device)]
            each = self.clip.text.encode_each(prompts.text.contexts(own), self.names, candidates)
            return self.group.gather(each, rows, batch)
        assert isinstance(prompts.text, Prompt)
        if self.group.size == 1:
            return self.clip.text.encode(prompts.text, self.names, candidates)
        rows = self.group.share(len(candidates), "candidate classes")
        own = self.clip.text.encode(prompts.text, self.names, candidates[rows])
        return self.group.gather(own, rows, len(candidates))

    def _share(self, batch: int) -> Tensor:
        """Positions of this process's images in a batch."""
        return self.group.share(batch, "images")

    def _diverged(self, what: str) -> DivergedError:
        norms = ", ".join(
            f"{name} {p.norm().item():.3g}" for name, p in self.method.named_parameters()
        )
        return DivergedError(f"{what}; parameter norms: {norms}")

    def _stream(self, purpose: str, *parts: object) -> torch.Generator:
        """Draws depend on data and seed alone: methods that are compared see equal batches."""
        training = self.training
        base = (training.source, training.classes, training.shots, training.seed)
        return torch_stream(purpose, *base, *parts)


def with_same_buffers(method: nn.Module, work: Callable[[], T]) -> Callable[[], T]:
    """The work, before each try of which the method's buffers (running statistics) are as now."""
    kept = [buffer.clone() for buffer in method.buffers()]

    def again() -> T:
        for buffer, value in zip(method.buffers(), kept, strict=True):
            buffer.copy_(value)
        return work()

    return again


def _rows(features: Tensor | None, pick: Tensor) -> Tensor | None:
    """(b, e) of (views, n, e): the picked images, one view after the other."""
    return None if features is None else features[:, pick].flatten(0, 1)


def _means(progress: Progress, epoch_steps: int) -> dict[str, float]:
    steps = (progress.step - 1) % epoch_steps + 1
    return {
        "loss": progress.epoch_loss / steps,
        "accuracy": 100 * progress.epoch_right / max(progress.epoch_seen, 1),
    }


def _close_epoch(progress: Progress, epoch: int, lr: float) -> Progress:
    steps = progress.step // (epoch + 1)
    entry = {"epoch": epoch + 1, "lr": lr, **_means(progress, steps)}
    log = (*progress.log, entry)
    return replace(progress, log=log, epoch_loss=0.0, epoch_right=0, epoch_seen=0)
