"""A writer of detection and segmentation sets: COCO-format JSON, PNG images, PNG label maps.

instances.json, images/<n>.png and labels/<n>.png below one folder. Label maps are 8-bit with 255
where nothing is scored, as detectron2 prepares them; from 255 classes on, 16-bit with 65535.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rppbench.contracts.dataset import ReportProgress
from rppbench.contracts.regions import IGNORED, DetectionSet, Instance, SegmentationSet
from rppbench.files import rle
from rppbench.files.atomic import write_atomically


def write(data: DetectionSet, split: str, folder: Path, report: ReportProgress) -> tuple[int, int]:
    """Write a split; returns the numbers of images and instances. The JSON is written last.

    FileExistsError if the folder already holds images.
    """
    samples = data.samples(split)
    categories = list(data.category_ids())
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (folder / "images").mkdir(parents=True)
    if isinstance(data, SegmentationSet):
        (folder / "labels").mkdir()
    for number, (sample, image_id) in enumerate(zip(samples, data.image_ids(split), strict=True)):
        file = f"{number:06d}.png"
        image = data.image(sample)
        image.save(folder / "images" / file)
        if isinstance(data, SegmentationSet):
            labels = data.label_map(sample)
            if len(data.classes) < 255:
                labels = np.where(labels == IGNORED, 255, labels).astype(np.uint8)
            Image.fromarray(labels).save(folder / "labels" / file)
        width, height = image.size
        images.append({"id": image_id, "file_name": file, "width": width, "height": height})
        for instance in data.instances(sample):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": categories[instance.label],
                    **_shape(instance),
                }
            )
        report(number + 1, len(samples))
    content = {
        "info": {"description": f"{data.title}, {split}", "version": data.fingerprint()},
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": "unseen" if label in unseen else "seen"}
            for unseen in [set(data.unseen())]
            for label, (number, name) in enumerate(zip(categories, data.classes, strict=True))
        ],
    }
    write_atomically(folder / "instances.json", json.dumps(content) + "\n")
    return len(images), len(annotations)


def _shape(instance: Instance) -> dict[str, Any]:
    """The fields of a COCO annotation that describe where an instance is."""
    box: dict[str, Any] = {"bbox": list(instance.box), "iscrowd": int(instance.crowd)}
    if instance.mask is None:
        return {**box, "area": instance.box[2] * instance.box[3]}
    return {**box, "area": int(instance.mask.sum()), "segmentation": rle.encode(instance.mask)}
