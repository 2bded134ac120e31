"""Tensors of a model in a file, wherever training code has put them, and whether they fit a model.

Only tensors and plain values are read: safetensors, or `torch.load` with `weights_only`.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import torch
from open_clip.convert import convert_state_dict
from open_clip.model import (
    convert_to_custom_text_state_dict,
    resize_pos_embed,
    resize_text_pos_embed,
)
from safetensors.torch import load_file
from torch import Tensor, nn

from rppbench.errors import UsageError
from rppbench.models.out_of_memory import is_out_of_memory
from rppbench.models.weights.configurations import fitting_configurations

WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
"""Keys under which training code keeps the tensors of the model, also one in another."""
PREFIXES = ("module.", "model.")
"""What wrappers of modules (data parallel, Lightning) put before every name."""
COMPILED = "_orig_mod."
"""What torch.compile puts into the names, before the part that it compiled."""
NO_PARAMETERS = ("input_resolution", "context_length", "vocab_size")
"""Sizes that OpenAI's files hold beside the parameters."""
LISTED = 3
"""Maximum number of tensors or places in a message."""
OBJECTS = (
    "it holds Python objects beside tensors{names}, which are not read: reading them can run any"
    " code\nif you trust the file, save its tensors alone: "
    "torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)"
)
CUT = "the file is empty or cut"
UNREADABLE = (
    *(AssertionError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError),
    UnpicklingError,
)
"""What `torch.load` raises for a file that is damaged or of another kind."""
State = dict[str, Tensor]
Place = tuple[tuple[Any, ...], int]
"""Keys that lead to a mapping, and the number of tensors in it."""


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights."""

    path: Path
    states: Sequence[State]
    """Tensors by the names that modules have, from each of the usual places, at least one."""
    places: str
    """Where tensors lie, for a message; '' if there is but one place."""


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a file, wherever training code has put them.

    UsageError if the file cannot be read, or, saying where tensors lie, if they are not in one of
    the usual places.
    """
    if path.suffix == ".safetensors":
        return Checkpoint(path, [_named(load_file(path))], "")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        if is_out_of_memory(error):
            raise
        raise UsageError(f"cannot read the weights in {path}: {why_unreadable(error)}") from error
    states = [_named(mapping) for mapping in _usual_places(content)]
    if not states:
        raise UsageError(_elsewhere(content, path))
    places = list(_places(content))
    return Checkpoint(path, states, _where(places, path) if len(places) > 1 else "")


def why_unreadable(error: Exception) -> str:
    """What is wrong with a file that `torch.load` refuses.

    Its own text is of no use: it advises to run the file's code, in codes for a terminal.
    """
    if isinstance(error, (KeyError, UnpicklingError)):
        if found := re.search(r"GLOBAL (\w[\w.]*)|(?:got|function) (<[^>]+>)", str(error)):
            return OBJECTS.format(names=f" ({found[1] or found[2]})")
        return "it is not a file that torch.save wrote, or not all of it"
    return CUT


def load_into(model: Any, checkpoint: Checkpoint, name: str) -> None:
    """Copy tensors into a model of open_clip, as open_clip's own `load_checkpoint` does.

    Of several places the first one is taken whose tensors fit, and of several models in one place
    the only one that fits. Names of other layouts are translated, and position embeddings of
    another number of tokens are interpolated. `name` is the model's, for messages. UsageError, with
    both shapes and the configurations that fit, if no tensors are those of the model.
    """
    path = checkpoint.path
    for state in checkpoint.states:
        given = _translated(model, state)
        if not any(_complaints(model, given)):
            model.load_state_dict(given)
            return
    for state in checkpoint.states:
        if found := _behind_a_prefix(model, state, name, path):
            model.load_state_dict(found)
            return
    state = checkpoint.states[0]
    complaints = list(_complaints(model, _translated(model, state)))
    complaints[0] = f"{path} does not hold weights of {name}: {complaints[0]}"
    fitting = [other for other in fitting_configurations(state) if other != name]
    advice = [f"it fits {other}: name it {other}/{path}" for other in fitting[:LISTED]]
    if checkpoint.places and not advice:
        advice = [f"tensors are under {checkpoint.places}"]
    raise UsageError("\n".join([*complaints, *advice]))


def _translated(model: Any, state: State) -> State:
    """The tensors by the names of the model, as far as they can be translated."""
    given = dict(convert_state_dict(model, dict(state)))
    if "positional_embedding" in given and not hasattr(model, "positional_embedding"):
        given = convert_to_custom_text_state_dict(given)
    for scalar in ("logit_scale", "logit_bias"):  # () in some files, (1,) in others
        own = getattr(model, scalar, None)
        if scalar in given and own is not None and given[scalar].numel() == own.numel():
            given[scalar] = given[scalar].reshape(own.shape)
    if "logit_bias" not in given and getattr(model, "logit_bias", None) is not None:
        given["logit_bias"] = torch.zeros_like(model.logit_bias)
    unused = "text.transformer.embeddings.position_ids"  # a buffer of older transformers
    if unused not in model.state_dict():
        given.pop(unused, None)
    for resize in (resize_pos_embed, resize_text_pos_embed):
        with suppress(AssertionError, AttributeError, RuntimeError):  # another width: see below
            resize(given, model)
    return given


