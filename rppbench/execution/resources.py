"""Models, data sets and the feature store of one worker, kept from cell to cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from rppbench.contracts.dataset import Dataset
from rppbench.contracts.method import Method
from rppbench.data.checked import checked_classes
from rppbench.data.contents import DataContents
from rppbench.execution.backbones import Backbones
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip
from rppbench.planning.code_digests import CodeDigests
from rppbench.plugins.registry import Registry
from rppbench.plugins.versions import version_of
from rppbench.records.cell import Training
from rppbench.training.distributed import ALONE, Group
from rppbench.training.state import Progress


@dataclass
class Resources:
    """Everything that a worker keeps from cell to cell."""

    registry: Registry
    load: Callable[[str, str], Clip]
    """(backbone, precision) -> a frozen model, loaded anew; `backbones` keeps it."""
    features: FeatureStore
    prompts: Callable[[Training], Path]
    """The file of a training's prompts."""
    batch_size: int = 128
    """Images per forward pass at test time."""
    workers: int = 0
    """Processes that read images; 0 reads them in this one."""
    group: Group = ALONE
    """The processes that share each training."""
    contents: DataContents = field(default_factory=DataContents)
    """What the data held when the running cell looked at them."""
    datasets: dict[str, Dataset] = field(default_factory=dict)
    """Opened data sets by name."""
    fitted: dict[str, tuple[Method, Progress]] = field(default_factory=dict)
    """Method and progress of the latest training, by its key; the cells of a group share them."""

    def __post_init__(self) -> None:
        self.backbones = Backbones(self.load)
        self.features = replace(
            self.features, before_writing=self.backbones.before_writing, complete=self._complete
        )

    def _complete(self, key: Mapping[str, object]) -> Mapping[str, object]:
        """The key of features with the version and the source of the data set, where they count.

        The harness adds them, so that no caller can forget to.
        """
        if "dataset" not in key:
            return key
        name = str(key["dataset"])
        component = self.registry.find("datasets", name)
        facts = {} if component is None else dict(version_of("version", component))
        code = self.code.of_dataset(name)
        return {**key, **facts, **({"code": code} if code else {})}

    @cached_property
    def code(self) -> CodeDigests:
        """Digests of the source of components, as this process imported it."""
        return CodeDigests(self.registry)

    def dataset(self, name: str) -> Dataset:
        """The named data set, opened once."""
        if name not in self.datasets:
            self.datasets[name] = checked_classes(self.registry.get("datasets", name)())
        return self.datasets[name]
