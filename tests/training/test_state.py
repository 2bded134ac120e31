"""Stored prompts are used as they were written, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.tiny import make_tiny_clip
from support.toy_plugin import Context

from rppbench.errors import UsageError
from rppbench.files.tensors import read_metadata, read_tensors
from rppbench.training.state import (
    Progress,
    accept_code,
    learned_parameters,
    load_state,
    save_state,
)

KEY = "0123456789ab"
DONE = Progress(step=9, log=({"epoch": 1, "loss": 0.5},), train_loss=0.25)


def method(length: int = 2, seed: int = 0) -> Context:
    space = make_tiny_clip().space(5, torch.Generator().manual_seed(seed))
    return Context(space, both=True, length=length)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.safetensors"
    save_state(path, KEY, method(), None, DONE, {"method:context": "a"})
    return path


def test_what_was_written_is_read(path: Path) -> None:
    fresh = method(seed=1)
    assert load_state(path, KEY, fresh) == DONE
    assert torch.equal(fresh.context, method().context)
    assert learned_parameters(path, KEY).keys() == {"context", "tokens"}


def test_a_flipped_bit_anywhere_is_found_and_changes_nothing(path: Path) -> None:
    """In names, types, shapes, progress and tensors; only the padding of the header is free."""
    written = path.read_bytes()
    header = int.from_bytes(written[:8], "little")
    padding = len(written[8 : 8 + header]) - len(written[8 : 8 + header].rstrip())
    fresh = method(seed=1)
    before = fresh.context.detach().clone()
    places = [*range(8 + header - padding), *range(8 + header, len(written))]
    assert len(places) > 800
    for at in places:
        bit = 1 << at % 8
        path.write_bytes(written[:at] + bytes([written[at] ^ bit]) + written[at + 1 :])
        lines: list[str] = []
        assert load_state(path, KEY, fresh, warn=lines.append) == Progress(), at
        (line,) = lines
        assert str(path) in line
        assert "learned again" in line
        with pytest.raises(UsageError, match=r"cannot be used(.|\n)*--overwrite=always"):
            learned_parameters(path, KEY)
    assert torch.equal(fresh.context, before)
    path.write_bytes(written)
    assert load_state(path, KEY, fresh) == DONE


def test_prompts_without_a_digest_are_learned_again(path: Path) -> None:
    metadata, tensors = read_tensors(path)
    save_file(tensors, path, metadata)
    lines: list[str] = []
    assert load_state(path, KEY, method(), warn=lines.append) == Progress()
    assert "holds no digest" in lines[0]


def test_a_missing_file_is_no_damage(tmp_path: Path) -> None:
    assert load_state(tmp_path / "none", KEY, method(), warn=pytest.fail) == Progress()
    with pytest.raises(UsageError, match="no learned prompts in"):
        learned_parameters(tmp_path / "none", KEY)


def test_prompts_of_another_shape_leave_the_method_as_it_was(path: Path) -> None:
    """`load_state_dict` copies what fits before it raises."""
    fresh = method(length=3, seed=1)
    fresh.tokens = method(seed=1).tokens  # this one would fit
    assert fresh.tokens is not None
    before = fresh.tokens.detach().clone()
    assert load_state(path, KEY, fresh) == Progress()
    assert torch.equal(fresh.tokens, before)


def test_prompts_of_other_code_are_learned_again_unless_it_is_accepted(path: Path) -> None:
    now = {"method:context": "b"}
    lines: list[str] = []
    assert load_state(path, KEY, method(), code=now, warn=lines.append) == Progress()
    assert "before the code of method 'context' changed" in lines[0]
    with pytest.raises(UsageError, match=r"code of method 'context' changed(.|\n)*--accept-code"):
        learned_parameters(path, KEY, now)
    assert load_state(path, KEY, method(), code={"method:other": "b"}) == DONE  # unverified
    accept_code(path, KEY, now)
    assert load_state(path, KEY, method(), code=now) == DONE
    assert json.loads(read_metadata(path)["code"]) == now


def test_metadata_of_a_file_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(b"\xff" * 12)
    assert read_metadata(tmp_path / "cut") == {}
    assert read_metadata(tmp_path / "none") == {}
