"""A plugin can do no harm, and no harm is hidden: each misbehaviour is reported, the rest runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support import misbehaving as bad
from support.toy_plugin import ToyPlugin, registry_of

from rppbench import hookimpl
from rppbench.cli import main
from rppbench.contracts.dataset import Sample
from rppbench.contracts.task import Assignment
from rppbench.execution import engines
from rppbench.plugins.registry import Registry
from rppbench.records.record import Score
from rppbench.records.store import Store

pytestmark = pytest.mark.slow  # the second pass of .ci/run has it

TOY = "cross-dataset:suite=toy"


@dataclass(frozen=True)
class Case:
    """One misbehaviour: the component that has it, and what must be reported."""

    name: str
    kind: str
    """'methods', 'datasets', 'tasks' or 'engines'."""
    component: Any
    report: str
    """Regular expression of the line on standard error."""
    recorded: bool = True
    """Whether a failed cell says it; otherwise the line alone does, since there is no cell."""


def method(name: str, report: str, recorded: bool = True, **facts: Any) -> Case:
    return Case(f"method {name}", "methods", bad.method(**facts), report, recorded)


def dataset(name: str, report: str, recorded: bool = True, **facts: Any) -> Case:
    return Case(f"data set {name}", "datasets", bad.dataset(**facts), report, recorded)


def task(name: str, report: str, recorded: bool = True, **facts: Any) -> Case:
    return Case(f"task {name}", "tasks", bad.task(**facts), report, recorded)


def ENDS(hook: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The ways to end a program, in a hook: a name, what is reported, and the facts."""
    return [
        ("calls sys.exit", r"SystemExit: .*sys\.exit\(0\)", {hook: bad.fails(SystemExit(0))}),
        (
            "raises KeyboardInterrupt",
            "KeyboardInterrupt: .*nobody interrupted",
            {hook: bad.fails(KeyboardInterrupt)},
        ),
        ("calls os._exit", r"os\._exit: .*os\._exit\(0\)", {hook: bad.leaves(0)}),
    ]


