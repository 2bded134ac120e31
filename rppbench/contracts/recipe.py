"""How a method is optimised, as data: published settings under their paper's name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from rppbench.contracts.ranges import Range, check_values, hints
from rppbench.errors import UsageError, unknown
from rppbench.records.cell import Choice, Option, Options

_SCOPE = ("tasks", "suite", "datasets", "at_shots")
"""Fields that say where a recipe applies."""

_LATER = {"eps", "keep_last", "min_lr", "shards", "steps", "steps_per_shot", "tuned", "validation"}
"""Fields that came later: keys of older trainings lack them, so a default adds nothing to a key."""


@dataclass(frozen=True)
class Recipe:
    """One way to optimise a method. Its name has paper and version; a change needs a new name."""

    name: str
    epochs: Annotated[int, Range(0, 100_000)]
    """0 for a method without training steps."""
    batch: Annotated[int, Range(1, 1_000_000)]
    """Images per step; of each shard, if a step has several."""
    lr: Annotated[float, Range(0, 1e6)]
    """Peak learning rate."""
    steps_per_shot: Annotated[int, Range(0, 100_000)] = 0
    """Training steps for each shot, in place of `epochs`; 0 counts epochs."""
    keep_last: bool = False
    """Whether the images that are left at the end of an epoch, too few for a step of full size, are
    a step too; Dassl drops them, and so do most recipes."""
    shards: Annotated[int, Range(1, 10_000)] = 1
    """Batches of one step, each with negatives of its own; their gradients are averaged. It is the
    number of processes of official code that trains on several GPUs."""
    steps: Annotated[int, Range(0, 100_000_000)] = 0
    """Training steps, in place of `epochs`; 0 counts epochs, or steps for each shot. Schedules by
    epoch run over as many epochs as these steps begin."""
    warmup_epochs: Annotated[int, Range(0, 100_000)] = 1
    warmup_lr: Annotated[float, Range(0, 1e6)] = 1e-5
    """Constant rate of the warm-up epochs; the cosine starts after them at full rate and runs
    over `epochs`, so it does not reach zero (Dassl's behaviour, kept by all descendants)."""
    schedule: Literal["cosine", "cosine-squared", "cosine-steps"] = "cosine"
    """'cosine', 'cosine-squared' (two such schedulers on one optimiser), or 'cosine-steps' (one
    cosine over all steps, from `lr` to `min_lr`, without a warm-up)."""
    min_lr: Annotated[float, Range(0, 1e6)] = 0.0
    """Last rate of 'cosine-steps'."""
    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"
    """'sgd', 'adam' or 'adamw'; the last two have no use for `momentum`."""
    eps: Annotated[float, Range(0, 1)] = 0.0
    """Added to the denominator of 'adam' and 'adamw'; 0 takes 1e-8 and 1e-4."""
    momentum: Annotated[float, Range(0, 1)] = 0.9
    weight_decay: Annotated[float, Range(0, 1e6)] = 5e-4
    augment: Literal["none", "crop-flip", "half-crop-flip", "crop-flip-randaugment2"] = "crop-flip"
    """'none', 'crop-flip', 'half-crop-flip' or 'crop-flip-randaugment2'."""
    views: Annotated[int, Range(1, 1000)] = 1
    """Augmented copies of each image in a batch."""
    validation: Literal["few-shot", "none", "held-out-shot", "full"] = "few-shot"
    """The images on which a method that searches for values (`Method.searches`) compares them:
    'few-shot' (at most four of each class, CoOp's draw of the validation split), 'none',
    'held-out-shot' (the last shot of each class, which is then not learned from) or 'full' (the
    complete validation split)."""
    tuned: Literal["", "few-shot", "held-out-shot", "full", "targets"] = ""
    """The validation images on which `rppbench tune` chose values of this recipe or options of the
    method ('targets': all those of the data sets that are scored); '' if nothing was chosen so.
    Tables say it."""
    shots: Annotated[int, Range(1, 1_000_000)] = 16
    """Training images per class where the task leaves their number to the recipe."""
    options: Options = ()
    """Option values of the method that belong to this recipe (depth 3 in MaPLe's transfer)."""
    tasks: tuple[str, ...] = ()
    """Tasks it was published for; () for any."""
    datasets: tuple[str, ...] = ()
    """Data sets to learn on that it was published for; () for any."""
    at_shots: tuple[int, ...] = ()
    """Numbers of shots it was published for; () for any."""
    protocol: str = ""
    """The common name of recipes that differ only by data set or shots; tables merge them into
    one row."""
    suite: str = ""
    """The family of data sets it was made for ('demo-2', 'coop'); '' for any."""
    origin: str = ""
    """Source of the values: paper and section, or repository and file."""

    def values(self) -> dict[str, Option]:
        """The values that can change a result, by name."""
        others = ("name", "options", "origin", "shots", "protocol", *_SCOPE)
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in others}

    def choice(self) -> Choice:
        """The values and the protocol as part of a training's identity."""
        values = {
            name: value
            for name, value in {**self.values(), "protocol": self.protocol}.items()
            if name not in _LATER or value != _DEFAULTS[name]
        }
        return Choice(self.name, tuple(sorted(values.items())))


_DEFAULTS = {field.name: field.default for field in fields(Recipe)}

FALLBACK = Recipe(
    name="default-1",
    epochs=5,
    batch=32,
    lr=0.002,
    origin="rppbench: used where a method brings no recipe of its own",
)


