"""What the images and annotations of data sets hold, known by digests of their content.

Images in files are known by their bytes, which `files.content_table` reads only where a file may
have changed. Images that a data set gives without naming their files are known by their pixels,
decoded once for each fingerprint. Images that code draws from files of its own package
(`Dataset.generated`) are known by the fingerprint alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from rppbench.contracts.dataset import BeginStep, Dataset, ReportProgress, Sample
from rppbench.contracts.regions import DenseDataset, DetectionSet, SegmentationSet
from rppbench.data.parts import ANNOTATIONS, CLASSES, part_name, samples_of
from rppbench.errors import DataChangedError
from rppbench.files.cache_folder import cache_folder
from rppbench.files.content_table import ContentTable, Place, Seen
from rppbench.files.digests import digest
from rppbench.records.cell import Training

DIGITS = 32
"""Hex digits of the digest of a part."""
UNREADABLE = bytes(32)
"""Takes the place of the digest of an image that cannot be read."""
SHOWN = 3
"""Most images that a message names."""


def _silent(name: str) -> ReportProgress:
    return lambda done, total: None


Where = str | Sequence[Place]
"""Where an image is on disk: its file, or parts of files; () if it is in no file."""


@dataclass
class DataContents:
    """Digests of images and annotations. Each file is looked at once until `begin` is called."""

    trust: bool = False
    """Whether to take stored digests without looking at the files (`--trust-data`)."""
    since: float = 0.0
    """Contents that were read before this time, in seconds of `time.time`, are read anew."""
    folder: Path | None = None
    """The cache folder; None takes `cache_folder()`."""
    begin_step: BeginStep = _silent
    _seen: dict[Place, Seen] = field(default_factory=dict)
    """What was seen since `begin`."""

    @property
    def table(self) -> ContentTable:
        return ContentTable(self.folder or cache_folder(), self.trust, self.since)

    def begin(self, begin_step: BeginStep | None = None) -> None:
        """Forget what was seen: the next question looks at the files again.

        Progress is reported to `begin_step`; None keeps the present one.
        """
        self.begin_step = begin_step or self.begin_step
        self._seen.clear()

    def images(self, dataset: Dataset, samples: Sequence[Sample]) -> list[bytes]:
        """A digest of the content of each image; b'' for one that cannot be read."""
        where = _image_places(dataset, samples)
        return self._digests(dataset, samples, "images", where, _pixels)

    def annotations(self, dataset: Dataset, samples: Sequence[Sample]) -> list[bytes]:
        """A digest of the label map or the boxes of each image."""
        where = [_annotation_place(dataset, sample) for sample in samples]
        return self._digests(dataset, samples, "annotations", where, _annotation)

    def of_samples(
        self, dataset: Dataset, samples: Sequence[Sample], part: str = ""
    ) -> tuple[str, list[bytes]]:
        """The digest of a list of images in order (or of their annotations), and of each of them.

        It covers keys and labels too.
        """
        if dataset.generated:
            return dataset.fingerprint(), []
        digests = (self.annotations if part == ANNOTATIONS else self.images)(dataset, samples)
        listed = "\n".join([f"{sample.key}\0{sample.label}" for sample in samples])
        combined = sha256(listed.encode("utf-8", "surrogatepass"))
        for one in digests:
            combined.update(one or UNREADABLE)
        return combined.hexdigest()[:DIGITS], digests

    def record(self, dataset: Dataset, part: str, samples: Sequence[Sample]) -> tuple[str, str]:
        """The name of a part and the digest of its images, for a record.

        The digests of the single images are kept, so that a later message can name those that
        changed.
        """
        combined, digests = self.of_samples(dataset, samples, part)
        if digests:
            self.table.keep_list(combined, digests)
        return part_name(dataset, part), combined

    def classes(self, dataset: Dataset) -> tuple[str, str]:
        """The name and digest of a data set's class names, in order, and its template."""
        facts = [list(dataset.classes), dataset.template]
        return part_name(dataset, CLASSES), digest(facts, DIGITS)

    def changes(
        self,
        dataset: Dataset,
        part: str,
        recorded: str,
        limit: int | None,
        training: Training | None,
    ) -> str | None:
        """Which images of a part changed since its digest was `recorded`, in words; None if none.

        The text is '' where it is unknown which ones.
        """
        if part == CLASSES:
            return None if self.classes(dataset)[1] == recorded else ""
        samples = () if dataset.generated else samples_of(dataset, part, limit, training)
        combined, digests = self.of_samples(dataset, samples, part)
        if combined == recorded:
            return None
        differing = self.table.differing(recorded, digests) if digests else None
        if not differing:
            return ""
        names = ", ".join(samples[at].key for at in differing[:SHOWN])
        return f"{len(differing)}: {names}{', ...' if len(differing) > SHOWN else ''}"

    def check(self, dataset: Dataset, samples: Sequence[Sample]) -> None:
        """DataChangedError if one of these images is no longer what was seen."""
        if dataset.generated:
            return
        places = _flat(_image_places(dataset, samples))
        self._refuse((place, self._seen[place]) for place in places if place in self._seen)

    def check_all(self) -> None:
        """DataChangedError if anything that was seen since `begin` has changed."""
        self._refuse(self._seen.items())

    def _refuse(self, seen: Iterable[tuple[Place, Seen]]) -> None:
        changed = self.table.changed(seen)
        paths = dict.fromkeys(place if isinstance(place, str) else place[0] for place in changed)
        if paths:
            named = ", ".join(list(paths)[:SHOWN]) + (", ..." if len(paths) > SHOWN else "")
            count = "1 file" if len(paths) == 1 else f"{len(paths)} files"
            raise DataChangedError(
                f"{count} changed while they were in use: {named}\n"
                "run the cell again when the data is complete"
            )

    def _digests(
        self,
        dataset: Dataset,
        samples: Sequence[Sample],
        kind: str,
        where: Sequence[Where],
        content: Callable[[Dataset, Sample], bytes],
    ) -> list[bytes]:
        """A digest for each sample: of its places on disk, or else of its `content`."""
        seen, table = self._seen, self.table
        every: Iterable[Any] = where if set(map(type, where)) <= {str} else list(_flat(where))
        new = [place for place in every if place not in seen]
        report = self.begin_step(f"look at {kind} of {dataset.name}") if new else None
        if report:
            seen.update(table.look(dict.fromkeys(new), report))
        if every is where:
            return [seen[place][0] for place in every]
        in_no_file = {s.key: s for s, places in zip(samples, where, strict=True) if not places}
        computed: Mapping[str, bytes] = {}
        if in_no_file:
            group = f"{kind} of {dataset.name} {dataset.fingerprint()}"
            report = self.begin_step(f"read {kind} of {dataset.name}")
            computed = table.computed(
                group, list(in_no_file), lambda key: content(dataset, in_no_file[key]), report
            )
        digests = []
        for sample, places in zip(samples, where, strict=True):
            if isinstance(places, str):
                digests.append(seen[places][0])
            elif len(places) == 1:
                digests.append(seen[places[0]][0])
            elif places:
                digests.append(sha256(b"".join(seen[place][0] for place in places)).digest())
            else:
                digests.append(computed[sample.key])
        return digests


