"""Names of backbones: which model a name means, and the digest of that model. Loads no weights.

A name is that of a backbone shipped by a plugin ('demo'); 'MODEL/TAG' or 'MODEL/FILE' with a model
of open_clip ('ViT-B-16/openai', 'ViT-B-16/weights.pt'); 'hf-hub:org/name', also as its address; or
'local-dir:/folder', also as a path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zipfile import ZipFile, is_zipfile

from rppbench.contracts.backbone import Backbone
from rppbench.errors import UsageError, unknown
from rppbench.files.digests import digest, read_json, sha256

HUB, FOLDER = "hf-hub:", "local-dir:"
PATHS = ("/", "./", "../", "~/")
"""How a name begins that can be nothing but a path."""
ADDRESS = "https://huggingface.co/"
CONFIG = "open_clip_config.json"
"""The file of a folder or repository that describes its model."""


@dataclass(frozen=True)
class BackboneSource:
    """What a backbone's name means: a model and where its weights come from."""

    kind: Literal["shipped", "tag", "file", "hub", "folder"]
    model: str
    """Name of the shipped backbone or of open_clip's model; the complete name otherwise."""
    weights: str = ""
    """Tag, file, repository or folder, by `kind`; '' for a shipped backbone."""

    @property
    def name(self) -> str:
        """The one spelling that records use."""
        return f"{self.model}/{self.weights}" if self.kind in ("tag", "file") else self.model


def resolve(backbone: str, shipped: Mapping[str, Backbone]) -> BackboneSource:
    """The model and weights that a name means. UsageError for an unknown name or a missing file."""
    if backbone in shipped:
        return BackboneSource("shipped", backbone)
    if backbone.startswith(ADDRESS):  # as copied from a browser, perhaps of a file in it
        backbone = HUB + "/".join(backbone.removeprefix(ADDRESS).split("/")[:2])
    if backbone.startswith(HUB) and backbone != HUB:
        return BackboneSource("hub", backbone, backbone.removeprefix(HUB))
    if (backbone.startswith(FOLDER) and backbone != FOLDER) or _is_folder(backbone):
        folder = os.path.expanduser(backbone.removeprefix(FOLDER))
        _check_folder(folder, backbone)
        return BackboneSource("folder", FOLDER + folder, folder)
    parts = backbone.split("/")
    # CoOp writes 'ViT-B/16' for open_clip's 'ViT-B-16', so the model may hold slashes too.
    for end in range(len(parts) - 1, 0, -1):
        model, weights = "-".join(parts[:end]), "/".join(parts[end:])
        if model not in model_configs():
            continue
        if "/" in weights or "." in weights:  # no tag of open_clip contains either
            if not Path(weights).is_file():
                raise UsageError(f"no file {weights!r} for the weights of backbone {backbone!r}")
            return BackboneSource("file", model, weights)
        known = tags(model)
        tag = weights.lower().replace("-", "_")  # as open_clip reads it
        if tag not in known:
            note = f"a file is named as {model}/PATH"
            raise unknown(f"weights of {model} are tagged", weights, known, "tags", [note])
        return BackboneSource("tag", model, tag)
    if (model := backbone.replace("/", "-")) in model_configs():
        raise UsageError(
            f"backbone {backbone!r} names no weights: write {model}/TAG or {model}/FILE\n"
            f"tags: {', '.join(sorted(tags(model))) or '(none)'}"
        )
    models = get_close_matches("-".join(parts[:-1] or parts), model_configs(), n=3, cutoff=0.7)
    near = [f"{model}/{parts[-1]}" if parts[1:] else f"{model}/TAG" for model in models]
    notes = ["also: MODEL/TAG or MODEL/FILE of open_clip, hf-hub:ORG/NAME, local-dir:FOLDER"]
    if Path(backbone).is_file():
        notes.append(f"{backbone} is a file: name its model too, MODEL/{backbone}")
    elif near:
        notes.insert(0, f"models of open_clip with near names: {', '.join(near)}")
    elif len(parts) == 2 and not backbone.startswith(PATHS):
        notes.append(f"a repository of the Hugging Face hub is named as {HUB}{backbone}")
    raise unknown("backbone is named", backbone, shipped, "shipped backbones", notes)