def select(
    recipes: Sequence[Recipe],
    task: str,
    suite: str,
    name: str | None = None,
    *,
    source: str = "",
    shots: int = 0,
) -> Recipe:
    """The most specific recipe for this task, suite, source and shots.

    `name` is that of a recipe or of a protocol, and leaves the choice among those with this name.
    Raises UsageError for a name that the method does not list.
    """
    if name is not None:
        named = [recipe for recipe in recipes if name in (recipe.name, recipe.protocol)]
        if not named:
            raise unknown("recipe is named", name, [recipe.name for recipe in recipes], "recipes")
        if len(named) == 1:
            return named[0]
        recipes = named
    fitting = [
        recipe
        for recipe in recipes
        if recipe.suite in ("", suite)
        and (not recipe.tasks or task in recipe.tasks)
        and (not recipe.datasets or source in recipe.datasets)
        and (not recipe.at_shots or shots in recipe.at_shots)
    ]

    def rank(recipe: Recipe) -> tuple[bool, ...]:
        # One for the suite beats one for the task, which beats a general one; order breaks ties.
        return (not recipe.suite, not recipe.tasks, not recipe.datasets, not recipe.at_shots)

    return min(fitting, key=rank, default=FALLBACK if name is None else recipes[0])


def override(recipe: Recipe, changes: dict[str, Option]) -> Recipe:
    """The recipe with changed values and a name that lists them; unchanged if no value differs.

    Raises UsageError for a value that does not exist or has the wrong type.
    """
    allowed = recipe.values()
    resolved: dict[str, Option] = {}
    for name, value in changes.items():
        if name not in allowed:
            raise unknown("recipe value is named", name, allowed, "recipe values")
        current = allowed[name]
        if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(current):
            kind = type(current).__name__
            raise UsageError(f"recipe value {name!r} must be {kind}, not {value!r}")
        if value != current:
            resolved[name] = value
    check_values(_kinds(), resolved, f"recipe {recipe.name!r}")
    if not resolved:
        return recipe
    suffix = ",".join(f"{name}={value}" for name, value in sorted(resolved.items()))
    changed = replace(recipe, name=f"{recipe.name}+{suffix}", **resolved)  # type: ignore[arg-type]
    return _one_length(changed, f"recipe {changed.name!r}")


def _one_length(recipe: Recipe, where: str) -> Recipe:
    """The recipe. UsageError if its steps are counted in two ways."""
    if recipe.steps and recipe.steps_per_shot:
        raise UsageError(
            f"{where} counts its steps twice: steps={recipe.steps} and "
            f"steps_per_shot={recipe.steps_per_shot}; set one of them to 0"
        )
    return recipe


_WORDS: Mapping[type, str] = {bool: "true or false", int: "an integer", float: "a number"}


def read_recipes(path: str | Path) -> tuple[Recipe, ...]:
    """The recipes of a TOML file, in its order.

    A module passes its `__file__` to read the file beside it: `coop.py` reads `coop.toml`. Each
    `[[recipe]]` table holds fields of `Recipe` under their names, `options` as a table of its own.
    UsageError names the file, the recipe and the key.
    """
    path = Path(path).with_suffix(".toml")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"recipes cannot be read: {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from error
    for key in content:
        if key != "recipe":
            raise unknown(f"table in {path} is named", key, ["recipe"], "tables")
    tables = content.get("recipe", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path}: each recipe is a table under the heading [[recipe]]")
    recipes: dict[str, Recipe] = {}
    for number, table in enumerate(tables, 1):
        recipe = _recipe(table, f"recipe {table.get('name', number)!r} in {path}")
        if recipe.name in recipes:
            raise UsageError(f"two recipes in {path} are named {recipe.name!r}")
        recipes[recipe.name] = recipe
    return tuple(recipes.values())


@cache
def _kinds() -> Mapping[str, Any]:
    """The types of the fields of `Recipe`; resolving them takes most of the time of a read."""
    return hints(Recipe)


def _recipe(table: Mapping[str, Any], where: str) -> Recipe:
    kinds = _kinds()
    values = {}
    for key, value in table.items():
        if key not in kinds:
            raise unknown(f"key of {where} is", key, kinds, "keys")
        values[key] = _field(value, key, kinds[key], where)
    for field in fields(Recipe):
        if field.default is MISSING and field.name not in values:
            raise UsageError(f"{where} lacks the key {field.name!r}")
    recipe = Recipe(**values)
    check_values(kinds, {**recipe.values(), "shots": recipe.shots}, where)
    return _one_length(recipe, where)


def _field(value: Any, key: str, kind: Any, where: str) -> Any:
    """The value as `Recipe` holds it: tables and arrays as tuples. UsageError for a wrong type."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    elif get_origin(kind) is Literal:
        kind = str
    if key == "options":
        if not isinstance(value, dict):
            raise UsageError(f"{key!r} of {where} is a table of options, not {value!r}")
        for name, option in value.items():
            if not isinstance(option, bool | int | float | str):
                raise UsageError(f"{key}.{name} of {where} is a number or word, not {option!r}")
        return tuple(sorted(value.items()))
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{key!r} of {where} is an array, not {value!r}")
        return tuple(_field(entry, key, get_args(kind)[0], where) for entry in value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise UsageError(f"{key!r} of {where} is {_WORDS.get(kind, 'a string')}, not {value!r}")
    return value
