"""The one training loop: a method's parameters against a frozen backbone, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from rppbench.contracts.averaging import AveragesEpochs
from rppbench.contracts.dataset import Dataset
from rppbench.contracts.fitted import FittedMethod
from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.objective import Step
from rppbench.contracts.prompts import ClassAware, Conditional, Prompt, Prompts
from rppbench.data.splits import spread
from rppbench.errors import DivergedError, UsageError
from rppbench.evaluation.checked import checked_logits, checked_loss, checked_prompts
from rppbench.evaluation.classify import head_of
from rppbench.evaluation.scorer import LEARNED_IMAGES, Scorer
from rppbench.models.clip import Clip
from rppbench.models.out_of_memory import retry_with_less_memory
from rppbench.records.cell import UNLABELLED, Training
from rppbench.training.distributed import ALONE, Group
from rppbench.training.fitting import examples_for, fit_entry
from rppbench.training.optimizer import add_to_average, learning_rate, optimiser_of, scaler_of
from rppbench.training.state import NO_CODE, Progress, load_state, save_state
from rppbench.training.step_inputs import Batch, StepInputs

T = TypeVar("T")

SAVE_SECONDS = 10.0
"""A kill loses at most this much training (or one step, if a step takes longer)."""


class Trainer:
    """One training: a method's parameters, its state on disk, and its steps."""

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
        contents: Mapping[str, str] | None = None,
        check: Callable[[], None] = lambda: None,
        code: Mapping[str, str] = NO_CODE,
        warn: Callable[[str], None] = lambda line: None,
    ) -> None:
        """contents: digests of the data, which the state on disk keeps.

        check: raises if the prompts must not be stored, since a shared model was changed.
        code: digests of the source that this training runs, by component.
        warn: called with the reason why a stored state is not used.
        """
        self.training, self.method, self.supervision = training, method, supervision
        self.clip, self.teacher, self.scorer, self.group = clip, teacher, scorer, group
        self.notify, self.dataset = scorer.notify, dataset
        self.contents = contents or {}
        self.check, self.code, self.warn = check, code, warn
        if training.classes == UNLABELLED and (method.uses_labels or supervision.sampled):
            raise UsageError(
                f"{method.name!r} would use the labels of images that are given without them"
                + ("" if method.uses_labels else ": sampled draws classes by them, so leave it out")
            )
        self.recipe = dict(training.recipe.options)
        self.inputs = StepInputs(training, method, clip, teacher, dataset, scorer, group)
        self.scaler = scaler_of(clip.device.type, clip.dtype)
        self.epoch_steps = self.inputs.epoch_steps
        self.steps = self.epoch_steps * int(self.recipe["epochs"])
        counted = int(self.recipe.get("steps", 0))
        if steps := counted or int(self.recipe.get("steps_per_shot", 0)) * training.shots:
            self.steps = steps if self.epoch_steps else 0
            # The rates and weights of epochs are those of as many epochs as are begun.
            self.recipe["epochs"] = -(-steps // max(self.epoch_steps, 1))

    def run(self, path: Path) -> Progress:
        """Train to the end and write the prompts to `path`; resumes if there is a .partial file.

        After each step it reports the loss and accuracy of the running epoch. Of several processes
        only the first reads and writes; the others start from its state and end after the steps.
        """
        parameters = [p for p in self.method.parameters() if p.requires_grad]
        optimiser = optimiser_of(self.recipe, parameters)
        weights = None
        if isinstance(self.method, AveragesEpochs):
            weights = self.method.epoch_weights(int(self.recipe["epochs"]))
        unfinished = path.with_suffix(".partial")
        if isinstance(self.method, FittedMethod):
            examples = examples_for(self.method, self.inputs)
            self.method.start(examples)
        progress = Progress()
        if self.group.first:
            progress = load_state(
                unfinished,
                self.training.key,
                self.method,
                optimiser,
                contents=self.contents,
                code=self.code,
                warn=self.warn,
            )
            progress = replace(
                progress,
                draw=self.inputs.draw,
                few_images=self.inputs.few_images,
                # A state from before there were digests stays unverified.
                contents=progress.contents if progress.step else self.contents,
            )
        progress = self._same_state(progress, optimiser)
        if progress.scaler:
            self.scaler.load_state_dict(dict(progress.scaler))
        started, saved = time.monotonic() - progress.seconds, time.monotonic()
        while progress.step < self.steps:
            epoch, first = divmod(progress.step, self.epoch_steps)
            for step, batches in self.inputs.epoch(epoch, first):
                rate = learning_rate(self.recipe, epoch, progress.step / self.steps)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                # A step that ran out of memory is taken again in smaller groups, but not by one of
                # several processes: the others are in the middle of the same step.
                take = partial(self._step, progress, step, batches, optimiser)
                if self.group.size == 1:
                    work = with_same_buffers(self.method, take)
                    take = partial(retry_with_less_memory, self.clip.text, work)
                progress = take()
                before_close = progress
                progress = replace(progress, seconds=time.monotonic() - started)
                if progress.step % self.epoch_steps == 0 or progress.step == self.steps:
                    progress = _close_epoch(progress, epoch, rate, self.epoch_steps)
                    if weights is not None:
                        add_to_average(optimiser, parameters, weights[epoch])
                means = _means(before_close, self.epoch_steps)
                self.notify("train", progress.step, self.steps, means)
                if self.group.first and time.monotonic() - saved > SAVE_SECONDS:
                    self._save(unfinished, optimiser, progress)
                    saved = time.monotonic()
                if progress.step == self.steps:
                    break
        if not self.group.first:
            self.check()
            return progress
        if weights is not None:
            with torch.no_grad():
                for parameter in parameters:
                    parameter.copy_(optimiser.state[parameter]["average"])
        if isinstance(self.method, FittedMethod):
            self.method.finish(examples)
            if not self.steps:
                seconds = time.monotonic() - started
                fit = fit_entry(self.method, examples)
                if not math.isfinite(fit["loss"]):
                    raise self._diverged(f"the loss is {fit['loss']} after the fit")
                progress = replace(progress, seconds=seconds, log=(fit,))
        self.method.eval()
        try:
            final = self._final_loss()
        except DivergedError:
            final = math.nan
        if not math.isfinite(final):
            raise self._diverged(f"the loss is {final} after all {progress.step} steps")
        progress = replace(progress, train_loss=final)
        self._save(path, None, progress)
        unfinished.unlink(missing_ok=True)
        return progress

    def _save(
        self, path: Path, optimiser: torch.optim.Optimizer | None, progress: Progress
    ) -> None:
        self.check()
        save_state(path, self.training.key, self.method, optimiser, progress, self.code)

    def _same_state(self, progress: Progress, optimiser: torch.optim.Optimizer) -> Progress:
        """The first process's progress; method and optimiser get its state too."""
        if self.group.size == 1:
            return progress
        state = self.method.state_dict(), optimiser.state_dict(), progress
        method_state, optimiser_state, progress = self.group.same(state)
        self.method.load_state_dict(method_state)
        optimiser.load_state_dict(optimiser_state)
        return progress

    def _final_loss(self) -> float:
        """Plain cross-entropy of the learned prompts on training images, unaugmented."""
        classes = self.inputs.classes
        samples = spread(self.inputs.images.samples, LEARNED_IMAGES)
        with torch.no_grad():
            prompts = checked_prompts(self.method, self.clip)
        every = range(len(classes))
        head = head_of(self.method, self.clip, every, self.teacher)
        (evaluation,) = self.scorer(prompts, self.dataset, samples, classes, [every], head)
        assert evaluation.losses is not None
        return evaluation.losses.double().mean().item()

    def _step(
        self,
        progress: Progress,
        step: int,
        batches: Sequence[Batch],
        optimiser: torch.optim.Optimizer,
    ) -> Progress:
        epoch = progress.step // self.epoch_steps
        when = f"at step {progress.step} of {self.steps} (epoch {epoch})"
        optimiser.zero_grad(set_to_none=True)
        total, right, seen = 0.0, 0, 0
        for at, batch in enumerate(batches, step * self.inputs.shards):
            state = self._state(batch, epoch, at)
            loss = checked_loss(self.method, self.method.loss(state)) / len(batches)
            value = loss.item()
            if not math.isfinite(value):
                raise self._diverged(f"the loss became {value} {when}")
            self.scaler.scale(loss).backward()
            total, seen = total + value, seen + len(batch.picks)
            right += int((state.logits.argmax(1) == state.labels).sum().item())
        self.group.average([p for group in optimiser.param_groups for p in group["params"]])
        self.scaler.step(optimiser)
        self.scaler.update()
        if self.scaler.get_scale() < 1:  # halved again and again: the scale is not the cause
            raise self._diverged(f"gradients overflow float16 {when} and the loss is {total}")
        return replace(
            progress,
            step=progress.step + 1,
            epoch_loss=progress.epoch_loss + total,
            epoch_right=progress.epoch_right + right,
            epoch_seen=progress.epoch_seen + seen,
            scaler=self.scaler.state_dict(),
        )

    def _state(self, batch: Batch, epoch: int, at: int) -> Step:
        """What the loss of a batch sees; it is number `at` of the epoch."""
        inputs, device = self.inputs, self.clip.device
        labels = inputs.labels[batch.picks]
        candidates, negatives = inputs.candidates(labels, self.supervision.sampled, epoch, at)
        prompts = checked_prompts(self.method, self.clip)
        images = batch.images.to(device)
        if prompts.image is not None:
            images = self.clip.image.encode(images, prompts.image, unit=prompts.unit_images)
        texts = self._texts(prompts, images, candidates, len(labels))
        if prompts.image is not None:
            images = self.group.gather(images, inputs.share(len(labels)), len(labels))
        teacher = None
        if self.teacher is not None and batch.teacher_images is not None:
            teacher_texts = inputs.teacher_texts[candidates.to(device)]
            teacher = self.teacher.scale * batch.teacher_images.to(device) @ teacher_texts.T
        frozen_texts, frozen_images = inputs.frozen_texts, batch.frozen_images
        head = self.method.classify(images, texts, candidates.to(device), self.clip.scale)
        return Step(
            images=images,
            texts=texts,
            classes=candidates.to(device),
            labels=torch.searchsorted(candidates, labels).to(device),
            negatives=negatives.to(device),
            total=len(inputs.classes),
            scale=self.clip.scale,
            supervision=self.supervision,
            teacher=teacher,
            frozen_texts=None if frozen_texts is None else frozen_texts[candidates],
            frozen_images=None if frozen_images is None else frozen_images.to(device),
            head=checked_logits(self.method.name, head, len(images), len(candidates)),
        )

    def _texts(self, prompts: Prompts, images: Tensor, candidates: Tensor, batch: int) -> Tensor:
        """(k, e) features of the candidate classes, or (b, k, e); each process encodes its share.

        `images` are features: of this process's share if the image tower is prompted, else of the
        complete batch.
        """
        if (fixed := self.inputs.template_texts) is not None:
            return fixed[candidates]
        names = self.inputs.names
        if isinstance(prompts.text, Conditional):
            if self.group.size == 1:
                contexts = prompts.text.contexts(images)
                return self.clip.text.encode_each(contexts, names, candidates)
            rows = self.inputs.share(batch)
            own = images if prompts.image is not None else images[rows.to(images.device)]
            each = self.clip.text.encode_each(prompts.text.contexts(own), names, candidates)
            return self.group.gather(each, rows, batch)
        if self.group.size == 1:
            return self._learned_texts(prompts, candidates)
        rows = self.group.share(len(candidates), "candidate classes")
        own = self._learned_texts(prompts, candidates[rows])
        return self.group.gather(own, rows, len(candidates))

    def _learned_texts(self, prompts: Prompts, classes: Tensor) -> Tensor:
        """(k, e) features of classes (k,) behind learned text that does not depend on images."""
        text, names, crafted = prompts.text, self.inputs.names, self.inputs.crafted_texts
        if isinstance(text, ClassAware):
            assert crafted is not None
            prompt = text.prompt(crafted[classes.to(crafted.device)])
            return self.clip.text.encode(prompt, names.select(classes))
        assert isinstance(text, Prompt)
        return self.clip.text.encode(text, names, classes)

    def _diverged(self, what: str) -> DivergedError:
        norms = ", ".join(
            f"{name} {p.norm().item():.3g}" for name, p in self.method.named_parameters()
        )
        return DivergedError(f"{what}; parameter norms: {norms}")


def with_same_buffers(method: nn.Module, work: Callable[[], T]) -> Callable[[], T]:
    """The work, preceded each time by a reset of the method's buffers to their present values.

    An attempt that ran out of memory may have changed them (running statistics) already.
    """
    kept = [buffer.clone() for buffer in method.buffers()]

    def again() -> T:
        for buffer, value in zip(method.buffers(), kept, strict=True):
            buffer.copy_(value)
        return work()

    return again


def _means(progress: Progress, epoch_steps: int) -> dict[str, float]:
    steps = (progress.step - 1) % epoch_steps + 1
    return {
        "loss": progress.epoch_loss / steps,
        "accuracy": 100 * progress.epoch_right / max(progress.epoch_seen, 1),
    }


def _close_epoch(progress: Progress, epoch: int, lr: float, epoch_steps: int) -> Progress:
    entry = {"epoch": epoch + 1, "lr": lr, **_means(progress, epoch_steps)}
    log = (*progress.log, entry)
    return replace(progress, log=log, epoch_loss=0.0, epoch_right=0, epoch_seen=0)
