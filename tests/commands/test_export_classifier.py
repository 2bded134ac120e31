"""`rppbench export-classifier` of a prompt that a cell learned: the arrays are its classifier."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from support.commands import RunCommand
from support.toy_runner import ToyRunner

from rppbench.execution.bench import CellBench
from rppbench.plugins.registry import Registry
from rppbench.records.store import Store

NAMES = ("red square", "blue lake", "great white shark", "x")


@pytest.fixture
def classifier(run_command: RunCommand, toys: Registry, models: Path) -> torch.Tensor:
    """(c, e) unit text features with which the cell's own task would classify these names."""
    words = ("--method", "context", "--task", "cross-dataset:suite=toy", "--model", "tiny")
    status, _, log = run_command("run", *words, "--dataset", "toy-one", "--seed", "3")
    assert status == 0, log
    Path("names.json").write_text(json.dumps(NAMES))
    (record,), _ = Store(Path("runs")).all()
    runner = ToyRunner(Path("runs"), models=models)
    bench = CellBench(record.cell, runner.resources, lambda *event: None, retrain=False)
    bench.fit()
    assert bench.method.cost.training_reused
    return bench.regions.classifier.similarities(torch.eye(32), NAMES).T


def arrays(folder: str) -> tuple[torch.Tensor, list[str]]:
    with safe_open(Path(folder) / "classifier.safetensors", "pt") as file:
        return file.get_tensor("features"), json.loads(file.metadata()["names"])


def unit(rows: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(rows, dim=1)


def test_detic_gets_half_precision_rows_that_become_the_classifier(
    run_command: RunCommand, classifier: torch.Tensor
) -> None:
    words = ("--prompt", "context", "--vocabulary", "names.json", "--to", "detic")
    status, _, log = run_command("export-classifier", *words)
    assert status == 0, log
    assert "4 x 32 classifier" in log
    array = np.load("detic/classifier.npy", allow_pickle=False)
    assert (array.dtype, array.shape) == (np.float16, (4, 32))
    lengths = np.linalg.norm(array.astype(np.float32), axis=1)
    assert np.abs(lengths - 1).min() > 0.01, "Detic takes them unnormalised"
    torch.testing.assert_close(
        unit(torch.from_numpy(array.astype(np.float32))), classifier, atol=1e-3, rtol=0
    )
    features, names = arrays("detic")
    assert names == list(NAMES)
    assert features.dtype == torch.float32
    torch.testing.assert_close(unit(features), classifier, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(array, features.half().numpy())
    card = json.loads(Path("detic/card.json").read_text())
    assert card["prompt"]["training"]["seed"] == 3


def test_zsseg_gets_unit_rows_and_a_folder_serves_as_the_prompt(
    run_command: RunCommand, classifier: torch.Tensor
) -> None:
    assert run_command("export", "context", "--to", "prompt")[0] == 0
    words = ("--prompt", "prompt", "--vocabulary", "names.json", "--format", "zsseg")
    status, _, log = run_command("export-classifier", *words, "--to", "zsseg")
    assert status == 0, log
    array = np.load("zsseg/classifier.npy", allow_pickle=False)
    assert array.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(array, axis=1), 1, rtol=1e-5)
    # None of these names ends in a character that takes the full stop, so the wording is the same.
    torch.testing.assert_close(torch.from_numpy(array), classifier, atol=1e-6, rtol=0)
    # And what the cell learned shows.
    words = ("--method", "fixed", "--model", "tiny", "--vocabulary", "names.json", "--to", "fixed")
    status, _, log = run_command("export-classifier", *words)
    assert status == 0, log
    assert (unit(arrays("fixed")[0]) - classifier).abs().max() > 0.01


def test_underscores_in_names_make_another_classifier_and_the_card_says_so(
    run_command: RunCommand, classifier: torch.Tensor
) -> None:
    words = ("--prompt", "context", "--vocabulary", "names.json", "--names", "underscores")
    status, _, log = run_command("export-classifier", *words, "--to", "detic")
    assert status == 0, log
    features, names = arrays("detic")
    assert names == ["red_square", "blue_lake", "great_white_shark", "x"]
    apart = (unit(features) - classifier).abs().amax(1)
    assert apart[:3].min() > 1e-3
    assert apart[3] < 1e-6
    assert json.loads(Path("detic/card.json").read_text())["spelling"] == "underscores"
    status, _, log = run_command("export-classifier", *words[:4], "--names", "dots", "--to", "x")
    assert status == 2
    assert "no spelling is named 'dots'" in log


def test_a_context_goes_to_official_programs_and_comes_back(
    run_command: RunCommand, classifier: torch.Tensor
) -> None:
    status, _, log = run_command("export", "context", "--format", "ctx", "--to", "prompt")
    assert status == 0, log
    checkpoint = torch.load("prompt/prompt.pth.tar", weights_only=True)["state_dict"]
    kept = {name: value for name, value in checkpoint.items() if "ctx" in name}
    assert list(kept) == ["ctx"]
    learned = torch.nn.Parameter(torch.zeros(kept["ctx"].shape))
    module = torch.nn.ParameterDict({"ctx": learned})
    missing, unexpected = module.load_state_dict(kept, strict=False)
    assert not missing
    assert not unexpected
    with safe_open("prompt/prompt.safetensors", "pt") as file:
        assert torch.equal(kept["ctx"], file.get_tensor(*file.keys()))
    assert kept["ctx"].dtype == torch.float32
    words = ("--method", "context:both=on", "--task", "cross-dataset:suite=toy", "--model", "tiny")
    assert run_command("run", *words, "--dataset", "toy-one", "--seed", "4")[0] == 0
    both = ("context:both=on", "--seed", "4", "--format", "ctx", "--to", "lost")
    status, _, log = run_command("export", *both)
    assert status == 2
    assert "a prompt of the image tower, which would be lost" in log
    assert not Path("lost").exists()
