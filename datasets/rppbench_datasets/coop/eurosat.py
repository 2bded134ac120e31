"""EuroSAT: land use seen by a satellite."""

from __future__ import annotations

from rppbench.contracts import SourceFile
from rppbench_datasets.coop.split_zhou import ClassFolders, split_file_source


class EuroSAT(ClassFolders):
    """Land use seen by a satellite."""

    name = "eurosat"
    title = "EuroSAT"
    paper = "arXiv:1709.00029"
    origin = "https://github.com/phelber/EuroSAT"
    licence = "MIT (its repository)"
    template = "a centered satellite photo of {}."
    folder = "eurosat"
    images = "2750"
    split_file = "split_zhou_EuroSAT.json"
    size = 10
    counts = {"train": 13_500, "val": 5_400, "test": 8_100}
    split_sha256 = "541503a77d0b26b7"
    aliases = {"2750": ("EuroSAT_RGB", "EuroSAT/2750")}
    sources = (
        SourceFile(
            "https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
            "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
            "eurosat/2750",
            into="eurosat",
            md5="c8fa014336c82ac7804f0398fcb19387",
            instead=("http://madm.dfki.de/files/sentinel/EuroSAT.zip",),
        ),
        split_file_source("eurosat", split_file, "1Ip7yaCWFi0eaOFUGga0lUdVi_DDQth1o", split_sha256),
    )
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
