"""The frozen models of a worker: loaded once, watched, and loaded again if a plugin changed one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rppbench.errors import ChangedBackboneError
from rppbench.models.clip import Clip
from rppbench.models.integrity import Snapshot, snapshot

SHARE = 0.02
"""Largest share of the time that checks before the writing of features take."""
KEPT_MODELS = 2
"""Maximum number of models in memory: a cell's backbone and its teacher."""
LISTED = 3
"""Maximum number of changes that an error names."""


class Backbones:
    """Models by (backbone, precision), shared by all cells of a worker; the latest are kept.

    Cells come backbone by backbone, so each is loaded once.
    """

    def __init__(self, load: Callable[[str, str], Clip]) -> None:
        self._load = load
        self._loaded: dict[tuple[str, str], tuple[Clip, Snapshot]] = {}
        self._used: set[tuple[str, str]] = set()
        """Models that were asked for since the last check."""
        self._unverified: list[Path] = []
        """Files of features that were written since the last check."""
        self._checked_at, self._check_seconds = 0.0, 0.0

    def __call__(self, backbone: str, precision: str) -> Clip:
        """The model, loaded once."""
        key = (backbone, precision)
        if key in self._loaded:
            self._loaded[key] = self._loaded.pop(key)  # the latest is the last
        else:
            self._make_room()
            clip = self._load(backbone, precision)
            self._loaded[key] = clip, snapshot(clip)
        self._used.add(key)
        return self._loaded[key][0]

    def _make_room(self) -> None:
        """Drop the models of earlier cells that are too many, before another is in memory."""
        earlier = [key for key in self._loaded if key not in self._used]
        while earlier and len(self._loaded) >= KEPT_MODELS:
            del self._loaded[earlier.pop(0)]

    def start_cell(self) -> None:
        """Forget which models the cells before this one used."""
        self._used.clear()

    def check(self) -> None:
        """ChangedBackboneError if a model that this cell used is not as it was loaded.

        Such a model is loaded again when it is next needed, and features that it may have encoded
        are deleted.
        """
        began = time.monotonic()
        changes = [line for key in sorted(self._used) for line in self._forget_if_changed(key)]
        self._checked_at = time.monotonic()
        self._check_seconds = self._checked_at - began
        if changes:
            for path in self._unverified:
                with suppress(OSError):
                    path.unlink()
        self._unverified.clear()
        if changes:
            more = len(changes) - LISTED
            listed = ", ".join(changes[:LISTED]) + (f" and {more} more" if more > 0 else "")
            raise ChangedBackboneError(
                f"it changed {listed}. A method may change its own parameters only: what was "
                "computed with the changed backbone is not kept, and later cells load it again"
            )

    def before_writing(self, path: Path) -> None:
        """Called before features are written: checks, unless checks would take too long in all.

        A task may write features for each image. What is written without a check is deleted if the
        next one fails.
        """
        if time.monotonic() - self._checked_at > self._check_seconds / SHARE:
            self.check()
        else:
            self._unverified.append(path)

    def _forget_if_changed(self, key: tuple[str, str]) -> list[str]:
        if key not in self._loaded:
            return []
        clip, before = self._loaded[key]
        changes = before.changes(clip)
        if changes:
            before.undo_in_classes()
            del self._loaded[key]
        return [f"{change} of backbone {clip.name!r}" for change in changes]
