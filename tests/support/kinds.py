"""Small random models of every kind of tower, and reference values by hooks on their modules."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from rppbench.contracts.prompts import Prompt
from rppbench.data.preprocess import Preprocess
from rppbench.models.clip import Clip
from rppbench.models.identity import model_configs
from rppbench.models.small import small_model
from support.tiny import MEAN, STD, randomise

VIT = {"image_size": 32, "layers": 3, "width": 64, "head_width": 16, "patch_size": 8}
OWN: Mapping[str, dict[str, Any]] = {
    "BiomedCLIP-like": {
        "embed_dim": 32,
        "vision_cfg": {"timm_model_name": "vit_base_patch16_224", "timm_proj": "linear"},
        "text_cfg": {
            "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
            "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
        },
    },
    "BERT with its own pooler": {
        "embed_dim": 32,
        "vision_cfg": VIT,
        "text_cfg": {"hf_model_name": "bert-base-uncased", "hf_pooler_type": "cls_pooler"},
    },
    "custom blocks": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": VIT | {"qk_norm": True, "scale_attn": True, "scale_fc": True},
        "text_cfg": {"context_length": 32, "scale_heads": True, "scale_attn_inner": True},
    },
    "padding hidden": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": VIT | {"pool_type": "avg"},
        "text_cfg": {"context_length": 32, "no_causal_mask": True},
    },
    "causal, read at the last position": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": VIT | {"attentional_pool": True, "attn_pooler_heads": 4, "pool_type": "avg"},
        "text_cfg": {"context_length": 24, "pool_type": "last"},
    },
    "read at the first position": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": VIT | {"pool_type": "avg", "no_ln_pre": True},
        "text_cfg": {"context_length": 24, "pool_type": "first", "no_causal_mask": True},
    },
}
"""Configurations of kinds that open_clip's own list has none of."""
TEXT = (
    *("ViT-B-32", "PE-Core-B-16", "ViT-B-16-SigLIP", "ViT-B-16-SigLIP2", "ViT-SO400M-14-SigLIP"),
    *("coca_ViT-B-32", "MobileCLIP2-S0", "ViT-H-14-CLIPA", "ViT-H-14-worldwide"),
    *("ViT-L-14-worldwide", "roberta-ViT-B-32", "xlm-roberta-base-ViT-B-32"),
    *("mt5-base-ViT-B-32", "nllb-clip-base", *OWN),
)
IMAGE = (
    *("ViT-B-32", "ViT-M-16-alt", "ViT-H-14-CLIPA", "coca_ViT-B-32", "ViT-B-16-SigLIP"),
    *("MobileCLIP-B", "ViTamin-S", "vit_medium_patch16_gap_256", "EVA01-g-14"),
    *("EVA02-B-16", "EVA02-E-14", "PE-Core-B-16", *OWN),
)


@cache
def small_clip(name: str) -> Clip:
    """A small random model in float64 with noise on every weight, norms and biases included."""
    own = OWN.get(name)
    config = own or json.loads(model_configs()[name].read_text())
    model, tokenizer, side = small_model(config)
    if name == "padding hidden":
        model.text.use_pad_mask = True  # open_clip's configurations cannot ask for it
    randomise(model, seed=1)
    return Clip(name, "0", model.double(), tokenizer, Preprocess(side, MEAN, STD))


def pixels(clip: Clip, count: int = 2, rows: int = 1) -> Tensor:
    """Normal noise (count, 3, rows * side, side)."""
    side = clip.preprocess.size
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 3, rows * side, side, generator=generator, dtype=torch.float64)


@contextmanager
def hooks(*added: Any) -> Iterator[None]:
    """While this lasts, the modules run with hooks, given as (method of the module, hook)."""
    with ExitStack() as stack:
        for register, hook in added:
            stack.callback(register(hook).remove)
        yield


def overwrite(rows: Tensor, slot: int) -> Callable[..., Any]:
    """A hook that overwrites rows from `slot` on, in the input of a block or in an output."""

    def hook(module: Any, inputs: Any, output: Tensor | None = None) -> Any:
        x = inputs[0] if output is None else output
        own = rows.expand(len(x), -1, -1)
        x = torch.cat([x[:, :slot], own, x[:, slot + own.shape[1] :]], 1)
        return (x, *inputs[1:]) if output is None else x

    return hook


def text_by_hooks(clip: Clip, prompt: Prompt, rows: list[list[int]]) -> Tensor:
    """Unit features (c, e) of rows of ids, by `encode_text` with vectors put in by hooks.

    The rows have any word in the place of each learned token.
    """
    kind = clip.text.kind
    tokens, length = kind.tokens, clip.tokenizer.context_length
    ids = torch.tensor([[*row, *[tokens.pad] * (length - len(row))] for row in rows])
    slot = len(tokens.start)
    text = getattr(clip.model, "text", clip.model)
    inner = getattr(text, "token_embedding", None) or text.transformer.get_input_embeddings()
    added = [(inner.register_forward_hook, overwrite(prompt.input, slot))]
    for i, vectors in prompt.stream.items():
        added.append((kind.blocks[i].register_forward_pre_hook, overwrite(vectors, slot)))
    with hooks(*added):
        return clip.model.encode_text(ids, normalize=True)


def images_by_hooks(clip: Clip, images: Tensor, prompt: Prompt) -> Tensor:
    """Unit features (b, e) of images, by `encode_image` with tokens put in by hooks.

    They stand behind the class token where positions are rotary (which skip what stands before the
    patches, so that number is raised while this lasts), else behind the patches.
    """
    kind = clip.image.kind
    learned, count = kind.enter(prompt.input), len(prompt.input)
    attentions = [block.attn for block in kind.blocks]
    rotary = hasattr(attentions[0], "num_prefix_tokens")
    first = attentions[0].num_prefix_tokens if rotary else None
    place: list[int] = []

    def insert(module: Any, inputs: Any) -> Any:
        x = inputs[0]
        place[:] = [x.shape[1] if first is None else first]
        own = learned.expand(len(x), -1, -1)
        return (torch.cat([x[:, : place[0]], own, x[:, place[0] :]], 1), *inputs[1:])

    def drop(module: Any, inputs: Any, output: Tensor) -> Tensor:
        return torch.cat([output[:, : place[0]], output[:, place[0] + count :]], 1)

    added = [(kind.blocks[0].register_forward_pre_hook, insert)]
    for i, vectors in prompt.stream.items():

        def write(module: Any, inputs: Any, vectors: Tensor = vectors) -> Any:
            return overwrite(vectors, place[0])(module, inputs)

        added.append((kind.blocks[i].register_forward_pre_hook, write))
    added.append((kind.blocks[-1].register_forward_hook, drop))
    try:
        for attention in attentions if rotary else ():
            attention.num_prefix_tokens += count
        with hooks(*added):
            features = clip.model.encode_image(images)
    finally:
        for attention in attentions if rotary else ():
            attention.num_prefix_tokens -= count
    return features / features.norm(dim=-1, keepdim=True)
