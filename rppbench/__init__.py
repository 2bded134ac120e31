"""rppbench: compare ways to learn prompts for CLIP-like models, and trust the answer.

Importing this package is cheap (no torch); plugins import `hookimpl` and `cache_folder` from here.
Programs and notebooks call `run`, `plan`, `load_records` and `compare`, and classify images with
`LearnedPrompt`; these are loaded when they are first used.
"""

from importlib import import_module
from typing import Any

from pluggy import HookimplMarker

from rppbench.files.cache_folder import cache_folder

__version__ = "0.2.0"

hookimpl = HookimplMarker("rppbench")

_LATER = {
    "LearnedPrompt": "rppbench.execution.learned_prompt",
    "Rows": "rppbench.api.results",
    "UsageError": "rppbench.errors",
    "compare": "rppbench.api.results",
    "load_records": "rppbench.api.results",
    "plan": "rppbench.api.runs",
    "run": "rppbench.api.runs",
}
"""Public name -> its module. `__init__.pyi` says the same to type checkers."""

__all__ = ["__version__", "cache_folder", "hookimpl", *_LATER]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'rppbench' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
