"""Names of data sets as people give them: separated by commas, in a file, as a collection.

A file lists one data set a line; empty lines and lines that start with '#' are skipped. A
collection is one of CLIP_benchmark. What a list or a collection names and no plugin has is left
out with a remark; such a name alone is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.errors import UsageError
from rppbench.files.lines import LISTS, listed_names

if TYPE_CHECKING:
    from rppbench.plugins.registry import Registry

VTAB = (
    *("vtab/caltech101", "vtab/cifar100", "vtab/clevr_count_all"),
    *("vtab/clevr_closest_object_distance", "vtab/diabetic_retinopathy", "vtab/dmlab"),
    *("vtab/dsprites_label_orientation", "vtab/dsprites_label_x_position", "vtab/dtd"),
    *("vtab/eurosat", "vtab/kitti_closest_vehicle_distance", "vtab/flowers", "vtab/pets"),
    *("vtab/pcam", "vtab/resisc45", "vtab/smallnorb_label_azimuth"),
    *("vtab/smallnorb_label_elevation", "sun397", "vtab/svhn"),
)
ROBUSTNESS = ("imagenetv2", "imagenet_sketch", "imagenet-a", "imagenet-r", "objectnet")
COLLECTIONS = {
    "vtab": VTAB,
    "vtab+": (
        *("imagenet1k", *ROBUSTNESS, "fer2013", "voc2007", "voc2007_multilabel", "cars"),
        *("fgvc_aircraft", "mnist", "stl10", "gtsrb", "country211", "renderedsst2"),
        *("vtab/cifar10", *VTAB),
    ),
    "imagenet_robustness": ROBUSTNESS,
}
"""Data sets of CLIP_benchmark's collections for classification (datasets/builder.py)."""
OTHER_TASKS = (
    *("retrieval", "mscoco_captions", "multilingual_mscoco_captions", "flickr8k", "flickr30k"),
    *("flickr30k-200", "xtd10", "xtd200", "crossmodal3600", "sugar_crepe", "winoground"),
)
"""Data sets and collections of CLIP_benchmark that are not for classification."""
NO_READER = (
    *("voc2007", "voc2007_multilabel", "objectnet", "imagenet-o", "imagenet-w", "babel_imagenet"),
    *("clevr_count_all", "clevr_closest_object_distance", "diabetic_retinopathy", "dmlab"),
    *("dsprites_label_orientation", "dsprites_label_x_position", "resisc45"),
    *("kitti_closest_vehicle_distance", "smallnorb_label_azimuth", "smallnorb_label_elevation"),
)
"""Data sets of CLIP_benchmark for classification that no plugin here reads."""
HUB = "https://huggingface.co/datasets/"
SHARDS = "wds_"
"""Start of the names of CLIP_benchmark's repositories of archives."""


def datasets(
    texts: Sequence[str], registry: Registry, warn: Callable[[str], None]
) -> tuple[str, ...]:
    """The names that the texts stand for, each once.

    `warn` gets a line on what a list or a collection loses. UsageError for a name that other
    programs give to something that is not here, and for a list of nothing that is.
    """
    names: dict[str, None] = {}
    for text in texts:
        several = _several(text)
        if several is None:
            if (reason := _absence(text)) and registry.find("datasets", text) is None:
                raise UsageError(f"no data set is named {text!r}: {reason}")
            names[text] = None
            continue
        absent = [n for n in several if _absence(n) and registry.find("datasets", n) is None]
        kept = [name for name in several if name not in absent]
        if absent:
            left_out = f"{text}: {len(absent)} of {len(several)} left out, which nothing here reads"
            if not kept:
                raise UsageError(f"{left_out}: {', '.join(absent)}")
            warn(f"{left_out}: {', '.join(absent)}")
        names.update(dict.fromkeys(kept))
    return tuple(names)


def _several(text: str) -> Sequence[str] | None:
    """The names that a list or a collection stands for; None for the name of a data set."""
    if text in COLLECTIONS:
        return COLLECTIONS[text]
    if ":" in text or Path(text).suffix not in LISTS:
        return None
    listed = listed_names(Path(text).expanduser(), "data set", "imagenet")
    return [name for line in listed for name in COLLECTIONS.get(line, (line,))]


def _absence(name: str) -> str:
    """Why a data set of another program is not here; '' for any other name."""
    plain = name.removeprefix("vtab/")
    if plain.split("/")[0] in OTHER_TASKS:
        return "it is for retrieval or captioning, and the tasks here are those of `rppbench list`"
    if plain in NO_READER:
        shards = f"wds/{name}"
        return f"nothing here reads its files; CLIP_benchmark's archives of it are {shards}"
    if name.startswith("tfds/"):
        return f"TensorFlow's copies are not read; try {name.removeprefix('tfds/')}, or hf:NAME"
    if name.startswith(HUB):
        return on_disk("/".join(name.removeprefix(HUB).split("/")[:2]))
    return ""


def on_disk(repository: str) -> str:
    """How to use a repository of data on the Hugging Face hub, 'clip-benchmark/wds_mnist'."""
    name = repository.rpartition("/")[2]
    if not name.startswith(SHARDS):
        return f"a repository of the hub is named hf:{repository}"
    return (
        "archives are read from disk; fetch them with `hf download "
        f"{repository} --repo-type dataset --local-dir DATA/{name}`, where DATA is the folder of "
        f"--data, and name them wds/{name.removeprefix(SHARDS)}"
    )
