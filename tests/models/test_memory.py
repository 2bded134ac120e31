"""`--memory`, and what happens when memory runs out.

The limits are those of the operating system, set in a process of their own.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from support.commands import RunCommand, refused
from support.tiny import LeafDraw, make_tiny_clip, sapl
from support.toy_data import Toy
from support.toy_plugin import Context, Fixed, PluginOf, ToyOne, ToyTwo, registry_of
from support.toy_runner import Workspace

from rppbench.contracts.prompts import Prompt
from rppbench.errors import UsageError
from rppbench.files.sizes import PROGRAM_BYTES
from rppbench.models.clip import MAX_SCORED_IMAGES, Clip
from rppbench.models.out_of_memory import is_out_of_memory, retry_with_less_memory

TOYS = PluginOf([Fixed, Context], [Toy, ToyOne, ToyTwo])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    return Workspace(registry_of(toys=TOYS), tmp_path, monkeypatch)


def bounded(memory: int | None) -> Clip:
    clip = make_tiny_clip()
    return Clip(clip.name, clip.digest, clip.model, clip.tokenizer, clip.preprocess, memory)


def weights() -> int:
    return sum(p.numel() * p.element_size() for p in make_tiny_clip().model.parameters())


def features_and_gradient(clip: Clip, names: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    prompt = LeafDraw()(4, 32)
    features = clip.text.encode(Prompt(prompt), clip.names(names))
    features.mul(
        torch.randn(features.shape, generator=torch.Generator().manual_seed(2))
    ).sum().backward()
    assert prompt.grad is not None
    return features.detach(), prompt.grad


NAMES = [f"{word} {number}" for number in range(40) for word in ("cat", "great white shark", "x")]


def test_without_a_bound_nothing_changes() -> None:
    clip = bounded(None)
    assert (clip.text.chunk_tokens, clip.image.max_images, clip.scored_images_at_once(20_000)) == (
        8192,
        None,
        MAX_SCORED_IMAGES,
    )
    large = bounded(64 * 1024**3)
    assert (large.text.chunk_tokens, large.scored_images_at_once(7)) == (8192, MAX_SCORED_IMAGES)


def test_a_bound_makes_groups_smaller_and_keeps_the_result() -> None:
    free, tight = bounded(None), bounded(PROGRAM_BYTES + weights() + 2_000_000)
    assert 1 <= tight.text.chunk_tokens < 100
    assert tight.image.max_images is not None
    assert tight.image.max_images < 20
    assert tight.scored_images_at_once(10_000) < 20
    for one, two in zip(
        features_and_gradient(free, NAMES), features_and_gradient(tight, NAMES), strict=True
    ):
        # Relative to the largest entry: the gradient sums over all names, its entries may cancel.
        scale = max(1.0, float(one.abs().max()))
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6 * scale)
    images = torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    prompt = sapl(LeafDraw(), 48, 2)
    with torch.no_grad():
        for image_prompt in (None, prompt):
            one, two = (clip.image.encode(images, image_prompt) for clip in (free, tight))
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_a_bound_below_the_weights_says_how_much_is_needed() -> None:
    with pytest.raises(UsageError, match="too little for tiny: its weights take"):
        bounded(PROGRAM_BYTES + weights()).text  # noqa: B018


def test_a_bound_changes_neither_keys_nor_records(workspace: Workspace) -> None:
    planned = workspace.plan("context", "context:both=on", datasets=("toy-one",))
    first = workspace.run(planned)
    workspace.clips = {"tiny": bounded(PROGRAM_BYTES + weights() + 2_000_000)}
    second = workspace.run(planned, workspace.new("bounded", "other-cache"))
    assert workspace.clips["tiny"].text.chunk_tokens < 8192
    for one, two in zip(first, second, strict=True):
        assert one.key == two.key
        assert two.status == "ok", two.failure
        for a, b in zip(one.scores, two.scores, strict=True):
            assert a.outcomes() == b.outcomes()
            assert a.value == pytest.approx(b.value, abs=2e-3)  # losses are kept in three digits
        for step, other in zip(one.training_log, two.training_log, strict=True):
            assert step["loss"] == pytest.approx(other["loss"], abs=1e-6)


def test_an_invalid_memory_size_is_refused(run_command: RunCommand) -> None:
    assert "memory" in refused(run_command, "plan", "--method", "fixed", "--memory", "plenty")


# --- memory runs out ----------------------------------------------------------------------------

SCRIPT = """
import resource, sys, warnings
sys.path[:0] = {tests!r}
import torch
from test_memory import NAMES, bounded, features_and_gradient
from rppbench.models.out_of_memory import is_out_of_memory, retry_with_less_memory
clip = bounded(None)
names = [f"{{name}} {{again}}" for again in range({times}) for name in NAMES]
features_and_gradient(bounded(None), NAMES)  # libraries allocate their own memory once
used = int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + {extra}, -1))
warnings.simplefilter("always")
{body}
"""


def limited(extra: int, times: int, body: str) -> str:
    """What `body` prints in a process that may allocate only `extra` bytes more."""
    script = SCRIPT.format(
        tests=[str(folder) for folder in Path(__file__).parents[:2]],
        extra=extra,
        times=times,
        body=body,
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


RETRIED = """
clip.text.chunk_tokens, clip.text.checkpoint = 10**9, False
try:
    features_and_gradient(clip, names)
    print("it fits")
