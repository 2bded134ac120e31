"""Trackers: events of a run are sent to TensorBoard, W&B or MLflow by mmengine's back ends.

A tracker only reads events: records are the same with and without it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rppbench.contracts.engine import Event, Report
from rppbench.errors import UsageError, unknown

TRACKERS = {
    "tensorboard": ("TensorboardVisBackend", "tensorboard"),
    "wandb": ("WandbVisBackend", "wandb"),
    "mlflow": ("MLflowVisBackend", "mlflow"),
}
"""Name -> (mmengine's class, package that it needs)."""


def tracker(text: str, output: Path) -> Any:
    """mmengine's back end for 'NAME[:DIR]'; without DIR, the folder NAME in the output folder.

    UsageError for an unknown name, or if its package is not installed.
    """
    name, _, folder = text.partition(":")
    if name not in TRACKERS:
        raise unknown("tracker is named", name, TRACKERS, "trackers")
    kind, package = TRACKERS[name]
    if find_spec(package) is None:
        raise UsageError(f"--track {name} needs the package {package}: pip install {package}")
    from mmengine import visualization  # takes seconds

    options = {"save_dir": str(Path(folder) if folder else output / name)}
    if name == "mlflow":
        # Without a server its back end writes files, which MLflow 3 refuses unless this is set.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        if not folder and os.environ.get("MLFLOW_TRACKING_URI"):
            options["tracking_uri"] = os.environ["MLFLOW_TRACKING_URI"]
    return getattr(visualization, kind)(**options)


class Tracked:
    """A callback for events that forwards them to the display, and their numbers to a tracker."""

    def __init__(
        self,
        report: Report,
        backend: Any,
        names: Mapping[str, str],
        warn: Callable[[str], object],
    ) -> None:
        self.report, self.backend, self.names, self.warn = report, backend, names, warn
        self.broken = False

    def __call__(self, event: Event) -> None:
        self.report(event)
        if event.phase in ("train", "done") and event.metrics and not self.broken:
            # Not all trackers take commas and equals signs in a name.
            cell = re.sub(r"[^\w./ -]+", "_", self.names.get(event.key, event.key))
            values = {f"{cell}/{event.phase}/{name}": v for name, v in event.metrics.items()}
            self._try(lambda: self.backend.add_scalars(values, step=event.done))

    def close(self) -> None:
        """Write what TensorBoard has buffered.

        The other trackers send numbers at once and end with the program. Closing MLflow's back end
        would need the config of mmengine's own runner.
        """
        if not self.broken and type(self.backend).__name__ == TRACKERS["tensorboard"][0]:
            self._try(self.backend.close)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  a failing tracker must not stop a run
            self.broken = True
            self.warn(f"warning: the tracker failed and gets no further events: {error}")
