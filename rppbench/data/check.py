"""Checks that a data set is complete and correct; if not, what to fetch and where to put it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from rppbench.contracts.dataset import (
    BeginStep,
    Dataset,
    Finding,
    ReportProgress,
    Sample,
    SourceFile,
)
from rppbench.errors import MISSING, UNREADABLE, MissingDataError, UsageError
from rppbench.files.class_names import alike_warning

SPLITS = ("train", "val", "test")
SHOWN = 5
"""Number of faulty files that a finding names."""
AT_ONCE = 1_000
"""Images handed to the threads at once."""


def check(
    component: type[Dataset], root: Path, begin_step: BeginStep, readers: int = 0
) -> tuple[list[Finding], dict[str, int]]:
    """Findings on a data set below a root, and the number of images of each of its splits.

    With `readers` > 0, that many threads decode every image (Pillow releases Python's lock).
    """
    findings = [Finding(MISSING, wanted(source, root)) for source in component.lacks(root)]
    try:
        data = component()
    except MissingDataError as error:
        if not findings or error.problem != MISSING:
            findings.insert(0, Finding(error.problem, str(error)))
        return findings, {}
    counts: dict[str, int] = {}
    checked_lists: set[tuple[int, str]] = set()
    for split in SPLITS:
        try:
            samples = data.samples(split)
        except MissingDataError as error:
            if not findings or error.problem != MISSING:
                findings.append(Finding(error.problem, str(error)))
            continue
        except UsageError:  # a data set without such a split
            continue
        counts[split] = len(samples)
        same = (len(samples), samples[0].key if samples else "")
        if same in checked_lists:  # in some data sets 'val' and 'test' are the same list
            continue
        checked_lists.add(same)
        findings += _images(data, split, samples, begin_step, readers)
    more = [*data.findings(), *(Finding("", text) for text in remarks(data))]
    texts = {finding.text for finding in findings}
    for finding in more:
        if finding.text not in texts:
            texts.add(finding.text)
            findings.append(finding)
    return findings, counts


def remarks(data: Dataset) -> Iterator[str]:
    """The data set's own remarks, and one on class names that cannot be told apart.

    Published class lists are used as they are: ImageNet has two classes called 'missile'.
    """
    yield from data.remarks()
    if data.size is None and (text := alike_warning(data.classes, data.name)):
        yield text


def wanted(source: SourceFile, root: Path) -> str:
    """What to fetch and where to put it, for a person."""
    lines = [f"{root / source.gives} is missing"]
    name = source.filename
    digest = next((f" ({k} {v})" for k in ("md5", "sha256") if (v := getattr(source, k))), "")
    if source.addresses:
        where = [_shown(address) for address in source.addresses]
        lines.append(f"  fetch {name}{digest} from {where[0]}")
        lines += [f"  or from {address}" for address in where[1:]]
    lines += [f"  see {page}" for page in source.pages]
    if source.into:
        part = f"the folder {source.inside} of it" if source.inside else "it"
        lines.append(f"  and unpack {part} into {root / source.into}")
    elif source.addresses:
        lines.append(f"  and put it at {root / source.gives}")
    return "\n".join(lines)


def _shown(address: str) -> str:
    kind, _, identity = address.partition(":")
    return f"https://drive.google.com/file/d/{identity}/view" if kind == "drive" else address


def _images(
    data: Dataset, split: str, samples: Sequence[Sample], begin_step: BeginStep, readers: int
) -> Iterator[Finding]:
    if not data.scanned:
        report = begin_step(f"{data.name}: look for {split} images")
        missing = []
        for done, sample in enumerate(samples, 1):
            path = data.file(sample)
            if path is not None and not path.is_file():
                missing.append(str(path))
            if not done % AT_ONCE:
                report(done, len(samples))
        if missing:
            yield Finding(MISSING, _summary(missing, len(samples), split, "are missing"))
    if readers:
        report = begin_step(f"{data.name}: read {split} images")
        bad = [text for text in _read(data, samples, readers, report) if text]
        if bad:
            yield Finding(UNREADABLE, _summary(bad, len(samples), split, "cannot be read"))


def _read(
    data: Dataset, samples: Sequence[Sample], readers: int, report: ReportProgress
) -> Iterator[str | None]:
    """For each image its fault, or None. Missing images give None: `_images` reports them."""

    def fault_of(sample: Sample) -> str | None:
        try:
            data.image(sample)
        except MissingDataError as error:
            return str(error) if error.problem == UNREADABLE else None
        except Exception as error:  # noqa: BLE001  a plugin's reader may raise what it likes
            return f"{sample.key}: {type(error).__name__}: {error}"
        return None

    waiting, done = iter(samples), 0
    with ThreadPoolExecutor(readers) as pool:
        while chunk := list(islice(waiting, AT_ONCE)):
            yield from pool.map(fault_of, chunk)
            done += len(chunk)
            report(done, len(samples))


def _summary(faulty: Sequence[str], total: int, split: str, what: str) -> str:
    lines = [f"{len(faulty):,} of {total:,} {split!r} images {what}; the first ones:"]
    return "\n".join([*lines, *(f"  {text}" for text in islice(faulty, SHOWN))])
