"""Config files: YAML and JSON are data and are read as such; only a `.py` file is executed.

A file inherits from the files that its key `_base_` names, relative to its own folder: mappings
are merged key by key, every other value is replaced, and so is a mapping that holds
`_delete_: true`. Whatever a data file holds, reading it runs no code, imports no module and follows
no variable, and ends soon: size, depth and number of values are limited.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rppbench.errors import UsageError

BASE, DELETE = "_base_", "_delete_"
MOST_BYTES = 64 * 1024
MOST_VALUES = 20_000
"""Values of a file after its aliases are expanded; a few lines can stand for billions."""
MOST_DEPTH = 20
MOST_FILES = 50
DATA = {".yaml": "YAML", ".yml": "YAML", ".json": "JSON"}

Warn = Callable[[str], None]


def load(path: Path, warn: Warn) -> dict[str, Any]:
    """The values of a config file and of the files it inherits from.

    A `.py` file is executed, which `warn` is called with before. UsageError for a file that cannot
    be read, that is no mapping of texts to values, or that goes beyond the limits above.
    """
    if path.suffix == ".py":
        warn(f"config {path} is Python and is executed, with the files that it inherits from")
        return _executed(path)
    return _Reader().load(path, ())


def _executed(path: Path) -> dict[str, Any]:
    import yaml
    from mmengine.config import Config  # its import takes as long as a complete leaderboard
    from mmengine.fileio import YamlHandler, register_handler

    @register_handler(["yaml", "yml"])
    class PlainYaml(YamlHandler):  # type: ignore[misc]
        """Safe reader: mmengine's own would call any Python function that a tag names."""

        def load_from_fileobj(self, file: Any, **options: Any) -> Any:
            return super().load_from_fileobj(file, Loader=yaml.SafeLoader)

    try:
        content: dict[str, Any] = Config.fromfile(path, import_custom_modules=False).to_dict()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(f"cannot read {path}: {type(error).__name__}: {error}") from error
    return content


class _Reader:
    """Reads data files, each once: several files may inherit from one."""

    def __init__(self) -> None:
        self.known: dict[Path, dict[str, Any]] = {}

    def load(self, path: Path, heirs: tuple[Path, ...]) -> dict[str, Any]:
        """A file with what it inherits; `heirs` are the files that inherit from it."""
        place = path.resolve()
        if place in heirs:
            raise UsageError(f"cannot read {heirs[0]}: {path} inherits from itself by {BASE}")
        if place in self.known:
            return self.known[place]
        if len(self.known) + len(heirs) >= MOST_FILES:
            raise UsageError(f"cannot read {path}: more than {MOST_FILES} files by {BASE}")
        own = _content(path)
        inherited: dict[str, Any] = {}
        for base in _bases(path, own.pop(BASE, [])):
            values = self.load(base, (*heirs, place))
            if twice := sorted(inherited.keys() & values.keys()):
                raise UsageError(f"cannot read {path}: two files of {BASE} set {twice[0]!r}")
            inherited |= values
        self.known[place] = _merged(inherited, own)
        return self.known[place]


def _bases(path: Path, named: Any) -> list[Path]:
    names = named if isinstance(named, list) else [named]
    bases = []
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"cannot read {path}: {BASE} names files, not {name!r}")
        base = path.parent / name
        if base.suffix == ".py":
            raise UsageError(
                f"cannot read {path}: its {BASE} is Python ({name}), which a data file never "
                f"executes\nwrite {name} as YAML or JSON, or this file as Python"
            )
        if not is_file(base):
            raise UsageError(f"cannot read {path}: its {BASE} {name!r} is not a file")
        bases.append(base)
    return bases


def is_file(path: Path) -> bool:
    """Whether a file stands there; no name that the user may write raises."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        if isinstance(value, dict):
            old = merged.get(key)
            keep = isinstance(old, dict) and not value.get(DELETE)
            value = {name: inner for name, inner in value.items() if name != DELETE}
            merged[key] = _merged(old if keep and isinstance(old, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _content(path: Path) -> dict[str, Any]:
    """The values of one file, without what it inherits."""
    if path.suffix not in DATA:
        known = ", ".join([*DATA, ".py"])
        raise UsageError(f"cannot read {path}: a config file ends in one of {known}")
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError(f"a config file has at most {MOST_BYTES // 1024} KiB")
        text = data.decode("utf-8-sig")
        content = _from_json(text) if path.suffix == ".json" else _from_yaml(text)
        content = {} if content is None else content
        if not isinstance(content, dict):
            raise ValueError("a config file holds KEY: VALUE pairs")
        _check(content, "the file")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except RecursionError as error:
        raise UsageError(f"cannot read {path}: its values are nested too deeply") from error
    except ValueError as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    return content


def _from_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_doubles(key for key, _ in pairs)
    return dict(pairs)


def _refuse_doubles(keys: Iterable[str]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise ValueError(f"the key {key!r} stands twice in one mapping")
        seen.add(key)


def _from_yaml(text: str) -> Any:
    import yaml

    if _brackets(text) > MOST_DEPTH * 5:  # PyYAML takes seconds to say so
        raise ValueError("its values are nested too deeply")
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {}, ())
        return loader.construct_document(node)
    except yaml.constructor.ConstructorError as error:
        raise ValueError(
            f"{error}\na YAML file may hold texts, numbers, lists and mappings, "
            "but no Python objects"
        ) from error
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, OverflowError) as error:
        # PyYAML answers malformed values of a tag, such as `!!bool maybe`, with any of these.
        raise ValueError(f"not YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _brackets(text: str) -> int:
    """The greatest number of brackets that are open at once, those in texts included."""
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(depth, deepest)
        elif character in "]}":
            depth -= 1
    return deepest


def _count(node: Any, known: dict[int, int], above: tuple[int, ...]) -> int:
    """The number of values that a node stands for, each alias counted as what it names."""
    if id(node) in above:
        raise ValueError("a value holds itself, by an alias")
    if id(node) in known:
        return known[id(node)]
    if len(above) > MOST_DEPTH:
        raise ValueError("its values are nested too deeply")
    inner = node.value if isinstance(node.value, list) else []
    if node.id == "mapping":
        _refuse_doubles(key.value for key, _ in inner if isinstance(key.value, str))
        inner = [child for pair in inner for child in pair]
    count = 1 + sum(_count(child, known, (*above, id(node))) for child in inner)
    if count > MOST_VALUES:
        raise ValueError(f"a config file holds at most {MOST_VALUES:,} values, aliases expanded")
    known[id(node)] = count
    return count


def _check(value: Any, where: str, depth: int = 0) -> None:
    """ValueError unless all keys are texts, all texts can be written and the depth is bounded."""
    if depth > MOST_DEPTH:
        raise ValueError("its values are nested too deeply")
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f"{where} is no valid text: {value!r}")
    elif isinstance(value, list):
        for item in value:
            _check(item, where, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r} is not a text; write it in quotes")
            _check(key, f"the key {key!r}")
            _check(item, repr(key), depth + 1)
