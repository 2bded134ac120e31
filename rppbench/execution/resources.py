"""Models, data sets and the feature store of one worker, kept from cell to cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rppbench.contracts.dataset import Dataset
from rppbench.contracts.method import Method
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Training
from rppbench.training.distributed import ALONE, Group
from rppbench.training.state import Progress


@dataclass
class Resources:
    """Everything that a worker keeps from cell to cell."""

    registry: Registry
    load: Callable[[str, str], Clip]
    """(backbone, precision) -> a frozen model; loads each once."""
    features: FeatureStore
    prompts: Callable[[Training], Path]
    """The file of a training's prompts."""
    batch_size: int = 128
    """Images per forward pass at test time."""
    workers: int = 0
    """Processes that read images; 0 reads them in this one."""
    group: Group = ALONE
    """The processes that share each training."""
    datasets: dict[str, Dataset] = field(default_factory=dict)
    """Opened data sets by name."""
    fitted: dict[str, tuple[Method, Progress]] = field(default_factory=dict)
    """Method and progress of the latest training, by its key; the cells of a group share them."""

    def dataset(self, name: str) -> Dataset:
        """The named data set, opened once."""
        if name not in self.datasets:
            self.datasets[name] = self.registry.get("datasets", name)()
        return self.datasets[name]
