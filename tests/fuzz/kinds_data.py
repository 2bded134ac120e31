"""Kinds of input that others make: data sets, images, archives, checkpoints, results."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fuzz.harness import Kind
from fuzz.mutations import VALUES, RunsCode
from PIL import Image
from scipy.io import savemat
from support.detections import RandomDetectionSet
from support.roots import coop_root
from support.toy_data import Toy

from rppbench.data.archives import is_archive, unpack
from rppbench.data.draw_files import FORMS, Draw, read_draw, write_draw
from rppbench.exporters.vocabulary import read_vocabulary
from rppbench.files import rle
from rppbench.files.coco_json import category_names
from rppbench.importers.checkpoints import read_checkpoint
from rppbench.importers.runs import clip_benchmark_records, dassl_records
from rppbench_datasets import image_files
from rppbench_datasets.detection.coco import Coco
from rppbench_datasets.detection.lvis import Lvis
from rppbench_datasets.imagenet21k import TRAIN, VAL, ImageNet21K
from rppbench_datasets.imagenet21k import _tree as read_tree
from rppbench_datasets.own_images import FolderImages, JsonListedImages
from rppbench_datasets.segmentation.ade20k import ADE20K
from rppbench_datasets.webdataset_archives import WebdatasetImages
from rppbench_tasks.box_results import scores as box_scores
from rppbench_tasks.proposing.files import BoxFile, MaskFiles
from rppbench_tasks.segmenting import map_results

NAMES = ("cat", "dog")
STRANGE = ("a\x1b[31m", "b\u202e", "c\nd", "e" * 200, "f|g`*", "</script>", "é", ".hidden", " ")


def png(shade: int = 90, mode: str = "RGB", kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (20, 14), (shade, 60, 120) if mode == "RGB" else shade).save(out, kind)
    return out.getvalue()


def read_set(data: Any) -> None:
    """All that a run reads of a data set."""
    assert len(data.classes)
    data.fingerprint()
    for split in ("train", "val", "test"):
        try:
            samples = data.samples(split)
        except Exception as error:
            if type(error).__name__ not in ("UsageError", "MissingDataError"):
                raise
            continue
        for sample in samples:
            assert 0 <= sample.label < len(data.classes)
            assert data.image(sample).mode == "RGB"


def own(base: Any, name: str, place: Path) -> Any:
    return type("Own", (base,), {"name": name, "path": str(place), "title": name})()


# --- folders, lists, archives of images ---------------------------------------------------------


def write_folder(folder: Path) -> None:
    for split in ("train", "test"):
        for name in NAMES:
            (folder / "set" / split / name).mkdir(parents=True)
            for number in range(2):
                file = folder / "set" / split / name / f"{number}.png"
                file.write_bytes(png(40 * number + len(name)))


def strange_folder(folder: Path, draw: Random, canary: Path) -> None:
    """Links, loops, names that are no text or command a terminal, empty folders, other files."""
    place = folder / "set" / draw.choice(["train", "test"])
    names = [name.replace("/", "") for name in STRANGE]
    for _ in range(draw.randint(1, 3)):
        name, at = draw.choice(names), place / draw.choice(NAMES)
        kind = draw.randrange(7)
        if kind == 0:
            (place / name).mkdir(exist_ok=True)
        elif kind == 1:
            (at / f"{name[:150]}.png").write_bytes(png())
        elif kind == 2:
            os.makedirs(os.fsencode(place) + b"/\xff\xfe", exist_ok=True)
        elif kind == 3:
            Path(os.fsdecode(os.fsencode(at) + b"/\xff.png")).write_bytes(png())
        elif kind == 4 and not (at / "loop.png").is_symlink():
            (at / "loop.png").symlink_to(draw.choice(["loop.png", "/nowhere", ".."]))
        elif kind == 5:
            (at / "dir.png").mkdir(exist_ok=True)
        elif not (place / "up").is_symlink():
            (place / "up").symlink_to("..")


def read_folder(folder: Path) -> None:
    read_set(own(FolderImages, f"folder:{folder / 'set'}", folder / "set"))


def write_list(folder: Path) -> None:
    content: dict[str, list[Any]] = {"train": [], "test": []}
    for split, rows in content.items():
        for label, name in enumerate(NAMES):
            path = f"{split}-{name}.png"
            (folder / path).write_bytes(png(label))
            rows.append([path, label, name])
    (folder / "list.json").write_text(json.dumps(content))


def read_list(folder: Path) -> None:
    read_set(own(JsonListedImages, f"json:{folder / 'list.json'}", folder / "list.json"))


def write_split_file(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        coop_root.make(folder, "dtd", patch)


def read_split_file(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RPPBENCH_DATA", str(folder))
        split = coop_root.split_of("dtd")
        coop_root.shrink(patch, "dtd", 2, {part: len(rows) for part, rows in split.items()})
        read_set(OnlyTest(coop_root.open_set("dtd")))


class OnlyTest:
    """A data set whose training images are listed but not there."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)

    def samples(self, split: str) -> Any:
        samples = self.data.samples(split)
        return samples if split == "test" else samples[:1]


