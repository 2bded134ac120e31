"""Tensors of a model in a file, wherever training code has put them, and whether they fit a model.

Only tensors and plain values are read: safetensors, or `torch.load` with `weights_only`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
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


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The model's tensors by the names that its modules have.

    UsageError, which says where tensors lie, if they are not in one of the usual places.
    """
    if path.suffix == ".safetensors":
        return _named(load_file(path))
    content = torch.load(path, map_location="cpu", weights_only=True)
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if _is_mapping(content.get(key))), None)
        if inner is None:
            break
        content = inner
    if not _holds_tensors(content):
        raise UsageError(_elsewhere(content, path))
    return _named(content)


def load_into(model: Any, state: Mapping[str, Tensor], name: str, path: Path) -> None:
    """Copy tensors into a model of open_clip, as open_clip's own `load_checkpoint` does.

    Names of other layouts are translated, and position embeddings of another number of tokens are
    interpolated. `name` is the model's, for messages. UsageError, with both shapes and the
    configurations that fit, if the tensors are not those of the model.
    """
    given = dict(convert_state_dict(model, dict(state)))
    if "positional_embedding" in given and not hasattr(model, "positional_embedding"):
        given = convert_to_custom_text_state_dict(given)
    for scalar in ("logit_scale", "logit_bias"):  # () in some files, (1,) in others
        own = getattr(model, scalar, None)
        if scalar in given and own is not None:
            given[scalar] = given[scalar].reshape(own.shape)
    if "logit_bias" not in given and getattr(model, "logit_bias", None) is not None:
        given["logit_bias"] = torch.zeros_like(model.logit_bias)
    unused = "text.transformer.embeddings.position_ids"  # a buffer of older transformers
    if unused not in model.state_dict():
        given.pop(unused, None)
    for resize in (resize_pos_embed, resize_text_pos_embed):
        with suppress(AssertionError, AttributeError, RuntimeError):  # another width: see below
            resize(given, model)
    if complaints := list(_complaints(model, given)):
        fitting = [other for other in fitting_configurations(state) if other != name]
        advice = [f"it fits {other}: name it {other}/{path}" for other in fitting[:LISTED]]
        complaints[0] = f"{path} does not hold weights of {name}: {complaints[0]}"
        raise UsageError("\n".join([*complaints, *advice]))
    model.load_state_dict(given)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and len(value) > 0


def _holds_tensors(content: object) -> bool:
    return isinstance(content, Mapping) and any(isinstance(v, Tensor) for v in content.values())


def _named(content: Mapping[str, Any]) -> dict[str, Tensor]:
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
    places = sorted(_places(content), key=lambda place: -place[1])[:LISTED]
    if not places:
        return f"{head}; no tensors are in it"
    where = ", ".join(f"{_subscripts(keys)} ({count})" for keys, count in places)
    loaded = f"torch.load({str(path)!r}){_subscripts(places[0][0])}"
    return (
        f"{head}; its tensors are under {where}\n"
        f"save those of the model alone: torch.save({loaded}, 'weights.pt')"
    )


def _places(content: Mapping[Any, Any], keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, int]]:
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
