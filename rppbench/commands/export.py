"""`rppbench export`: write a learned prompt of a run to a folder that others can use."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rppbench.commands.leaderboard import load
from rppbench.errors import unknown
from rppbench.records.store import Store
from rppbench.terminal.step_progress import step_progress

FORMATS = ("prompt", "ctx")


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("cell", metavar="CELL", help="a cell's key or its start, or a method: rpp:kd=off")
    add("--output", default="runs", metavar="DIR", help="folder of the run [runs]")
    add("--seed", type=int, metavar="N", help="choose the method's training with this seed")
    add("--to", required=True, metavar="FOLDER", help="new folder for the prompt and its card")
    add(
        "--format",
        default="prompt",
        metavar="|".join(FORMATS),
        help="ctx adds the checkpoint that CoOp's and POMP's programs read [prompt]",
    )


def export(arguments: argparse.Namespace) -> int:
    """Check that the prompt works with what is installed; write it, its card and README."""
    if arguments.format not in FORMATS:
        raise unknown("format is named", arguments.format, FORMATS, "formats")
    from rppbench.execution.learned_prompt import LearnedPrompt
    from rppbench.exporters import context_checkpoint, prompt_card, provenance, select
    from rppbench.planning.code_digests import CodeDigests
    from rppbench.plugins.registry import Registry
    from rppbench.training.state import learned_parameters

    store, folder = Store(Path(arguments.output)), Path(arguments.to)
    registry = Registry.load()
    records, _ = load(store.root)
    training = select.select_training(records, arguments.cell, arguments.seed)
    code = CodeDigests(registry).of_training(training)
    state = learned_parameters(store.training_path(training), training.key, code)
    card = provenance.trained_card(training, records, registry)
    with step_progress() as begin_step:
        begin_step("load the model")
        prompts = LearnedPrompt.of(card, state, registry).method.prompts()
    context = context_checkpoint.check_context(prompts) if arguments.format == "ctx" else None
    prompt_card.write(folder, card, state)
    print(f"prompt and card: {folder}", file=sys.stderr)
    if context is not None:
        print(f"checkpoint: {context_checkpoint.write(folder, context)}", file=sys.stderr)
    return 0
