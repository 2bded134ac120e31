"""Files of weights that are damaged, or hold more than one model: which is taken, or what to do."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.tiny import make_tiny_clip, tiny_config
from torch import Tensor

from rppbench.errors import UsageError
from rppbench.models.loading import build
from rppbench.models.weights.state_dicts import load_into, read_checkpoint

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return make_tiny_clip().model.state_dict()


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def loaded(content: Any, file: Path) -> State:
    """The weights of the tiny model after loading the content from a file."""
    torch.save(content, file)
    model = build(tiny_config())
    load_into(model, read_checkpoint(file), "tiny")
    return model.state_dict()


def same(found: State, state: State) -> bool:
    return all(torch.equal(found[name], value) for name, value in state.items())


# --- damaged files --------------------------------------------------------------------------------


def test_a_cut_file_is_named_as_such(state: State, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(state, file)
    content = file.read_bytes()
    for length in (0, 60, 200, len(content) // 2, len(content) - 30):
        file.write_bytes(content[:length])
        with pytest.raises(UsageError) as caught:
            read_checkpoint(file)
        expected = f"cannot read the weights in {file}: the file is empty or cut"
        assert str(caught.value) == expected, length


def test_a_cut_file_of_the_older_format_is_named_as_such(state: State, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(state, file, _use_new_zipfile_serialization=False)
    content = file.read_bytes()
    for length in (60, 200, len(content) // 2, len(content) - 30):
        file.write_bytes(content[:length])
        with pytest.raises(UsageError, match=r"the file is empty or cut|, or not all of it"):
            read_checkpoint(file)


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>", b"version https://git-lfs", b"hello\n"])
def test_a_file_that_is_none_of_torch_is_named_as_such(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"it is not a file that .* wrote, or not all"):
        read_checkpoint(file)


def test_of_python_objects_only_the_name_is_shown(tmp_path: Path) -> None:
    """Not torch's own text, which advises to run them, in codes for a terminal."""
    file = tmp_path / "weights.pt"
    torch.save({"state_dict": {}, "args": argparse.Namespace(lr=1.0)}, file)
    with pytest.raises(UsageError) as caught:
        read_checkpoint(file)
    first, second = str(caught.value).splitlines()
    assert first == (
        f"cannot read the weights in {file}: it holds Python objects beside tensors "
        "(argparse.Namespace), which are not read: reading them can run any code"
    )
    assert second.startswith("if you trust the file, save its tensors alone: torch.save(")


# --- several models in one file -------------------------------------------------------------------

SEVERAL: dict[str, Callable[[State], Any]] = {
    "arguments under 'model'": lambda state: {"model": {"name": "vit"}, "state_dict": state},
    "something else under 'model'": lambda state: {
        "model": {"a": torch.zeros(1)},
        "state_dict": state,
    },
    "something else under 'state_dict'": lambda state: {
        "model": state,
        "state_dict": {"a": torch.zeros(1)},
    },
}


@pytest.mark.parametrize("layout", SEVERAL)
def test_of_several_places_the_one_is_taken_that_fits(
    layout: str, state: State, tmp_path: Path
) -> None:
    assert same(loaded(SEVERAL[layout](state), tmp_path / "a.pt"), state)


def test_where_no_place_fits_all_are_listed(state: State, tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    content = {"model": {"a": torch.zeros(1)}, "ema": {"shadow": state}}
    with pytest.raises(UsageError) as caught:
        loaded(content, file)
    *_, places, advice = str(caught.value).splitlines()
    assert places == f"tensors are under ['ema']['shadow'] ({len(state)}), ['model'] (1)"
    assert advice.startswith("save those of the model alone: torch.save(torch.load(")
    assert advice.endswith("['ema']['shadow'], 'weights.pt')")


@pytest.mark.parametrize("prefix", ["clip.", "backbone.clip_model."])
def test_names_that_fit_behind_one_prefix_are_taken(
    prefix: str, state: State, tmp_path: Path
) -> None:
    file = tmp_path / "a.pt"
    with pytest.warns(UserWarning, match="taking the tensors whose names begin with") as caught:
        assert same(loaded({"state_dict": prefixed(state, prefix)}, file), state)
    assert str(caught[0].message).endswith(repr(prefix))
    head = {"head.weight": torch.zeros(3, 32)}
    with pytest.warns(UserWarning, match="; the other 1 are not used"):
        assert same(loaded({**prefixed(state, prefix), **head}, file), state)


def test_where_several_prefixes_fit_none_is_guessed(state: State, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    teacher = {name: value.clone() for name, value in state.items()}
    save_file({**prefixed(state, "student."), **prefixed(teacher, "teacher.")}, file)
    with pytest.raises(UsageError) as caught:
        load_into(build(tiny_config()), read_checkpoint(file), "tiny")
    first, second = str(caught.value).splitlines()
    assert first == f"{file} holds weights of tiny 2 times: behind 'student.' and behind 'teacher.'"
    assert second.startswith("save those that you mean: torch.save(")
