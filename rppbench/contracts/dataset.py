"""What data sets are, without torch: `list`, `check` and `prepare` look at them before it loads.

`rppbench.contracts.method` names all of this too, for plugins that need the rest of it anyway.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from PIL import Image

ReportProgress = Callable[[int, int], None]
"""Progress callback of a long step: (done, total); total is 0 if it is unknown."""


def data_root() -> Path:
    """$RPPBENCH_DATA, else $DATA, else ./data; it may not exist. Nothing is written under it.

    `rppbench data prepare` alone writes there, into folders that were not there before.
    """
    named = os.environ.get("RPPBENCH_DATA") or os.environ.get("DATA") or "data"
    return Path(named).expanduser()


class Component:
    """What every component says of itself, for tables, `list` and `info`."""

    name: ClassVar[str]
    """The word of the command line: 'rpp'."""
    title: ClassVar[str]
    """As tables print it: 'RPP-SAPL'."""
    paper: ClassVar[str] = ""
    """'arXiv:2409.06166', or a citation."""
    licence: ClassVar[str] = ""
    """Of data, or of code that was followed closely."""
    origin: ClassVar[str] = ""
    """Where the official code or data is."""


@dataclass(frozen=True)
class SourceFile:
    """A file that a data set is made of: where it is fetched, and where it goes."""

    url: str
    """'https://...', 'drive:ID' of Google Drive, or '' if nothing answers without a person."""
    gives: str
    """What stands below the data root once it was unpacked or copied there."""
    into: str = ""
    """Folder below the data root to unpack an archive into; '' for a file, which is `gives`."""
    inside: str = ""
    """Folder of the archive of which everything goes `into`; the rest is left out."""
    nested: tuple[str, ...] = ()
    """Archives in the archive that are unpacked beside the place where they lie."""
    file: str = ""
    """Name of the file, where the address does not end in it."""
    md5: str = ""
    sha256: str = ""
    """Digests, lower case hex; of `sha256` the first digits are enough."""
    instead: tuple[str, ...] = ()
    """Other addresses of the same file, taken in turn where one does not answer."""
    pages: tuple[str, ...] = ()
    """Where a person finds it: log-ins, copies of others, and what is different about them."""

    @property
    def filename(self) -> str:
        """What the file is called, by those who have it."""
        return self.file or self.url.rpartition("/")[2]

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that can be fetched without a person."""
        return (*((self.url,) if self.url else ()), *self.instead)


@dataclass(frozen=True)
class Finding:
    """Something that `rppbench data check` has to say of a data set."""

    problem: str
    """'missing', 'wrong count', ... (`errors.PROBLEMS`); '' for a remark."""
    text: str


@dataclass(frozen=True)
class Sample:
    """One image of a data set."""

    key: str
    """Names the image within its data set; for files, the path relative to the data root."""
    label: int


class Dataset(Component, ABC):
    """Images with class names. Reading is lazy; constructing costs no more than an index."""

    suite: ClassVar[str] = ""
    """Family of data sets that are benchmarked together ('demo', 'coop')."""
    role: ClassVar[str] = "transfer"
    """Its part in the suite: 'source', 'transfer' or 'shift'."""
    large: ClassVar[bool] = False
    """True for the suite's large-vocabulary source."""
    template: ClassVar[str] = "a photo of a {}."
    """Wording for zero-shot classification."""
    size: ClassVar[int | None] = None
    """Number of classes, if it is known before the data is opened."""
    counts: ClassVar[Mapping[str, int]] = {}
    """Images of each split of a whole copy, if known before the data is opened."""
    sources: ClassVar[tuple[SourceFile, ...]] = ()
    """Files that it is made of; () for data that needs none."""
    scanned: ClassVar[bool] = False
    """True where the images are what its folders hold: then none of them can be missing."""

    @property
    @abstractmethod
    def classes(self) -> Sequence[str]:
        """Class names by label; underscores already turned into spaces."""

    @abstractmethod
    def samples(self, split: str) -> Sequence[Sample]:
        """The images of 'train', 'val' or 'test', in a fixed order. UsageError if missing.

        A sequence that makes its samples when they are read serves for millions of them.
        """

    @abstractmethod
    def image(self, sample: Sample) -> Image.Image:
        """The decoded RGB image of `sample.key`; the label may count among chosen classes."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Digest of what would change a number: image list, labels, class names, version."""

    def held_out(self) -> Sequence[int]:
        """Labels that pretraining must not see (a held-out part of a large vocabulary)."""
        return ()

    def halves(self) -> tuple[list[int], list[int]]:
        """Base and new classes: the first ceil(C / 2) labels, and the rest."""
        return halves(range(len(self.classes)))

    def file(self, sample: Sample) -> Path | None:
        """The file that holds an image and nothing else; None if there is no such file."""
        return None

    def findings(self) -> Iterable[Finding]:
        """What a check of the opened data says beyond files that are not there."""
        return ()

    @classmethod
    def lacks(cls, root: Path) -> Sequence[SourceFile]:
        """Sources of which a first look finds nothing below a data root."""
        return [source for source in cls.sources if not (root / source.gives).exists()]

    @classmethod
    def index(cls, report: ReportProgress) -> Sequence[Path]:
        """Make what is kept in the cache so that later starts are quick; the files. () if none."""
        return ()


class Catalog(Protocol):
    """The data sets there are, by name, without opening any."""

    def names(self, suite: str, role: str) -> Sequence[str]:
        """Names of a suite's data sets of one role, in registration order."""

    def source(self, suite: str, large: bool) -> str:
        """The suite's training source; its large vocabulary if there is one and `large`."""


def halves(labels: Iterable[int]) -> tuple[list[int], list[int]]:
    """Base and new classes: the first ceil(C / 2) labels in numeric order, and the rest."""
    ordered = sorted(set(labels))
    middle = (len(ordered) + 1) // 2
    return ordered[:middle], ordered[middle:]


BeginStep = Callable[[str], ReportProgress]
"""Begins a named step of long work, 'unpack x.zip', and returns the callback for its progress."""
