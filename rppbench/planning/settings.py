"""Settings of a run, from flags and config files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from rppbench.errors import UsageError, unknown
from rppbench.files.sizes import PROGRAM_BYTES, parse_size, spell_size
from rppbench.planning.backbone_names import backbones
from rppbench.planning.config_files import Warn, is_file, load

SPLITS = ("test", "val")
TARGETS = "targets"
"""The validation images of the data sets that a task scores, in place of those of its source."""
VALIDATION = ("few-shot", "held-out-shot", "full", TARGETS)
OVERWRITE = ("only-missing", "always", "never")
WORDS = {str: "a text", int: "an integer", bool: "true or false"}
RANGES = {
    "seed": (0, 2**63 - 1),
    "shots": (1, 10**6),
    "batch_size": (1, 10**6),
    "num_workers": (0, 1024),
    "limit": (1, 10**12),
}
"""Least and greatest value of numeric settings."""


@dataclass(frozen=True)
class Settings:
    """Settings of `run` and `plan`. Each field is a flag, and a key of config files."""

    method: tuple[str, ...] = ()
    task: tuple[str, ...] = ("cross-dataset",)
    dataset: tuple[str, ...] = ()
    data: str | None = None
    model: tuple[str, ...] = ()
    pretrained: str | None = None
    teacher: str | None = None
    seed: tuple[int, ...] = (1,)
    shots: tuple[int, ...] = ()
    draw: str | None = None
    partial: bool = False
    quick: bool = False
    device: str = "cpu"
    batch_size: int = 128
    num_workers: int = 0
    memory: str | None = None
    precision: str = "fp32"
    inference_cost: bool = False
    compile: str | None = None
    recipe: str | None = None
    set: Mapping[str, str] = field(default_factory=dict)
    output: str = "runs"
    overwrite: str = "only-missing"
    fail_on_error: bool = False
    limit: int | None = None
    engine: str = "inline"
    debug: bool = False
    track: str | None = None
    dry_run: bool = False
    detach: bool = False
    trust_data: bool = False
    verify_data: bool = False
    accept_code: bool = False

    def __post_init__(self) -> None:
        if self.overwrite not in OVERWRITE:
            raise unknown("way to overwrite is named", self.overwrite, OVERWRITE, "ways")
        backbones(self.model, self.pretrained)  # an invalid list fails before anything else
        if self.trust_data and self.verify_data:
            raise UsageError("--trust-data reads no file and --verify-data reads all: choose one")
        if self.quick and len(self.seed) > 1:
            raise UsageError(f"--quick is a look with one seed, and --seed names {len(self.seed)}")
        if self.accept_code and self.overwrite == "always":
            raise UsageError(
                "--accept-code keeps results and --overwrite=always runs all again: choose one"
            )
        if self.detach and self.dry_run:
            raise UsageError("--dry-run runs nothing and --detach submits: choose one")
        if self.detach and self.debug:
            raise UsageError("--debug runs in this process and --detach in others: choose one")
        if self.memory is not None:
            memory = parse_size(self.memory, "memory")
            if memory <= PROGRAM_BYTES:
                raise UsageError(
                    f"memory {spell_size(memory)} is too little: the program alone takes "
                    f"{spell_size(PROGRAM_BYTES)}, and the weights of the backbone come on top"
                )
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if number is None or least <= number <= most:
                    continue
                bound = f"at least {least}" if number < least else f"at most {most}"
                raise UsageError(f"{name} must be {bound}, not {number}")

    @cached_property
    def data_since(self) -> float:
        """Files that were read before this time, in seconds of `time.time`, are read anew."""
        return time.time() if self.verify_data else 0.0

    @property
    def backbones(self) -> tuple[str, ...]:
        """MODEL or MODEL/PRETRAINED for each; () leaves it to `Registry.default_backbone`."""
        return backbones(self.model, self.pretrained)


@dataclass(frozen=True)
class GridSettings(Settings):
    """Settings of `ablate`: those of a run with one method and one task, and what to vary."""

    vary: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    """The values of each varied option. Several mappings are sub-grids, which are united."""
    baseline: Mapping[str, str] = field(default_factory=dict)
    one_at_a_time: bool = False
    name: str = ""
    """NAME of the pages, ablation-NAME.md."""
    question: str = ""
    """What the grid asks, in words; its pages begin with it."""
    metric: tuple[str, ...] = ()
    """Further metrics to report on, beside the primary one."""
    split: str = "test"
    """'test', or 'val' to score the validation split of what is learned on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split not in SPLITS:
            raise unknown("split is named", self.split, SPLITS, "splits")


