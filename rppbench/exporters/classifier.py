"""Text features of classes under a prompt, as the classifier of a detector or segmenter.

    classifier.safetensors   'features' [C, E] float32, unnormalised, and the class names
    classifier.npy           the same in the layout of a framework
    card.json                what they were computed from, with digests

Layouts. `detic`: fp16, unnormalised, classes by category id (Detic, tools/dump_clip_features.py,
and POMP's copy of it; Detic normalises on loading). `zsseg`: fp32, unit rows, the full stop a
token of its own, as zsseg.baseline words classes (mask_former/modeling/clip_adapter; it loads
prompts, not arrays: `export --format ctx`). `plain`: no array.

Shapes: C classes, E width of the embedding.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from rppbench import __version__
from rppbench.contracts.prompts import Conditional, Prompts, Templates
from rppbench.errors import UsageError
from rppbench.exporters.vocabulary import Vocabulary
from rppbench.features.text_features import learned_prompt
from rppbench.files.atomic import replacing, write_atomically
from rppbench.files.digests import digest
from rppbench.models.blocks import at_least_float32, normalise
from rppbench.models.class_names import Names, fill_wording
from rppbench.models.clip import Clip

FORMAT = 1
FORMATS = ("detic", "zsseg", "plain")
CARD, PLAIN, ARRAY = "card.json", "classifier.safetensors", "classifier.npy"


@torch.no_grad()
def class_features(
    clip: Clip, prompts: Prompts, vocabulary: Vocabulary, layout: str, wording: str
) -> Tensor:
    """Text features of the class names, [C, E] float32 on the CPU, unnormalised.

    For an ensemble of wordings they are averages of unit features. `wording` serves prompts that
    bring none of their own. UsageError for text that depends on the image: no fixed array can
    represent it.
    """
    text = prompts.text
    if isinstance(text, Conditional):
        raise UsageError(
            "this prompt words each class anew for every image; a fixed classifier cannot hold that"
        )
    if isinstance(text, Templates):
        wordings = text.wordings or (wording,)
        if len(wordings) > 1:
            return clip.text.encode_templates(vocabulary.names, wordings).cpu()
        return at_least_float32(
            clip.text.encode_sentences(fill_wording(wordings[0], vocabulary.names))
        ).cpu()
    names = Names(
        vocabulary.names,
        clip.text.kind.tokens,
        prompts.wording(wording),
        stop_apart=layout == "zsseg",
    )
    prompt = learned_prompt(None, clip, vocabulary.names, text, wording)
    return clip.text.encode(prompt, names, raw=True).cpu()


def write(
    folder: Path,
    features: Tensor,
    vocabulary: Vocabulary,
    layout: str,
    provenance: Mapping[str, Any],
) -> None:
    """Write features [C, E], their array and their card to a new folder.

    provenance: the fields of the card that say which prompt the features were computed with.
    UsageError if the folder holds files already, or cannot be written.
    """
    metadata = {"names": json.dumps(vocabulary.names), "vocabulary": vocabulary.name}
    files = {PLAIN: save({"features": features.contiguous()}, metadata)}
    if layout != "plain":
        files[ARRAY] = _array(features, layout)
    card = {
        "format": FORMAT,
        "layout": layout,
        "vocabulary": vocabulary.name,
        "spelling": "underscores" if any("_" in name for name in vocabulary.names) else "spaces",
        "source": vocabulary.source,
        "classes": len(vocabulary.names),
        "width": features.shape[1],
        "names": list(vocabulary.names),
        **provenance,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "version": __version__,
    }
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            with replacing(folder / name) as temporary:
                temporary.write_bytes(data)
        # The card comes last: a folder without it is not a classifier.
        text = json.dumps({**card, "digest": digest(card)}, indent=1, ensure_ascii=False)
        write_atomically(folder / CARD, text + "\n")
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error


def _array(features: Tensor, layout: str) -> bytes:
    """The content of the .npy file in the layout of a framework."""
    array = (features.half() if layout == "detic" else normalise(features)).numpy()
    if not np.isfinite(array).all():
        raise UsageError("the features hold values that half precision cannot represent")
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
