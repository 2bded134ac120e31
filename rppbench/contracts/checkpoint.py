"""Methods that read the checkpoints of their official code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from rppbench.records.cell import Option


@dataclass(frozen=True)
class ImportedState:
    """An official checkpoint in the method's own terms."""

    options: Mapping[str, Option]
    """The options that the checkpoint determines."""
    state: Mapping[str, Tensor]
    """The method's state dict."""
    start_token: Tensor | None = None
    """(d,) embedding of the start token in the file, which identifies the backbone."""
    classes: int = 0
    """Number of classes that the state has a part for each of; 0 if it serves any class."""
    suffix: Tensor | None = None
    """(c, s, d) embeddings in the file of what follows the learned tokens for each class: fixed
    words, the class name, the end. They show whether words and names are the same here."""
    class_embedding: Tensor | None = None
    """(d,) the image tower's class token in the file, which identifies the backbone."""
    shots: int = 1
    """`Space.shots` of the state: images of each class that it has room for."""
    from_options: tuple[str, ...] = ()
    """Names of the state that no file holds: their values follow from the method's options."""


class ReadsOfficialCheckpoints(ABC):
    """Mix-in for a `Method`: `rppbench import` turns its official checkpoints into prompts."""

    @classmethod
    @abstractmethod
    def from_official(cls, checkpoint: Mapping[str, Tensor]) -> ImportedState:
        """The method's options and state, from the tensors of an official checkpoint.

        The tensor of a file that holds a single one, without a name, is called 'tensor'. UsageError
        for tensors of any other file. Shapes are compared with the backbone later.
        """

    @classmethod
    def companions(cls, file: str) -> Mapping[str, str]:
        """Other files that belong to the file of this name, in its folder, by a name for each.

        Each holds a single tensor, which `from_official` gets under that name. UsageError for a
        name that the official code does not give its files, if others belong to them.
        """
        return {}

    @classmethod
    def options_of_path(cls, path: str) -> Mapping[str, Option]:
        """Options that the tensors do not show, but the folders that the official code writes do.

        `path` has '/' between its parts.
        """
        return {}
