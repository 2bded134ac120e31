"""Caltech101: objects and animals; the background and the duplicate of the faces are left out."""

from __future__ import annotations

from rppbench_datasets.coop.split_zhou import ClassFolders


class Caltech101(ClassFolders):
    """Objects and animals; the background and the duplicate of the faces are left out."""

    name = "caltech101"
    title = "Caltech101"
    paper = "Fei-Fei et al., CVPR Workshops 2004"
    origin = "http://www.vision.caltech.edu/Image_Datasets/Caltech101/"
    folder = "caltech-101"
    images = "101_ObjectCategories"
    split_file = "split_zhou_Caltech101.json"
    size = 100
    counts = {"train": 4_128, "val": 1_649, "test": 2_465}
    renamed = {
        "airplanes": "airplane",
        "Faces": "face",
        "Leopards": "leopard",
        "Motorbikes": "motorbike",
    }
