"""The fifteen data sets of CoOp, in the folders, files and splits that its users already have.

Source: KaiyangZhou/CoOp, DATASETS.md and datasets/. Names are those of CoOp's configuration files.
"""

from __future__ import annotations

from rppbench.contracts import Dataset
from rppbench_datasets.coop.caltech101 import Caltech101
from rppbench_datasets.coop.dtd import DescribableTextures
from rppbench_datasets.coop.eurosat import EuroSAT
from rppbench_datasets.coop.fgvc_aircraft import FGVCAircraft
from rppbench_datasets.coop.food101 import Food101
from rppbench_datasets.coop.imagenet import ImageNet
from rppbench_datasets.coop.imagenet_a import ImageNetA
from rppbench_datasets.coop.imagenet_r import ImageNetR
from rppbench_datasets.coop.imagenet_sketch import ImageNetSketch
from rppbench_datasets.coop.imagenetv2 import ImageNetV2
from rppbench_datasets.coop.oxford_flowers import OxfordFlowers
from rppbench_datasets.coop.oxford_pets import OxfordPets
from rppbench_datasets.coop.stanford_cars import StanfordCars
from rppbench_datasets.coop.sun397 import SUN397
from rppbench_datasets.coop.ucf101 import UCF101

SETS: tuple[type[Dataset], ...] = (
    ImageNet,
    *(Caltech101, OxfordPets, StanfordCars, OxfordFlowers, Food101, FGVCAircraft, SUN397),
    *(DescribableTextures, EuroSAT, UCF101),
    *(ImageNetV2, ImageNetSketch, ImageNetA, ImageNetR),
)
