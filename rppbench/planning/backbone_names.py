"""Names of backbones as people give them: with weights apart, separated by commas, in a file.

A file lists one backbone a line; empty lines and lines that start with '#' are skipped. A text
means such a file if its name ends in one of `LISTS`, or if it is a path to a text file: a file of
weights is named as MODEL/FILE, so its path alone is never a backbone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rppbench.errors import UsageError
from rppbench.files.lines import LISTS, numbered_names
from rppbench.models.identity import FOLDER, model_configs

WEIGHTS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".npz")
"""Endings of files of weights."""


def backbones(models: Sequence[str], pretrained: str | None) -> tuple[str, ...]:
    """MODEL or MODEL/PRETRAINED for each model, every one once; () if none is named.

    UsageError for weights without a model, and for a list that cannot be read or names nothing.
    """
    if pretrained is not None and not models:
        raise UsageError(
            "--pretrained names the weights of a model: name the model too, --model MODEL"
        )
    names = dict.fromkeys(name for text in models for name in _named(text))
    for name in names if pretrained is not None else ():
        if "-".join(name.split("/")[:-1]) in model_configs():
            raise UsageError(
                f"{name!r} names its weights already: leave out --pretrained {pretrained}"
            )
    return tuple(f"{name}/{pretrained}" if pretrained else name for name in names)


def place(name: str, models: Sequence[str], pretrained: str | None) -> str:
    """'FILE:LINE: ' of a backbone that a list names, for a message; '' if it was given directly."""
    weights = f"/{pretrained}" if pretrained else ""
    for path in filter(None, map(_list_of, models)):
        for number, line in _lines_of(path):
            if name in (f"{one}{weights}" for one in _separated(line)):
                return f"{path}:{number}: "
    return ""


def only_backbone(model: str | None, pretrained: str | None) -> str:
    """The backbone of a command that takes one; '' if none is named."""
    names = backbones((model,) if model else (), pretrained)
    if len(names) > 1:
        raise UsageError(f"--model takes one backbone here, not {len(names)}: {', '.join(names)}")
    return names[0] if names else ""


def _named(text: str) -> Iterator[str]:
    """The backbones that one argument of --model names."""
    if path := _list_of(text):
        for _, line in _lines_of(path):
            yield from _separated(line)
    elif "," in text and not Path(text.removeprefix(FOLDER)).expanduser().exists():
        yield from _separated(text)
    else:
        yield text


def _separated(text: str) -> Iterator[str]:
    """The backbones between commas; weights behind a model of open_clip are the model's.

    'ViT-B-32,openai', as CLIP_benchmark writes it, is 'ViT-B-32/openai'.
    """
    parts = list(filter(None, (part.strip() for part in text.split(","))))
    while parts:
        name = parts.pop(0)
        # A model without weights is no backbone, so what follows it is its weights.
        weights = parts[0] if parts and name.replace("/", "-") in model_configs() else ""
        if weights and weights.partition("/")[0] not in model_configs():
            name = f"{name}/{parts.pop(0)}"
        yield name


def _may_be_a_list(text: str) -> bool:
    """Whether the text looks like a path; 'demo' is a backbone even beside a file 'demo'."""
    suffix = Path(text).suffix
    return suffix not in WEIGHTS and ("/" in text or suffix != "")


def _list_of(text: str) -> Path | None:
    """The list that an argument of --model names; one that does not exist counts too."""
    path = Path(text).expanduser()
    listed = path.suffix in LISTS or (_may_be_a_list(text) and path.is_file())
    return path if listed else None


def _lines_of(path: Path) -> list[tuple[int, str]]:
    hint = f", and a file of weights is named with its model: MODEL/{path}"
    return numbered_names(path, "backbone", "ViT-B-16/openai", hint)
