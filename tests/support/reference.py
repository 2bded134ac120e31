"""A slow reference of prompted CLIP, written from the papers, to compare the towers with.

Every class runs its own 77 tokens; queries, keys and values have separate matrices; the softmax
is written out. Only the weights (a state dict in OpenAI's naming) and `Prompt` are shared with
the code under test.

CLIP: Radford et al., arXiv 2103.00020. Layout of learned tokens: CoOp, arXiv 2109.01134 (text);
MaPLe, arXiv 2210.03117 (deep, both towers). Unshared queries, keys and values: SAPL in RPP,
arXiv 2409.06166, X*_Q = LN(Rep(X, P_Q)) and so on, the stream left as it is unless overwritten.
Beside a block: Adapter.block of LN(X) is added to what the block returns (MMA, CVPR 2024, eq. 4).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rppbench.contracts.prompts import Prompt

Weights = Mapping[str, Tensor]


def layer_norm(x: Tensor, weights: Weights, name: str) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    standardised = (x - mean) / torch.sqrt(variance + 1e-5)
    return standardised * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def activation(x: Tensor, quick: bool) -> Tensor:
    if quick:
        return x / (1 + torch.exp(-1.702 * x))
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def attention(
    q: Tensor, k: Tensor, v: Tensor, weights: Weights, name: str, heads: int, mask: Tensor | None
) -> Tensor:
    """Multi-head attention of (b, l, d) inputs; mask (l, l) is True where a token may attend."""
    w_q, w_k, w_v = weights[f"{name}.in_proj_weight"].split(q.shape[-1])
    b_q, b_k, b_v = weights[f"{name}.in_proj_bias"].split(q.shape[-1])
    q, k, v = q @ w_q.T + b_q, k @ w_k.T + b_k, v @ w_v.T + b_v
    size = q.shape[-1] // heads
    mixed = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / size**0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        scores = torch.exp(scores - scores.amax(-1, keepdim=True))
        mixed.append(scores / scores.sum(-1, keepdim=True) @ v[..., part])
    return (
        torch.cat(mixed, -1) @ weights[f"{name}.out_proj.weight"].T
        + weights[f"{name}.out_proj.bias"]
    )


def replaced(x: Tensor, learned: Tensor | None, slot: int) -> Tensor:
    """Rep(X, P): the rows from `slot` on are the learned ones, (m, d) or (c, m, d)."""
    if learned is None:
        return x
    rows = list(x.unbind(1))
    for offset, row in enumerate(learned.unbind(-2)):
        rows[slot + offset] = row.to(x.dtype).expand(len(x), -1)
    return torch.stack(rows, 1)


def transformer(
    x: Tensor,
    weights: Weights,
    prefix: str,
    heads: int,
    quick: bool,
    prompt: Prompt | None,
    slot: int,
    mask: Tensor | None = None,
) -> Tensor:
    layer = 0
    while f"{prefix}.{layer}.ln_1.weight" in weights:
        name = f"{prefix}.{layer}"
        star, beside = [x, x, x], None
        if prompt is not None:
            x = replaced(x, prompt.stream.get(layer), slot)
            parts = (prompt.queries, prompt.keys, prompt.values)
            star = [replaced(x, learned.get(layer), slot) for learned in parts]
        if prompt is not None and (adapter := prompt.adapters.get(layer)):
            assert adapter.block is not None, "LoRA's reference is a CLIP with merged weights"
            beside = adapter.block(layer_norm(x, weights, f"{name}.ln_1"))
        q, k, v = (layer_norm(stream, weights, f"{name}.ln_1") for stream in star)
        mixed = attention(q, k, v, weights, f"{name}.attn", heads, mask)
        x = x + mixed * weights.get(f"{name}.ls_1.gamma", 1)  # LayerScale, arXiv 2103.17239
        hidden = layer_norm(x, weights, f"{name}.ln_2") @ weights[f"{name}.mlp.c_fc.weight"].T
        hidden = activation(hidden + weights[f"{name}.mlp.c_fc.bias"], quick)
        hidden = hidden @ weights[f"{name}.mlp.c_proj.weight"].T
        hidden = hidden + weights[f"{name}.mlp.c_proj.bias"]
        x = x + hidden * weights.get(f"{name}.ls_2.gamma", 1)
        x = x if beside is None else x + beside
        layer += 1
    return x


def text_features(
    weights: Weights,
    tokenize: Any,
    names: Sequence[str],
    prompt: Prompt,
    heads: int,
    quick: bool,
    wording: str = "{}.",
) -> Tensor:
    """(c, e): 'X X ... name.' tokenised in full, X's embeddings replaced by the learned ones.

    Tokens after the name change places with it: an X stands for each of them too.
    """
    after = prompt.input[..., :0, :] if prompt.after_name is None else prompt.after_name
    n = prompt.input.shape[-2] + after.shape[-2]
    ids = tokenize([" ".join(["X"] * n + [wording.replace("{}", name)]) for name in names])
    x = weights["token_embedding.weight"][ids]
    learned = prompt.input.to(x.dtype).expand(len(names), -1, -1)
    behind = after.to(x.dtype).expand(len(names), -1, -1)
    counts = [len(tokenize.encode(name)) for name in names]
    rows = [
        torch.cat([row[:1], own, row[1 + n : 1 + n + count], late, row[1 + n + count :]])
        for row, own, late, count in zip(x, learned, behind, counts, strict=True)
    ]
    x = torch.stack(rows) + weights["positional_embedding"]
    mask = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    x = transformer(x, weights, "transformer.resblocks", heads, quick, prompt, slot=1, mask=mask)
    x = layer_norm(x, weights, "ln_final")
    ends = ids.max(-1).indices
    rows = torch.stack([x[row, end] for row, end in enumerate(ends.tolist())])
    features = rows @ weights["text_projection"]
    return features / features.norm(dim=-1, keepdim=True)


def image_features(
    weights: Weights,
    images: Tensor,
    prompt: Prompt | None,
    heads: int,
    quick: bool,
    unit: bool = True,
) -> Tensor:
    """(b, e): learned tokens after the patches, before ln_pre, without positions."""
    kernel = weights["visual.conv1.weight"]  # (d, 3, patch, patch)
    side = kernel.shape[-1]
    patches = images.unfold(2, side, side).unfold(3, side, side)  # (b, 3, rows, columns, p, p)
    patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    x = patches @ kernel.flatten(1).T
    x = torch.cat([weights["visual.class_embedding"].expand(len(x), 1, -1), x], 1)
    x = x + weights["visual.positional_embedding"]
    slot = x.shape[1]
    if prompt is not None:
        x = torch.cat([x, prompt.input.to(x.dtype).expand(len(x), -1, -1)], 1)
    x = layer_norm(x, weights, "visual.ln_pre")
    x = transformer(x, weights, "visual.transformer.resblocks", heads, quick, prompt, slot)
    features = layer_norm(x[:, 0], weights, "visual.ln_post") @ weights["visual.proj"]
    return features / features.norm(dim=-1, keepdim=True) if unit else features