CASES = [
    # what would end the program, in every hook that a cell calls
    *(method(f"{n} in prompts", r, **f) for n, r, f in ENDS("prompts")),
    *(method(f"{n} in classify", r, **f) for n, r, f in ENDS("classify")),
    *(method(f"{n} in loss", r, **f) for n, r, f in ENDS("loss")),
    *(dataset(f"{n} in image", r, **f) for n, r, f in ENDS("image")),
    *(dataset(f"{n} in samples", r, **f) for n, r, f in ENDS("samples")),
    *(dataset(f"{n} in fingerprint", r, **f) for n, r, f in ENDS("fingerprint")),
    *(task(f"{n} in run", r, **f) for n, r, f in ENDS("run")),
    *(task(f"{n} in assignments", r, False, **f) for n, r, f in ENDS("assignments")),
    method("exits when it is built", "SystemExit: ", __init__=bad.short_init),
    method("raises GeneratorExit", "GeneratorExit: ", prompts=bad.fails(GeneratorExit)),
    method("raises a BaseException", "Odd: .*: away", prompts=bad.fails(bad.Odd("away"))),
    method("has an unreadable error", "MuteError: .*cannot be", prompts=bad.fails(bad.MuteError())),
    method("raises a huge text", "RuntimeError: xxx", prompts=bad.fails(RuntimeError("x" * 10**6))),
    method("raises a surrogate", r"OSError: .\\?udc", prompts=bad.fails(OSError("\udcff"))),
    method("recurses without end", "RecursionError: ", prompts=bad.endless),
    method("takes all memory", "oom: ", prompts=bad.fails(MemoryError)),
    method("swallows its exit", "RuntimeError: changed its mind", prompts=bad.swallows),
    dataset("exits when it is opened", "SystemExit", __init__=bad.fails(SystemExit(0))),
    # methods that return what their contract does not allow
    method("has no prompts", "contract: method 'bad'.* returns NoneType", prompts=bad.gives(None)),
    method("has a wide prompt", r"shape \(2, 5\), not \(n, 32\)", prompts=bad.prompts(2, 5)),
    method("has a flat prompt", r"shape \(32,\), not", prompts=bad.prompts(32)),
    method("has integers for a prompt", "torch.int64, not", prompts=bad.prompts(
        2, 32, dtype=torch.int64)),
    method(
        "prompts a block that is not there",
        "stream names block 99 of",
        prompts=bad.prompts(2, 32, stream={99: torch.zeros(1, 32)}),
    ),
    method("has a prompt of NaN", "nan: the loss became nan", prompts=bad.nan_prompts),
    method("has a wording without a name", "must hold one '{}'", prompts=bad.bad_wording),
    method("has logits of other classes", r"returns shape \(\d+, 3\)", classify=bad.logits(0, 3)),
    method("has logits of one image", r"shape \(1, 5\), not \(8, 5\)", classify=bad.logits(1, 0)),
    method("has logits of integers", "int64", classify=bad.logits(0, 0, dtype=torch.int64)),
    method("has logits in a list", "returns list, not a tensor", classify=bad.gives([1.0])),
    method("has logits of NaN", "the loss is nan after all 2 steps", classify=bad.nan_when_scoring),
    method("has a loss for each image", r"returns shape \(2,\)", loss=bad.vector_loss),
    method("has a loss without gradient", "depends on none of its", loss=bad.free_loss),
    method("has no loss", "returns NoneType, not a tensor", loss=bad.gives(None)),
    # data sets that do
    dataset("gives an array", "image 'test/0/0' is ndarray, not a PIL", image=bad.gives(bad.ARRAY)),
    dataset("gives a grey image", "has mode 'L', not 'RGB'", image=bad.picture("L")),
    dataset("gives a transparent image", "has mode 'RGBA', not", image=bad.picture("RGBA")),
    dataset("gives an empty image", "has 0 x 8 pixels", image=bad.picture(size=(0, 8))),
    dataset("has a label too many", "label 7, but there are 7", samples=bad.samples(
        lambda listed: [*listed, Sample("test/6/9", 7)])),
    dataset("has a negative label", "label -1, but", samples=bad.samples(
        lambda listed: [Sample("test/0/0", -1), *listed])),
    dataset("has a label that is a text", "label '0', not an integer", samples=bad.samples(
        lambda listed: [Sample("test/0/0", "0")])),  # type: ignore[arg-type]
    dataset("has pairs for samples", r"\('a', 0\) \(0\) is not a sample", samples=bad.samples(
        lambda listed: [("a", 0)])),
    dataset("has an iterator of samples", "must be a sequence", samples=bad.samples(iter)),
    dataset("has no images", "has no 'test' images", samples=bad.samples(lambda listed: [])),
    dataset("has other samples each time", "another order, at every", samples=bad.samples(
        bad.shuffled)),
    dataset("has other classes each time", "other classes at every", classes=property(
        bad.other_classes)),
    dataset("has a number for a class", "class 0 is named 3", classes=[3] * 7),
    dataset("has one text for its classes", "must be a list of names", classes="abcdefg"),
    dataset("has another fingerprint each time", "another fingerprint at", fingerprint=(
        bad.fresh_fingerprint)),
    dataset("has a number for a fingerprint", "7 is not a fingerprint", fingerprint=bad.gives(7)),
    # tasks that do
    task("gives no scores", "task 'bad' gives no score", run=bad.scores()),
    task("gives None", "gives no list of scores", run=bad.gives(None)),
    task("gives scores without end", "more than 10,000 scores", run=bad.forever),
    task("gives a number", "gives float in place of a score", run=bad.scores(50.0)),
    task("gives a score twice", "two scores named 'top1'", run=bad.scores(
        Score("top1", 50.0), Score("top1", 50.0))),
    task("gives a score of 101", "101, which is not a perc", run=bad.scores(Score("top1", 101.0))),
    task("gives a score of NaN", "nan: the score", run=bad.scores(Score("top1", float("nan")))),
    task("gives a text for a score", "is '5', not a number", run=bad.scores(
        Score("top1", "5"))),  # type: ignore[arg-type]
    task("has more right than there are", "15 correct of 14", run=bad.scores(
        Score("top1", 100.0, 15, 14))),
    task("has a value beside its counts", "is 60, but 7 of 14 are", run=bad.scores(
        Score("top1", 60.0, 7, 14))),
    task("counts images that are not there", "counts 28 images, but 14", run=bad.scores(
        Score("top1", 50.0, 14, 28))),
    task("has other outcomes than counts", "7 correct, but 4 in its", run=bad.scores(
        Score("top1", 50.0, 7, 14, bad.WRONG_BITS))),
    task("evaluates nothing", "Error: ", run=bad.empty_evaluation),
    task("has no list of cells", "TypeError: ", False, assignments=bad.gives(None)),
    task("has names for cells", "lists str in place", False, assignments=bad.gives(["toy-one"])),
    task("has a cell twice", "'toy-one' twice", False, assignments=bad.gives(
        [Assignment("toy-one", "toy")] * 2)),
    task("asks for half of the classes", "'half' classes", False, assignments=bad.gives(
        [Assignment("toy-one", "toy", "half")])),
    task("asks for no shots", "asks for 0 shots", False, assignments=bad.gives(
        [Assignment("toy-one", "toy", shots=0)])),
]  # fmt: skip