def identify(backbone: str, shipped: Mapping[str, Backbone]) -> str:
    """Digest (16 hex digits) of weights and configuration, equal on every machine.

    For a tag it covers open_clip's entry (address, checksum, preprocessing), for a repository of
    the Hugging Face hub only its name, so nothing is downloaded. UsageError as in `resolve`, and
    for a file that cannot be read.
    """
    source = resolve(backbone, shipped)
    facts: dict[str, Any] = {"kind": source.kind}
    if source.kind == "shipped":
        entry = shipped[source.model]
        facts |= {"weights": entry.sha256, "config": read_json(entry.config)}
    elif source.kind == "tag":
        facts |= {"name": source.name, "published": tags(source.model)[source.weights]}
    elif source.kind == "hub":
        facts |= {"name": source.weights}
    elif source.kind == "file":
        facts |= {"weights": sha256(Path(source.weights)), "model": source.model}
        facts |= {"config": read_json(model_configs()[source.model])}
        facts |= {"published": published(source), "quick_gelu": quick_gelu(source)}
    else:
        folder = Path(source.weights)
        facts |= {"weights": {path.name: sha256(path) for path in weights_in(folder)}}
        facts |= {"config": read_json(folder / CONFIG)}
    return digest(facts, 16)


def _is_folder(backbone: str) -> bool:
    """Whether the name is the path of a folder with a model, or looks like the path of a folder."""
    path = Path(backbone).expanduser()
    return (path / CONFIG).is_file() or (backbone.startswith(PATHS) and not path.is_file())


def _check_folder(folder: str, backbone: str) -> None:
    """UsageError unless the folder describes a model of open_clip and has its weights."""
    path = Path(folder)
    if not path.is_dir():
        raise UsageError(f"no folder {folder} for backbone {backbone!r}")
    if not (path / CONFIG).is_file():
        hint = ""
        if (path / "config.json").is_file():
            hint = (
                "\nit holds a model of transformers (config.json); take the repository that holds "
                "the model for open_clip, which has this file"
            )
        raise UsageError(f"no file {folder}/{CONFIG} for backbone {backbone!r}{hint}")
    model_config(path / CONFIG)
    if not weights_in(path):
        raise UsageError(f"no weights in {folder}: no .safetensors, .bin, .pth or .pt file")


def model_config(path: Path) -> dict[str, Any]:
    """open_clip's configuration in a file `CONFIG`. UsageError, with what it lacks, if it has none.

    Asks only for what open_clip reads of every model: the towers and the width they share.
    """
    try:
        content: object = read_json(path)
    except ValueError as error:
        raise UsageError(f"{path} is not a JSON file: {error}") from error
    config = content.get("model_cfg") if isinstance(content, dict) else None
    if not isinstance(config, dict):
        raise UsageError(f"{path} has no 'model_cfg', a mapping that describes the model")
    for key in ("vision_cfg", "text_cfg"):
        if not isinstance(config.get(key), dict):
            raise UsageError(f"{path}: its 'model_cfg' has no {key!r}, a mapping for that tower")
    width = config.get("embed_dim")
    if not isinstance(width, int) or width < 1:
        raise UsageError(f"{path}: its 'model_cfg' has no 'embed_dim', the width of a feature")
    return config


def weights_in(folder: Path) -> list[Path]:
    """Files of weights in a folder in the hub's layout, sorted by name.

    Checkpoints of open_clip's training (.pt) count where there are no others.
    """
    paths = sorted(folder.iterdir())
    usual = [path for path in paths if path.suffix in (".safetensors", ".bin", ".pth")]
    return usual or [path for path in paths if path.suffix == ".pt"]


def published(source: BackboneSource) -> Mapping[str, Any]:
    """open_clip's entry (address, preprocessing, ...) for a tag, or for the tag of a file.

    A file matches the tag whose checksum it has, or else the tag that is in its own name, which is
    a guess (`guess`). Names of folders say nothing: a folder may hold anything. For any other file
    the entry holds only the values that all tags of the model share.
    """
    known = tags(source.model)
    if source.kind == "tag":
        return known[source.weights]
    if tag := _tag_of_content(source) or _tag_in_name(source):
        return known[tag]
    entries = list(known.values())
    return {
        key: value
        for key, value in (entries[0] if entries else {}).items()
        if all(entry.get(key) == value for entry in entries)
    }


