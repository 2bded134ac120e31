"""Folders of tiny randomly initialised proposal models (DETR, Mask2Former, SAM) of transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import rppbench.torchvision_shim  # noqa: F401  # transformers imports torchvision

__all__ = ["detr", "load_file", "mask2former", "sam", "save_file"]

transformers: Any = pytest.importorskip("transformers")


def _resnet() -> Any:
    return transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def detr(folder: Path) -> Path:
    """DETR: 6 queries."""
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        use_pretrained_backbone=False,
        backbone_config=_resnet(),
        num_queries=6,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_labels=3,
    )
    size = {"shortest_edge": 48, "longest_edge": 64}
    processor = transformers.DetrImageProcessor(size=size)
    return _save(folder, lambda: transformers.DetrForObjectDetection(config), processor)


def mask2former(folder: Path) -> Path:
    """Mask2Former: 8 queries."""
    swin = transformers.SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=swin,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=8,
        num_labels=3,
        train_num_points=16,
    )
    size = {"shortest_edge": 64, "longest_edge": 96}
    processor = transformers.Mask2FormerImageProcessor(size=size)
    kind = transformers.Mask2FormerForUniversalSegmentation
    return _save(folder, lambda: kind(config), processor)


def sam(folder: Path) -> Path:
    """Segment Anything on 64 pixels."""
    vision = transformers.SamVisionConfig(
        hidden_size=16,
        output_channels=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        window_size=2,
        global_attn_indexes=[0],
        num_pos_feats=8,
        mlp_dim=16,
    )
    prompt = transformers.SamPromptEncoderConfig(
        hidden_size=16, image_size=64, patch_size=16, mask_input_channels=4
    )
    decoder = transformers.SamMaskDecoderConfig(
        hidden_size=16,
        mlp_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        iou_head_hidden_dim=16,
    )
    config = transformers.SamConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    processor = transformers.SamImageProcessor(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16},
        mask_pad_size={"height": 16, "width": 16},
    )
    return _save(folder, lambda: transformers.SamModel(config), processor)


def _save(folder: Path, build: Callable[[], Any], processor: Any) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build()
    with torch.no_grad():  # equal queries would give equal proposals
        for name, weight in model.named_parameters():
            weight.mul_(20 if "quer" in name else 1)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
