"""Caltech101: objects and animals; the background and the duplicate of the faces are left out."""

from __future__ import annotations

from rppbench.contracts import SourceFile
from rppbench_datasets.coop.split_zhou import ClassFolders, split_file_source


class Caltech101(ClassFolders):
    """Objects and animals; the background and the duplicate of the faces are left out."""

    name = "caltech101"
    title = "Caltech101"
    paper = "Fei-Fei et al., CVPR Workshops 2004"
    origin = "http://www.vision.caltech.edu/Image_Datasets/Caltech101/"
    licence = "CC BY 4.0 (data.caltech.edu)"
    folder = "caltech-101"
    images = "101_ObjectCategories"
    split_file = "split_zhou_Caltech101.json"
    size = 100
    counts = {"train": 4_128, "val": 1_649, "test": 2_465}
    split_sha256 = "52ce83205ff8ff8a"
    aliases = {"101_ObjectCategories": ("caltech-101/101_ObjectCategories",)}
    sources = (
        SourceFile(
            "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
            "caltech-101/101_ObjectCategories",
            into="caltech-101",
            inside="caltech-101",
            nested=("101_ObjectCategories.tar.gz",),
            md5="3138e1922a9193bfa496528edbbc45d0",
        ),
        split_file_source(
            "caltech-101", split_file, "1hyarUivQE36mY6jSomru6Fjd-JzwcCzN", split_sha256
        ),
    )
    renamed = {
        "airplanes": "airplane",
        "Faces": "face",
        "Leopards": "leopard",
        "Motorbikes": "motorbike",
    }