def _behind_a_prefix(model: Any, state: State, name: str, path: Path) -> State | None:
    """The tensors whose names fit behind one prefix, as of a training with a teacher.

    None if they fit behind none. UsageError if they fit behind several: which one is meant is not
    to be guessed.
    """
    heads = Counter(
        ".".join(parts[:end]) + "."
        for parts in (key.split(".") for key in state)
        for end in range(1, len(parts))
    )
    fitting: dict[str, State] = {}
    for prefix, count in heads.items():
        if 2 * count < len(model.state_dict()):  # too few for any layout
            continue
        part = {
            key.removeprefix(prefix): value
            for key, value in state.items()
            if key.startswith(prefix)
        }
        given = _translated(model, part)
        if not any(_complaints(model, given)):
            fitting[prefix] = given
    if len(fitting) > 1:
        raise UsageError(
            f"{path} holds weights of {name} {len(fitting)} times: behind "
            f"{' and behind '.join(map(repr, fitting))}\nsave those that you mean: torch.save("
            "{key.removeprefix(P): value for key, value in STATE_DICT.items() if key.startswith(P)}"
            ", 'weights.pt')"
        )
    for prefix, given in fitting.items():
        others = len(state) - heads[prefix]
        rest = f"; the other {others} are not used" if others else ""
        message = f"{path}: taking the tensors whose names begin with {prefix!r}{rest}"
        warnings.warn(message, stacklevel=4)
        return given
    return None


def _usual_places(content: object) -> Iterator[Mapping[str, Any]]:
    """Mappings with tensors: those under the usual keys, also one in another, then the whole."""
    if not isinstance(content, Mapping):
        return
    for key in WRAPPERS:
        yield from _usual_places(content.get(key))
    if _holds_tensors(content):
        yield content


def _holds_tensors(content: object) -> bool:
    return isinstance(content, Mapping) and any(isinstance(v, Tensor) for v in content.values())


def _named(content: Mapping[str, Any]) -> State:
    """Tensors by their names without what wrappers of modules added."""
    state = {
        str(name).replace(COMPILED, ""): value
        for name, value in content.items()
        if isinstance(value, Tensor) and name not in NO_PARAMETERS
    }
    while prefix := next((p for p in PREFIXES if all(n.startswith(p) for n in state)), ""):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _elsewhere(content: object, path: Path) -> str:
    """Message for a file whose tensors are not in one of the usual places."""
    if not isinstance(content, Mapping):
        return f"{path} holds a {type(content).__name__}, not tensors by name"
    keys = ", ".join(map(str, list(content)[:8])) + (", ..." if len(content) > 8 else "")
    head = f"{path} has the keys {keys or '(none)'}"
    if not (places := list(_places(content))):
        return f"{head}; no tensors are in it"
    return f"{head}; its tensors are under {_where(places, path)}"


def _where(places: Sequence[Place], path: Path) -> str:
    """The places with the most tensors, and how to save those of the first."""
    most = sorted(places, key=lambda place: -place[1])[:LISTED]
    listed = ", ".join(f"{_subscripts(keys)} ({count})" for keys, count in most)
    loaded = f"torch.load({str(path)!r}){_subscripts(most[0][0])}"
    return f"{listed}\nsave those of the model alone: torch.save({loaded}, 'weights.pt')"


def _places(content: Mapping[Any, Any], keys: tuple[Any, ...] = ()) -> Iterator[Place]:
    """(keys of a mapping, number of tensors in it) for all mappings with tensors."""
    count = sum(isinstance(value, Tensor) for value in content.values())
    if count and keys:
        yield keys, count
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _places(value, (*keys, key))


def _subscripts(keys: tuple[Any, ...]) -> str:
    """['ema']['module']"""
    return "".join(f"[{key!r}]" for key in keys)


def _complaints(model: nn.Module, given: Mapping[str, Tensor]) -> Iterator[str]:
    """What does not fit: shapes, and names that only the file or only the model has."""
    own = {name: value.shape for name, value in model.state_dict().items()}
    shapes = {name: value.shape for name, value in given.items()}
    both = [name for name in own if name in shapes]
    differing = [name for name in both if own[name] != shapes[name]]
    if differing:
        yield f"{len(differing)} of {len(own)} tensors have another shape, for example"
        for name in differing[:LISTED]:
            yield f"  {name}: {tuple(shapes[name])} in the file, {tuple(own[name])} in the model"
    for count, where, names in (
        (len(own), "missing in the file", [name for name in own if name not in shapes]),
        (len(shapes), "of the file unknown to the model", [n for n in shapes if n not in own]),
    ):
        if names:
            more = ", ..." if len(names) > LISTED else ""
            yield f"{len(names)} of {count} tensors are {where}: {', '.join(names[:LISTED])}{more}"
