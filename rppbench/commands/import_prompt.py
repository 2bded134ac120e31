"""`rppbench import`: read a checkpoint of a method's official code as a prompt, or other runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.commands.predict import class_flags, class_names
from rppbench.errors import UsageError, unknown
from rppbench.planning.backbone_names import only_backbone
from rppbench.records.cell import spell

if TYPE_CHECKING:
    from rppbench.contracts.method import Method
    from rppbench.plugins.registry import Registry


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add(
        "words",
        nargs="+",
        metavar="[KIND] PATH",
        help="a checkpoint (.../model.pth.tar-50); or runs: dassl FOLDER, clip-benchmark FOLDER",
    )
    add("--method", metavar="NAME[:K=V,...]", help="method of the checkpoint: coop, maple, ...")
    add("--model", metavar="MODEL", help="backbone it was trained on")
    add("--pretrained", metavar="TAG", help="its weights: an open_clip tag or a file")
    class_flags(parser)
    add("--to", metavar="FOLDER", help="new folder for the prompt and its card")
    add(
        "--output", default="runs", metavar="DIR", help="folder for records of imported runs [runs]"
    )


def adopt(arguments: argparse.Namespace) -> int:
    """Read runs into records; or a checkpoint into a prompt, its card and README."""
    *kind, file = arguments.words
    if kind:
        from rppbench.commands.import_runs import KINDS, bring

        if len(kind) > 1 or kind[0] not in KINDS:
            raise unknown("kind of import is named", " ".join(kind), KINDS, "kinds")
        return bring(kind[0], Path(file), Path(arguments.output))
    lacking = [f"--{name}" for name in ("method", "model", "to") if not getattr(arguments, name)]
    if lacking:
        raise UsageError(
            f"a checkpoint also needs {', '.join(lacking)}; for runs give their kind first"
        )
    names = class_names(arguments.classes, arguments.classes_file)
    from rppbench.contracts.checkpoint import ReadsOfficialCheckpoints
    from rppbench.exporters import prompt_card, provenance
    from rppbench.files.digests import sha256
    from rppbench.importers.checkpoints import (
        check_backbone,
        check_suffix,
        read_checkpoint,
        read_tensor,
    )
    from rppbench.models.clip import load
    from rppbench.plugins.options import resolve
    from rppbench.plugins.registry import Registry

    registry = Registry.load()
    method_name, explicit = registry.choose("methods", arguments.method)
    method: type[Method] = registry.get("methods", method_name)
    path = Path(file)
    checkpoint, epoch = read_checkpoint(path)
    if not issubclass(method, ReadsOfficialCheckpoints):
        raise UsageError(
            f"{method_name!r} cannot read official checkpoints; these can: {_readers(registry)}"
        )
    files = {"file": path.name, "sha256": sha256(path)}
    for part, other in method.companions(path.name).items():
        companion = path.with_name(other)
        checkpoint[part] = read_tensor(companion)
        files |= {part: other, f"{part} sha256": sha256(companion)}
    imported = method.from_official(checkpoint)
    by_folder = method.options_of_path(path.absolute().as_posix())
    for origin, options in (("checkpoint", imported.options), ("name of its folder", by_folder)):
        for name, value in options.items():
            if name in explicit and explicit[name] != value:
                raise UsageError(
                    f"{name}={spell(explicit[name])}, but the {origin} has {name}={spell(value)}"
                )
    _check_names(imported.classes, names)
    named = only_backbone(arguments.model, arguments.pretrained)
    backbone = named or registry.default_backbone().name
    clip = load(backbone, registry.all("backbones"), kinds=registry.towers())
    card = prompt_card.Card(
        method=resolve(method, {**explicit, **by_folder, **imported.options}),
        backbone=clip.name,
        backbone_digest=clip.digest,
        precision="fp32",
        wording="a photo of a {}.",
        classes=tuple(names),
        imported={
            **files,
            **({} if epoch is None else {"epoch": str(epoch)}),
            **({} if imported.shots == 1 else {"shots": str(imported.shots)}),
        },
        method_facts=provenance.method_facts(method),
        licences=provenance.licences(registry, method, clip.name),
    )
    state = dict(imported.state)
    if imported.from_options:
        initial = prompt_card.unlearned(card, registry, clip).state_dict()
        state |= {name: initial[name] for name in imported.from_options}
    built = prompt_card.build_method(card, state, registry, clip)
    check_backbone(imported, clip)
    check_suffix(imported, built, names, clip)
    prompt_card.write(Path(arguments.to), card, state)
    print(f"prompt and card: {arguments.to}", file=sys.stderr)
    return 0


def _check_names(classes: int, names: list[str]) -> None:
    """UsageError if the checkpoint is of so many `classes` and the names are not as many."""
    if classes and len(names) != classes:
        given = f"{len(names)} were" if names else "none were"
        raise UsageError(
            f"the checkpoint has a part for each of {classes} classes, but not their "
            f"names: give all with --classes-file, in the order of their labels; {given} given"
        )


def _readers(registry: Registry) -> str:
    from rppbench.contracts.checkpoint import ReadsOfficialCheckpoints

    methods = registry.all("methods").items()
    return ", ".join(
        name for name, method in methods if issubclass(method, ReadsOfficialCheckpoints)
    )