def tar_of(members: list[tuple[str, bytes]], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def write_shards(folder: Path) -> None:
    place = folder / "set" / "test"
    place.mkdir(parents=True)
    (folder / "set" / "classnames.txt").write_text("cat\ndog\n")
    (folder / "set" / "zeroshot_classification_templates.txt").write_text("a photo of a {c}.\n")
    (place / "nshards.txt").write_text("2\n")
    for shard in range(2):
        members = []
        for number in range(2):
            members += [
                (f"s{number}.png", png(number)),
                (f"s{number}.cls", str(number).encode()),
                (f"s{number}.pkl", pickle.dumps([1])),
            ]
        (place / f"{shard}.tar").write_bytes(tar_of(members))


def strange_shard(folder: Path, draw: Random, canary: Path) -> None:
    label = draw.choice([b"-1", b"9", b"9" * 40, b"1.5", "١".encode(), b"\x1b[31m", b""])
    name = draw.choice(["s", "../s", "/s", "a\x1b[31m", "x" * 120, "\udcff", "a/../../b"])
    content = draw.choice([png(), b"", pickle.dumps(RunsCode(canary))])
    members = [(f"{name}.png", content), (f"{name}.cls", label)]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", errors="surrogateescape") as archive:
        for member, data in members:
            info = tarfile.TarInfo(member)
            info.size = len(data)
            info.type = draw.choice([tarfile.REGTYPE] * 4 + [tarfile.SYMTYPE, tarfile.LNKTYPE])
            info.linkname = "../../outside"
            archive.addfile(info, io.BytesIO(data))
    (folder / "set" / "test" / "0.tar").write_bytes(out.getvalue())


def read_shards(folder: Path) -> None:
    read_set(own(WebdatasetImages, f"wds:{folder / 'set'}", folder / "set"))


# --- archives to unpack -------------------------------------------------------------------------

MEMBERS = [("a/1.png", png()), ("a/2.txt", b"text" * 100), ("b/c/3.png", png(7))]


def write_archives(folder: Path) -> None:
    (folder / "a.tar").write_bytes(tar_of(MEMBERS))
    (folder / "b.tar.gz").write_bytes(tar_of(MEMBERS, "w:gz"))
    with zipfile.ZipFile(folder / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in MEMBERS:
            archive.writestr(name, content)


def strange_archive(folder: Path, draw: Random, canary: Path) -> None:
    """Paths that lead out, links, devices, names twice, and files that expand beyond measure."""
    names = [
        "../out",
        "/abs/out",
        "a/../../out",
        "C:\\out",
        "..\\out",
        "a\0b",
        "\x1b[31m",
        "a/1.png",
    ]
    name, content = draw.choice(names), draw.choice([b"x", b"\0" * 30_000_000])
    if draw.random() < 0.5:
        with zipfile.ZipFile(folder / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            info = zipfile.ZipInfo(name)
            if draw.random() < 0.3:
                info.external_attr, content = 0o120777 << 16, b"../../outside"
            archive.writestr(info, content)
            archive.writestr(zipfile.ZipInfo("a/1.png"), b"x")
        return
    out = io.BytesIO()
    mode: Any = draw.choice(["w", "w:gz", "w:bz2", "w:xz"])
    with tarfile.open(fileobj=out, mode=mode) as tar:
        entry = tarfile.TarInfo(name)
        entry.type = draw.choice(
            [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
        )
        entry.linkname = draw.choice(["../../outside", "/etc/passwd", "a/1.png", "."])
        entry.size = len(content) if entry.type == tarfile.REGTYPE else 0
        tar.addfile(entry, io.BytesIO(content))
        entry = tarfile.TarInfo(f"{name}/below")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))
    (folder / "a.tar").write_bytes(out.getvalue())


def read_archives(folder: Path) -> None:
    for number, name in enumerate(("a.tar", "b.tar.gz", "c.zip")):
        is_archive(folder / name)
        unpack(folder / name, folder / f"unpacked-{number}", lambda done, total: None)


# --- images and label maps ----------------------------------------------------------------------


def write_images(folder: Path) -> None:
    for kind, ending in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("BMP", "bmp")):
        (folder / f"a.{ending}").write_bytes(png(kind=kind))
    for mode in ("L", "P", "1", "I;16", "F"):
        kind = "TIFF" if mode == "F" else "PNG"
        (folder / f"{mode.replace(';', '')}.{kind.lower()}").write_bytes(png(1, mode, kind))
    (folder / "a.gif").write_bytes(png(1, "P", "GIF"))


def strange_image(folder: Path, draw: Random, canary: Path) -> None:
    """A header that promises terapixels, other modes, a vector format that runs programs."""
    data = bytearray(png())
    data[16:24] = draw.choice([b"\x7f\xff\xff\xff" * 2, b"\0" * 8, b"\0\1\0\0" * 2])
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%id) (w) file\n"
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"
    (folder / "a.png").write_bytes(draw.choice([bytes(data), eps, svg, pickle.dumps([1])]))


