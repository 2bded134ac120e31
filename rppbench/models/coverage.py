"""Which of open_clip's configurations take prompts: a table, and how an entry of it is made.

Reading the table loads no torch, so that a plan can use it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("coverage.json")
NAMES = ("cat", "ox (b)", "dog")
CLOSE = 1e-10
"""Largest difference from the model's own features, without learned tokens, in float64."""


@dataclass(frozen=True)
class Coverage:
    """What prompts can enter, for one configuration."""

    text: str
    """Kind of the text tower, a class of `models.towers`; '' if it cannot be prompted."""
    image: str
    """Kind of the image tower, likewise."""
    text_obstacle: str = ""
    """Why the text tower cannot be prompted; '' if it can."""
    image_obstacle: str = ""
    sharing: str = ""
    """Which work classes share (`contracts.towers.Sharing`); '' without text prompts."""


@cache
def coverage() -> Mapping[str, Coverage]:
    """The committed table, by name of the configuration."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {name: Coverage(**entry) for name, entry in table.items()}


def write(table: Mapping[str, Coverage], path: Path = TABLE) -> None:
    """Write the table; entries at their default are left out."""
    rows = {
        name: {key: value for key, value in asdict(entry).items() if value or key in KINDS}
        for name, entry in sorted(table.items())
    }
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


KINDS = ("text", "image")


def measure(config: Mapping[str, Any]) -> Coverage:
    """Build a small random model of an open_clip configuration and prompt it.

    Zero-shot runs on every model. Each tower that takes prompts is compared with the model's own
    features at zero tokens and run with two. UsageError if the model cannot be built, RuntimeError
    if the numbers disagree.
    """
    import torch

    import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

    # isort: split
    from rppbench.contracts.prompts import Prompt
    from rppbench.data.preprocess import Preprocess
    from rppbench.models.clip import Clip
    from rppbench.models.small import small_model

    model, tokenizer, side = small_model(config)
    clip = Clip("small", "", model.double(), tokenizer, Preprocess(side, (0.5,) * 3, (0.5,) * 3))
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def compare(ours: torch.Tensor, own: torch.Tensor, prompted: torch.Tensor) -> None:
        if not (ours - own).abs().max() < CLOSE or not prompted.isfinite().all():
            raise RuntimeError("a prompted tower does not give its model's own features")

    pixels = noise(2, 3, side, side)
    with torch.no_grad():
        texts = clip.text.encode_templates(NAMES, ["{}."])
        images = clip.image.encode(pixels)
        if not clip.text.obstacle:
            width, names = clip.text.kind.width, clip.names(NAMES)
            ours = clip.text.encode(Prompt(noise(0, width)), names)
            own = model.encode_text(tokenizer([f"{name}." for name in NAMES]), normalize=True)
            compare(texts, own, clip.text.encode(Prompt(noise(2, width)), names))
            compare(ours, own, ours)
        if not clip.image.obstacle:
            width = clip.image.kind.width
            ours = clip.image.encode(pixels, Prompt(noise(0, width)))
            compare(ours, images, clip.image.encode(pixels, Prompt(noise(2, width))))
    return Coverage(
        text="" if clip.text.obstacle else type(clip.text.kind).__name__,
        image="" if clip.image.obstacle else type(clip.image.kind).__name__,
        text_obstacle=clip.text.obstacle or "",
        image_obstacle=clip.image.obstacle or "",
        sharing="" if clip.text.obstacle else clip.text.kind.sharing,
    )
