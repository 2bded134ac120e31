"""From a request to cells, and the groups of cells that share a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from rppbench.contracts.backbone import Backbone
from rppbench.contracts.dataset import Catalog
from rppbench.contracts.engine import CellGroup
from rppbench.contracts.method import Method
from rppbench.contracts.recipe import Recipe, select
from rppbench.contracts.task import Assignment, Task
from rppbench.data.draws import HELD_OUT_SHOT
from rppbench.errors import UsageError, unknown
from rppbench.planning.checked import (
    checked_assignments,
    refuse_default_backbone,
    refuse_surrogates,
)
from rppbench.planning.input_digests import InputDigests
from rppbench.planning.recipes import (
    changed,
    few_steps,
    pretraining,
    refuse_idle,
    shots_of,
    with_draw,
)
from rppbench.planning.request import Request, TooManyCellsError
from rppbench.planning.validation import on_validation
from rppbench.planning.vocabulary import (
    Extended,
    learns_all_scored_classes,
    texts_of_regions,
    with_suites,
)
from rppbench.plugins.containment import contained, line_of, uncontained
from rppbench.plugins.options import options, parse_value, resolve
from rppbench.plugins.registry import Registry
from rppbench.plugins.versions import part_version, task_version, version_of
from rppbench.records.cell import PARTIAL, QUICK, Cell, Choice, Option, Pairs, Training

SCOPES = ("method", "task", "recipe")


def cells(
    registry: Registry,
    request: Request,
    input_digests: InputDigests | None = None,
    warn: Callable[[str], None] = lambda line: None,
    faults: list[str] | None = None,
    most: float = math.inf,
) -> list[Cell]:
    """All cells of a request, those that share a training next to each other.

    Requests that share `input_digests` read data and weights once. `warn` is called for each task
    that is left out because the method knows only the classes that it learned, for each setting
    that does not apply to a method, and for each remark on the data. `faults` takes a line for each
    method and task whose code fails, and the others are planned; without a list they are a
    UsageError.
    Raises UsageError for unknown names and options, and where nothing is left to run;
    TooManyCellsError for more than `most` cells, before any of them is built.
    """
    refuse_surrogates((*request.methods, *request.tasks, *request.datasets, request.backbone))
    default = None if request.backbone else registry.default_backbone()
    if default:
        request = replace(request, backbone=default.name)
    named = (registry.get("datasets", name).name for name in request.datasets)
    wanted = tuple(dict.fromkeys(named))  # two spellings of a path are one data set
    input_digests = input_digests or InputDigests(registry)
    lines: dict[str, None] = {}
    planner = _Planner(registry, request, registry, wanted, input_digests, lines, most, default)
    planned = list(planner.cells())
    others = [name for name in wanted if name not in planner.scored]
    for suite, members in with_suites(registry, others).items():
        planned += replace(planner, suite=suite, wanted=members).cells()
        if outside := [name for name in members if name not in planner.scored]:
            extended = Extended(registry, outside)
            planned += replace(planner, suite=suite, catalog=extended, wanted=outside).cells()
    for name in others:
        if name not in planner.scored:
            scored = ", ".join(sorted(planner.scored)) or "(none)"
            wrong = f"no chosen task scores data set {name!r}; scored: {scored}"
            raise UsageError("\n".join([wrong, *lines]))
    if lines and (faults is None or not planned):
        raise UsageError("\n".join(lines))
    if faults is not None:
        faults += lines
    unused = [key for key, _ in request.settings if key not in planner.used]
    if unused and not lines:
        raise UsageError(
            f"--set {unused[0]}: no chosen method, task or recipe has this option; "
            "`rppbench info NAME` lists the options of each"
        )
    left_out = [
        f"{method} cannot run {task} ({_some(names)}): it knows only the classes that it learned"
        for (method, task), names in planner.closed.items()
    ]
    if not planned and left_out:
        raise UsageError("\n".join(left_out))
    for line in (*left_out, *planner.notes, *input_digests.take_remarks()):
        warn(line)
    if request.validation:
        planned = on_validation(registry, input_digests, request.validation, planned)
    first: dict[str, Cell] = {}
    for cell in planned:  # a cell that is requested twice runs once
        first.setdefault(cell.key, cell)
    return list(first.values())


def cells_of_all(
    registry: Registry,
    requests: Sequence[Request],
    input_digests: InputDigests,
    warn: Callable[[str], None],
    faults: dict[str, None],
    most: float,
) -> list[Cell]:
    """The cells of several requests, one after the other, as `cells`.

    `warn` and `faults` may get a line once for each request.
    """
    planned: list[Cell] = []
    for request in requests:
        lines: list[str] = []
        planned += cells(registry, request, input_digests, warn, lines, most - len(planned))
        faults.update(dict.fromkeys(lines))
    return planned


def cell_groups(planned: Sequence[Cell]) -> list[CellGroup]:
    """The cells in groups that share a training or its start; any other cell is alone in one."""
    groups: dict[str, list[Cell]] = {}
    for cell in planned:
        training = cell.training and (cell.training.start or cell.training)
        groups.setdefault(training.key if training else cell.key, []).append(cell)
    return [tuple(group) for group in groups.values()]


def _some(names: Sequence[str]) -> str:
    """The first three names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