def _flat(where: Iterable[Where]) -> Iterator[Place]:
    """All places, one after the other."""
    for places in where:
        if isinstance(places, str):
            yield places
        else:
            yield from places


def _image_places(dataset: Dataset, samples: Sequence[Sample]) -> list[Where]:
    places: list[Where] = []
    for sample, path in zip(samples, dataset.paths(samples), strict=True):
        if path is not None:
            places.append(path)
        else:
            extents = dataset.extents(sample)
            places.append([(os.fspath(part.path), part.start, part.size) for part in extents])
    return places


def _annotation_place(dataset: Dataset, sample: Sample) -> Where:
    assert isinstance(dataset, DenseDataset)
    path = dataset.annotation_file(sample)
    return () if path is None else os.fspath(path)


def _pixels(dataset: Dataset, sample: Sample) -> bytes:
    """Mode, size and pixels of an image; b'' for one that cannot be read."""
    try:
        image = dataset.image(sample)
    except Exception:  # noqa: BLE001  a plugin's reader; reading it for the result raises again
        return b""
    return f"{image.mode} {image.size} ".encode() + image.tobytes()


def _annotation(dataset: Dataset, sample: Sample) -> bytes:
    """All annotations of an image, as bytes."""
    parts: list[object] = []
    if isinstance(dataset, SegmentationSet):
        labels = np.ascontiguousarray(dataset.label_map(sample))
        parts += [labels.shape, labels.tobytes()]
    if isinstance(dataset, DetectionSet):
        for one in dataset.instances(sample):
            mask = None if one.mask is None else (one.mask.shape, np.packbits(one.mask).tobytes())
            parts.append((one.label, one.box, one.crowd, one.area, one.segmentation, mask))
        parts += [dataset.shape(sample), tuple(dataset.partial_annotation(sample))]
    return repr(parts).encode()
