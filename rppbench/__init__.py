"""rppbench: compare ways to learn prompts for CLIP-like models, and trust the answer.

Importing this package is cheap (no torch); plugins import `hookimpl` and `cache_folder` from here.
"""

from pluggy import HookimplMarker

from rppbench.files.cache_folder import cache_folder

__version__ = "0.2.0"
__all__ = ["__version__", "cache_folder", "hookimpl"]

hookimpl = HookimplMarker("rppbench")