def read_images(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        assert image_files.read_image(path).mode == "RGB"


def write_maps(folder: Path) -> None:
    for place in (ADE20K.maps, ADE20K.images):
        (folder / place).mkdir(parents=True)
    for number in range(2):
        labels = np.full((6, 8), number, np.uint8)
        Image.fromarray(labels).save(folder / ADE20K.maps / f"{number}.png")
        Image.new("RGB", (8, 6)).save(folder / ADE20K.images / f"{number}.jpg")
    (folder / "predicted").mkdir()
    Image.fromarray(np.ones((6, 8), np.uint8)).save(folder / "predicted" / "0.png")
    Image.fromarray(np.ones((6, 8), np.uint16)).save(folder / "predicted" / "1.png")
    masks = [
        {"file_name": f"x/{number}.jpg", "category_id": 1, "segmentation": rle.encode(labels == 1)}
        for number in range(2)
    ]
    (folder / "predicted.json").write_text(json.dumps(masks))


def strange_map(folder: Path, draw: Random, canary: Path) -> None:
    place = folder / draw.choice([ADE20K.maps, "predicted"]) / "0.png"
    mode = draw.choice(["RGB", "P", "1", "LA", "RGBA", "I;16"])
    shape = draw.choice([(8, 6), (6, 8), (1, 1)])
    Image.new(mode, shape, 3 if len(mode) == 1 or mode == "I;16" else None).save(place)  # type: ignore[arg-type]


def read_maps(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RPPBENCH_DATA", str(folder))
        patch.setattr(ADE20K, "counts", {"test": 2})
        data = ADE20K()
        for sample in data.samples("test"):
            data.label_map(sample)
        for name in ("predicted", "predicted.json"):
            list(map_results.scores(data, folder / name, lambda *done: None, lambda line: None))


# --- annotations and results --------------------------------------------------------------------


def annotations(kind: Any) -> dict[str, Any]:
    crowds = kind is Coco  # LVIS has none
    ids, names = kind.category_ids(kind), kind.vocabulary()
    mask = {"size": [40, 50], "counts": [100, 50, 1850]}
    outline = [[1, 1, 9, 1, 9, 9]]
    return {
        "info": {"year": 2017},
        "images": [
            {
                "id": number,
                "file_name": f"{number}.png",
                "coco_url": f"http://x/val2017/{number}.png",
                "height": 40,
                "width": 50,
                "neg_category_ids": [ids[1]],
                "not_exhaustive_category_ids": [],
            }
            for number in (3, 5)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": 3,
                "category_id": ids[number],
                "bbox": [1, 2.5, 10, 20],
                "area": 200,
                "iscrowd": int(crowds and number == 1),
                "segmentation": mask if crowds and number == 1 else outline,
            }
            for number in range(3)
        ],
        "categories": [
            {"id": at, "name": name} for at, name in list(zip(ids, names, strict=True))[:4]
        ],
    }


def write_boxes(kind: Any) -> Any:
    def write(folder: Path) -> None:
        file = folder / kind.annotations
        file.parent.mkdir(parents=True)
        content = annotations(kind)
        file.write_text(json.dumps(content))
        for image in content["images"]:
            home = folder / (kind.images if kind is Coco else "coco/val2017")
            home.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (50, 40)).save(home / image["file_name"])
        results = [
            {
                "image_id": number,
                "category_id": content["categories"][0]["id"],
                "bbox": [1, 2, 10, 20],
                "score": 0.5,
                "segmentation": {"size": [40, 50], "counts": [100, 50, 1850]},
            }
            for number in (3, 5)
        ]
        (folder / "results.json").write_text(json.dumps(results))

    return write


