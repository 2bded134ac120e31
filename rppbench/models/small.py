"""Small random models of open_clip configurations: the same modules, with fewer and thinner layers.

They serve to find out what a configuration can do, and to test every kind of tower without a
download. Vocabularies of the Hugging Face hub are replaced by one of bytes with the same special
tokens, text models of transformers by random ones of the same type.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import open_clip
import timm
import torch

from rppbench.errors import UsageError
from rppbench.models.tokens import Tokenizer

WIDTH, HEADS, LAYERS, EMBED = 64, 4, 3, 32
"""Of every tower whose sizes can be chosen."""
SIDE = 4
"""Patches along each side of an image."""
SPECIAL: Mapping[str, tuple[dict[str, int], str, bool]] = {
    "bert": ({"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102}, "[CLS] $A [SEP]", True),
    "roberta": ({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}, "<s> $A </s>", False),
    "xlm-roberta": ({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}, "<s> $A </s>", True),
    "mt5": ({"<pad>": 0, "</s>": 1, "<unk>": 2}, "$A </s>", True),
    "m2m_100": (
        {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "eng_Latn": 4},
        "eng_Latn $A </s>",
        True,
    ),
    "siglip": ({"</s>": 1, "<unk>": 2}, "$A </s>", True),  # it fills rows with its end token
    "siglip2": ({"<pad>": 0, "</s>": 1, "<unk>": 3}, "$A </s>", True),
}
"""Special tokens of a vocabulary with their ids, a row of it, and whether words are alike at the
start of a sentence and inside it; by the type of its model."""


def small_model(config: Mapping[str, Any], seed: int = 0) -> tuple[Any, Tokenizer, int]:
    """A small random model of an open_clip configuration, its tokenizer, and its image's side.

    UsageError if the model cannot be built, as where a library is missing.
    """
    settings: dict[str, Any] = deepcopy(dict(config))
    vision, text = settings["vision_cfg"], settings["text_cfg"]
    with TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind = vocabulary_of(text)
        tokenizer = small_tokenizer(kind, text, Path(folder) / "tokenizer") if kind else None
        _shrink_text(text, kind, Path(folder))
        side = _shrink_image(vision)
        settings["embed_dim"] = EMBED if vision.get("timm_proj") != "none" else WIDTH
        if "timm_model_name" in vision and text.get("proj_type") == "none":
            text["width"] = settings["embed_dim"]
        # As `open_clip.create_model` chooses the class.
        custom = settings.pop("custom_text", False) or "hf_model_name" in text
        build: Any = open_clip.CustomTextCLIP if custom else open_clip.CLIP
        if "multimodal_cfg" in settings:
            build = open_clip.CoCa
            settings["multimodal_cfg"] |= {"width": WIDTH, "heads": HEADS, "layers": 1}
        try:
            with _small_trunks(side):
                model = build(**settings)
        except (ImportError, RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise UsageError(f"a small model of this configuration cannot be built: {error}") from (
                error
            )
    if tokenizer is None:
        tokenizer = open_clip.SimpleTokenizer(context_length=text.get("context_length", 77))
    return model.eval(), tokenizer, side


def vocabulary_of(text: Mapping[str, Any]) -> str | None:
    """The type of a text configuration's vocabulary (`SPECIAL`); None for CLIP's own."""
    name = str(text.get("hf_tokenizer_name") or text.get("hf_model_name") or "").lower()
    if not name:
        return None
    words = {
        "siglip2": "siglip2",
        "siglip": "siglip",
        "nllb": "m2m_100",
        "m2m": "m2m_100",
        "mt5": "mt5",
        "xlm": "xlm-roberta",
        "roberta": "roberta",
        "bert": "bert",
    }
    for word, kind in words.items():
        if word in name:
            return kind
    raise UsageError(f"no stand-in is known for the vocabulary {name!r}")


def small_tokenizer(kind: str, text: Mapping[str, Any], folder: Path) -> Tokenizer:
    """open_clip's `HFTokenizer` with a vocabulary of bytes and the special tokens of the kind.

    Its files are written to `folder`. UsageError without transformers.
    """
    try:
        from tokenizers import Tokenizer as Fast
        from tokenizers import models, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise UsageError(
            "the text of this configuration needs transformers: pip install 'rppbench[hf]'"
        ) from error
    special, row, alike = SPECIAL[kind]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    free = iter(number for number in range(1000) if number not in special.values())
    vocabulary = special | {letter: next(free) for letter in letters}
    fast = Fast(models.BPE(vocab=vocabulary, merges=[]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=alike)
    fast.post_processor = processors.TemplateProcessing(
        single=row, special_tokens=list(special.items())
    )
    roles = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>" if "<unk>" in special else "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": next((one for one in ("<pad>", "[PAD]") if one in special), "</s>"),
    }
    named = {role: token for role, token in roles.items() if token in special}
    inner = PreTrainedTokenizerFast(tokenizer_object=fast, padding_side="right", **named)
    inner.save_pretrained(folder)
    options = dict(text.get("tokenizer_kwargs") or {})
    return open_clip.tokenizer.HFTokenizer(
        str(folder), context_length=text.get("context_length", 77), **options
    )


def _shrink_text(text: dict[str, Any], kind: str | None, folder: Path) -> None:
    if "hf_model_name" in text:
        assert kind
        (folder / "text").mkdir()
        (folder / "text" / "config.json").write_text(json.dumps(_small_config(kind)))
        text |= {"hf_model_name": str(folder / "text"), "hf_model_pretrained": False}
        return
    text |= {"width": WIDTH, "heads": HEADS, "layers": LAYERS}
    if kind:
        text["vocab_size"] = 1000


def _small_config(kind: str) -> dict[str, Any]:
    """The configuration of a small text model of transformers."""
    if kind == "mt5":
        sizes = {"d_model": WIDTH, "d_kv": 16, "d_ff": 2 * WIDTH, "num_layers": LAYERS}
        sizes |= {"num_decoder_layers": 1, "num_heads": HEADS}
    elif kind == "m2m_100":
        sizes = {"d_model": WIDTH, "encoder_layers": LAYERS, "decoder_layers": 1}
        sizes |= {"encoder_attention_heads": HEADS, "decoder_attention_heads": HEADS}
        sizes |= {"encoder_ffn_dim": 2 * WIDTH, "decoder_ffn_dim": 2 * WIDTH}
    else:
        sizes = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS}
        sizes |= {"num_attention_heads": HEADS, "intermediate_size": 2 * WIDTH}
        sizes |= {"max_position_embeddings": 130}
    special = SPECIAL[kind][0]
    pad = special.get("<pad>", special.get("[PAD]"))
    return {"model_type": kind, "vocab_size": 1000, "pad_token_id": pad, **sizes}


def _shrink_image(vision: dict[str, Any]) -> int:
    """Shrink open_clip's own towers; returns the side of the image in pixels."""
    if isinstance(vision.get("layers"), list):
        vision |= {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64}
    elif "timm_model_name" in vision:
        vision |= {"timm_model_pretrained": False, "image_size": _timm_side(vision)}
    else:
        side = SIDE * int(vision["patch_size"])
        vision |= {"layers": LAYERS, "width": WIDTH, "head_width": WIDTH // HEADS}
        vision["image_size"] = side
    return int(vision["image_size"])


def _timm_side(vision: Mapping[str, Any]) -> int:
    name = vision["timm_model_name"]
    if "swin" in name or "relpos" in name:
        return 224  # windows and relative positions are made for it
    if patch := next((int(one[5:]) for one in name.split("_") if one.startswith("patch")), 0):
        return SIDE * patch
    return SIDE * 32 if "fastvit" in name or "convnext" in name else SIDE * 16


@contextmanager
def _small_trunks(side: int) -> Iterator[None]:
    """While this lasts, timm makes small models, for the images of `side` pixels."""
    create = timm.create_model

    def small(name: str, **options: Any) -> Any:
        return create(name, **options, **_timm_sizes(name, side))

    with patch.object(timm, "create_model", small):
        yield


def _timm_sizes(name: str, side: int) -> dict[str, Any]:
    """Options of timm's models that make them small."""
    if "convnext" in name:
        return {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}
    if "swin" in name:
        return {"depths": (1, 1, 1, 1), "embed_dim": 16, "num_heads": (1, 2, 4, 8)}
    if "fastvit" in name:
        count = 5 if name in ("fastvit_mci3", "fastvit_mci4") else 4
        return {"layers": (1,) * count, "embed_dims": tuple(16 * 2**i for i in range(count))}
    if "mci" in name:
        return {"depth": LAYERS, "img_size": side}  # its stem is as wide as the tower
    sizes: dict[str, Any] = {"depth": LAYERS, "embed_dim": WIDTH, "num_heads": HEADS}
    if "vitamin" in name:
        from timm.models.vitamin import VitCfg, VitConvCfg

        stem = VitConvCfg(norm_layer="layernorm2d", norm_eps=1e-6)
        sizes["embed_cfg"] = VitCfg(
            embed_dim=(16, 32, WIDTH),
            depths=(1, 1, 1),
            stem_width=16,
            conv_cfg=stem,
            head_type="1d",
        )
    return sizes if "relpos" in name else sizes | {"img_size": side}
