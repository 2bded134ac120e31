"""Models of one's own whose towers give no features that go together are refused when loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from support.tiny import tiny_config

from rppbench.errors import UsageError
from rppbench.models.clip import load
from rppbench.models.towers.kinds import image_kind

TIMM = {"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear"}


def written(folder: Path, vision: dict[str, Any]) -> str:
    """The name of a folder with a model of this image tower and random weights."""
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 1}
    config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}
    with torch.random.fork_rng(devices=[]):
        model = open_clip.CustomTextCLIP(**config)
    torch.save(model.state_dict(), folder / "weights.pt")
    facts = {"model_cfg": config | {"custom_text": True}, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(facts))
    return f"local-dir:{folder}"


@pytest.mark.parametrize(
    ("vision", "message"),
    [
        (
            TIMM | {"image_size": 160, "timm_pool": "", "timm_proj": "none"},
            r"gives features of shape \(1, 101, 64\), not one for each image\n.*'timm_pool'",
        ),
        (
            TIMM | {"image_size": 160, "timm_proj": "none"},
            "the image tower gives 64 values, the text tower 32\nsee 'embed_dim'",
        ),
        (
            TIMM | {"image_size": 64, "timm_model_name": "test_vit3"},
            r"does not encode images of 64 x 64 pixels: Input height \(64\) doesn't match model "
            r"\(160\)\.?\ntheir size is 'image_size' of 'vision_cfg'",
        ),
    ],
)
def test_towers_that_do_not_fit_are_refused(
    vision: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        load(written(tmp_path, vision), {})


def test_a_sound_model_is_loaded(tmp_path: Path) -> None:
    name = written(tmp_path, tiny_config()["vision_cfg"])
    assert load(name, {}).space(2, torch.Generator()).embed == 32


def test_a_tower_of_timm_without_a_pooling_takes_no_prompt() -> None:
    vision = TIMM | {"image_size": 160, "timm_pool": "", "timm_proj": "none"}
    text = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 4, "layers": 1}
    model = open_clip.CustomTextCLIP(embed_dim=64, vision_cfg=vision, text_cfg=text)
    assert image_kind(model.visual) == "it reads no single feature"
