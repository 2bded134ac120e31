"""Write what `train.py` trained in OUT as backbones: python export.py OUT

The student is shipped, as `demo`; the parent stays in OUT. Tensors are float16. Tokens that are in
no training caption get all-zero embeddings: these mark class names that the text tower does not
know, and take almost no space in a wheel.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from captions import COLOURS, PAIRED, PLAIN, STYLED, STYLES, kind_words
from safetensors.torch import save_file
from schedule import CONFIGS, Words
from sheets import TRAINING, write_digests

from rppbench_datasets.world.artwork import WORLD, concepts


def seen_tokens(out: Path) -> list[int]:
    """Ids of all tokens that captions of the training can contain."""
    words = Words()
    texts = [*PLAIN, *STYLED, *PAIRED, *COLOURS, "a red background.", "small big medium"]
    texts += [style for styles in STYLES.values() for style in styles]
    for concept in concepts(out / TRAINING):
        for text in (concept.name, kind_words(concept.kind), *concept.tags):
            texts += [text, f"{text}.", f"{text},", f"{text}:", f"{text}?"]
    return sorted({token for text in texts for token in words.ids(text)})


def export(out: Path, stage: str, seen: list[int], folder: Path, name: str) -> None:
    """Write the weights and configuration of a stage into a folder, as a backbone of this name."""
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
    weights = folder / f"{name}.safetensors"
    save_file(half, weights)
    weights.chmod(0o644)  # safetensors makes it readable by its owner only
    config = CONFIGS[stage]
    size = config["vision_cfg"]["image_size"]
    preprocess = {"size": size, "mean": [0.5] * 3, "std": [0.3] * 3, "interpolation": "bicubic"}
    text = json.dumps({**config, "preprocess": preprocess}, indent=2)
    (folder / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    build = Path(sys.argv[1])
    tokens = seen_tokens(build)
    print(len(tokens), "tokens seen")
    export(build, "parent", tokens, build, "parent")
    export(build, "student", tokens, WORLD, "demo")
    write_digests(WORLD)
