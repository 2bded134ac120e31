"""`rppbench predict`: classify images with a prompt that was exported or imported."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.errors import UsageError
from rppbench.files.class_names import alike_warning, plain_name
from rppbench.files.lines import LISTS, numbered_lines, read_lines
from rppbench.terminal.console import console, note
from rppbench.terminal.step_progress import step_progress
from rppbench.terminal.tables import print_table

if TYPE_CHECKING:
    from rppbench.execution.learned_prompt import Answer

SHOWN_NAMES = 5
"""Class names printed in a warning."""
ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"))
"""Endings of images in a folder, in any case."""


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files, folders of them, patterns such as 'photos/*.jpg', or lists (.txt)",
    )
    add("--prompt", required=True, metavar="FOLDER", help="made by `export` or `import`")
    class_flags(parser)
    add(
        "--top",
        type=int,
        default=5,
        metavar="N",
        help="number of best classes to print for each image [5]",
    )
    add("--device", default="cpu", metavar="DEVICE", help="cpu, cuda, cuda:N or auto [cpu]")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json",
        action="store_true",
        help="print a line of JSON for each image, with the number of each class, from 0",
    )
    form.add_argument(
        "--csv", action="store_true", help="print a line of CSV for each image and class"
    )


def class_flags(parser: argparse.ArgumentParser) -> None:
    """Add the two flags that name classes."""
    add = parser.add_argument
    add("--classes", metavar="A,B,C", help="names of the classes")
    add("--classes-file", metavar="FILE", help="file with the names of the classes, one per line")


def predict(arguments: argparse.Namespace) -> int:
    """Print the likeliest classes of each image; 1 if a file is not an image."""
    names = class_names(arguments.classes, arguments.classes_file)
    if len(names) == 1:
        raise UsageError("give at least two classes: --classes A,B,... or --classes-file FILE")
    if arguments.top < 1:
        raise UsageError(f"--top must be at least 1, not {arguments.top}")
    paths = list(_images(arguments.images))
    from rppbench.execution.learned_prompt import LearnedPrompt

    with step_progress() as begin_step:
        begin_step("load the model")
        prompt = LearnedPrompt.load(arguments.prompt, arguments.device)
    names = names or list(prompt.classes)
    if not names:
        raise UsageError(
            f"the card of {arguments.prompt} names no classes: --classes A,B,... or "
            "--classes-file FILE"
        )
    if lost := prompt.unknown_words(names):
        words = ", ".join(lost[:SHOWN_NAMES]) + (", ..." if len(lost) > SHOWN_NAMES else "")
        which = f"{len(lost)} of {len(names)} class names have words unknown to backbone"
        note(f"{which} {prompt.card.backbone}: {words}")
    write = _json if arguments.json else _csv if arguments.csv else _table
    failed = 0
    with step_progress() as begin_step:
        report = begin_step("classify images")
        answers = prompt.answers(paths, names, top=arguments.top, report_progress=report)
        failed = write(zip(paths, answers, strict=True))
    if failed:
        note(f"files that are not images: {failed} of {len(paths)}")
    return 1 if failed else 0


def class_names(text: str | None, path: str | None) -> list[str]:
    """The class names as they enter a prompt: spaces for underscores; [] if none are given.

    The lines of a file are classes by their number, so a name may occur twice, as in ImageNet;
    that is a warning. UsageError if both are given, the file cannot be read, or `text` repeats a
    name or has an empty one before the last.
    """
    if text is not None and path is not None:
        raise UsageError("--classes and --classes-file cannot be used together")
    if path is not None:
        try:
            lines = numbered_lines(Path(path))
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read the class names in {path}: {error}") from error
    else:
        lines = text.rstrip(", ").split(",") if text else []
    names = [plain_name(line) for line in lines]
    if "" in names:
        raise UsageError(f"class {names.index('') + 1} of {path or '--classes'} has no name")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated and path is None:
        raise UsageError(f"class {repeated[0]!r} is named twice")
    if warning := alike_warning(names, path or "--classes"):
        note(warning)
    return names


def _images(texts: Sequence[str]) -> Iterator[str]:
    """The images of files, folders, patterns and lists, in order.

    UsageError for a folder, pattern or list without images.
    """
    for text in texts:
        path = Path(text)
        if path.is_dir():
            inside = sorted(str(one) for one in path.rglob("*") if one.suffix.lower() in ENDINGS)
        elif path.suffix.lower() in LISTS and path.is_file():
            try:
                inside = read_lines(path)
            except (OSError, ValueError) as error:
                raise UsageError(f"cannot read the list of images {path}: {error}") from error
        elif has_magic(text) and not path.exists():
            inside = sorted(glob(text, recursive=True))
        else:
            inside = [text]
        if not inside:
            raise UsageError(f"no images in {text}")
        yield from inside


def _table(answers: Iterable[tuple[str, Answer]]) -> int:
    rows, failed = [], 0
    for image, answer in answers:
        if answer.error:
            failed += 1
            rows.append([image, answer.error, ""])
        rows += [
            [image if not place else "", guess.name, f"{100 * guess.probability:.1f} %"]
            for place, guess in enumerate(answer.guesses)
        ]
    print_table(console(), ("Image", "Class", "Probability"), rows)
    return failed


def _json(answers: Iterable[tuple[str, Answer]]) -> int:
    failed = 0
    for image, answer in answers:
        failed += bool(answer.error)
        known = {"classes": [guess._asdict() for guess in answer.guesses]}
        line = {"image": image, **({"error": answer.error} if answer.error else known)}
        print(json.dumps(line, ensure_ascii=False))
    return failed


def _csv(answers: Iterable[tuple[str, Answer]]) -> int:
    lines, failed = csv.writer(sys.stdout, lineterminator="\n"), 0
    lines.writerow(("image", "place", "label", "class", "probability", "error"))
    for image, answer in answers:
        if answer.error:
            failed += 1
            lines.writerow((image, "", "", "", "", answer.error))
        for place, guess in enumerate(answer.guesses, 1):
            lines.writerow((image, place, guess.label, guess.name, guess.probability, ""))
    return failed