def read_boxes(kind: Any) -> Any:
    def read(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RPPBENCH_DATA", str(folder))
            data = kind()
            data.fingerprint()
            category_names(folder / kind.annotations)
            for sample in data.samples("test"):
                data.partial_annotation(sample)
                data.instances(sample)
                data.image(sample)
            results = folder / "results.json"
            list(box_scores(data, results, lambda done, total: None, lambda line: None))

    return read


def write_results(folder: Path) -> None:
    data = RandomDetectionSet(4)
    ids = data.category_ids()
    rows = [
        {"image_id": number, "category_id": ids[0], "bbox": [1, 2, 10, 20], "score": 0.5}
        for number in data.image_ids("test")
    ]
    (folder / "boxes.json").write_text(json.dumps(rows))
    (folder / "masks").mkdir()
    mask = rle.encode(np.ones((6, 8), bool))
    (folder / "masks" / "0.json").write_text(json.dumps([mask, mask]))
    Image.fromarray(np.ones((6, 8), np.uint8)).save(folder / "masks" / "1.png")


def read_results(folder: Path) -> None:
    data, file = RandomDetectionSet(4), folder / "boxes.json"
    list(box_scores(data, file, lambda done, total: None, lambda line: None))
    source = BoxFile(data, file)
    for sample in data.samples("test"):
        source.find(sample, data.image(sample))
    masks = MaskFiles(str(folder / "masks"))
    for key in ("0.jpg", "1.jpg"):
        masks(Image.new("RGB", (8, 6)), key, (6, 8))


def write_rle(folder: Path) -> None:
    (folder / "masks.json").write_text(
        json.dumps(
            [
                {"size": [4, 5], "counts": [3, 4, 13]},
                {"size": [4, 5], "counts": "34="},
                rle.encode(np.eye(9, dtype=bool)),
            ]
        )
    )


def strange_rle(folder: Path, draw: Random, canary: Path) -> None:
    counts = draw.choice([*VALUES[:24], [10**20], [-1, 21], "o" * 5000, [True] * 20, "\u0130"])
    size = draw.choice([*VALUES[:24], [4, 5], [10**9, 10**9], [0, 0], [4.0, 5.0], "45"])
    text = json.dumps([{"size": size, "counts": counts}])
    (folder / "masks.json").write_bytes(text.encode("utf-8", "surrogatepass"))


def read_rle(folder: Path) -> None:
    try:
        masks = json.loads((folder / "masks.json").read_bytes())
    except (ValueError, RecursionError):
        return
    for mask in masks if isinstance(masks, list) else [masks]:
        decoded = rle.decode(mask)
        rle.checked(mask, decoded.shape)  # type: ignore[arg-type]


# --- checkpoints and side files -----------------------------------------------------------------


def write_checkpoint(folder: Path) -> None:
    state = OrderedDict(ctx=torch.ones(4, 8), token_prefix=torch.ones(2, 1, 8).half())
    torch.save({"state_dict": state, "epoch": 50}, folder / "model.pth.tar-50")
    torch.save({"ctx": torch.ones(4, 8)}, folder / "old.pt", _use_new_zipfile_serialization=False)


def strange_checkpoint(folder: Path, draw: Random, canary: Path) -> None:
    contents: list[Any] = [
        {"state_dict": RunsCode(canary)},
        RunsCode(canary),
        {"state_dict": {"ctx": RunsCode(canary)}},
        {"\x1b[31mctx": 1},
        {1: torch.ones(1)},
        {"state_dict": {}},
        [],
        {"a": torch.empty(0, dtype=torch.int8)},
        {"state_dict": {"ctx": torch.sparse_coo_tensor([[0], [0]], [1.0], (2, 2))}},
        {"state_dict": {"ctx": torch.ones(2, dtype=torch.complex64)}, "epoch": "\x1b[31m"},
        {"ctx": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)},
        {"ctx": torch.ones(2, device="meta")},
    ]
    new = draw.random() < 0.5
    torch.save(
        draw.choice(contents), folder / "model.pth.tar-50", _use_new_zipfile_serialization=new
    )


def read_checkpoints(folder: Path) -> None:
    for name in ("model.pth.tar-50", "old.pt"):
        read_checkpoint(folder / name)


def write_tree(folder: Path) -> None:
    torch.save({"class_description": {"n1": "cat", "n2": "dog"}}, folder / "tree.pth")


def strange_tree(folder: Path, draw: Random, canary: Path) -> None:
    contents: list[Any] = [RunsCode(canary), {"class_description": RunsCode(canary)}, {}, [], 3]
    torch.save(draw.choice(contents), folder / "tree.pth")


