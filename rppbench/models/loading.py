"""Loading of backbones: open_clip models with their weights, tokenizer and preprocessing.

A model is built with the activation and preprocessing that its weights were trained with.

Only tensors are read: safetensors, or `torch.load` with `weights_only`. OpenAI's own archives are
TorchScript and are read if their checksum is the published one.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision
from rppbench.models.tokens import Tokenizer

# isort: split
import open_clip
import torch
from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE
from safetensors import SafetensorError
from safetensors.torch import load_file

from rppbench.contracts.backbone import PRECISIONS, Backbone
from rppbench.data.preprocess import Preprocess, preprocess
from rppbench.errors import UsageError
from rppbench.files.digests import read_json, sha256
from rppbench.models.identity import BackboneSource, guess, is_openai_archive, published, quick_gelu
from rppbench.models.weights.on_disk import absent, host_of, preferred_weights, unreachable
from rppbench.models.weights.state_dicts import load_into, read_checkpoint, why_unreadable

NEEDS_TRANSFORMERS = (
    "text towers and vocabularies of the Hugging Face hub need transformers:"
    " pip install 'rppbench[hf]'"
)
DTYPES = dict(zip(PRECISIONS, (torch.float32, torch.bfloat16, torch.float16), strict=True))


def read_shipped(entry: Backbone, precision: str) -> tuple[Any, Tokenizer, Preprocess]:
    """Model, tokenizer and preprocessing of a backbone whose files come with a plugin.

    UsageError if the files are missing or damaged.
    """
    for path in (entry.config, entry.weights):
        if not path.is_file():
            raise UsageError(f"backbone {entry.name!r}: no file {path}; install its plugin again")
    if (checksum := sha256(entry.weights)) != entry.sha256:
        raise UsageError(
            f"backbone {entry.name!r}: {entry.weights} is damaged or was replaced\n"
            f"its SHA-256 is {checksum}, not {entry.sha256}; install its plugin again"
        )
    config = read_json(entry.config)
    facts = config.pop("preprocess")
    model = build(config, precision)
    model.load_state_dict(load_file(entry.weights))
    return model, open_clip.SimpleTokenizer(context_length=model.context_length), preprocess(facts)


def build(config: Mapping[str, Any], precision: str = "fp32") -> Any:
    """A model of open_clip's `CLIP` class from its configuration, with random weights."""
    cast = None if precision == "fp32" else DTYPES[precision]
    model = open_clip.CLIP(**config, cast_dtype=cast)
    if cast is not None:
        open_clip.convert_weights_to_lp(model, cast)
    return model


def read_open_clip(source: BackboneSource, precision: str) -> tuple[Any, Tokenizer, Preprocess]:
    """Model, tokenizer and preprocessing of a model that open_clip knows or can read.

    The model comes from open_clip's own tables, from the Hugging Face hub, or from a folder in the
    hub's layout. UsageError, with what to do, if its weights cannot be fetched or do not fit.
    """
    if reason := _unreachable(source):
        raise UsageError(f"{load_failure(source)}\n{reason}")
    try:
        if source.kind == "file" and is_openai_archive(source):
            model = open_clip.load_openai_model(source.weights, precision=precision, device="cpu")
        elif source.kind in ("file", "folder"):
            model = _read_local(source, precision)
        else:
            model = open_clip.create_model(
                source.model,
                precision=precision,
                require_pretrained=True,
                weights_only=True,
                **create_model_options(source),
            )
        tokenizer = open_clip.get_tokenizer(source.model)
    except ImportError as error:
        raise UsageError(f"{load_failure(source)}\n{error}\n{NEEDS_TRANSFORMERS}") from error
    except (EOFError, UnpicklingError) as error:  # in a file that open_clip reads
        raise UsageError(f"{load_failure(source)}\n{why_unreadable(error)}") from error
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        advice = f"\n{NEEDS_TRANSFORMERS}" if find_spec("transformers") is None else ""
        raise UsageError(f"{load_failure(source)}\n{error}{advice}") from error
    return model, tokenizer, preprocess(open_clip.get_model_preprocess_cfg(model))


def _read_local(source: BackboneSource, precision: str) -> Any:
    """The model of a file or folder, with the tensors that lie in it, wherever they do."""
    with _without_remarks_on_weights():
        model = open_clip.create_model(
            source.model,
            precision=precision,
            load_weights=False,
            pretrained_text=False,  # the file holds the weights of both towers
            **create_model_options(source),
        )
    path = Path(source.weights)
    if source.kind == "folder":
        path = preferred_weights(path)
    if path.suffix in (".npz", ".npy"):
        open_clip.load_checkpoint(model, str(path))  # the layout of big_vision
    else:
        load_into(model, read_checkpoint(path), source.model)
    return model


@contextmanager
def _without_remarks_on_weights() -> Iterator[None]:
    """open_clip remarks on the root logger that a model has no weights; it gets them afterwards."""
    root = logging.getLogger()

    def keep(record: logging.LogRecord) -> bool:
        return record.levelno > logging.WARNING

    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)


def _unreachable(source: BackboneSource) -> str:
    """Why files that must be downloaded cannot be had now; '' if they can, or if all are here."""
    for files in absent(source):
        if HF_HUB_OFFLINE and files.address.startswith(ENDPOINT):
            return f"{files.what} at {files.address}: HF_HUB_OFFLINE is set"
        if reason := unreachable(host_of(files.address)):
            return f"{files.what} at {files.address}: {reason}"
    return ""


def create_model_options(source: BackboneSource) -> dict[str, Any]:
    """Options of `open_clip.create_model` besides the name, so that model and weights agree."""
    if source.kind not in ("tag", "file"):
        return {}  # the configuration comes with the weights
    options: dict[str, Any] = {"pretrained": source.weights}
    quick = quick_gelu(source)
    options |= {"force_quick_gelu": True} if quick else {"quick_gelu": False}
    if guessed := guess(source):
        warnings.warn(guessed.message, stacklevel=2)  # Python prints it once a process
    if source.kind == "file":
        # open_clip assumes OpenAI's mean and deviation for every file.
        keys = ("mean", "std", "interpolation", "resize_mode")
        facts = published(source)
        options["force_preprocess_cfg"] = {key: facts[key] for key in keys if key in facts}
    return options


def load_failure(source: BackboneSource) -> str:
    """Message for weights that could not be loaded, with what to do."""
    if source.kind == "tag":
        facts = published(source)
        origin = facts.get("url") or f"https://huggingface.co/{facts.get('hf_hub', '')}"
        return (
            f"could not load the weights of {source.name}; without a network, get them from "
            f"{origin}\nand name the file: {source.model}/PATH"
        )
    if source.kind == "hub":
        return (
            f"could not load {source.model}; without a network, get "
            f"https://huggingface.co/{source.weights}\nand name its folder: local-dir:FOLDER"
        )
    return f"{source.weights} does not hold weights of {source.model} that can be read"
