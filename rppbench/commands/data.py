"""`rppbench data`: what is there, what is missing, and how to get it. Needs no torch."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rppbench.data.root import use_data
from rppbench.errors import UsageError, unknown
from rppbench.terminal.console import console, print_table

if TYPE_CHECKING:
    from rppbench.contracts.dataset import Dataset
    from rppbench.plugins.registry import Registry

FORMATS = ("webdataset",)


def flags(parser: argparse.ArgumentParser) -> None:
    """What the verbs take."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, text: str, execute: Callable[[argparse.Namespace], int]) -> Any:
        added = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(verb=execute, parser=added)
        added.add_argument(
            "--data", metavar="DIR", help="folder of real data [$RPPBENCH_DATA, $DATA or ./data]"
        )
        return added.add_argument

    verb("list", "list the data sets, and which are there", listed)
    add = verb("check", "say what is missing or wrong, and how to get it", check)
    add("names", nargs="*", metavar="NAME", help="data sets [all that need files]")
    add("--read", action="store_true", help="decode every image, too")
    add("--workers", type=int, default=os.cpu_count() or 1, help="threads that decode [cores]")
    add = verb("prepare", "fetch what a data set lacks, and check it", prepared)
    add("name", metavar="NAME", help="of a data set")
    add(
        "--from",
        dest="places",
        nargs="+",
        default=(),
        metavar="PLACE",
        help="address, file or folder, or hf:ORG/NAME, instead of the known addresses",
    )
    add("--to", metavar="DIR", help="data root to prepare it in [that of --data]")
    add("--md5", default="", help="of the file that --from names")
    add("--sha256", default="", help="of the file that --from names")
    add = verb("manifest", "list the images of a large data set ahead of time", manifested)
    add("name", metavar="NAME", help="of a data set")
    add = verb("export", "write a data set in another format", exported)
    add("name", metavar="NAME", help="of a data set")
    add("--format", required=True, metavar="FORMAT", help=", ".join(FORMATS))
    add("--to", required=True, metavar="DIR", help="folder to make")
    add("--split", nargs="+", metavar="SPLIT", help="[train and test, as far as they are there]")


def data(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    if arguments.data:
        use_data(Path(arguments.data))
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    return verb(arguments)


def listed(arguments: argparse.Namespace) -> int:
    """One line a data set."""
    from rppbench.contracts.dataset import data_root

    registry, root, out = _registry(), data_root(), console()
    rows = []
    for name, item in registry.all("datasets").items():
        there = "yes" if not item.sources else _there(item, root)
        size = f"{item.size:,}" if item.size else "–"
        role = f"large {item.role}" if item.large else item.role
        rows.append([name, item.suite, role, size, there, item.licence, item.origin])
    print_table(out, ("Name", "Suite", "Role", "Classes", "There", "Licence", "SourceFile"), rows)
    out.print(f"looked for below {root}; `rppbench data check NAME` says more", soft_wrap=True)
    for line in registry.complaints():
        out.print(line, soft_wrap=True)
    return 0


def _there(item: type[Dataset], root: Path) -> str:
    lacking = len(item.lacks(root))
    if not lacking:
        return "yes"
    return "no" if lacking == len(item.sources) else "in part"


def check(arguments: argparse.Namespace) -> int:
    """What is wrong with data sets; 1 if anything is."""
    if arguments.workers < 1:
        raise UsageError("--workers must be at least 1")
    registry = _registry()
    chosen = [registry.get("datasets", name) for name in dict.fromkeys(arguments.names)]
    if not arguments.names:
        chosen = [item for item in registry.all("datasets").values() if item.sources]
    good = [_check(item, arguments.workers if arguments.read else 0) for item in chosen]
    return 0 if all(good) else 1


def _check(item: type[Dataset], readers: int) -> bool:
    """Check one data set and print what is to be said; whether nothing is wrong."""
    from rppbench.contracts.dataset import data_root
    from rppbench.data.check import check
    from rppbench.terminal.step_progress import watching

    root, out = data_root(), console()
    with watching(console(stderr=True)) as watch:
        found, counts = check(item, root, watch, readers)
    problems = list(dict.fromkeys(finding.problem for finding in found if finding.problem))
    images = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    said = f" ({images} images{', all decoded' if readers and not problems else ''})"
    out.print(
        f"{item.name}: {', '.join(problems) or 'present'}{said if counts else ''}", soft_wrap=True
    )
    said_once: set[str] = set()
    for finding in found:
        for line in finding.text.splitlines():
            if not line.startswith("  see ") or line not in said_once:
                out.print(f"  {line}", soft_wrap=True)
            said_once.add(line)
    lacking = item.lacks(root)
    if any(source.addresses for source in lacking):
        out.print(f"  or: rppbench data prepare {item.name} --to {root}", soft_wrap=True)
    elif lacking:
        to = f"rppbench data prepare {item.name} --to {root} --from FILE"
        out.print(f"  files that you have are put there by: {to}", soft_wrap=True)
    if lacking:
        out.print(f"  licence: {item.licence}; cite {item.paper}", soft_wrap=True)
    return not problems


def prepared(arguments: argparse.Namespace) -> int:
    """Fetch, unpack, check; 1 if something is still missing or wrong."""
    from rppbench.contracts.dataset import data_root
    from rppbench.data.prepare import Given, prepare
    from rppbench.terminal.step_progress import watching

    item = _registry().get("datasets", arguments.name)
    root = Path(arguments.to).expanduser() if arguments.to else data_root()
    given = Given(tuple(arguments.places), arguments.md5, arguments.sha256)
    with watching(console(stderr=True)) as watch:
        problems = prepare(item, root, given, watch)
    out = console()
    for problem in problems:
        out.print(f"not fetched: {problem}", soft_wrap=True)
    use_data(root)
    return 0 if _check(item, 0) and not problems else 1


def manifested(arguments: argparse.Namespace) -> int:
    """Make the index of a data set, and say where it is."""
    from rppbench.terminal.step_progress import watching

    item = _registry().get("datasets", arguments.name)
    with watching(console(stderr=True)) as watch:
        files = item.index(watch(f"list {item.name}"))
    out = console()
    if not files:
        out.print(f"{item.name} needs no index: its lists are files, or it is made here")
    for file in files:
        out.print(f"{file} ({file.stat().st_size / 2**20:,.1f} MiB)", soft_wrap=True)
    return 0


def exported(arguments: argparse.Namespace) -> int:
    """Write a data set in another format."""
    from rppbench.data.check import SPLITS
    from rppbench.exporters.webdataset import export
    from rppbench.terminal.step_progress import watching

    if arguments.format not in FORMATS:
        raise unknown("format is named", arguments.format, FORMATS, "formats")
    opened = _registry().get("datasets", arguments.name)()
    splits = arguments.split or _whole(opened, [split for split in SPLITS if split != "val"])
    to = Path(arguments.to).expanduser()
    with watching(console(stderr=True)) as watch:
        shards = export(opened, splits, to, watch)
    said = ", ".join(f"{count} of {split}" for split, count in shards.items())
    console().print(f"{to}: {len(opened.classes):,} classes, shards: {said}", soft_wrap=True)
    return 0


def _whole(opened: Dataset, splits: Sequence[str]) -> list[str]:
    """The splits that a data set has."""
    found = []
    for split in splits:
        try:
            opened.samples(split)
        except UsageError:
            continue
        found.append(split)
    return found


def _registry() -> Registry:
    from rppbench.plugins.registry import Registry

    return Registry.load()