def write_matlab(folder: Path) -> None:
    home = folder / coop_root.KINDS["stanford_cars"].folder
    (home / "devkit").mkdir(parents=True)
    names = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], dtype=object)
    savemat(home / "devkit" / "cars_meta.mat", {"class_names": names})
    kinds = [("class", "u1"), ("fname", "O")]
    rows = np.array([(1, "00001.jpg"), (2, "00002.jpg")], dtype=kinds)
    savemat(home / "cars_test_annos_withlabels.mat", {"annotations": rows})
    (home / "cars_test").mkdir()
    for number in (1, 2):
        (home / "cars_test" / f"{number:05}.jpg").write_bytes(png(kind="JPEG"))


def read_matlab(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RPPBENCH_DATA", str(folder))
        coop_root.shrink(patch, "stanford_cars", 2, {"test": 2})
        read_set(coop_root.open_set("stanford_cars"))


def write_imagenet21k(folder: Path) -> None:
    for part in (TRAIN, VAL):
        for wnid in ("n00005787", "n00007846"):
            home = folder / "imagenet21k_resized" / part / wnid
            home.mkdir(parents=True)
            (home / f"{wnid}_1.JPEG").write_bytes(png(kind="JPEG"))


def read_imagenet21k(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RPPBENCH_DATA", str(folder))
        patch.setenv("RPPBENCH_CACHE", str(folder / "cache"))
        read_set(ImageNet21K())


# --- files of other programs --------------------------------------------------------------------


def write_logs(folder: Path) -> None:
    from importers.test_runs import LOG, RESULT

    (folder / "dassl" / "seed1").mkdir(parents=True)
    (folder / "dassl" / "seed1" / "log.txt").write_text(LOG)
    (folder / "clip").mkdir()
    (folder / "clip" / "result.json").write_text(json.dumps(RESULT))


def read_logs(folder: Path) -> None:
    from rppbench.records.codec import encode

    for read, name in ((dassl_records, "dassl"), (clip_benchmark_records, "clip")):
        records, problems = read(folder / name)
        for record in records:
            encode(record)
        for problem in problems:
            str(problem)


def write_vocabulary(folder: Path) -> None:
    (folder / "names.txt").write_text("cat\nblack dog\nred_apple\n")
    (folder / "names.json").write_text(json.dumps(["cat", "dog"]))
    categories = [{"id": 2, "name": "cat"}, {"id": 1, "name": "dog"}]
    (folder / "coco.json").write_text(json.dumps({"images": [], "categories": categories}))


def read_vocabularies(folder: Path) -> None:
    registry: Any = SimpleNamespace(all=lambda kind: {}, find=lambda kind, name: None)
    for name in ("names.txt", "names.json", "coco.json"):
        read_vocabulary(str(folder / name), registry)


def write_draws(folder: Path) -> None:
    data = Toy()
    draw = Draw(tuple(data.samples("train")), tuple(data.samples("val")))
    for form in FORMS:
        write_draw(folder, "draw", form, draw, data)


def read_draws(folder: Path) -> None:
    for name in ("draw.json", "draw_train.jsonl"):
        known = {sample.key for sample in Toy().samples("train")}
        assert known >= {sample.key for sample in read_draw(folder / name, Toy()).train}


KINDS = [
    Kind("draws", write_draws, read_draws),
    Kind("folders", write_folder, read_folder, hostile=strange_folder),
    Kind("listed images", write_list, read_list),
    Kind("split files", write_split_file, read_split_file),
    Kind("webdataset", write_shards, read_shards, hostile=strange_shard),
    Kind("archives", write_archives, read_archives, hostile=strange_archive),
    Kind("images", write_images, read_images, hostile=strange_image),
    Kind("label maps", write_maps, read_maps, hostile=strange_map),
    Kind("COCO files", write_boxes(Coco), read_boxes(Coco)),
    Kind("LVIS files", write_boxes(Lvis), read_boxes(Lvis)),
    Kind("results", write_results, read_results),
    Kind("RLE masks", write_rle, read_rle, hostile=strange_rle),
    Kind("checkpoints", write_checkpoint, read_checkpoints, hostile=strange_checkpoint),
    Kind("torch tables", write_tree, lambda f: read_tree(f / "tree.pth"), hostile=strange_tree),
    Kind("MATLAB files", write_matlab, read_matlab, share=0.1),
    Kind("ImageNet-21K", write_imagenet21k, read_imagenet21k),
    Kind("logs", write_logs, read_logs),
    Kind("vocabularies", write_vocabulary, read_vocabularies),
]
