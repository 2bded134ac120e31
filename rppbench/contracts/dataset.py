"""Data sets. Torch is not imported: `list`, `check` and `prepare` use them without it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from PIL import Image

from rppbench.files.presence import holds_something

ReportProgress = Callable[[int, int], None]
"""Progress callback of a long step: (done, total); total is 0 if it is unknown."""


def data_root() -> Path:
    """$RPPBENCH_DATA, else $DATA, else ./data; it may not exist.

    Only `rppbench data prepare` writes below it, into new folders.
    """
    named = os.environ.get("RPPBENCH_DATA") or os.environ.get("DATA") or "data"
    return Path(named).expanduser()


PARTIAL = "RPPBENCH_PARTIAL"
"""The variable that `--partial` sets for this process and its workers."""


def may_be_partial() -> bool:
    """Whether a published data set may have fewer images than published; results are marked."""
    return os.environ.get(PARTIAL) == "1"


class Component:
    """The facts that tables, `list` and `info` print about every component."""

    name: ClassVar[str]
    """Its name on the command line: 'rpp'."""
    title: ClassVar[str]
    """Its name in tables: 'RPP-SAPL'."""
    paper: ClassVar[str] = ""
    """'arXiv:2409.06166', or a citation."""
    licence: ClassVar[str] = ""
    """Licence of the data, or of code that was followed closely."""
    origin: ClassVar[str] = ""
    """Address of the official code or data."""
    version: ClassVar[int] = 1
    """Increased whenever the same cell would give another number; part of keys."""
    later_options: ClassVar[tuple[str, ...]] = ()
    """Options that came later: keys of older cells lack them, so a default adds nothing to a key.
    """


@dataclass(frozen=True)
class SourceFile:
    """A file that a data set is made of: its address, and its place below the data root."""

    url: str
    """'https://...', 'drive:ID' of Google Drive, or '' if only a person can get it."""
    gives: str
    """The file or folder below the data root that exists once it is unpacked or copied there."""
    into: str = ""
    """Folder below the data root to unpack an archive into; '' for a file, which is `gives`."""
    inside: str = ""
    """Folder of the archive whose content is unpacked `into`; the rest is left out."""
    nested: tuple[str, ...] = ()
    """Archives inside the archive; each is unpacked into the folder that it is in."""
    file: str = ""
    """Name of the file, if the address does not end in it."""
    md5: str = ""
    sha256: str = ""
    """Digests in lower-case hex; the first digits of `sha256` are enough."""
    instead: tuple[str, ...] = ()
    """Other addresses of the same file, tried in turn if one fails."""
    pages: tuple[str, ...] = ()
    """Pages for a person: log-ins, other people's copies and how they differ."""

    @property
    def filename(self) -> str:
        """Name of the file as it is distributed."""
        return self.file or self.url.rpartition("/")[2]

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses from which the file can be downloaded automatically."""
        return (*((self.url,) if self.url else ()), *self.instead)


@dataclass(frozen=True)
class Finding:
    """A remark or problem that `rppbench data check` reports on a data set."""

    problem: str
    """'missing', 'wrong count', ... (`errors.PROBLEMS`); '' for a remark."""
    text: str


@dataclass(frozen=True)
class Extent:
    """A part of a file."""

    path: Path
    start: int = 0
    """First byte."""
    size: int = -1
    """Number of bytes; -1: to the end."""


@dataclass(frozen=True)
class Sample:
    """One image of a data set."""

    key: str
    """Name of the image within its data set; for files, the path relative to the data root."""
    label: int


class Dataset(Component, ABC):
    """Images with class names. Images are read lazily; the constructor reads an index at most."""

    suite: ClassVar[str] = ""
    """Name of the family of data sets it is benchmarked with ('coop'); '' without one."""
    source_suite: ClassVar[str] = ""
    """Suite whose sources are learned on if its own suite has none: other images or labels of sets
    that are benchmarked elsewhere need no further training. '' without one."""
    role: ClassVar[str] = "transfer"
    """Its role in the suite: 'source', 'transfer', 'shift', 'segmentation' or 'detection'."""
    few_shot: ClassVar[bool] = False
    """Whether a source is also learned and scored on its own, as the transfer sets are: ImageNet is
    the first of the eleven sets that papers average in few-shot and base-to-new."""
    large: ClassVar[bool] = False
    """Whether it is the suite's large-vocabulary source."""
    template: ClassVar[str] = "a photo of a {}."
    """Wording for zero-shot classification."""
    size: ClassVar[int | None] = None
    """Number of classes, if known before the data is opened."""
    counts: ClassVar[Mapping[str, int]] = {}
    """Images in each split of a complete copy, if known before the data is opened."""
    sources: ClassVar[tuple[SourceFile, ...]] = ()
    """Files that it is made of; () for data without files."""
    scanned: ClassVar[bool] = False
    """Whether its images are those in its folders; if so, none can be missing."""
    generated: ClassVar[bool] = False
    """Whether code makes its images and annotations from files of its own package, all covered by
    `fingerprint`: nothing else has to be looked at to know that they are the same."""
    split_rule: str = ""
    """How its images were split, where a rule did it: kept in records. '' for published splits."""
    own: ClassVar[bool] = False
    """Whether its images are a user's own, so that no backbone is a sensible default for them."""
    unit: ClassVar[str] = "image"
    """What the images of one `group` share, in the singular: 'drawing', 'patient', 'video'.
    'image' if every image is independent of the others."""
    group_space: ClassVar[str] = ""
    """A name that data sets share in which a `group` is the same, as where they show the same
    drawings in several styles; '' if its groups are its own."""

    @property
    @abstractmethod
    def classes(self) -> Sequence[str]:
        """Class names by label, with spaces instead of underscores."""

    @abstractmethod
    def samples(self, split: str) -> Sequence[Sample]:
        """The images of 'train', 'val' or 'test', in a fixed order. UsageError for other splits.

        For millions of images, return a sequence that makes its samples when they are read.
        """

    @abstractmethod
    def image(self, sample: Sample) -> Image.Image:
        """The decoded RGB image of `sample.key`.

        The label must not matter: it may be a position among chosen classes.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Digest of all that can change a score: image list, labels, class names.

        It need not cover the content of images in files: `file` and `extents` say where they are.
        """

    def group(self, sample: Sample) -> str:
        """What an image shares with others of its split: its drawing, patient, video, scene.

        Images of one group are right or wrong together, so intervals draw complete groups. It is
        asked for if `unit` is not 'image', and is kept in records; no score depends on it.
        """
        return sample.key

    def held_out(self) -> Sequence[int]:
        """Labels of classes that pretraining leaves out (a part of a large vocabulary)."""
        return ()

    def halves(self) -> tuple[list[int], list[int]]:
        """Base and new classes: the first ceil(C / 2) labels, and the rest."""
        return halves(range(len(self.classes)))

    def file(self, sample: Sample) -> Path | None:
        """The file of an image; None if the image has no file of its own."""
        return None

    def paths(self, samples: Sequence[Sample]) -> Sequence[str | None]:
        """The `file` of each image, as text. Override it if millions of images make it slow."""
        files = map(self.file, samples)
        return [None if file is None else os.fspath(file) for file in files]

    def extents(self, sample: Sample) -> Sequence[Extent]:
        """The parts of files that hold an image without a `file`, in archives or tables.

        They are how a changed image is noticed without reading it. () if it is in no file: such
        an image is decoded once for each `fingerprint`, which alone says whether it changed.
        """
        return ()

    def findings(self) -> Iterable[Finding]:
        """What a check of the opened data reports, apart from missing files."""
        return ()

    def remarks(self) -> Iterable[str]:
        """What a user should know before a run, a line each: files that were left out, ...

        `plan`, `run` and `data check` print them, so they must not cost a look at every image.
        """
        return ()

    @classmethod
    def lacks(cls, root: Path) -> Sequence[SourceFile]:
        """The sources that do not exist below a data root, or are empty."""
        return [source for source in cls.sources if not holds_something(root / source.gives)]

    @classmethod
    def index(cls, report: ReportProgress) -> Sequence[Path]:
        """Build the cached files that make later starts quick; returns their paths, if any."""
        return ()


class Catalog(Protocol):
    """The names of the available data sets; no data set is opened."""

    def names(self, suite: str, role: str) -> Sequence[str]:
        """Names of a suite's data sets of one role, in registration order.

        The role 'few-shot' stands for the sources marked `few_shot` and all transfer sets.
        """

    def source(self, suite: str, large: bool) -> str:
        """The suite's training source; if `large`, its large vocabulary if there is one.

        UsageError for a suite that is unknown or learns on nothing (`Dataset.source_suite`).
        """


def halves(labels: Iterable[int]) -> tuple[list[int], list[int]]:
    """Base and new classes: the first ceil(C / 2) labels in numeric order, and the rest."""
    ordered = sorted(set(labels))
    middle = (len(ordered) + 1) // 2
    return ordered[:middle], ordered[middle:]


BeginStep = Callable[[str], ReportProgress]
"""Begins a named step of long work, 'unpack x.zip', and returns the callback for its progress."""
