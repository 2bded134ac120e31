"""`rppbench export-classifier`: a prompt's class features as Detic and ZSSeg load them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.commands.named_prompt import named_prompt
from rppbench.data.root import use_data
from rppbench.errors import UsageError, unknown
from rppbench.files.class_names import alike_warning
from rppbench.planning.backbone_names import only_backbone
from rppbench.records.cell import Choice
from rppbench.terminal.console import note
from rppbench.terminal.step_progress import step_progress

if TYPE_CHECKING:
    from torch import Tensor

    from rppbench.exporters.prompt_card import Card
    from rppbench.plugins.registry import Registry

FORMATS = ("detic", "zsseg", "plain")
SPELLINGS = ("spaces", "underscores")
WORDING = "a photo of a {}."


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add(
        "--prompt",
        metavar="FOLDER|CELL",
        help="folder made by `export` or `import`, or a cell as for `export`",
    )
    add(
        "--method",
        metavar="NAME[:K=V,...]",
        help="instead of --prompt: a method without training, such as zeroshot",
    )
    add(
        "--vocabulary",
        required=True,
        metavar="NAME|FILE",
        help="class names: lvis, coco, ..., or a file",
    )
    add("--format", default="detic", metavar="|".join(FORMATS), help="layout of the array [detic]")
    add(
        "--names",
        default="spaces",
        metavar="|".join(SPELLINGS),
        help="spelling of class names in the prompt; Detic's own classifiers have underscores "
        "[spaces]",
    )
    add("--to", required=True, metavar="DIR", help="new folder for arrays and card")
    add(
        "--output", default="runs", metavar="DIR", help="folder of the run that has the CELL [runs]"
    )
    add("--seed", type=int, metavar="N", help="choose the training of the CELL with this seed")
    add("--model", metavar="MODEL", help="backbone of --method [the default of `list backbones`]")
    add("--pretrained", metavar="TAG", help="its weights: an open_clip tag or a file")
    add(
        "--data",
        metavar="DIR",
        help="folder of real data, for class names that are only in its files",
    )


def export_classifier(arguments: argparse.Namespace) -> int:
    """Encode the class names with the prompt; write arrays and card."""
    if arguments.format not in FORMATS:
        raise unknown("format is named", arguments.format, FORMATS, "formats")
    if arguments.names not in SPELLINGS:
        raise unknown("spelling is named", arguments.names, SPELLINGS, "spellings")
    if (arguments.prompt is None) == (arguments.method is None):
        raise UsageError("give either --prompt or --method")
    from rppbench.exporters import classifier, prompt_card, provenance
    from rppbench.exporters.vocabulary import read_vocabulary, with_underscores
    from rppbench.models.clip import load as load_model
    from rppbench.plugins.registry import Registry

    if arguments.data is not None:
        use_data(Path(arguments.data).expanduser())
    registry = Registry.load()
    names = read_vocabulary(arguments.vocabulary, registry)
    if arguments.names == "underscores":
        names = with_underscores(names)
    if not names.published and (warning := alike_warning(names.names, names.name)):
        note(warning)
    card, state = _prompt(arguments, registry)
    prompt_card.check_backbone(card, registry)
    with step_progress() as begin_step:
        begin_step("load the model")
        clip = load_model(
            card.backbone, registry.all("backbones"), card.precision, kinds=registry.towers()
        )
        method = prompt_card.build_method(card, state, registry, clip)
        begin_step(f"encode {len(names.names):,} class names")
        prompts = prompt_card.prompts_for(card, method, list(names.names))
        features = classifier.class_features(clip, prompts, names, arguments.format, card.wording)
    classifier.write(
        Path(arguments.to), features, names, arguments.format, provenance.of_prompt(card)
    )
    size = " x ".join(map(str, features.shape))
    print(f"{size} classifier and card: {arguments.to}", file=sys.stderr)
    return 0


def _prompt(arguments: argparse.Namespace, registry: Registry) -> tuple[Card, dict[str, Tensor]]:
    """Card and state of the named prompt or method."""
    if arguments.prompt is None:
        return _untrained_card(arguments, registry), {}
    return named_prompt(arguments.prompt, arguments.output, arguments.seed, registry)


def _untrained_card(arguments: argparse.Namespace, registry: Registry) -> Card:
    """The card of a method that learns nothing, on the named backbone."""
    from rppbench.exporters import provenance
    from rppbench.exporters.prompt_card import Card
    from rppbench.models.clip import identify
    from rppbench.plugins.options import resolve

    name, explicit = registry.choose("methods", arguments.method)
    method = registry.get("methods", name)
    if method.learning is not None:
        raise UsageError(f"{name!r} learns a prompt: export a cell of a run with --prompt")
    named = only_backbone(arguments.model, arguments.pretrained)
    backbone = named or registry.default_backbone().name
    choice: Choice = resolve(method, explicit)
    return Card(
        method=choice,
        backbone=backbone,
        backbone_digest=identify(backbone, registry.all("backbones")),
        precision="fp32",
        wording=WORDING,
        method_facts=provenance.method_facts(method),
        licences=provenance.licences(registry, method, backbone),
    )
