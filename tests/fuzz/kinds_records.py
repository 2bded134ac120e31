"""Kinds of input that rppbench itself writes: records, grids, prompts, stored states, settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz.harness import Kind
from support.records import records

from rppbench.contracts.recipe import read_recipes
from rppbench.exporters import prompt_card
from rppbench.features.files import problems, stored_files
from rppbench.features.store import FeatureStore
from rppbench.files.atomic import Problem
from rppbench.files.digests import digest, sha256
from rppbench.leaderboard.build import build
from rppbench.planning.settings import grid_settings, settings
from rppbench.records import codec
from rppbench.records.cell import Choice
from rppbench.records.confidence import confidence_path, read_confidences
from rppbench.records.grid import Combination, Grid, Place
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Record, Score
from rppbench.records.store import Store
from rppbench.reporting import csv_json, latex, markdown
from rppbench.reporting.ablation_page import stored_grids
from rppbench.stats.calibration import calibration_error
from rppbench.training.state import Progress, learned_parameters, load_state, save_state

KEY = "abcdefabcdef"


# --- records ------------------------------------------------------------------------------------


def write_lines(folder: Path) -> None:
    Store(folder).write_lines(records())


def write_files(folder: Path) -> None:
    for record in records()[:5]:
        Store(folder).write(record)


def read_records(folder: Path) -> None:
    readable, _ = Store(folder).all()
    tables = build(readable)
    pages = (markdown.page(tables), latex.page(tables), csv_json.csv(tables), csv_json.json(tables))
    for page in pages:
        page.encode()


def confident(confidence: bytes | None = None, digest: str = "") -> Record:
    score = Score("top1", 50.0, 1, 2, PerImage.of([True, False]), confidence)
    return replace(records()[0], scores=(score,), confidence=digest)


def write_confidences(folder: Path) -> None:
    Store(folder).write(confident(np.array([0.5, 0.25], np.float32).tobytes()))


def read_kept_confidences(folder: Path) -> None:
    """Under the digest of what the file holds now: digests are no signatures."""
    for path in list(folder.rglob("*.safetensors*")):
        record = confident(digest=hashlib.sha256(path.read_bytes()).hexdigest()[:16])
        path.rename(confidence_path(folder, record))
        values = read_confidences(folder, record)
        if not isinstance(values, Problem) and values:
            assert set(values) == {"top1"}
            calibration_error(values["top1"], [True, False])


def seal_record(folder: Path, name: str) -> None:
    """Give every line of a changed file the digest of what it says now."""
    path, lines = folder / name, []
    for line in path.read_bytes().splitlines():
        try:
            content: Any = json.loads(line)
            assert isinstance(content, dict)
        except (ValueError, AssertionError, RecursionError):
            lines.append(line)
            continue
        content.pop("digest", None)
        body = json.dumps(content, separators=(",", ":")).encode("utf-8", "surrogatepass")[:-1]
        lines.append(body + codec._MARK + codec._digest(body) + codec._END)
    path.write_bytes(b"\n".join(lines) + b"\n")


# --- configs and grids --------------------------------------------------------------------------


def write_config(folder: Path) -> None:
    (folder / "a.yaml").write_text(
        "# what to run\n_base_: b.json\nmethod: [coop, 'rpp:kd=off']\nseed: &three [1, 2, 3]\n"
        "set:\n  kd: off\n  recipe.lr: 0.5\nlimit: 12\nfail_on_error: true\n"
    )
    (folder / "b.json").write_text(json.dumps({"shots": [4, 16], "memory": "4GB", "seed": 2}))
    (folder / "x.py").write_text("__import__('os').mkdir('../../canary')\n")


def read_config(folder: Path) -> None:
    for name in ("a.yaml", "b.json"):
        settings({}, str(folder / name))


def write_grid(folder: Path) -> None:
    (folder / "grid.yaml").write_text(
        "_base_: base.json\nvary:\n  - kd: [on, off]\n    length: [2, 4, 8]\n  - depth: 3\n"
        "baseline: {kd: on}\nmetric: loss_gap\none_at_a_time: false\nname: mine\n"
    )
    (folder / "base.json").write_text(json.dumps({"method": "rpp", "task": ["cross-dataset"]}))


def read_grid(folder: Path) -> None:
    grid_settings({}, str(folder / "grid.yaml"))


def write_stored_grid(folder: Path) -> None:
    cells = tuple(Place(f"{number:012x}", "birds", 1) for number in range(2))
    grid = Grid("mine", (Combination((("kd", "on"),), cells), Combination((("kd", "off"),), cells)))
    text = json.dumps({"grid": asdict(grid), "metric": "top1"})
    (folder / "ablation-mine.json").write_text(text)


def write_recipes(folder: Path) -> None:
    (folder / "mine.toml").write_text(
        '[[recipe]]\nname = "one-1"\nepochs = 5\nbatch = 32\nlr = 0.002\ntasks = ["few-shot"]\n'
        'at_shots = [1, 2]\noptions = { length = 4 }\n\n[[recipe]]\nname = "two-1"\nepochs = 5\n'
        'batch = 4\nlr = 1\naugment = "none"\n'
    )


# --- prompts ------------------------------------------------------------------------------------


def write_prompt(folder: Path) -> None:
    training = records()[0].cell.training
    assert training is not None
    card = prompt_card.Card(
        method=Choice("coop", (("class_specific", False), ("init", ""), ("length", 4))),
        backbone="tiny",
        backbone_digest="0" * 16,
        precision="fp32",
        wording="a photo of a {}.",
        classes=("cat", "dog"),
        training={"key": KEY, **asdict(training)},
        numbers=(prompt_card.CardScore(KEY, "cross-dataset", "toy", "top1", 50.0),),
        method_facts={"title": "CoOp", "paper": "arXiv:2109.01134", "origin": "github.com/x"},
        licences={"method": "MIT"},
    )
    prompt_card.write(folder / "prompt", card, {"context": torch.ones(4, 32)})


def read_prompt(folder: Path) -> None:
    card, _ = prompt_card.read(folder / "prompt")
    prompt_card.readme(card).encode()


def seal_prompt(folder: Path, name: str) -> None:
    path = folder / "prompt" / prompt_card.CARD
    try:
        content = json.loads(path.read_bytes())
        if name.endswith(".safetensors"):
            content["tensors"] = sha256(folder / name)
        del content["digest"]
        content["digest"] = digest(content)
        path.write_bytes(json.dumps(content).encode("utf-8", "surrogatepass"))
    except (ValueError, TypeError, KeyError, RecursionError):
        return


# --- stored states and features -----------------------------------------------------------------


class Words(torch.nn.Module):
    """A method's parameters, as far as stored states know them."""

    def __init__(self) -> None:
        super().__init__()
        self.context = torch.nn.Parameter(torch.ones(4, 8))


