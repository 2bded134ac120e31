"""Folders in the layout of the hub with towers of timm and vocabularies of transformers."""

import json
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from rppbench.contracts.prompts import Prompt
from rppbench.errors import UsageError
from rppbench.models.clip import load
from rppbench.models.small import small_tokenizer

VISION = {
    "image_size": 160,
    "timm_model_name": "test_vit",
    "timm_pool": "avg",
    "timm_proj": "linear",
}
SIGLIP: dict[str, Any] = {
    "embed_dim": 64,
    "init_logit_bias": -10.0,
    "vision_cfg": VISION,
    "text_cfg": {
        "context_length": 32,
        "vocab_size": 1000,
        "width": 64,
        "heads": 4,
        "layers": 3,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "hf_tokenizer_name": "siglip2",
        "tokenizer_kwargs": {"clean": "canonicalize"},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A SigLIP2-like model with random weights."""
    small_tokenizer("siglip2", SIGLIP["text_cfg"], tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CustomTextCLIP(**SIGLIP)
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    preprocess = {"size": 160, "mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
    config = {"model_cfg": SIGLIP | {"custom_text": True}, "preprocess_cfg": preprocess}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_folder_of_any_kind_is_a_backbone_that_takes_prompts(
    folder: Path, precision: str
) -> None:
    clip = load(f"local-dir:{folder}", {}, precision)
    assert clip.bias is not None
    assert clip.bias.item() == -10
    names = ["cat", "dog"]
    images = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    near = 1e-5 if precision == "fp32" else 0.05
    texts = clip.text.encode(Prompt(torch.zeros(0, 64)), clip.names(names))
    own = clip.model.encode_text(clip.tokenizer(["cat.", "dog."]), normalize=True)
    torch.testing.assert_close(texts, own.float(), rtol=0, atol=near)
    width = clip.space(2, torch.Generator()).image_width
    prompted = clip.image.encode(images, Prompt(torch.zeros(0, width)))
    torch.testing.assert_close(prompted, clip.image.encode(images), rtol=0, atol=near)
    assert clip.image.patches(images).shape == (2, 10, 10, 64)


@pytest.mark.filterwarnings("ignore")
def test_without_transformers_the_extra_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"need transformers: pip install 'rppbench\[hf\]'"):
        load(f"local-dir:{folder}", {})
