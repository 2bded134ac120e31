"""`rppbench doctor`: text to paste into a bug report, without names of people or folders."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import traceback
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path

from rppbench import __version__
from rppbench.errors import UsageError
from rppbench.files.cache_folder import cache_folder
from rppbench.files.sizes import spell_size
from rppbench.plugins.containment import contained
from rppbench.plugins.registry import GROUP, KINDS, Registry
from rppbench.terminal.console import console

FRAMES = 3
"""Number of innermost calls printed for a plugin that failed."""


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command: none."""


def doctor(arguments: argparse.Namespace) -> int:
    """Print the report. It never fails, no matter which part of the installation is broken."""
    out = console()
    out.print("Paste this into a bug report.", style="bold")
    for part in (_versions, _machine, _cache, _plugins, _engines):
        for line in part():
            out.print(line, soft_wrap=True)
    return 0


def _versions() -> Iterator[str]:
    yield f"rppbench {__version__}, python {platform.python_version()}, {platform.platform()}"
    wanted = [text for text in requires("rppbench") or () if "extra ==" not in text]
    for name in (re.split(r"[^\w.-]", text)[0] for text in wanted):
        try:
            yield f"  {name} {version(name)}"
        except PackageNotFoundError:
            yield f"  {name} is not installed"


def _machine() -> Iterator[str]:
    yield f"cores: {os.cpu_count()}"
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of torch that does not match
        yield f"torch cannot be imported: {_private(error)}"
        return
    yield f"threads: {torch.get_num_threads()}"
    yield f"CUDA: {torch.version.cuda or 'not built in'}"
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield f"  cuda:{index} {device.name}, {spell_size(device.total_memory)}"


def _cache() -> Iterator[str]:
    folder = cache_folder()
    shown = str(folder).replace(str(Path.home()), "~", 1)
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    yield f"cache: {shown}, {spell_size(used)} used, {spell_size(free)} free"


def _plugins() -> Iterator[str]:
    registry = Registry.load()
    components = {}
    for kind in KINDS:
        try:
            components[kind] = registry.all(kind)
        except UsageError as error:  # two share a name: other kinds are still listed
            yield f"{kind}: {error}"
    yield "plugins:"
    for entry in entry_points(group=GROUP):
        source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown package"
        reason = registry.broken.get(entry.name)
        yield f"  {entry.name} ({source}): {'failed' if reason else 'ok'}"
        if reason:
            yield from (f"    {line}" for line in _tail(reason))
    for kind, names in components.items():
        yield f"{kind}: {', '.join(names) or '(none)'}"
    for backbone in components.get("backbones", {}).values():
        present = "present" if backbone.weights.is_file() else "missing"
        yield f"  weights of {backbone.name}: {present}"


def _engines() -> Iterator[str]:
    """Whether each engine could run here with its usual options."""
    try:
        engines = Registry.load().all("engines")
    except UsageError:
        return  # said above
    for name, engine in engines.items():
        try:
            with contained():
                problem = engine().obstacle()
        except Exception as error:  # noqa: BLE001  a plugin's engine may fail in any way
            problem = f"failed: {type(error).__name__}: {_private(error)}"
        yield f"  engine {name}: {problem or 'ok'}"


def _tail(error: BaseException) -> Iterator[str]:
    """The innermost calls, by file name only, and the error."""
    for frame in traceback.extract_tb(error.__traceback__)[-FRAMES:]:
        yield f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"
    yield f"{type(error).__name__}: {_private(error)}"


def _private(error: BaseException) -> str:
    """The error's message without the names of folders."""
    return re.sub(r"(?:/[^/\s'\"]+)+/", "…/", str(error))
