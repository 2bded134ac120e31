"""rppbench: compare ways to learn prompts for CLIP-like models, and trust the answer.

Importing this package is cheap (no torch); plugins import `hookimpl` from here.
"""

from pluggy import HookimplMarker

__version__ = "0.1.0"
__all__ = ["__version__", "hookimpl"]

hookimpl = HookimplMarker("rppbench")
