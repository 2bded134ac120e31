"""Which files of a backbone are on this machine, and where the others are to be had.

Looks only at the disk, except for `unreachable`, which asks one host whether it answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from rppbench.files.digests import read_json
from rppbench.models.identity import (
    CONFIG,
    BackboneSource,
    model_config,
    model_configs,
    tags,
    weights_in,
)

WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Files of weights that open_clip looks for in a repository, in this order."""
PREFERRED = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    *("open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"),
    *("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
)
"""Files of weights that open_clip takes from a folder before any other, in this order."""
URL_CACHE = Path("~/.cache/clip")
"""Where open_clip keeps files that it has from an address outside the hub."""
PARAMETERS = Path(__file__).with_name("parameters.json")
"""{configuration of open_clip: its number of parameters}, counted on models without weights."""
TOKENIZER = "tokenizer"
REACH_SECONDS = 8.0
"""Time that a host has to answer; with the rest a failed download takes less than ten seconds."""


@dataclass(frozen=True)
class Absent:
    """Files that a backbone needs and that are not on this machine."""

    what: str
    """'weights', 'tokenizer', ..."""
    address: str
    """Where they are to be had."""


def absent(source: BackboneSource) -> list[Absent]:
    """The files that loading the backbone would download.

    UsageError if a description that is here, of a folder or repository, describes no model.
    """
    if source.kind == "tag":
        facts = tags(source.model)[source.weights]
        config: Mapping[str, Any] = read_json(model_configs()[source.model])
        return [*_absent_weights(facts), *_absent_text_files(config)]
    if source.kind == "file":
        return list(_absent_text_files(read_json(model_configs()[source.model])))
    if source.kind == "folder":  # the tokenizer is read from the folder
        config = model_config(Path(source.weights) / CONFIG)
        return [one for one in _absent_text_files(config) if one.what != TOKENIZER]
    if source.kind == "hub":
        described = cached(source.weights, CONFIG)
        if described is not None:
            model_config(described)
        missing = [CONFIG] if described is None else []
        if not any(cached(source.weights, name) for name in WEIGHTS):
            missing.append("weights")
        return [Absent(" and ".join(missing), hub_address(source.weights))] if missing else []
    return []


def parameters(source: BackboneSource) -> int | None:
    """The number of parameters of a model that open_clip lists; None if it is not known."""
    known: dict[str, int] = read_json(PARAMETERS)
    return known.get(source.model) if source.kind == "tag" else None


def preferred_weights(folder: Path) -> Path:
    """The file of weights that open_clip would take from a folder with several."""
    paths = sorted(weights_in(folder), key=lambda path: path.suffix != ".safetensors")
    by_name = {path.name: path for path in paths}
    return next((by_name[name] for name in PREFERRED if name in by_name), paths[0])


def cached(repository: str, name: str) -> Path | None:
    """The file of a repository of the Hugging Face hub in its cache; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, name)
    return Path(path) if isinstance(path, str) else None


def hub_address(repository: str) -> str:
    """The page of a repository of the hub, or of the mirror that HF_ENDPOINT names."""
    from huggingface_hub.constants import ENDPOINT

    return f"{ENDPOINT}/{repository}"


@cache
def unreachable(host: str, seconds: float = REACH_SECONDS) -> str:
    """Why the host of an address gives no answer in time; '' if it answers, whatever it says.

    Asked once by a process: of many cells of one backbone only the first waits.
    """
    reasons = [f"no answer within {seconds:.0f} s"]

    def ask() -> None:
        try:
            with urlopen(Request(host, method="HEAD"), timeout=seconds):
                reasons.append("")
        except HTTPError as error:
            reasons.append("" if error.code < 500 else f"it answers {error.code} {error.reason}")
        except (OSError, ValueError) as error:
            reasons.append(str(getattr(error, "reason", error)))

    # The timeout of a connection does not cover the look-up of the name; the thread's does.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return reasons[-1]


def host_of(address: str) -> str:
    """'https://host' of an address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _absent_weights(facts: Mapping[str, Any]) -> Iterator[Absent]:
    """As open_clip's `download_pretrained` looks for them: the hub before other addresses."""
    url, hub = str(facts.get("url", "")), str(facts.get("hf_hub", ""))
    repository, _, name = hub.rpartition("/")
    if "file" in facts:
        present = True
    elif hub:
        present = any(cached(repository, candidate) for candidate in _spellings(name))
    else:
        present = (URL_CACHE.expanduser() / url.rpartition("/")[2]).is_file()
    if not present:
        yield Absent("weights", hub_address(repository) if hub else url)


def _spellings(name: str) -> Sequence[str]:
    """The file of that name, and the safetensors file that open_clip takes in its place."""
    if not name:
        return WEIGHTS
    stem, _, suffix = name.rpartition(".")
    return (f"{stem}.safetensors", name) if suffix in ("bin", "pth") else (name,)


def _absent_text_files(config: Mapping[str, Any]) -> Iterator[Absent]:
    """Tokenizer and configuration of a text tower that open_clip takes from other repositories."""
    text = config["text_cfg"]
    for what, key, name in (
        (TOKENIZER, "hf_tokenizer_name", "tokenizer_config.json"),
        ("configuration of the text tower", "hf_model_name", "config.json"),
    ):
        repository = text.get(key)
        if repository and not Path(repository).is_dir() and cached(repository, name) is None:
            yield Absent(what, hub_address(repository))