@dataclass(frozen=True)
class TuneSettings(Settings):
    """Settings of `tune`: those of a run with one method and one task, and what to try."""

    vary: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    """As for `ablate`."""
    budget: int = 20
    """Most combinations of values to try."""
    validation: str = "few-shot"
    """The images to choose on, as `Recipe.validation`, or 'targets'."""
    name: str = ""
    """Name of the folder, OUTPUT/tune/NAME."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.budget < 1:
            raise UsageError(f"budget must be at least 1, not {self.budget}")
        if self.validation not in VALIDATION:
            raise unknown("validation is named", self.validation, VALIDATION, "kinds of validation")


S = TypeVar("S", bound=Settings)

DEFAULTS = {
    "skip_existing": "is the default here: a cell with a record is kept (--overwrite)",
    "no_amp": "is the default here: towers are in fp32 (--precision)",
}
"""Words of other programs for what needs no setting here."""


def settings(
    flags: Mapping[str, Any], path: str | None = None, warn: Warn = lambda line: None
) -> Settings:
    """The flags that were given (not None), else the config file's values, else the defaults.

    `warn` is called before a config file is executed. UsageError for a file that cannot be read and
    for invalid values.
    """
    return _merged(Settings, flags, path, warn)


def grid_settings(
    flags: Mapping[str, Any], path: str | None = None, warn: Warn = lambda line: None
) -> GridSettings:
    """As `settings`, for a grid. A grid without a name is named after its file."""
    chosen = _merged(GridSettings, flags, path, warn)
    if chosen.name or not path or flags.get("vary"):
        return chosen
    return replace(chosen, name=Path(path).stem)


def tune_settings(
    flags: Mapping[str, Any], path: str | None = None, warn: Warn = lambda line: None
) -> TuneSettings:
    """As `settings`, for a search of settings."""
    return _merged(TuneSettings, flags, path, warn)


def _merged(kind: type[S], flags: Mapping[str, Any], path: str | None, warn: Warn) -> S:
    in_file = read(path, kind, warn) if path else {}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in flags.items()
        if value is not None
    }
    # --set adds to the file's values, key by key; every other flag replaces the file's.
    changes = {**in_file.get("set", {}), **given.get("set", {})}
    return kind(**{**in_file, **given, "set": changes})


def read(
    path: str, kind: type[Settings] = Settings, warn: Warn = lambda line: None
) -> dict[str, Any]:
    """The settings in a .yaml, .json or .py file; `_base_` names files to inherit from.

    A .py file is executed, which `warn` is called with before. UsageError for a file that cannot be
    read, an unknown key or a value of the wrong type.
    """
    if not is_file(Path(path)):
        raise UsageError(f"no config file {path!r}")
    content = load(Path(path), warn)
    hints = get_type_hints(kind)
    for key in content:
        if key in DEFAULTS:
            raise UsageError(f"{path}: {key!r} {DEFAULTS[key]}")
        if key not in hints:
            raise unknown(f"setting of {path} is named", key, hints, "settings")
    return {key: _checked(f"{path}: {key!r}", value, hints[key]) for key, value in content.items()}


def _checked(where: str, value: Any, hint: Any) -> Any:
    """The value with the field's type. UsageError if it is of another type."""
    if get_origin(hint) is UnionType:
        return None if value is None else _checked(where, value, get_args(hint)[0])
    if get_origin(hint) is tuple:
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_checked(where, item, get_args(hint)[0]) for item in items)
    if isinstance(hint, type) and type(value) is hint:
        return value
    if hint in WORDS:
        raise UsageError(f"{where} must be {WORDS[hint]}, not {_short(value)}")
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"{where} must hold KEY: VALUE pairs, not {_short(value)}")
    _, each = get_args(hint)
    return {key: _checked_item(f"{where}: {key!r}", item, each) for key, item in value.items()}


def _checked_item(where: str, value: Any, hint: Any) -> str | tuple[str, ...]:
    """The value of an option, or its values where the field takes several."""
    if hint is str:
        return _spelled(where, value)
    items = value if isinstance(value, (list, tuple)) else [value]
    return tuple(_spelled(where, item) for item in items)


def _spelled(where: str, value: Any) -> str:
    """The value of an option as --set takes it, with all digits."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (str, float)) or (isinstance(value, int) and abs(value) < 10**18):
        return str(value)
    raise UsageError(f"{where} must be a text, a number or true or false, not {_short(value)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


NAMES = tuple(entry.name for entry in fields(Settings))
"""Every key of a config file; the flags are the same with dashes."""
GRID_NAMES = tuple(entry.name for entry in fields(GridSettings))
"""Every key of a grid file."""
TUNE_NAMES = tuple(entry.name for entry in fields(TuneSettings))
"""Every key of a file for `tune`."""
