"""Write trained weights as the shipped backbones: python export.py OUT

Tensors are float16. Tokens that are in no training caption get all-zero embeddings: these mark
class names that the text tower does not know, and take almost no space in a wheel.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from captions import COLOURS, PAIRED, PLAIN, STYLED, STYLES, kind_words
from safetensors.torch import save_file
from schedule import CONFIGS, Words

from rppbench_datasets.world.artwork import WORLD, concepts

NAMES = {"teacher": "demo-teacher", "student": "demo"}


def seen_tokens() -> list[int]:
    """Ids of all tokens that captions can contain."""
    words = Words()
    texts = [*PLAIN, *STYLED, *PAIRED, *COLOURS, "a red background.", "small big medium"]
    texts += [style for styles in STYLES.values() for style in styles]
    for concept in concepts():
        for text in (concept.name, kind_words(concept.kind), *concept.tags):
            texts += [text, f"{text}.", f"{text},", f"{text}:", f"{text}?"]
    return sorted({token for text in texts for token in words.ids(text)})


def export(out: Path, stage: str, seen: list[int]) -> None:
    """Write one backbone's weights and configuration."""
    state = torch.load(out / f"{stage}.pt", weights_only=True)
    unseen = torch.ones(len(state["token_embedding.weight"]), dtype=torch.bool)
    unseen[seen] = False
    state["token_embedding.weight"][unseen] = 0
    half = {
        # Counters of batch norm are integers; they stay as they are.
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in state.items()
        if key != "attn_mask"
    }
    weights = WORLD / f"{NAMES[stage]}.safetensors"
    save_file(half, weights)
    weights.chmod(0o644)  # safetensors makes it readable by its owner only
    config = CONFIGS[stage]
    size = config["vision_cfg"]["image_size"]
    preprocess = {"size": size, "mean": [0.5] * 3, "std": [0.3] * 3, "interpolation": "bicubic"}
    text = json.dumps({**config, "preprocess": preprocess}, indent=2)
    (WORLD / f"{NAMES[stage]}.json").write_text(text + "\n")


if __name__ == "__main__":
    tokens = seen_tokens()
    print(len(tokens), "tokens seen")
    for name in NAMES:
        export(Path(sys.argv[1]), name, tokens)
