"""What a worker on another machine needs: variables, working folder, versions and plugins."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from rppbench import __version__
from rppbench.files.cache_folder import cache_folder
from rppbench.plugins.registry import GROUP

PATHS = ("RPPBENCH_DATA", "DATA", "RPPBENCH_CACHE", "HF_HOME", "TORCH_HOME")
"""Variables that name a folder."""
OTHERS = ("RPPBENCH_CACHE_SIZE", "RPPBENCH_PARTIAL", "OMP_NUM_THREADS", "HF_HUB_OFFLINE")


@dataclass(frozen=True)
class Surroundings:
    """The environment of the command, for its workers; folders are absolute."""

    variables: dict[str, str]
    import_path: tuple[str, ...]
    """Folders of $PYTHONPATH."""
    folder: str
    """The working folder: names such as folder:PATH may be relative to it."""
    data: str
    """The folder of real data that workers must see too; '' if there is none here."""
    versions: dict[str, str]
    """Of Python (without the patch level) and rppbench."""
    plugins: dict[str, str]
    """Package and version of each plugin by its name."""

    @classmethod
    def here(cls) -> Surroundings:
        """Those of this process."""
        variables = {name: os.environ[name] for name in OTHERS if name in os.environ}
        for name in PATHS:
            if name in os.environ:
                variables[name] = str(Path(os.environ[name]).expanduser().absolute())
        return cls(
            variables,
            import_path(),
            str(Path.cwd()),
            variables["RPPBENCH_DATA"] if _is_folder(variables.get("RPPBENCH_DATA")) else "",
            _versions(),
            _plugins(),
        )

    def enter(self) -> list[str]:
        """Take these surroundings over in this process; what is missing here, in words."""
        os.environ.update(self.variables)
        new = [path for path in self.import_path if path not in sys.path]
        sys.path[:0] = new
        if self.import_path:
            os.environ["PYTHONPATH"] = os.pathsep.join(self.import_path)
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
        return list(self._missing())

    def _missing(self) -> Iterator[str]:
        for name, version in _versions().items():
            if version != self.versions[name]:
                yield f"{name} is {version}, not {self.versions[name]}"
        here = _plugins()
        for name, package in self.plugins.items():
            if here.get(name) != package:
                yield f"plugin {name!r} of {package} is {here.get(name, 'not installed')}"
        if not Path(self.folder).is_dir():
            yield f"the working folder {self.folder} does not exist"
        if self.data and not Path(self.data).is_dir():
            yield f"the folder of data {self.data} does not exist"
        try:
            cache_folder().mkdir(parents=True, exist_ok=True)
        except OSError as error:
            yield f"the cache {cache_folder()} cannot be written: {error.strerror}"


def import_path() -> tuple[str, ...]:
    """The folders of $PYTHONPATH in this process, absolute."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return tuple(str(Path(path).absolute()) for path in paths if path)


def _is_folder(path: str | None) -> bool:
    return path is not None and Path(path).is_dir()


def _versions() -> dict[str, str]:
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "rppbench": __version__,
    }


def _plugins() -> dict[str, str]:
    return {
        entry.name: f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown package"
        for entry in entry_points(group=GROUP)
    }
