"""Interfaces between core and plugins: `from rppbench.contracts import Method, Prompt, ...`.

Each name is loaded from its own module on first use, so that a plugin that has only data sets does
not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rppbench.contracts.averaging import AveragesEpochs as AveragesEpochs
    from rppbench.contracts.backbone import Backbone as Backbone
    from rppbench.contracts.checkpoint import ImportedState as ImportedState
    from rppbench.contracts.checkpoint import ReadsOfficialCheckpoints as ReadsOfficialCheckpoints
    from rppbench.contracts.dataset import BeginStep as BeginStep
    from rppbench.contracts.dataset import Catalog as Catalog
    from rppbench.contracts.dataset import Component as Component
    from rppbench.contracts.dataset import Dataset as Dataset
    from rppbench.contracts.dataset import Extent as Extent
    from rppbench.contracts.dataset import Finding as Finding
    from rppbench.contracts.dataset import ReportProgress as ReportProgress
    from rppbench.contracts.dataset import Sample as Sample
    from rppbench.contracts.dataset import SourceFile as SourceFile
    from rppbench.contracts.dataset import data_root as data_root
    from rppbench.contracts.dataset import may_be_partial as may_be_partial
    from rppbench.contracts.engine import CellGroup as CellGroup
    from rppbench.contracts.engine import Engine as Engine
    from rppbench.contracts.engine import Event as Event
    from rppbench.contracts.engine import Job as Job
    from rppbench.contracts.engine import Report as Report
    from rppbench.contracts.evaluation import Evaluation as Evaluation
    from rppbench.contracts.fitted import Examples as Examples
    from rppbench.contracts.fitted import FittedMethod as FittedMethod
    from rppbench.contracts.learning import Learning as Learning
    from rppbench.contracts.learning import Supervision as Supervision
    from rppbench.contracts.method import Method as Method
    from rppbench.contracts.method import Tower as Tower
    from rppbench.contracts.objective import FrozenFeatures as FrozenFeatures
    from rppbench.contracts.objective import Step as Step
    from rppbench.contracts.prompts import Adapter as Adapter
    from rppbench.contracts.prompts import ClassAware as ClassAware
    from rppbench.contracts.prompts import Conditional as Conditional
    from rppbench.contracts.prompts import Prompt as Prompt
    from rppbench.contracts.prompts import Prompts as Prompts
    from rppbench.contracts.prompts import Space as Space
    from rppbench.contracts.prompts import Templates as Templates
    from rppbench.contracts.prompts import TokenMap as TokenMap
    from rppbench.contracts.ranges import BlockCount as BlockCount
    from rppbench.contracts.ranges import Range as Range
    from rppbench.contracts.recipe import Recipe as Recipe
    from rppbench.contracts.recipe import read_recipes as read_recipes
    from rppbench.contracts.region_bench import RegionBench as RegionBench
    from rppbench.contracts.region_bench import RegionCache as RegionCache
    from rppbench.contracts.region_bench import RegionClassifier as RegionClassifier
    from rppbench.contracts.region_bench import RegionEncoder as RegionEncoder
    from rppbench.contracts.regions import IGNORED as IGNORED
    from rppbench.contracts.regions import UNLABELLED as UNLABELLED
    from rppbench.contracts.regions import Comparison as Comparison
    from rppbench.contracts.regions import DenseDataset as DenseDataset
    from rppbench.contracts.regions import Detections as Detections
    from rppbench.contracts.regions import DetectionSet as DetectionSet
    from rppbench.contracts.regions import DetectorSettings as DetectorSettings
    from rppbench.contracts.regions import Instance as Instance
    from rppbench.contracts.regions import PartialAnnotation as PartialAnnotation
    from rppbench.contracts.regions import PublishedSettings as PublishedSettings
    from rppbench.contracts.regions import Segmentation as Segmentation
    from rppbench.contracts.regions import SegmentationSet as SegmentationSet
    from rppbench.contracts.task import Assignment as Assignment
    from rppbench.contracts.task import Bench as Bench
    from rppbench.contracts.task import Task as Task
    from rppbench.contracts.towers import Blocks as Blocks
    from rppbench.contracts.towers import Embedded as Embedded
    from rppbench.contracts.towers import ImageKind as ImageKind
    from rppbench.contracts.towers import TextKind as TextKind
    from rppbench.contracts.towers import Tokens as Tokens
    from rppbench.records.cell import Option as Option
    from rppbench.records.outcomes import PerImage as PerImage
    from rppbench.records.record import Score as Score

_MODULES: dict[str, tuple[str, ...]] = {
    "rppbench.contracts.averaging": ("AveragesEpochs",),
    "rppbench.contracts.backbone": ("Backbone",),
    "rppbench.contracts.checkpoint": (
        "ImportedState",
        "ReadsOfficialCheckpoints",
    ),
    "rppbench.contracts.dataset": (
        "BeginStep",
        "Catalog",
        "Component",
        "Dataset",
        "Extent",
        "Finding",
        "ReportProgress",
        "Sample",
        "SourceFile",
        "data_root",
        "may_be_partial",
    ),
    "rppbench.contracts.engine": (
        "CellGroup",
        "Engine",
        "Event",
        "Job",
        "Report",
    ),
    "rppbench.contracts.evaluation": ("Evaluation",),
    "rppbench.contracts.fitted": (
        "Examples",
        "FittedMethod",
    ),
    "rppbench.contracts.learning": (
        "Learning",
        "Supervision",
    ),
    "rppbench.contracts.method": ("Method", "Tower"),
    "rppbench.contracts.objective": (
        "FrozenFeatures",
        "Step",
    ),
    "rppbench.contracts.prompts": (
        "Adapter",
        "ClassAware",
        "Conditional",
        "Prompt",
        "Prompts",
        "Space",
        "Templates",
        "TokenMap",
    ),
    "rppbench.contracts.ranges": ("BlockCount", "Range"),
    "rppbench.contracts.recipe": (
        "Recipe",
        "read_recipes",
    ),
    "rppbench.contracts.region_bench": (
        "RegionBench",
        "RegionCache",
        "RegionClassifier",
        "RegionEncoder",
    ),
    "rppbench.contracts.regions": (
        "Comparison",
        "DenseDataset",
        "DetectionSet",
        "Detections",
        "IGNORED",
        "Instance",
        "PartialAnnotation",
        "DetectorSettings",
        "PublishedSettings",
        "Segmentation",
        "SegmentationSet",
        "UNLABELLED",
    ),
    "rppbench.contracts.task": (
        "Assignment",
        "Bench",
        "Task",
    ),
    "rppbench.contracts.towers": (
        "Blocks",
        "Embedded",
        "ImageKind",
        "TextKind",
        "Tokens",
    ),
    "rppbench.records.cell": ("Option",),
    "rppbench.records.outcomes": ("PerImage",),
    "rppbench.records.record": ("Score",),
}
"""Where each public name is defined; the imports above repeat it for type checkers."""

_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
