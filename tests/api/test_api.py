"""`rppbench` as a library: run, plan, rows, differences and learned prompts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.commands import RunCommand, export_toy, save_test_images

import rppbench
from rppbench.errors import UsageError
from rppbench.execution.learned_prompt import LearnedPrompt
from rppbench.plugins.registry import Registry

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))
TOY: dict[str, Any] = {"models": "tiny", "set": {"recipe.epochs": "1"}}


@pytest.fixture
def toy_runs(toys: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder in which the toy plugin's components are those that are installed."""
    monkeypatch.chdir(tmp_path)


def test_importing_the_package_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, rppbench; rppbench.run; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert {"run", "plan", "load_records", "compare", "LearnedPrompt"} <= set(dir(rppbench))
    with pytest.raises(AttributeError, match="no attribute 'runs'"):
        rppbench.runs  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.usefixtures("toy_runs")
def test_run_continues_and_returns_the_rows_that_were_asked_for() -> None:
    request = (["fixed", "context"], "cross-dataset:suite=toy", ["toy-one"])
    before = rppbench.plan(*request, seeds=[1, 2], **TOY)
    assert [one.state for one in before] == ["todo"] * 3
    rows = rppbench.run(*request, seeds=[1, 2], **TOY)
    asked = {("fixed", 1), ("context", 1), ("context", 2)}
    assert {(row.method, row.seed) for row in rows} == asked
    assert len({row.key for row in rows}) == 3
    assert not rows.failed
    main = [row for row in rows if row.main]
    assert [row.metric for row in main] == ["top1"] * 3
    assert all(0 <= row.value <= 100 for row in main if row.value is not None)
    assert [one.state for one in rppbench.plan(*request, seeds=[1, 2], **TOY)] == ["done"] * 3
    again = rppbench.run("context", request[1], request[2], seeds=1, **TOY)
    assert {(row.method, row.seed) for row in again} == {("context", 1)}
    assert {row.key for row in again} < {row.key for row in rows}
    assert Path("runs/cross-dataset.md").exists()


@pytest.mark.usefixtures("toy_runs")
def test_a_config_file_says_what_the_call_leaves_out() -> None:
    asked = {"method": ["fixed"], "task": ["cross-dataset:suite=toy"], "model": ["tiny"]}
    Path("a.json").write_text(json.dumps({**asked, "seed": [2, 3], "dataset": ["toy-one"]}))
    (planned,) = rppbench.plan(config="a.json")
    assert (planned.cell.method.name, planned.cell.dataset) == ("fixed", "toy-one")
    seeds = [one.cell.seed for one in rppbench.plan("context", config="a.json", output="here")]
    assert seeds == [2, 3]


@pytest.mark.usefixtures("toy_runs")
def test_rows_are_tidy_and_options_are_columns() -> None:
    rppbench.run(["fixed", "context"], "cross-dataset:suite=toy", "toy-one", **TOY)
    rows = rppbench.load_records()
    assert len(rows[:2]) == 2
    assert repr(rows) == f"<{len(rows)} rows of 2 records>"
    frame = rows.to_pandas()
    assert len(frame) == len(rows)
    assert frame["method.length"].notna().sum() == sum(row.method == "context" for row in rows)
    assert set(frame["task.suite"]) == {"toy"}
    (change,) = rppbench.compare("fixed", "context")
    values = {row.method: row.value for row in rows if row.main}
    assert change.first == pytest.approx(values["fixed"])
    assert change.second == pytest.approx(values["context"])
    assert change.difference == pytest.approx(change.second - change.first)
    assert change.low is not None
    assert change.high is not None
    assert change.low <= change.difference <= change.high
    assert change.dataset == "toy-one"


@pytest.mark.usefixtures("toy_runs")
def test_mistakes_are_usage_errors_with_a_suggestion() -> None:
    with pytest.raises(rppbench.UsageError, match="did you mean 'context'"):
        rppbench.plan("contxt", "cross-dataset:suite=toy", **TOY)
    with pytest.raises(UsageError, match="no setting is named 'devise'; did you mean 'device'"):
        rppbench.run("fixed", devise="cpu")
    with pytest.raises(UsageError, match="names are texts, not int"):
        rppbench.plan([3])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="no records in"):
        rppbench.load_records("nowhere")


def test_a_learned_prompt_predicts_and_gives_its_classifier(
    run_command: RunCommand, toys: Registry
) -> None:
    export_toy(run_command)
    paths, _ = save_test_images()
    Path("broken.png").write_text("no image")
    prompt = LearnedPrompt.load("mine")
    names = ["red square", "blue lake", "black cat"]
    asked = [paths[0], "broken.png", Path(paths[1]), Image.open(paths[0])]
    answers = prompt.predict(asked, names, top=2)
    assert [len(one.guesses) for one in answers] == [2, 0, 2, 2]
    assert "cannot read image broken.png" in answers[1].error
    assert answers[0] == answers[3]
    features = prompt.classifier(names)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    pixels = prompt.clip.preprocess(Image.open(paths[0]).convert("RGB"))[None]
    with torch.no_grad():
        shares = (prompt.scale * prompt.clip.image.encode(pixels) @ features.T).softmax(1)[0]
    best = {guess.name: guess.probability for guess in answers[0].guesses}
    assert best == pytest.approx(
        {name: float(shares[names.index(name)]) for name in best}, rel=1e-4
    )
    assert prompt.predict([paths[0]])[0].guesses[0].name in prompt.classes
    with pytest.raises(UsageError, match="at least two classes"):
        prompt.predict([paths[0]], ["one"])
    assert prompt.predict(["broken.png"], names)[0].guesses == ()


def test_predict_takes_folders_patterns_and_lists_and_a_bad_file_is_one_line(
    run_command: RunCommand, toys: Registry
) -> None:
    export_toy(run_command)
    paths, _ = save_test_images()
    Path("photos").mkdir()
    for number in range(2):
        Path(paths[number]).rename(f"photos/{number}.PNG")
    Path("photos/notes.md").write_text("no image")
    Path("list.txt").write_text(f"{paths[2]}\n{paths[3]}\n")
    Path("broken.jpg").write_text("no image")
    head = ("predict", "--prompt", "mine", "--top", "1")
    status, text, said = run_command(*head, "photos", "list.txt", "brok*.jpg", "--csv")
    assert status == 1
    lines = text.splitlines()
    assert lines[0] == "image,place,label,class,probability,error"
    assert [line.split(",")[0] for line in lines[1:]] == [
        *("photos/0.PNG", "photos/1.PNG", paths[2], paths[3]),
        "broken.jpg",
    ]
    assert "cannot read image broken.jpg" in lines[-1]
    assert "files that are not images: 1 of 5" in said
    status, text, _ = run_command(*head, "photos", "--json")
    assert status == 0
    assert [json.loads(line)["image"] for line in text.splitlines()] == [
        "photos/0.PNG",
        "photos/1.PNG",
    ]
    Path("empty").mkdir()
    assert "no images in empty" in run_command(*head, "empty")[2]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_from_top_to_bottom(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert len(NOTEBOOKS) == 2
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "outputs would go stale"
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
