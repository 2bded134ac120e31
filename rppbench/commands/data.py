"""`rppbench data`: list, check, prepare, index or export data sets. Needs no torch."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rppbench.data.draw_files import FORMS
from rppbench.data.root import use_data
from rppbench.errors import UsageError, unknown
from rppbench.terminal.console import console
from rppbench.terminal.step_progress import step_progress
from rppbench.terminal.tables import print_table

if TYPE_CHECKING:
    from rppbench.contracts.dataset import Dataset
    from rppbench.plugins.registry import Registry

FORMATS = ("webdataset",)


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their flags."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, text: str, execute: Callable[[argparse.Namespace], int]) -> Any:
        added = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(verb=execute, parser=added)
        added.add_argument(
            "--data", metavar="DIR", help="folder of real data [$RPPBENCH_DATA, $DATA or ./data]"
        )
        return added.add_argument

    verb("list", "list the data sets and whether each is present", listed)
    add = verb("check", "report what is missing or wrong, and how to get it", check)
    add("names", nargs="*", metavar="NAME", help="data sets [all that need files]")
    add("--read", action="store_true", help="also decode every image")
    add(
        "--workers",
        type=int,
        help="threads that decode images with --read [all cores]",
    )
    add = verb("prepare", "fetch the missing files of a data set, and check it", prepared)
    add("name", metavar="NAME", help="name of the data set")
    add(
        "--from",
        dest="places",
        nargs="+",
        default=(),
        metavar="PLACE",
        help="address, file or folder, or hf:ORG/NAME, instead of the known addresses",
    )
    add("--to", metavar="DIR", help="data root that receives the files [that of --data]")
    add("--md5", default="", help="expected MD5 of the file that --from names")
    add("--sha256", default="", help="expected SHA-256 of the file that --from names")
    add = verb("manifest", "index the images of a large data set ahead of time", manifested)
    add("name", metavar="NAME", help="name of the data set")
    add = verb("draw", "write few-shot draws to files that others read", drawn)
    add("name", metavar="NAME", help="name of the data set")
    add(
        "--shots", nargs="+", type=int, required=True, metavar="N", help="training images per class"
    )
    add("--seed", nargs="+", type=int, default=[1], metavar="N", help="seeds, one draw each [1]")
    add("--form", default=FORMS[0], metavar="FORM", help=f"{' or '.join(FORMS)} [{FORMS[0]}]")
    add("--to", required=True, metavar="DIR", help="folder for the files, shot_N-seed_S.json")
    add = verb("split", "write which images are for what as a list that json:FILE reads", split)
    add("name", metavar="NAME", help="name of the data set, such as folder:PATH")
    add("--to", required=True, metavar="FILE", help="new file")
    add = verb("export", "write a data set in another format", exported)
    add("name", metavar="NAME", help="name of the data set")
    add("--format", required=True, metavar="FORMAT", help=", ".join(FORMATS))
    add("--to", required=True, metavar="DIR", help="new folder")
    add(
        "--split",
        nargs="+",
        metavar="SPLIT",
        help="splits to write [train, val and test, where the data set has them]",
    )


def data(arguments: argparse.Namespace) -> int:
    """Run the verb that was called."""
    if arguments.data:
        use_data(Path(arguments.data))
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    return verb(arguments)


def listed(arguments: argparse.Namespace) -> int:
    """Print a line for each data set."""
    from rppbench.contracts.dataset import data_root

    registry, root, out = _registry(), data_root(), console()
    rows = []
    for name, item in registry.all("datasets").items():
        present = _presence(item, root)
        size = f"{item.size:,}" if item.size else "–"
        role = f"large {item.role}" if item.large else item.role
        rows.append([name, item.suite, role, size, present, item.licence, item.origin])
    print_table(out, ("Name", "Suite", "Role", "Classes", "Present", "Licence", "Origin"), rows)
    out.print()
    out.print(
        f"present: its files are below {root}; whether all images are: rppbench data check NAME",
        soft_wrap=True,
    )
    for line in registry.complaints():
        out.print(line, soft_wrap=True)
    return 0


def _presence(item: type[Dataset], root: Path) -> str:
    lacking = len(item.lacks(root))
    if not lacking:
        return "yes"
    return "no" if lacking >= len(item.sources) else "in part"


def check(arguments: argparse.Namespace) -> int:
    """Print the problems of data sets; 1 if there are any."""
    if arguments.workers is not None and arguments.workers < 1:
        raise UsageError("--workers must be at least 1")
    if arguments.workers is not None and not arguments.read:
        raise UsageError("--workers decode images, which only --read does")
    readers = (arguments.workers or os.cpu_count() or 1) if arguments.read else 0
    registry = _registry()
    chosen = [registry.get("datasets", name) for name in dict.fromkeys(arguments.names)]
    if not arguments.names:
        chosen = [item for item in registry.all("datasets").values() if item.sources]
    good = [_check(item, readers) for item in chosen]
    return 0 if all(good) else 1


def _check(item: type[Dataset], readers: int) -> bool:
    """Check one data set and print the findings; True if it is complete and correct."""
    from rppbench.contracts.dataset import data_root
    from rppbench.data.check import check

    root, out = data_root(), console()
    with step_progress() as begin_step:
        findings, counts = check(item, root, begin_step, readers)
    problems = list(dict.fromkeys(finding.problem for finding in findings if finding.problem))
    images = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    summary = f" ({images} images{', all decoded' if readers and not problems else ''})"
    out.print(
        f"{item.name}: {', '.join(problems) or 'present'}{summary if counts else ''}",
        soft_wrap=True,
    )
    printed: set[str] = set()
    for finding in findings:
        for line in finding.text.splitlines():
            if not line.startswith("  see ") or line not in printed:
                out.print(f"  {line}", soft_wrap=True)
            printed.add(line)
    lacking = item.lacks(root)
    if any(source.addresses for source in lacking):
        out.print(f"  or: rppbench data prepare {item.name} --to {root}", soft_wrap=True)
    elif lacking and item.sources:
        to = f"rppbench data prepare {item.name} --to {root} --from FILE"
        out.print(f"  to add files that you have: {to}", soft_wrap=True)
    if lacking:
        out.print(f"  licence: {item.licence}; cite {item.paper}", soft_wrap=True)
    return not problems


def prepared(arguments: argparse.Namespace) -> int:
    """Fetch, unpack and check a data set; 1 if something is still missing or wrong."""
    from rppbench.contracts.dataset import data_root
    from rppbench.data.prepare import Given, prepare

    if len(arguments.places) != 1 and (arguments.md5 or arguments.sha256):
        raise UsageError("--md5 and --sha256 are those of the one file that --from names")
    item = _registry().get("datasets", arguments.name)
    root = Path(arguments.to).expanduser() if arguments.to else data_root()
    given = Given(tuple(arguments.places), arguments.md5, arguments.sha256)
    with step_progress() as begin_step:
        problems = prepare(item, root, given, begin_step)
    out = console()
    for problem in problems:
        out.print(f"not fetched: {problem}", soft_wrap=True)
    use_data(root)
    return 0 if _check(item, 0) and not problems else 1


def manifested(arguments: argparse.Namespace) -> int:
    """Make the index of a data set and print its path."""
    item = _registry().get("datasets", arguments.name)
    with step_progress() as begin_step:
        files = item.index(begin_step(f"list {item.name}"))
    out = console()
    if not files:
        out.print(f"{item.name} needs no index")
    for file in files:
        out.print(f"{file} ({file.stat().st_size / 2**20:,.1f} MiB)", soft_wrap=True)
    return 0


def drawn(arguments: argparse.Namespace) -> int:
    """Write draws of a data set, for each number of shots and seed."""
    from rppbench.data.checked import checked_samples
    from rppbench.data.draw_files import Draw, write_draw
    from rppbench.data.few_shot import few_shot_with_val

    if arguments.form not in FORMS:
        raise unknown("form of a draw is named", arguments.form, FORMS, "forms")
    opened, out = _registry().get("datasets", arguments.name)(), console()
    train = checked_samples(opened, "train")
    has_val = bool(_present(opened, ["val"]))
    val = checked_samples(opened, "val") if has_val else []
    folder = Path(arguments.to).expanduser()
    for shots in arguments.shots:
        for seed in arguments.seed:
            learned, chosen_on = few_shot_with_val(train, val, shots, seed)
            draw = Draw(tuple(learned), tuple(chosen_on) if has_val else None)
            stem = f"shot_{shots}-seed_{seed}"
            for path in write_draw(folder, stem, arguments.form, draw, opened):
                out.print(str(path), soft_wrap=True)
    return 0


def split(arguments: argparse.Namespace) -> int:
    """Write the lists of a data set of image files, and print the name that reads them."""
    from rppbench.data.check import SPLITS
    from rppbench.data.split_files import write_split

    opened = _registry().get("datasets", arguments.name)()
    to = Path(arguments.to).expanduser()
    root = write_split(opened, _present(opened, SPLITS), to)
    console().print(f"json:{to}?images={root}", soft_wrap=True)
    return 0


def exported(arguments: argparse.Namespace) -> int:
    """Write a data set in another format."""
    from rppbench.data.check import SPLITS
    from rppbench.exporters.webdataset import export

    if arguments.format not in FORMATS:
        raise unknown("format is named", arguments.format, FORMATS, "formats")
    opened = _registry().get("datasets", arguments.name)()
    splits = arguments.split or _present(opened, SPLITS)
    to = Path(arguments.to).expanduser()
    with step_progress() as begin_step:
        shards = export(opened, splits, to, begin_step)
    parts = ", ".join(f"{count} of {split}" for split, count in shards.items())
    console().print(f"{to}: {len(opened.classes):,} classes, shards: {parts}", soft_wrap=True)
    return 0


def _present(opened: Dataset, splits: Sequence[str]) -> list[str]:
    """The given splits, without those that the data set does not have."""
    present = []
    for split in splits:
        try:
            opened.samples(split)
        except UsageError:
            continue
        present.append(split)
    return present


def _registry() -> Registry:
    from rppbench.plugins.registry import Registry

    return Registry.load()
