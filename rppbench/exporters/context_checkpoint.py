"""A learned context as the checkpoint that CoOp's and POMP's programs read.

`prompt.pth.tar` holds {"state_dict": {"ctx": [N, D]}}. Read by POMP's ZSSeg (PROMPT_CHECKPOINT of
third_party/zsseg.baseline, mask_former/modeling/clip_adapter/__init__.py) and by its
third_party/Detic/tools/dump_clip_features.py (--soft_prompt).
"""

from __future__ import annotations

from pathlib import Path

import torch

from rppbench.contracts.prompts import Prompt, Prompts
from rppbench.errors import UsageError
from rppbench.files.atomic import replacing

NAME = "prompt.pth.tar"


def check_context(prompts: Prompts) -> Prompt:
    """The text prompt. UsageError if it, or the image tower, has more than one shared context."""
    text = prompts.text
    if not isinstance(text, Prompt):
        raise UsageError("a checkpoint of 'ctx' holds learned tokens; this method has none")
    held = {
        "tokens of each class": text.class_specific,
        "tokens in deeper blocks": bool(text.stream or text.queries or text.keys or text.values),
        "adapters": bool(text.adapters),
        "a prompt of the image tower": prompts.image is not None,
    }
    if lost := [name for name, has in held.items() if has]:
        raise UsageError(
            f"a checkpoint of 'ctx' holds one context for all classes; this method also has "
            f"{' and '.join(lost)}, which would be lost: leave out --format ctx"
        )
    return text


def write(folder: Path, text: Prompt) -> Path:
    """Write the context to an existing folder; the file's path. UsageError if that fails."""
    path = folder / NAME
    content = {"state_dict": {"ctx": text.input.detach().float().cpu().clone()}}
    try:
        with replacing(path) as temporary:
            torch.save(content, temporary)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    return path
