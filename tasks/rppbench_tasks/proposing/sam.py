"""Masks of everything, by Segment Anything asked at a grid of points.

Kirillov et al., Segment Anything, ICCV 2023; thresholds are those of its own generator
(facebookresearch/segment-anything, automatic_mask_generator.py), without crops of the image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rppbench_tasks.proposing.boxes import overlaps, suppress

EVERY = 32
"""Points of the grid a side."""
TOGETHER = 64
"""Points that are asked at once."""
SURE, STABLE, OVERLAP = 0.88, 0.95, 0.7
"""Least predicted IoU, least stability of the mask, most overlap with the box of a surer one."""
SHIFT = 1.0
"""Logits by which the threshold is moved to see how stable a mask is."""


@torch.inference_mode()
def everything(processor: Any, model: Any, image: Image.Image) -> list[Tensor]:
    """Logits (h, w) of masks of the whole image, in the model's own size, surest first."""
    given = processor(images=image, return_tensors="pt")
    height, width = given["reshaped_input_sizes"][0].tolist()
    side = given["pixel_values"].shape[-1]
    places = (torch.arange(EVERY) + 0.5) / EVERY
    points = torch.cartesian_prod(places * width, places * height)  # (points, 2) x, y
    embeddings = model.get_image_embeddings(given["pixel_values"])
    masks: list[Tensor] = []
    sure: list[float] = []
    for some in points.split(TOGETHER):
        found = model(
            image_embeddings=embeddings, input_points=some[None, :, None], multimask_output=True
        )
        logits = found.pred_masks[0].flatten(0, 1)  # (3 for each point, h, w)
        rows, columns = (max(1, round(logits.shape[1] * edge / side)) for edge in (height, width))
        logits = logits[:, :rows, :columns]  # without what makes the image a square
        scores = found.iou_scores[0].flatten()
        small, large = ((logits > at).sum((1, 2)) for at in (SHIFT, -SHIFT))
        stable = small / large.clamp(min=1)
        kept = (scores >= SURE) & (stable >= STABLE) & ((logits > 0).any(2).any(1))
        masks += logits[kept]
        sure += scores[kept].tolist()
    if not masks:
        return []
    order = np.argsort(-np.array(sure), kind="stable")
    boxes = np.array([_box(masks[at]) for at in order], np.float32)
    shared = overlaps(boxes)
    alive = suppress(shared, np.array(sure, np.float32)[order, None], OVERLAP)[:, 0]
    return [masks[at] for at in order[alive]]


def _box(logits: Tensor) -> tuple[int, int, int, int]:
    """x, y, width, height of what is above 0."""
    rows = (logits > 0).any(1).nonzero().flatten().tolist()
    columns = (logits > 0).any(0).nonzero().flatten().tolist()
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
