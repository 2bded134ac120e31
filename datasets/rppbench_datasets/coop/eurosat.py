"""EuroSAT: land use seen by a satellite."""

from __future__ import annotations

from rppbench_datasets.coop.split_zhou import ClassFolders


class EuroSAT(ClassFolders):
    """Land use seen by a satellite."""

    name = "eurosat"
    title = "EuroSAT"
    paper = "arXiv:1709.00029"
    origin = "https://github.com/phelber/EuroSAT"
    template = "a centered satellite photo of {}."
    folder = "eurosat"
    images = "2750"
    split_file = "split_zhou_EuroSAT.json"
    size = 10
    counts = {"train": 13_500, "val": 5_400, "test": 8_100}
    renamed = {
        "AnnualCrop": "Annual Crop Land",
        "HerbaceousVegetation": "Herbaceous Vegetation Land",
        "Highway": "Highway or Road",
        "Industrial": "Industrial Buildings",
        "Pasture": "Pasture Land",
        "PermanentCrop": "Permanent Crop Land",
        "Residential": "Residential Buildings",
        "SeaLake": "Sea or Lake",
    }