@dataclass(frozen=True)
class _Planner:
    """Plans those cells of a request that score the `wanted` data sets."""

    registry: Registry
    request: Request
    catalog: Catalog
    wanted: Sequence[str]
    """() for all."""
    input_digests: InputDigests
    faults: dict[str, None]
    """A line for each method and task whose code fails."""
    most: float
    default: Backbone | None
    """The backbone of the request where it names none."""
    suite: str = ""
    """The suite of tasks that none is named for; '' leaves it to the task."""
    used: set[str] = field(default_factory=set)
    """Keys of --set that any component has as an option."""
    scored: set[str] = field(default_factory=set)
    """Data sets that the chosen tasks score, wanted or not."""
    closed: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """(method, task) -> data sets with classes that the method does not learn."""
    notes: dict[str, None] = field(default_factory=dict)
    """Remarks on settings that do not apply, in order."""

    def cells(self) -> Iterator[Cell]:
        for method in self.request.methods:
            for task in self.request.tasks:
                for shots in self.request.shots or (None,):
                    try:
                        with contained():
                            planned = list(self._combination(method, task, shots))
                    except UsageError:
                        raise
                    except Exception as error:
                        if uncontained():
                            raise
                        self.faults[f"{method} on {task} cannot be planned: {line_of(error)}"] = (
                            None
                        )
                        continue
                    yield from planned

    def _combination(self, method_text: str, task_text: str, shots: int | None) -> Iterator[Cell]:
        registry, request, used = self.registry, self.request, self.used
        task_name, task_explicit = registry.choose("tasks", task_text)
        task_class: type[Task] = registry.get("tasks", task_name)
        task_explicit |= _settings(request, "task", options(task_class), used)
        if shots is not None:
            if "shots" not in options(task_class):
                raise UsageError(f"task {task_name!r} takes no --shots")
            task_explicit["shots"] = shots
        if self.suite and "suite" in options(task_class):
            task_explicit.setdefault("suite", self.suite)
        task = resolve(task_class, task_explicit)
        suite = str(dict(task.options).get("suite", ""))
        built_task = task_class(**dict(task.options))

        method_name, explicit = registry.choose("methods", method_text)
        method_class: type[Method] = registry.get("methods", method_name)
        explicit |= _settings(request, "method", options(method_class), used)
        learning = method_class.learning
        recipes = learning.recipes if learning else ()
        named = request.recipe if learning else None

        @cache
        def learning_of(source: str, shots: int) -> tuple[Choice, Recipe]:
            """How the method learns on a source."""
            learned_for = built_task.learns_as or task_name
            recipe = select(recipes, learned_for, suite, named, source=source, shots=shots)
            changes = _settings(request, "recipe", recipe.values(), used)
            if request.quick:
                changes = few_steps(recipe, changes)
            recipe = changed(method_class, recipe, changes, self.notes)
            # In rising precedence: the method's defaults, its recipe's options, the user's options.
            method = resolve(method_class, {**dict(recipe.options), **explicit})
            refuse_idle(method_class, method, recipe)
            return method, recipe

        trained = learning is not None
        listed = built_task.assignments(self.catalog, method_class)
        assignments = [self._spelled(one) for one in checked_assignments(task_name, listed)]
        if not assignments and not self.wanted:
            raise UsageError(f"task {task_name!r} finds no data sets in suite {suite!r}")
        self.scored.update(assignment.dataset for assignment in assignments)
        chosen = [a for a in assignments if not self.wanted or a.dataset in self.wanted]
        if not method_class.open_vocabulary:
            # A data set loses all its cells together: a remaining one could not be compared.
            others = {a.dataset for a in chosen if not learns_all_scored_classes(self.registry, a)}
            chosen = [a for a in chosen if a.dataset not in others]
            if others:
                self.closed[method_name, task_name] = sorted(others)
        scored = list(dict.fromkeys(assignment.dataset for assignment in chosen))
        self.notes.update(dict.fromkeys(texts_of_regions(registry, method_class, scored)))
        if self.default:
            refuse_default_backbone(registry, chosen, self.default)
        # Cells that differ in the scored data set alone share a training.
        learners = [(replace(a, dataset=""), learning_of(a.source, a.shots or 0)) for a in chosen]
        pretrainings = {
            learner: pretraining(method_class, method, explicit, suite, request.quick)
            for learner, (method, _) in learners
            if trained and learner.start
        }
        seeds = request.seeds if trained else request.seeds[:1]  # nothing random: once is enough
        self._count(len(chosen) * len(seeds))
        files = self.input_digests.of_files(built_task)
        versions = (
            *(() if trained else version_of("method", method_class)),
            *(pair for part in built_task.parts() for pair in part_version(part)),
        )

        @cache
        def inputs_of(dataset: str) -> Pairs:
            data = self.input_digests.of(dataset, request.backbone, None)
            marks = (*((PARTIAL,) if request.partial else ()), *((QUICK,) if request.quick else ()))
            return (*data, *task_version(task_class), *files, *marks, *versions)

        @cache
        def first_of(learner: Assignment) -> Training:
            """The training with the first seed."""
            training = self._training(
                *learning_of(learner.source, learner.shots or 0), learner, seeds[0]
            )
            if learner not in pretrainings:
                return training
            before = Assignment(learner.start, learner.start, "seen")
            start = self._training(*pretrainings[learner], before, seeds[0])
            return replace(training, start=start)

        @cache
        def training_of(learner: Assignment, seed: int) -> Training:
            first = first_of(learner)
            start = first.start and replace(first.start, seed=seed)
            training = replace(first, seed=seed, start=start)
            draw = request.draw
            return with_draw(training, draw, self.input_digests) if draw else training

        for seed in seeds:
            for assignment, (learner, (method, _)) in zip(chosen, learners, strict=True):
                training = training_of(learner, seed) if trained else None
                yield Cell(
                    task=task,
                    dataset=assignment.dataset,
                    method=method,
                    backbone=request.backbone,
                    precision=request.precision,
                    seed=seed,
                    limit=request.limit,
                    training=training,
                    inputs=inputs_of(assignment.dataset),
                )

    def _count(self, cells_of_combination: int) -> None:
        """TooManyCellsError if all combinations together, each like this one, are too many."""
        request = self.request
        combinations = len(request.methods) * len(request.tasks) * len(request.shots or (None,))
        if combinations * cells_of_combination > self.most:
            raise TooManyCellsError(combinations * cells_of_combination)

    def _training(
        self, method: Choice, recipe: Recipe, assignment: Assignment, seed: int
    ) -> Training:
        request = self.request
        if assignment.held_out_shot:
            recipe = replace(recipe, validation=HELD_OUT_SHOT)
        teacher = None
        if method["kd"]:
            teacher = request.teacher or usual_teacher(self.registry, request.backbone)
        return Training(
            method=method,
            recipe=recipe.choice(),
            source=assignment.source,
            classes=assignment.classes,
            shots=shots_of(assignment, recipe),
            seed=seed,
            backbone=request.backbone,
            teacher=teacher,
            precision=request.precision,
            inputs=(
                *self.input_digests.of(assignment.source, request.backbone, teacher),
                *version_of("method", self.registry.get("methods", method.name)),
            ),
        )

    def _spelled(self, assignment: Assignment) -> Assignment:
        """The assignment with data sets by their registered names. UsageError for unknown ones."""
        scored, source, start = (
            self.registry.get("datasets", name).name if name else ""
            for name in (assignment.dataset, assignment.source, assignment.start)
        )
        return replace(assignment, dataset=scored, source=source, start=start)


def usual_teacher(registry: Registry, backbone: str) -> str:
    """The teacher where none is named: the same family's larger model, or the backbone itself."""
    shipped: Backbone | None = registry.find("backbones", backbone)
    if shipped is not None:
        return shipped.teacher or backbone
    model, _, pretrained = backbone.partition("/")
    # The paper says "a pretrained CLIP teacher"; ViT-L/14 is what the same lab uses elsewhere.
    return "ViT-L-14/openai" if pretrained == "openai" and model != "ViT-L-14" else backbone


def _settings(
    request: Request, scope: str, defaults: Mapping[str, Option], used: set[str]
) -> dict[str, Option]:
    """The --set values of one component, given as 'scope.name' or as the bare name of its option.

    Their keys are added to `used`.
    """
    values: dict[str, Option] = {}
    for key, text in request.settings:
        head, dot, name = key.partition(".")
        if dot and head not in SCOPES:
            raise unknown("scope is named", head, SCOPES, "scopes of --set")
        if dot and head != scope:
            continue
        name = name if dot else key
        if name not in defaults:
            continue
        values[name] = parse_value(name, text, defaults[name])
        used.add(key)
    return values
