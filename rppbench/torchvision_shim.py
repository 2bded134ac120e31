"""A workaround that lets torchvision be imported with a torch it was not compiled for.

At import, torchvision registers fake kernels for `nms` and `qnms` and fails if the operators do
not exist; they do not when its C++ library cannot be loaded (a `+cpu` torch with the default
torchvision, for example). Nothing here needs these operators: transforms work on PIL images. So
this module declares their schemas, without kernels, and only if the library does not load.

Import this module before `torchvision` or `open_clip`.
"""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder
from importlib.util import find_spec

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def library_loads() -> bool:
    """Whether torchvision's C++ operators can be loaded by this torch; loads them if so."""
    package = find_spec("torchvision")
    if package is None or not package.submodule_search_locations:
        return True  # not installed: importing it gives a better error message
    for folder in package.submodule_search_locations:
        library = FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES)).find_spec("_C")
        if library and library.origin:
            try:
                torch.ops.load_library(library.origin)
            except (OSError, RuntimeError):
                return False
            return True
    return False


LIBRARY = None if library_loads() else torch.library.Library("torchvision", "DEF")
"""Held for the life of the process: once a Library is garbage-collected, its schemas are gone."""

if LIBRARY is not None:
    for schema in SCHEMAS:
        LIBRARY.define(schema)
