"""Settings of a run, from flags and config files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import IO, Any, TypeVar, get_args, get_origin, get_type_hints

from rppbench.errors import UsageError, unknown
from rppbench.files.sizes import parse_size

OVERWRITE = ("only-missing", "always", "never")
WORDS = {str: "a text", int: "an integer", bool: "true or false"}
LEAST = {"seed": 0, "shots": 1, "batch_size": 1, "num_workers": 0, "limit": 1}


@dataclass(frozen=True)
class Settings:
    """Settings of `run` and `plan`. Each field is a flag, and a key of config files."""

    method: tuple[str, ...] = ()
    task: tuple[str, ...] = ("cross-dataset",)
    dataset: tuple[str, ...] = ()
    data: str | None = None
    model: str | None = None
    pretrained: str | None = None
    teacher: str | None = None
    seed: tuple[int, ...] = (1,)
    shots: tuple[int, ...] = ()
    device: str = "cpu"
    batch_size: int = 128
    num_workers: int = 0
    memory: str | None = None
    precision: str = "fp32"
    compile: str | None = None
    recipe: str | None = None
    set: Mapping[str, str] = field(default_factory=dict)
    output: str = "runs"
    overwrite: str = "only-missing"
    fail_on_error: bool = False
    limit: int | None = None
    engine: str = "inline"
    track: str | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.overwrite not in OVERWRITE:
            raise unknown("way to overwrite is named", self.overwrite, OVERWRITE, "ways")
        if self.pretrained is not None and self.model is None:
            raise UsageError(
                "--pretrained names the weights of a model: name the model too, --model MODEL"
            )
        if self.memory is not None:
            parse_size(self.memory, "memory")
        for name, least in LEAST.items():
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None and number < least:
                    raise UsageError(f"{name} must be at least {least}, not {number}")

    @property
    def backbone(self) -> str:
        """MODEL or MODEL/PRETRAINED; '' leaves it to `Registry.default_backbone`."""
        return "/".join(part for part in (self.model, self.pretrained) if part)


@dataclass(frozen=True)
class GridSettings(Settings):
    """Settings of `ablate`: those of a run with one method and one task, and what to vary."""

    vary: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    """The values of each varied option. Several mappings are sub-grids, which are united."""
    baseline: Mapping[str, str] = field(default_factory=dict)
    one_at_a_time: bool = False
    name: str = ""
    """NAME of the pages, ablation-NAME.md."""
    metric: tuple[str, ...] = ()
    """Further metrics to report on, beside the primary one."""


S = TypeVar("S", bound=Settings)


def settings(flags: Mapping[str, Any], path: str | None = None) -> Settings:
    """The flags that were given (not None), else the config file's values, else the defaults.

    UsageError for a file that cannot be read and for invalid values.
    """
    return _merged(Settings, flags, path)


def grid_settings(flags: Mapping[str, Any], path: str | None = None) -> GridSettings:
    """As `settings`, for a grid. A grid without a name is named after its file."""
    chosen = _merged(GridSettings, flags, path)
    if chosen.name or not path or flags.get("vary"):
        return chosen
    return replace(chosen, name=Path(path).stem)


def _merged(kind: type[S], flags: Mapping[str, Any], path: str | None) -> S:
    in_file = read(path, kind) if path else {}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in flags.items()
        if value is not None
    }
    # --set adds to the file's values, key by key; every other flag replaces the file's.
    changes = {**in_file.get("set", {}), **given.get("set", {})}
    return kind(**{**in_file, **given, "set": changes})


def read(path: str, kind: type[Settings] = Settings) -> dict[str, Any]:
    """The settings in a .py, .yaml or .json file; `_base_` names files to inherit from.

    A .py file is executed, also as a base: only read what you trust. UsageError for a file that
    cannot be read, an unknown key or a value of the wrong type.
    """
    import yaml
    from mmengine.config import Config  # its import takes as long as a complete leaderboard
    from mmengine.fileio import YamlHandler, register_handler

    @register_handler(["yaml", "yml"])
    class PlainYaml(YamlHandler):  # type: ignore[misc]
        """Safe reader: mmengine's own would call any Python function that a tag names."""

        def load_from_fileobj(self, file: IO[str], **options: Any) -> Any:
            return super().load_from_fileobj(file, Loader=yaml.SafeLoader)

    if not Path(path).is_file():
        raise UsageError(f"no config file {path!r}")
    try:
        content = Config.fromfile(path, import_custom_modules=False).to_dict()
    except yaml.constructor.ConstructorError as error:
        raise UsageError(
            f"cannot read {path}, or a file that it inherits from: {error}\n"
            "a YAML file may hold texts, numbers, lists and mappings, but no Python objects"
        ) from error
    except Exception as error:  # a Python config may raise anything
        raise UsageError(f"cannot read {path}: {type(error).__name__}: {error}") from error
    hints = get_type_hints(kind)
    for key in content:
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
        raise UsageError(f"{where} must be {WORDS[hint]}, not {value!r}")
    if not isinstance(value, Mapping):
        raise UsageError(f"{where} must hold KEY: VALUE pairs, not {value!r}")
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
    if isinstance(value, (str, int, float)):
        return str(value)
    raise UsageError(f"{where} must be a text, a number or true or false, not {value!r}")


NAMES = tuple(entry.name for entry in fields(Settings))
"""Every key of a config file; the flags are the same with dashes."""
GRID_NAMES = tuple(entry.name for entry in fields(GridSettings))
"""Every key of a grid file."""
