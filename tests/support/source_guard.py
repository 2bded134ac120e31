"""The guard of built-in numbers: `PYTHONPATH=tests python -m support.source_guard`.

`tests/numbers.json` holds a digest of the source of each built-in component and of the core, with
its version, and the measured values of small cells. Where source has changed, this command runs
the cells again. If all values are as before, it writes the new digests: numbers unchanged. If a
value is another, it refuses unless the version of a component that the cell uses was raised.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rppbench.plugins.registry import Registry
from rppbench.plugins.source import modules_digest, own_modules, source_digest
from rppbench.records.cell import CORE_VERSION, Cell
from rppbench.records.record import Record

TESTS = Path(__file__).parents[1]
TABLE = TESTS / "numbers.json"
KINDS = {"methods": "method", "datasets": "dataset", "tasks": "task"}

CORE = ("contracts", "data", "evaluation", "execution", "features", "models", "training")
NO_NUMBERS = {
    *("data.archives", "data.check", "data.checked", "data.contents", "data.download"),
    *("data.parts", "data.prepare", "data.root"),
    *("evaluation.checked", "evaluation.inference_cost"),
    *("execution.accepted_code", "execution.backbones", "execution.devices", "execution.engines"),
    *("execution.peak_memory", "execution.resources", "execution.runner", "execution.tracking"),
    *("execution.start_mark", "execution.worker", "features.files", "features.store"),
    *("models.coverage", "models.examination", "models.first_pass", "models.integrity"),
    *("models.promptable", "models.small", "models.weights.configurations"),
    *("models.weights.on_disk",),
    *("training.failures", "training.state"),
}
"""Modules of the rooms of the core that no number comes from."""

SMALL = (("recipe.steps", "18"), ("recipe.batch", "8"), ("recipe.lr", "0.01"))
"""Settings of small trainings: enough steps that methods with different losses differ, and one rate
for all, so that another rate in a recipe is no other number here."""

Sources = dict[str, dict[str, Any]]
"""{'version': int, 'digest': str} by component."""


def sources() -> Sources:
    """The core and all built-in components as they are now."""
    registry = Registry.load()
    root = TESTS.parent / "rppbench"
    names = ["rppbench.random_streams"]
    for room in CORE:
        for path in sorted((root / room).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            if path.stem != "__init__" and name not in NO_NUMBERS:
                names.append(f"rppbench.{name}")
    core = modules_digest(names, own_modules({"rppbench"}))
    table: Sources = {"core": {"version": CORE_VERSION, "digest": core}}
    for kind, word in KINDS.items():
        for name, component in registry.all(kind).items():
            top = component.__module__.partition(".")[0]
            if not top.startswith("rppbench_"):
                continue  # another plugin that is installed here
            digest = source_digest(component.__module__, own_modules({top}))
            table[f"{word}:{name}"] = {"version": component.version, "digest": digest}
    return table


def read() -> dict[str, Any]:
    """The committed table: 'sources' and 'cells'."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The components, added and removed ones too, whose line is not that of today."""
    return [name for name in sorted(before | now) if before.get(name) != now.get(name)]


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """The small cells: each method on a few images, and each task with few images."""
    for name, method in Registry.load().all("methods").items():
        if not method.__module__.startswith("rppbench_"):
            continue
        words: dict[str, Any] = {"limit": 16, "datasets": ("demo-2-animals",)}
        recipes = method.learning.recipes if method.learning else ()
        if any(recipe.epochs for recipe in recipes):
            words["settings"] = SMALL
        task = "few-shot:shots=1" if method.learning else "cross-dataset"
        yield (
            f"{name}, few-shot" if method.learning else name,
            {
                **words,
                "methods": (name,),
                "tasks": (task,),
            },
        )
    scored = {
        "base-to-new": "demo-2-dishes",
        "cross-domain": "demo-2-plain",
        "segmentation": "demo-2-scenes",
        "detection": "demo-2-objects",
    }
    for task, dataset in scored.items():
        yield (
            f"zeroshot, {task}",
            {
                "methods": ("zeroshot",),
                "tasks": (task,),
                "datasets": (dataset,),
                "limit": 3,
            },
        )


def measure() -> dict[str, dict[str, Any]]:
    """The values of the small cells, and the components that each uses."""
    from rppbench.execution.engines import Inline
    from rppbench.execution.runner import Runner
    from rppbench.planning.plan import Request, cell_groups, cells
    from rppbench.records.store import Store

    values = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, words in requests():
            print(name, file=sys.stderr, flush=True)
            planned = cells(Registry.load(), Request(**words))
            store = Store(Path(folder) / "runs")
            Inline().run(Runner(store.root), cell_groups(planned), lambda event: None)
            records = [store.read(cell) for cell in planned]
            (record,) = records
            assert record is not None
            values[name] = {"uses": uses(record.cell), "values": summary(record)}
    return values


def uses(cell: Cell) -> list[str]:
    """The components whose version is part of a cell."""
    own = {"core", f"method:{cell.method.name}", f"task:{cell.task.name}"}
    own |= {f"dataset:{cell.dataset}"}
    return sorted(own | ({f"dataset:{cell.training.source}"} if cell.training else set()))


def summary(record: Record) -> dict[str, Any]:
    """Scores and losses with four digits: other processors round the last ones otherwise."""
    if record.failure is not None:
        raise SystemExit(f"{record.cell.method.name}: {record.failure}")
    losses = [entry["loss"] for entry in record.training_log]
    return {
        **{score.metric: float(f"{score.value:.4g}") for score in record.scores},
        **({"training loss": [float(f"{loss:.4g}") for loss in losses]} if losses else {}),
    }


def main() -> int:
    """Confirm that no number has changed, or say which has."""
    before: dict[str, Any] = read() if TABLE.exists() else {"sources": {}, "cells": {}}
    now = sources()
    lines = changed(before["sources"], now)
    if not lines and before["cells"]:
        print("no source has changed")
        return 0
    print(f"changed: {', '.join(lines)}")
    raised = {
        name
        for name in lines
        if name not in before["sources"]
        or (name in now and now[name]["version"] > before["sources"][name]["version"])
    }
    cells = measure()
    wrong = [
        f"{name}: {cell['values']}, before {before['cells'][name]['values']}"
        for name, cell in cells.items()
        if name in before["cells"]
        and cell["values"] != before["cells"][name]["values"]
        and not raised & set(cell["uses"])
    ]
    if wrong:
        print("\n".join(["numbers have changed:", *wrong]))
        print("raise `version` of what changed (CORE_VERSION in rppbench/records/cell.py)")
        return 1
    run = {name for cell in cells.values() for name in cell["uses"]}
    known = [name for name in lines if name in before["sources"]]
    if unseen := [name for name in known if name.startswith("dataset:") and name not in run]:
        print(f"no cell uses {', '.join(unseen)}: the tests of data sets run on small copies")
        command = [sys.executable, "-m", "pytest", "-q", str(TESTS / "datasets")]
        if status := subprocess.run(command, cwd=TESTS.parent).returncode:
            return status
    TABLE.write_text(json.dumps({"sources": now, "cells": cells}, indent=1) + "\n", "utf-8")
    print(f"numbers unchanged: {TABLE} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
