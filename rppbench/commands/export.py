"""`rppbench export`: write a learned prompt of a run to a folder that others can use."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.commands.named_prompt import named_prompt
from rppbench.commands.predict import class_flags, class_names
from rppbench.errors import UsageError, unknown
from rppbench.terminal.step_progress import step_progress

if TYPE_CHECKING:
    from torch import Tensor

    from rppbench.exporters.prompt_card import Card
    from rppbench.plugins.registry import Registry

PROMPTS = ("prompt", "ctx")
MODELS = ("onnx", "torch")
FORMATS = (*PROMPTS, *MODELS)


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add(
        "cell",
        metavar="CELL|FOLDER",
        help="a cell's key or its start, a method: rpp:kd=off, or an exported prompt",
    )
    add("--output", default="runs", metavar="DIR", help="folder of the run [runs]")
    add("--seed", type=int, metavar="N", help="choose the method's training with this seed")
    add("--to", required=True, metavar="FOLDER", help="new folder for what is written")
    add(
        "--format",
        default="prompt",
        metavar="|".join(FORMATS),
        help="prompt and card; ctx adds the checkpoint that CoOp's and POMP's programs read; onnx "
        "or torch: instead, a model that classifies images without rppbench [prompt]",
    )
    class_flags(parser)


def export(arguments: argparse.Namespace) -> int:
    """Check that the prompt works with what is installed; write it, its card and README."""
    if arguments.format not in FORMATS:
        raise unknown("format is named", arguments.format, FORMATS, "formats")
    names = class_names(arguments.classes, arguments.classes_file)
    if names and arguments.format in PROMPTS:
        raise UsageError(
            "a prompt takes any classes: --classes and --classes-file are for --format onnx and "
            "torch, whose classes are fixed"
        )
    from rppbench.plugins.registry import Registry

    registry = Registry.load()
    card, state = named_prompt(arguments.cell, arguments.output, arguments.seed, registry)
    if arguments.format in MODELS:
        _write_model(arguments, card, state, registry, names)
    else:
        _write_prompt(arguments, card, state, registry)
    return 0


def _write_prompt(
    arguments: argparse.Namespace,
    card: Card,
    state: dict[str, Tensor],
    registry: Registry,
) -> None:
    from rppbench.execution.learned_prompt import LearnedPrompt
    from rppbench.exporters import context_checkpoint, prompt_card

    folder = Path(arguments.to)
    with step_progress() as begin_step:
        begin_step("load the model")
        prompts = LearnedPrompt.of(card, state, registry).method.prompts()
    context = context_checkpoint.check_context(prompts) if arguments.format == "ctx" else None
    prompt_card.write(folder, card, state)
    print(f"prompt and card: {folder}", file=sys.stderr)
    if context is not None:
        print(f"checkpoint: {context_checkpoint.write(folder, context)}", file=sys.stderr)


def _write_model(
    arguments: argparse.Namespace,
    card: Card,
    state: dict[str, Tensor],
    registry: Registry,
    names: list[str],
) -> None:
    from rppbench.execution.image_classifier import ImageClassifier
    from rppbench.execution.learned_prompt import LearnedPrompt
    from rppbench.exporters import model_file, provenance

    model_file.check_packages(arguments.format)
    with step_progress() as begin_step:
        begin_step("load the model")
        prompt = LearnedPrompt.of(replace(card, precision="fp32"), state, registry)
        names = prompt.candidates(names or None)
        begin_step(f"encode {len(names):,} class names")
        module = ImageClassifier(prompt, names)
        begin_step(f"write the model ({arguments.format})")
        model_file.write(
            Path(arguments.to),
            arguments.format,
            module,
            prompt.clip.preprocess,
            names,
            provenance.of_prompt(card),
        )
    print(f"model of {len(names)} classes and card: {arguments.to}", file=sys.stderr)
