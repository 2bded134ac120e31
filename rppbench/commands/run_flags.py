"""The flags of `run` and `plan`, in groups."""

from __future__ import annotations

import argparse
from typing import Any

from rppbench.commands.lists import Several, choices, names, numbers
from rppbench.planning.settings import OVERWRITE

ON_OR_OFF = argparse.BooleanOptionalAction
RUNNING = "where and how cells run"
RECORDS = "records and settings"


def cell_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that request cells. An omitted one is None: a config file can set it."""
    parser.usage = "%(prog)s --method NAME ... [flag ...]"
    _what_to_compare(parser.add_argument_group("what to compare"))
    _learning(parser.add_argument_group("how methods learn and are scored"))
    _data(parser.add_argument_group("images"))
    _running(parser.add_argument_group(RUNNING))
    _records(parser.add_argument_group(RECORDS))


def plan_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `plan`: those that request cells, and how many seeds they need."""
    cell_flags(parser)
    add = parser.add_argument_group("number of seeds").add_argument
    add(
        "--show-difference",
        type=float,
        metavar="D",
        help="say how many seeds would show a difference of D points between the planned rows",
    )
    add("--pilot", metavar="DIR", help="folder of the records that say how seeds vary [--output]")


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `run`: those that request cells, `--dry-run` and `--detach`."""
    cell_flags(parser)
    groups = {group.title: group for group in parser._action_groups}
    groups[RUNNING].add_argument(
        "--detach",
        action=ON_OR_OFF,
        help="submit to an engine such as slurm and return; follow with `rppbench watch`",
    )
    groups[RECORDS].add_argument("--dry-run", action=ON_OR_OFF, help="the same as `rppbench plan`")


def _what_to_compare(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    many: dict[str, Any] = {"action": Several, "parts": choices}
    add("--method", **many, metavar="NAME[:K=V,...]", help="methods with options: rpp:kd=off")
    add("--task", **many, metavar="NAME[:K=V,...]", help="tasks [cross-dataset]")
    add(
        "--dataset",
        action=Several,
        parts=names,
        metavar="NAME",
        help="score only these data sets [all of the task], or a text file with one a line; your "
        "own: folder:PATH, json:PATH",
    )
    add(
        "--model",
        nargs="+",
        action="extend",
        metavar="MODEL",
        help="backbones, or a text file with one a line [the default of `list backbones`]",
    )
    add("--pretrained", metavar="TAG", help="its weights: an open_clip tag or a file")
    add("--teacher", metavar="MODEL/TAG", help="backbone that methods with kd=on learn from")
    many["parts"] = numbers
    add("--seed", **many, metavar="N", help="seeds; one training for each [1]")
    add("--shots", **many, metavar="N", help="training images per class [the recipe's]")


def _learning(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--recipe", metavar="NAME", help="training recipe; `rppbench info METHOD` lists them")
    add(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="set an option of all chosen methods, tasks or recipes: length=8, recipe.lr=0.01",
    )
    add(
        "--quick",
        action=ON_OR_OFF,
        help="a look: one seed, 20 training steps, 100 test images; in tables of their own",
    )
    add("--limit", type=int, metavar="N", help="score only N test images of each data set")
    add(
        "--precision", metavar="NAME", help="precision of the frozen towers: fp32, bf16, ... [fp32]"
    )
    add(
        "--inference-cost",
        action=ON_OR_OFF,
        help="count FLOPs and time live predictions, past the stored features",
    )


def _data(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--data", metavar="DIR", help="folder of real data [$RPPBENCH_DATA, $DATA or ./data]")
    add(
        "--draw",
        metavar="[NAME=]FILE",
        help="learn from the images that a file lists, or from long-tail:RATIO [CoOp's draw]",
    )
    add(
        "--partial",
        action=ON_OR_OFF,
        help="take published data sets with the images that are there; in tables of their own",
    )
    add(
        "--trust-data",
        action=ON_OR_OFF,
        help="take files as unchanged that were read before, without looking at them",
    )
    add(
        "--verify-data",
        action=ON_OR_OFF,
        help="read all files anew, also those that look unchanged",
    )


def _running(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--device", metavar="DEVICE", help="cpu, cuda, cuda:N or auto [cpu]")
    add("--batch-size", type=int, metavar="N", help="images per batch when scoring [128]")
    add("--num-workers", type=int, metavar="N", help="processes that read images [0]")
    add(
        "--memory",
        metavar="SIZE",
        help="memory limit, e.g. 4GB: smaller batches with the same results",
    )
    add(
        "--compile",
        nargs="?",
        const="inductor",
        metavar="BACKEND",
        help="run the towers through torch.compile [backend inductor]",
    )
    add("--engine", metavar="NAME[:K=V,...]", help="where cells run [inline]")
    add("--track", metavar="NAME[:DIR]", help="send progress to tensorboard, wandb or mlflow")
    add(
        "--debug",
        action=ON_OR_OFF,
        help="let errors through with a traceback; no bars, so that breakpoint() can be used",
    )


def _records(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--output", metavar="DIR", help="folder for records and prompts [runs]")
    add(
        "--overwrite",
        metavar="|".join(OVERWRITE),
        help="cells with a record: keep good ones, run all again, or refuse [only-missing]",
    )
    add(
        "--fail-on-error",
        action=ON_OR_OFF,
        help="stop at the first cell that fails",
    )
    add(
        "--accept-code",
        action=ON_OR_OFF,
        help="keep results whose plugins' code changed since: the change touches no number",
    )
    add("--config", metavar="FILE", help="read settings from a .yaml, .json or .py (executed)")
    add("--yes", action="store_true", help="plan more than 10,000 cells without asking")
