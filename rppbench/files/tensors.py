"""Tensors in safetensors files that hold a digest of their own content.

A flipped bit would otherwise be read as another number: the format has no checksum. The digest is
an entry of the metadata and covers the other entries too. A file without it is damaged, since the
flipped bit may be in the digest's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.files.atomic import replacing

if TYPE_CHECKING:
    from torch import Tensor

DIGEST = "sha256"
"""The entry of the metadata that holds the digest of everything else."""


class DamagedTensorsError(ValueError):
    """A file of tensors is not what was written; the message does not name the file."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors of any device and layout with their metadata and digest, in one step.

    OSError if the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(plain, temporary, {**metadata, DIGEST: _digest(plain, metadata)})
        except SafetensorError as error:  # a full disk, for example
            raise OSError(None, str(error), str(path)) from error


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a file that `write_tensors` wrote.

    OSError if it cannot be read, DamagedTensorsError if it is not such a file or was changed.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = path.read_bytes()
    try:
        metadata = _metadata(content)
        tensors = load(content)
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise DamagedTensorsError(f"not a complete file of tensors ({error})") from error
    if DIGEST not in metadata:
        raise DamagedTensorsError(
            "holds no digest of its content: of an earlier version, or damaged"
        )
    written = metadata.pop(DIGEST)
    if written != _digest(tensors, metadata):
        raise DamagedTensorsError(
            "damaged: its content has another digest than when it was written"
        )
    return metadata, tensors


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata alone, unverified and without loading torch; {} if it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.read(8)
            metadata = _metadata(size + file.read(min(int.from_bytes(size, "little"), _LONGEST)))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    metadata.pop(DIGEST, None)
    return metadata


def read_contents(path: Path) -> Mapping[str, str]:
    """Digests of the data that stored prompts were learned from, as `Record.contents` has them.

    {} for a file that does not say so or cannot be read.
    """
    try:
        contents = json.loads(read_metadata(path)["progress"])["contents"]
        return {str(name): str(digest) for name, digest in contents.items()}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


_LONGEST = 100_000_000
"""Maximum length of a header, as safetensors limits it."""


def _metadata(content: bytes) -> dict[str, str]:
    """The metadata in a file's header: 8 bytes of length, then JSON."""
    end = 8 + int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8:end])["__metadata__"]
    return {str(name): str(value) for name, value in metadata.items()}


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of the metadata, and of names, types, shapes and bytes of the tensors."""
    import torch

    sha = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{json.dumps(name)} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
