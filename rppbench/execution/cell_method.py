"""The method of a cell: built, then trained or loaded; it gives the prompts and the head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Prompt, Prompts
from rppbench.data.draws import chosen_on
from rppbench.data.parts import (
    CLASSES,
    PRETRAINING,
    SHOTS,
    VAL_SHOTS,
    shots_of,
    split_name,
    val_shots_of,
)
from rppbench.data.splits import training_classes
from rppbench.errors import DataChangedError, UsageError
from rppbench.evaluation.checked import checked_prompts
from rppbench.evaluation.classify import Head, head_of
from rppbench.evaluation.scorer import Scorer
from rppbench.execution.resources import Resources
from rppbench.files.claims import Claimant, claimed
from rppbench.models.clip import Clip
from rppbench.planning.recipes import SUPERVISION
from rppbench.random_streams import torch_stream
from rppbench.records.cell import Cell, Choice, Training
from rppbench.records.record import Cost
from rppbench.training.state import Progress, load_state
from rppbench.training.trainer import Trainer


class CellMethod:
    """The method of one cell. Before `fit` there is no method, and access to it fails."""

    def __init__(
        self,
        cell: Cell,
        resources: Resources,
        scorer: Scorer,
        retrain: bool,
        warn: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.cell, self.resources, self.retrain, self.warn = cell, resources, retrain, warn
        self.clip = resources.backbones(cell.backbone, cell.precision)
        self.cost = Cost()
        """Cost of the training."""
        self.log: tuple[Mapping[str, float], ...] = ()
        self.train_loss: float | None = None
        self.draw = ""
        """Digest of the training images that were drawn."""
        self.contents: Mapping[str, str] = {}
        """Digests of the data that it learned from, by part."""
        self.few_images = ""
        """A line on the classes that have fewer training images than shots."""
        self._scorer = scorer
        self._fitted: Method | None = None

    def fit(self) -> None:
        """Learn the cell's prompts, or load them if they were learned before."""
        training = self.cell.training
        if training is None:
            classes = len(self.resources.dataset(self.cell.dataset).classes)
            self._fitted = self._build(self.cell.method, None, classes).eval()
            return
        reused = True
        if training.key not in self.resources.fitted:
            method, progress, reused = self._learn(training, self.retrain)
            self.resources.fitted = {training.key: (method.eval(), progress)}
        self._fitted, progress = self.resources.fitted[training.key]
        self.log = progress.log
        self.train_loss, self.draw = progress.train_loss, progress.draw
        self.contents = progress.contents
        self.few_images = progress.few_images
        self.cost = Cost(
            train_seconds=progress.seconds,
            parameters=sum(p.numel() for p in self._fitted.parameters() if p.requires_grad),
            steps=progress.step,
            training_reused=reused,
        )

    @property
    def chosen_on(self) -> str:
        """The images that values were chosen on, for tables; '' if nothing is learned."""
        training = self.cell.training
        if training is None:
            return ""
        component = self.resources.registry.get("methods", training.method.name)
        return chosen_on(self.resources.dataset(training.source), training, component.searches)

    def assist(self, training: Training) -> None:
        """Take part in a training that another process leads."""
        self._train(training, self._initial(training))

    @property
    def fitted(self) -> Method:
        """The method with its learned parameters."""
        assert self._fitted is not None, "fit first"
        return self._fitted

    @property
    def prompts(self) -> Prompts:
        return checked_prompts(self.fitted, self.clip)

    @property
    def frozen_images(self) -> bool:
        """Whether the image tower has no prompt, so that its features serve other methods too."""
        return self.prompts.image is None

    @property
    def class_specific(self) -> bool:
        """Whether each class that was learned has a context of its own."""
        text = self.prompts.text
        return isinstance(text, Prompt) and text.class_specific

    def head(self, positions: Sequence[int]) -> Head:
        """How the method compares features with classes at these `positions`."""
        return head_of(self.fitted, self.clip, positions, self._teacher(self.cell.training))

    def positions(self, names: Sequence[str], labels: Sequence[int] | None = None) -> list[int]:
        """Positions of the classes among the learned ones; 0, 1, ... for an open vocabulary.

        labels: given if the data set is the training's source; then classes are matched by label,
        otherwise by name. UsageError for a class that was not learned.
        """
        training = self.cell.training
        if training is None or self.fitted.open_vocabulary:
            return list(range(len(names)))
        source = self.resources.dataset(training.source)
        learned = training_classes(source, training.classes)
        keys: Sequence[int | str] = names if labels is None else labels
        known: dict[int | str, list[int]] = {}
        for position, label in enumerate(learned):
            known.setdefault(source.classes[label] if labels is None else label, []).append(
                position
            )
        counts, seen, positions = Counter(keys), Counter[int | str](), []
        for name, key in zip(names, keys, strict=True):
            if key not in known:
                raise UsageError(
                    f"{self.cell.method.name!r} knows only the {training.classes} classes of "
                    f"{training.source!r}, which it learned; {name!r} is not one of them"
                )
            # Two classes of ImageNet are called 'missile': those of one name are taken in order.
            in_order = counts[key] == len(known[key])
            positions.append(known[key][seen[key] if in_order else -1])
            seen[key] += 1
        return positions

    def check_classes(self, chosen: Sequence[int]) -> None:
        """UsageError unless class-specific contexts were learned for exactly these classes."""
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

    def _learn(self, training: Training, retrain: bool) -> tuple[Method, Progress, bool]:
        """The method with its prompts, its training progress, and whether both were stored."""
        path = self.resources.prompts(training)
        method, reused = self._initial(training), True
        contents = self._contents_of(training)
        progress = Progress() if retrain else self._stored(training, method, contents)
        if not progress.log:
            with claimed(path.with_suffix(".claim"), self._report_wait(training)):
                # The process that was waited for may have learned them.
                progress = Progress() if retrain else self._stored(training, method, contents)
                if not progress.log:
                    progress = self._learn_now(training, method, contents, retrain)
                    reused = False
        return method, progress, reused

    def _stored(self, training: Training, method: Method, contents: Mapping[str, str]) -> Progress:
        """Fill the method with the training's stored prompts, if there are any."""
        path, code = self.resources.prompts(training), self.resources.code.of_training(training)
        return load_state(path, training.key, method, contents=contents, code=code, warn=self.warn)

    def _report_wait(self, training: Training) -> Callable[[Claimant], None]:
        def wait(holder: Claimant) -> None:
            self.warn(f"another run ({holder}) is learning the prompts {training.key}; waiting")

        return wait

    def _learn_now(
        self, training: Training, method: Method, contents: Mapping[str, str], retrain: bool
    ) -> Progress:
        """Learn the prompts, from the point where an interrupted training stopped.

        `contents` are the digests of the data of today.
        """
        path = self.resources.prompts(training)
        if retrain:
            path.with_suffix(".partial").unlink(missing_ok=True)
        if training.start is not None:
            pretrained, before, _ = self._learn(training.start, retrain=False)
            # Without the part of the pretraining if that is unverified.
            contents = self._own_contents(training) | _of_pretraining(before.contents)
            _copy_parameters(pretrained, method)
        group = self.resources.group
        group.send((self.cell, training))
        with group.together():
            progress = self._train(training, method, contents)
        try:
            self.resources.contents.check_all()
        except DataChangedError:
            path.unlink(missing_ok=True)  # learned from data that nobody can name
            raise
        return progress

    def _contents_of(self, training: Training) -> dict[str, str]:
        """Digests of the data of today that a training learns from, and of what it continues."""
        start = self._contents_of(training.start) if training.start else {}
        return self._own_contents(training) | _of_pretraining(start)

    def _own_contents(self, training: Training) -> dict[str, str]:
        source, contents = self.resources.dataset(training.source), self.resources.contents
        draws = {SHOTS: shots_of}
        if self.resources.registry.get("methods", training.method.name).searches:
            draws[VAL_SHOTS] = val_shots_of
        digests = dict([contents.classes(source)])
        for part, draw in draws.items():
            images = () if source.generated else draw(source, training)
            digests |= dict([contents.record(source, part, images)])
        return digests

    def _initial(self, training: Training) -> Method:
        """The method before its training."""
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
        return self.resources.backbones(training.teacher, training.precision)

    def _train(
        self, training: Training, method: Method, contents: Mapping[str, str] | None = None
    ) -> Progress:
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
            contents=contents,
            check=self.resources.backbones.check,
            code=self.resources.code.of_training(training),
            warn=self.warn,
        )
        return trainer.run(self.resources.prompts(training))


def _of_pretraining(contents: Mapping[str, str]) -> dict[str, str]:
    """The digests of a training, named as parts of one that continues it."""
    names = {name: split_name(name) for name in contents}
    return {
        name if part == CLASSES else f"{dataset}:{PRETRAINING}{part}": contents[name]
        for name, (dataset, part) in names.items()
    }


def _copy_parameters(pretrained: Method, method: Method) -> None:
    """Start `method` from pretrained parameters. UsageError if some belong to single classes."""
    state = pretrained.state_dict()
    for name, value in method.state_dict().items():
        if state[name].shape != value.shape:
            raise UsageError(
                f"{name!r} of {method.name!r} has one part for each class of its pretraining, so a "
                "training on other classes cannot start from it"
            )
    method.load_state_dict(state)