class Brings:
    """A plugin with one component."""

    def __init__(self, kind: str, *components: Any) -> None:
        setattr(self, f"rppbench_{kind}", hookimpl(lambda: list(components)))


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    models: Path,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a command with the toys and another plugin; returns exit status and standard error."""
    monkeypatch.chdir(tmp_path)

    def act(plugin: object, *words: str) -> tuple[int, str]:
        registry = registry_of(toys=ToyPlugin(models), bad=plugin, engines=engines)
        monkeypatch.setattr(Registry, "load", lambda: registry)
        status = main(words)
        return status, capsys.readouterr().err

    return act


def words_of(case: Case) -> tuple[str, ...]:
    """A run of the misbehaving component beside a good one."""
    fast = ("--model", "tiny", "--batch-size", "16")
    if case.kind == "datasets":
        return ("--method", "fixed", "--task", TOY, "--dataset", "toy-one", "bad", *fast)
    if case.kind == "methods":
        return ("--method", "fixed", "bad", "--task", TOY, "--dataset", "toy-one", *fast)
    return ("--method", "context", "--task", TOY, "bad", "--dataset", "toy-one", *fast)


def test_there_are_at_least_61_misbehaviours() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert len(CASES) >= 61


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_misbehaviour_fails_its_own_cell_and_nothing_else(case: Case, run: Run) -> None:
    status, log = run(Brings(case.kind, case.component), "run", *words_of(case))
    assert status == 1, log
    assert "Traceback" not in log
    (line,) = [line for line in log.splitlines() if line.startswith("failed: ")]
    assert re.search(case.report, line), line
    records, problems = Store(Path("runs")).all()
    assert problems == []
    states = sorted(record.status for record in records)
    assert states == (["failed", "ok"] if case.recorded else ["ok"])
    for record in records:
        if record.failure is not None:
            assert len(record.failure.message) < 25_000
    assert not list(Path("runs").rglob("*.started"))


# --- what the registry refuses ------------------------------------------------------------------


class Unspelt:
    """A component without a default of its option."""

    name, title, learning = "bad", "Bad", None

    def __init__(self, space: Any, *, length: int) -> None: ...


class Vague:
    """A component whose annotations name what is not there."""

    name, title, learning = "bad", "Bad", None

    def __init__(self, space: Any, *, length: "Nowhere" = 1) -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037


class Positional:
    """A component that takes more than a space."""

    name, title, learning = "bad", "Bad", None

    def __init__(self, space: Any, length: int) -> None: ...


FACTS: list[tuple[str, dict[str, Any], str]] = [
    ("name", {"name": ["bad"]}, "its name must be a text, not ['bad']"),
    ("name", {"name": 7}, "its name must be a text, not 7"),
    ("name", {"name": ""}, "'' cannot be a name"),
    ("name", {"name": "a\nb"}, "'a\\nb' cannot be a name"),
    ("name", {"name": "a:b"}, "it holds a colon"),
    ("name", {"name": "-a"}, "'-a' cannot be a name"),
    ("title", {"title": None}, "title of 'bad' must be a text, not None"),
    ("paper", {"paper": 5}, "paper of 'bad' must be a text, not 5"),
]


@pytest.mark.parametrize(("fact", "facts", "report"), FACTS, ids=lambda value: str(value)[:20])
def test_a_component_with_an_invalid_fact_is_left_out(
    fact: str, facts: dict[str, Any], report: str, run: Run
) -> None:
    plugin = Brings("methods", bad.method(**facts))
    words = ("run", "--method", "fixed", "--task", TOY, "--dataset", "toy-one", "--model", "tiny")
    status, log = run(plugin, *words)
    assert status == 0, log
    (line,) = [line for line in log.splitlines() if "cannot be used" in line]
    assert report in line


@pytest.mark.parametrize(
    ("component", "report"),
    [
        (Unspelt, "method 'bad' cannot be used: option 'length' has no default"),
        (Vague, "method 'bad' cannot be used: its options cannot be read: NameError: "),
        (Positional, "must be keyword-only parameters with defaults, not length"),
        (bad.method(learning="by heart"), "method 'bad' cannot be used: "),
    ],
)
def test_options_are_checked_when_the_component_is_used(
    component: Any, report: str, run: Run
) -> None:
    words = ("run", "--task", TOY, "--dataset", "toy-one", "--model", "tiny", "--method")
    status, log = run(Brings("methods", component), *words, "bad")
    assert status == 2
    assert report in log
    assert "Traceback" not in log
    assert run(Brings("methods", component), *words, "fixed")[0] == 0
    assert run(Brings("methods", component), "list", "methods")[0] == 0


HOOK = "from rppbench import hookimpl\n@hookimpl\ndef rppbench_methods(): "


@pytest.mark.parametrize(
    ("code", "report"),
    [
        ("import sys; sys.exit(0)", "SystemExit: the code of a plugin called sys.exit(0)"),
        ("import os; os._exit(0)", "os._exit: the code of a plugin called os._exit(0)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt: raised by the code of a plugin"),
        ("raise GeneratorExit", "GeneratorExit: raised by the code of a plugin"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError: "),
        (HOOK + "raise SystemExit(0)", "SystemExit: the code of a plugin called sys.exit(0)"),
        (HOOK + "return None", "TypeError: "),
        (HOOK + "return (n for n in iter(int, 1))", "without end"),
        (HOOK + "return [object()]", "AttributeError: "),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_one_line(
    code: str, report: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plugin.py").write_text(code + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_plugin", raising=False)
    good = ModuleType("good_plugin")
    good.rppbench_methods = hookimpl(lambda: [bad.method(name="good")])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "good_plugin", good)
    monkeypatch.setattr(
        "rppbench.plugins.registry.entry_points",
        lambda group: [EntryPoint(n, f"{n}_plugin", "rppbench") for n in ("broken", "good")],
    )
    from rppbench.plugins.containment import interrupts

    with interrupts():
        registry = Registry.load()
        assert list(registry.all("methods")) == ["good"]
    (line,) = registry.complaints()
    assert line.startswith("plugin 'broken' did not load: ")
    assert report in line


# --- engines ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "status", "report"),
    [
        ({"run": bad.fails(SystemExit(0))}, 2, "engine 'bad' failed: SystemExit"),
        ({"run": bad.fails(ValueError("no"))}, 2, "engine 'bad' failed: ValueError: no"),
        ({"__init__": bad.fails(KeyboardInterrupt)}, 2, "engine 'bad' cannot be made: Keyboard"),
        ({}, 1, "cells: 0 done, 0 had a record, 0 failed, 1 not run"),
    ],
)
def test_an_engine_that_runs_no_cell_is_an_error(
    facts: dict[str, Any], status: int, report: str, run: Run
) -> None:
    words = ("run", "--method", "fixed", "--task", TOY, "--dataset", "toy-one", "--model", "tiny")
    ended, log = run(Brings("engines", bad.engine(**facts)), *words, "--engine", "bad")
    assert ended == status, log
    assert report in log
    assert "Traceback" not in log
