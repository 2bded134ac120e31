"""Which towers of a backbone take learned vectors, known before the model is loaded.

For the configurations of open_clip a committed table says so (`models.coverage`). A model with a
configuration of its own (shipped by a plugin, in a folder, on the hub) is compared with those of
the table; if none is built from the same parts, its towers are built without weights and examined.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rppbench.contracts.backbone import Backbone
from rppbench.files.digests import read_json
from rppbench.models.coverage import coverage
from rppbench.models.identity import CONFIG, BackboneSource, model_config, model_configs
from rppbench.models.weights.on_disk import cached

if TYPE_CHECKING:  # need torch
    from rppbench.contracts.method import Tower
    from rppbench.contracts.towers import ImageKind, TextKind

TOWERS: tuple[Tower, ...] = ("text", "image")
SIZES = {
    "text": ("context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"),
    "image": ("image_size", "patch_size", "width", "head_width", "layers", "mlp_ratio"),
}
"""Numbers of a tower's configuration that do not change which parts it is built from."""
OPEN_CLIP_LAYERS = 12
"""Blocks of a tower whose configuration names no number (open_clip/model.py, CLIPVisionCfg)."""
NAMES = ("hf_tokenizer_name", "tokenizer_kwargs", "hf_model_pretrained", "timm_model_pretrained")
"""Further entries: whether they are there matters, and not what they say."""


@dataclass(frozen=True)
class Obstacles:
    """Why no learned vectors can enter a tower; '' if they can, or if it is not known."""

    text: str = ""
    image: str = ""


def obstacles(
    source: BackboneSource,
    shipped: Mapping[str, Backbone],
    kinds: Sequence[type[ImageKind] | type[TextKind]] = (),
) -> Obstacles:
    """Why the towers of a backbone take no vectors, as far as it is known without a download.

    `kinds` are those that plugins add: what they take is not refused.
    """
    if source.kind in ("tag", "file") and (row := coverage().get(source.model)):
        config: Mapping[str, Any] | None = read_json(model_configs()[source.model])
        reasons: Mapping[str, str | None] = {"text": row.text_obstacle, "image": row.image_obstacle}
    else:
        config = config_of(source, shipped)
        reasons = {} if config is None else {tower: _in_table(tower, config) for tower in TOWERS}
    return Obstacles() if config is None else _completed(reasons, config, kinds)


def _completed(
    reasons: Mapping[str, str | None],
    config: Mapping[str, Any],
    kinds: Sequence[type[ImageKind] | type[TextKind]],
) -> Obstacles:
    """Examines the towers without a reason in the table, and refused ones if plugins add kinds."""
    known = {tower: reason or "" for tower, reason in reasons.items()}
    for tower, reason in reasons.items():
        if reason is None or (reason and kinds):
            from rppbench.models.examination import examined  # loads open_clip

            known[tower] = examined(tower, config, kinds) or ""
    return Obstacles(**known)


def block_counts(source: BackboneSource, shipped: Mapping[str, Backbone]) -> dict[Tower, int]:
    """Number of blocks of each tower that open_clip builds itself, from its configuration.

    Towers that timm and transformers build are left out, and stages of a ResNet.
    """
    config = config_of(source, shipped) or {}
    counts: dict[Tower, int] = {}
    for tower in TOWERS:
        entries = config.get("vision_cfg" if tower == "image" else "text_cfg")
        if entries and not (entries.get("timm_model_name") or entries.get("hf_model_name")):
            layers = entries.get("layers", OPEN_CLIP_LAYERS)
            if isinstance(layers, int):
                counts[tower] = layers
    return counts


def config_of(source: BackboneSource, shipped: Mapping[str, Backbone]) -> dict[str, Any] | None:
    """open_clip's configuration of a model; None if it is on the hub alone.

    UsageError for a file of a folder or repository that describes no model.
    """
    if source.kind in ("tag", "file"):  # of an open_clip that is newer than the table
        return read_json(model_configs()[source.model])
    if source.kind == "shipped":
        config = read_json(shipped[source.model].config)
        return {key: value for key, value in config.items() if key != "preprocess"}
    folder = source.kind == "folder"
    path = Path(source.weights) / CONFIG if folder else cached(source.weights, CONFIG)
    return None if path is None else model_config(path)


def _in_table(tower: Tower, config: Mapping[str, Any]) -> str | None:
    """What the table says of the configurations of the same parts; None if it has none."""
    return _by_parts(tower).get(_parts(tower, config))


@cache
def _by_parts(tower: Tower) -> Mapping[str, str]:
    """The table by what a tower is built from; parts with several answers are left out."""
    answers: dict[str, set[str]] = {}
    for name, row in coverage().items():
        if name in model_configs():
            parts = _parts(tower, read_json(model_configs()[name]))
            reason = row.text_obstacle if tower == "text" else row.image_obstacle
            answers.setdefault(parts, set()).add(reason)
    return {parts: reasons.pop() for parts, reasons in answers.items() if len(reasons) == 1}


def _parts(tower: Tower, config: Mapping[str, Any]) -> str:
    """The entries of a tower's configuration that say what it is built from, as one text."""
    entries = config["vision_cfg" if tower == "image" else "text_cfg"]
    kept = {
        key: bool(value) if key in NAMES else value
        for key, value in entries.items()
        # ResNet's layers are a list, one number a stage; a layer scale may have any start.
        if not (key in SIZES[tower] and not isinstance(value, list)) and key != "ls_init_value"
    }
    if isinstance(kept.get("layers"), list):
        kept["layers"] = "stages"
    given = {key: value for key, value in kept.items() if value is not None}
    return json.dumps(given, sort_keys=True)