except (RuntimeError, MemoryError) as error:
    print("refused:", is_out_of_memory(error))
clip.text.chunk_tokens, clip.text.checkpoint = 2**18, "auto"
features, gradient = retry_with_less_memory(clip.text, lambda: features_and_gradient(clip, names))
print("groups of", clip.text.chunk_tokens)
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
free = bounded(None)
for one, two in zip((features, gradient), features_and_gradient(free, names)):
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
print("the same")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_refused_allocation_is_tried_again_in_smaller_groups_with_the_same_result() -> None:
    output = limited(60 * 1024**2, 20, RETRIED)
    assert "refused: True" in output
    assert "the same" in output
    assert "out of memory: from now on" in output
    assert int(output.split("groups of ")[1].split()[0]) < 2**18


NEW_SHAPES = """
def work():
    return [torch.nn.functional.gelu(torch.full((rows, 3), 0.5)) for rows in range(1, 1000)]

def refused(when):
    try:
        work()
        print(when, "it fits")
    except RuntimeError as error:
        print(when, is_out_of_memory(error), error)

refused("within the limit:")
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
refused("without it:")
parts = torch.cat(retry_with_less_memory(clip.text, work))
torch.testing.assert_close(parts, torch.full((499500, 3), 0.34573123))
print("groups of", clip.text.chunk_tokens)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
def test_after_a_refusal_that_onednn_never_forgets_the_work_is_done_without_it() -> None:
    extra = 8 * 1024**2  # each shape has a kernel of its own: together they take far more
    output = limited(extra, 1, NEW_SHAPES)
    assert "within the limit: True could not create" in output
    assert "without it: True could not create" in output  # though memory is free again
    assert "out of memory: from now on without oneDNN" in output
    assert "groups of 8192" in output


def test_what_does_not_fit_even_one_by_one_fails_clearly() -> None:
    clip = bounded(None)
    tried = []

    def work() -> None:
        tried.append(clip.text.chunk_tokens)
        torch.empty(1 << 60, dtype=torch.uint8)  # no machine has it: the allocator really fails

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError) as caught:
            retry_with_less_memory(clip.text, work)
    assert is_out_of_memory(caught.value)
    assert tried == [8192 >> halved for halved in range(14)]


def test_a_cell_without_memory_is_a_record_that_says_so(workspace: Workspace) -> None:
    class Greedy(Context):
        name = "greedy"

        def loss(self, step: Any) -> torch.Tensor:
            return step.loss + torch.empty(1 << 60).sum()

    workspace.registry = registry_of(toys=TOYS, greedy=PluginOf([Greedy], []))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (record,) = workspace.run(workspace.plan("greedy", datasets=("toy-one",)), workspace.new())
    assert record.failure is not None
    assert record.failure.kind == "oom"
    assert record.failure.message.startswith("out of memory, even in the smallest groups: ")


def test_other_errors_are_not_treated_as_a_lack_of_memory() -> None:
    clip = bounded(None)
    with pytest.raises(RuntimeError, match="shape"):
        retry_with_less_memory(clip.text, lambda: torch.ones(2).reshape(3))
    assert clip.text.chunk_tokens == 8192


MANY = """
import time
from rppbench.execution.peak_memory import peak_bytes, reset_peak
memory = {memory}
tight = bounded(memory)
reset_peak("cpu")
features_and_gradient(tight, names)
print("classes", len(names), "peak", peak_bytes("cpu"), "groups", tight.text.chunk_tokens)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's")
def test_ten_thousand_classes_stay_within_the_bound() -> None:
    memory = PROGRAM_BYTES + 128 * 1024**2
    words = limited(memory, 88, MANY.format(memory=memory)).split()
    printed = {words[at]: int(words[at + 1]) for at in (0, 2, 4)}
    assert printed["classes"] == 10_560
    assert printed["peak"] < memory
    assert printed["groups"] < 8192 < 10_560 * 6