def write_state(folder: Path) -> None:
    words = Words()
    optimiser = torch.optim.SGD(words.parameters(), lr=0.1, momentum=0.9)
    words.context.sum().backward()
    optimiser.step()
    progress = Progress(step=3, log=({"epoch": 1, "loss": 2.0},))
    save_state(folder / "a.safetensors", KEY, words, optimiser, progress)  # type: ignore[arg-type]


def read_state(folder: Path) -> None:
    words = Words()
    optimiser = torch.optim.SGD(words.parameters(), lr=0.1, momentum=0.9)
    load_state(folder / "a.safetensors", KEY, words, optimiser)  # type: ignore[arg-type]
    words.context.sum().backward()
    optimiser.step()
    learned_parameters(folder / "a.safetensors", KEY)


FEATURES = {"tower": "abc", "dataset": "toy"}
ROWS = {"tower": "abc", "dataset": "rows"}


def read_features(folder: Path) -> None:
    """The store replaces what is damaged: a value that is served is the right one."""
    files = stored_files(folder)
    list(problems(files))
    store = FeatureStore(folder)
    assert store.get(FEATURES, 5, lambda: torch.ones(5, 4)).shape == (5, 4)
    arrays = store.arrays(FEATURES, lambda: {"a": np.ones(6), "b": np.ones((2, 2))})
    assert arrays
    rows = store.rows(ROWS, ["a", "b"], lambda missing: [torch.ones(len(missing), 4)])
    assert len(rows) == 2


KINDS = [
    Kind("record lines", write_lines, read_records, seal_record),
    Kind("record files", write_files, read_records, seal_record),
    Kind("confidences", write_confidences, read_kept_confidences),
    Kind("configs", write_config, read_config),
    Kind("grids", write_grid, read_grid),
    Kind("stored grids", write_stored_grid, stored_grids),
    Kind("recipes", write_recipes, lambda folder: read_recipes(folder / "mine.toml")),
    Kind("prompts", write_prompt, read_prompt, seal_prompt),
    Kind("stored states", write_state, read_state),
    Kind("stored features", read_features, read_features),
]
