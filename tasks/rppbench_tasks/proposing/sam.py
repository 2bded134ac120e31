"""Masks of all objects of an image, by Segment Anything prompted with a grid of points.

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

GRID_SIDE = 32
"""Points on each side of the grid."""
BATCH = 64
"""Points in one forward pass."""
LEAST_IOU, LEAST_STABILITY, MOST_OVERLAP = 0.88, 0.95, 0.7
"""Bounds on the masks that are kept: least predicted IoU, least stability, and most overlap of a
mask's box with that of a mask of higher predicted IoU."""
SHIFT = 1.0
"""Logits by which the threshold is moved to measure how stable a mask is."""


@torch.inference_mode()
def everything(processor: Any, model: Any, image: Image.Image) -> list[Tensor]:
    """Logits (h, w) of masks of an image, in the model's resolution, by predicted IoU."""
    inputs = processor(images=image, return_tensors="pt")
    height, width = inputs["reshaped_input_sizes"][0].tolist()
    side = inputs["pixel_values"].shape[-1]
    steps = (torch.arange(GRID_SIDE) + 0.5) / GRID_SIDE
    points = torch.cartesian_prod(steps * width, steps * height)  # (points, 2) x, y
    embeddings = model.get_image_embeddings(inputs["pixel_values"])
    masks: list[Tensor] = []
    ious: list[float] = []
    for batch in points.split(BATCH):
        output = model(
            image_embeddings=embeddings, input_points=batch[None, :, None], multimask_output=True
        )
        logits = output.pred_masks[0].flatten(0, 1)  # (3 for each point, h, w)
        rows, columns = (max(1, round(logits.shape[1] * edge / side)) for edge in (height, width))
        logits = logits[:, :rows, :columns]  # without the padding to a square
        scores = output.iou_scores[0].flatten()
        small, large = ((logits > at).sum((1, 2)) for at in (SHIFT, -SHIFT))
        stability = small / large.clamp(min=1)
        kept = scores >= LEAST_IOU
        kept &= (stability >= LEAST_STABILITY) & ((logits > 0).any(2).any(1))
        masks += logits[kept]
        ious += scores[kept].tolist()
    if not masks:
        return []
    order = np.argsort(-np.array(ious), kind="stable")
    boxes = np.array([_box(masks[at]) for at in order], np.float32)
    shared = overlaps(boxes)
    kept = suppress(shared, np.array(ious, np.float32)[order, None], MOST_OVERLAP)[:, 0]
    return [masks[at] for at in order[kept]]


def _box(logits: Tensor) -> tuple[int, int, int, int]:
    """x, y, width, height of the pixels above 0."""
    rows = (logits > 0).any(1).nonzero().flatten().tolist()
    columns = (logits > 0).any(0).nonzero().flatten().tolist()
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