def quick_gelu(source: BackboneSource) -> bool | None:
    """Whether the weights were trained with QuickGELU; None if unknown.

    open_clip builds 'ViT-B-16' with GELU and only warns if the tag was trained with QuickGELU,
    which costs 4 points on ImageNet (mlfoundations/open_clip issue 1109).
    """
    facts = published(source)
    entries = tags(source.model).values()
    if source.kind == "tag" or facts in entries:
        return bool(facts.get("quick_gelu"))
    if any(entry.get("quick_gelu") for entry in entries):
        return facts.get("quick_gelu")  # True if all tags agree
    return bool(read_json(model_configs()[source.model]).get("quick_gelu"))


class Guess(NamedTuple):
    """What was assumed of a file of weights that does not say it."""

    summary: str
    """For a record: without paths."""
    message: str
    """For the user: with what to do if the guess is wrong."""


def guess(source: BackboneSource) -> Guess | None:
    """What loading a file of weights assumes; None where nothing is guessed."""
    if source.kind != "file" or _tag_of_content(source):
        return None
    quick = quick_gelu(source)
    activation = "QuickGELU" if quick else "GELU"
    if tag := _tag_in_name(source):
        return Guess(
            f"{activation}, of tag {tag}, which is in the file's name",
            f"{source.weights} is taken for weights like {source.model}/{tag}, by the name of the "
            f"file: {activation} and that tag's preprocessing; if it is not, give it another name",
        )
    if quick is None:
        return Guess(
            "GELU, since the file does not say",
            f"the activation that {source.weights} was trained with is unknown: taking GELU. For "
            "weights trained with QuickGELU (OpenAI, MetaCLIP, DFN) name the backbone "
            f"{source.model}-quickgelu/{source.weights}",
        )
    return None


def _tag_of_content(source: BackboneSource) -> str:
    """The tag that a file of weights is, by its checksum; '' if it is none."""
    checksum = sha256(Path(source.weights))
    for tag, facts in tags(source.model).items():
        if (start := published_checksum(facts)) and checksum.startswith(start):
            return tag
    return ""


def _tag_in_name(source: BackboneSource) -> str:
    """The longest tag that the name of a file of weights contains; '' if it contains none."""
    name = Path(source.weights).name.lower().replace("-", "_")
    return max((tag for tag in tags(source.model) if tag in name), key=len, default="")


def is_openai_archive(source: BackboneSource) -> bool:
    """Whether the file of weights is the TorchScript archive that OpenAI published for the model.

    UsageError for any other TorchScript archive: those are programs, not weights.
    """
    path = Path(source.weights)
    if not is_zipfile(path):
        return False
    with ZipFile(path) as archive:
        if not any("/code/" in name for name in archive.namelist()):
            return False
    expected = published_checksum(tags(source.model).get("openai", {}))
    if expected and sha256(path) == expected:
        return True
    raise UsageError(
        f"{path} is a TorchScript program, and not the one OpenAI published for {source.model}\n"
        "save its state_dict as safetensors and name that file"
    )


@cache
def model_configs() -> Mapping[str, Path]:
    """Paths of open_clip's model configurations by model name; open_clip is not imported."""
    package = find_spec("open_clip")
    assert package, "open_clip is a dependency"
    assert package.origin
    return {path.stem: path for path in Path(package.origin).parent.glob("model_configs/*.json")}


def tags(model: str) -> Mapping[str, Mapping[str, Any]]:
    """open_clip's entries (address, checksum, preprocessing) for a model's weights, by tag."""
    import rppbench.torchvision_shim  # noqa: F401, I001  # before open_clip; both cost seconds
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    return {tag: get_pretrained_cfg(model, tag) for tag in list_pretrained_tags_by_model(model)}


def published_checksum(facts: Mapping[str, Any]) -> str:
    """The SHA-256 (or its start) in the address of a tag's file; '' if it has none."""
    match = re.search(r"/([0-9a-f]{64})/|-([0-9a-f]{8})\.pth?$", str(facts.get("url", "")))
    return (match[1] or match[2]) if match else ""
