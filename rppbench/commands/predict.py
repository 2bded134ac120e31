"""`rppbench predict`: classify images with a prompt that was exported or imported."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.errors import UsageError
from rppbench.execution.devices import torch_device
from rppbench.files.class_names import alike_warning, plain_name
from rppbench.files.lines import numbered_lines
from rppbench.terminal.console import console, print_table
from rppbench.terminal.step_progress import step_progress

if TYPE_CHECKING:
    from torch import Tensor

    from rppbench.contracts.dataset import ReportProgress
    from rppbench.models.clip import Clip

BATCH = 64
"""Images per forward pass."""
SHOWN_NAMES = 5
"""Class names printed in a warning."""


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="image files")
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
    add(
        "--json",
        action="store_true",
        help="print JSON instead of a table, with the number of each class, from 0",
    )


def class_flags(parser: argparse.ArgumentParser) -> None:
    """Add the two flags that name classes."""
    add = parser.add_argument
    add("--classes", metavar="A,B,C", help="names of the classes")
    add("--classes-file", metavar="FILE", help="file with the names of the classes, one per line")


def predict(arguments: argparse.Namespace) -> int:
    """Print the likeliest classes of each image."""
    names = class_names(arguments.classes, arguments.classes_file)
    if len(names) < 2:
        raise UsageError("give at least two classes: --classes A,B,... or --classes-file FILE")
    if arguments.top < 1:
        raise UsageError(f"--top must be at least 1, not {arguments.top}")
    from rppbench.exporters import prompt_card
    from rppbench.models.clip import load
    from rppbench.plugins.registry import Registry

    registry = Registry.load()
    card, state = prompt_card.read(Path(arguments.prompt))
    prompt_card.check_backbone(card, registry)
    device = torch_device(arguments.device)

    def model(name: str) -> Clip:
        return load(
            name, registry.all("backbones"), card.precision, device, kinds=registry.towers()
        )

    with step_progress() as begin_step:
        begin_step("load the model")
        clip = model(card.backbone)
        teacher = prompt_card.text_teacher(card, registry, clip, model)
    method = prompt_card.build_method(card, state, registry, clip, teacher)
    if lost := clip.unknown_words(names):
        words = ", ".join(lost[:SHOWN_NAMES]) + (", ..." if len(lost) > SHOWN_NAMES else "")
        which = f"{len(lost)} of {len(names)} class names have words unknown to backbone"
        print(f"rppbench: {which} {card.backbone}: {words}", file=sys.stderr)
    prompts = prompt_card.prompts_for(card, method, names)

    from rppbench.evaluation.classify import head_of, probabilities

    paths = [Path(image) for image in arguments.images]
    head = head_of(method, clip, prompt_card.class_ids(card, method, names), teacher)
    with step_progress() as begin_step:
        batches = _batches(paths, clip, begin_step("classify images"))
        shares = probabilities(clip, prompts, names, batches, wording=card.wording, head=head)
    values, ranked = shares.topk(min(arguments.top, len(names)))
    answers = [
        (image, list(zip(labels, best, strict=True)))
        for image, labels, best in zip(
            arguments.images, ranked.tolist(), values.tolist(), strict=True
        )
    ]
    if arguments.json:
        data = [
            {
                "image": image,
                "classes": [
                    {"label": label, "name": names[label], "probability": share}
                    for label, share in best
                ],
            }
            for image, best in answers
        ]
        print(json.dumps(data, indent=1, ensure_ascii=False))
        return 0
    rows = [
        [image if not place else "", names[label], f"{100 * share:.1f} %"]
        for image, best in answers
        for place, (label, share) in enumerate(best)
    ]
    print_table(console(), ("Image", "Class", "Probability"), rows)
    return 0


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
        print(f"rppbench: {warning}", file=sys.stderr)
    return names


def _batches(paths: Sequence[Path], clip: Clip, report: ReportProgress) -> Iterator[Tensor]:
    """Pixels [B, 3, size, size] of the images, a batch at a time."""
    for start in range(0, len(paths), BATCH):
        yield _pixels(paths[start : start + BATCH], clip)
        report(min(start + BATCH, len(paths)), len(paths))


def _pixels(paths: Sequence[Path], clip: Clip) -> Tensor:
    """Pixels [B, 3, size, size] of a batch. UsageError for a file that is not an image."""
    import torch

    from rppbench.files.rgb import decode_image

    return torch.stack([clip.preprocess(decode_image(path, str(path))) for path in paths])
