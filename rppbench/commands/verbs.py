"""The verbs of the program: what help says of each, and the module that runs it."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A verb of the program. Its module is imported to call the verb, not to list it."""

    help: str
    module: str
    """Name of its module in `rppbench.commands`."""
    execute: str
    """The module's function that runs the command; it maps parsed arguments to an exit status."""
    examples: tuple[str, ...]
    """Command lines for the end of its help."""
    flags: str = "flags"
    """The module's function that adds the command's flags to a parser."""


GROUPS = {
    "compare methods": {
        "run": Command(
            "compare methods: train, score, and print the leaderboard",
            "run",
            "run",
            (
                "rppbench run --method zeroshot coop --task few-shot --shots 4",
                "rppbench run --method coop rpp:kd=off --seed 1 2 3 --output runs",
                "rppbench run --method coop --task few-shot --dataset folder:pictures "
                "--model ViT-B-16/openai",
                "rppbench run --method coop maple --quick",
            ),
        ),
        "plan": Command(
            "show what `run` would do",
            "run",
            "plan",
            (
                "rppbench plan --method zeroshot coop --task few-shot --shots 1 4 16",
                "rppbench plan --method rpp --task cross-dataset:suite=coop --model RN50/openai",
            ),
            "plan_flags",
        ),
        "watch": Command(
            "follow a run that was submitted with --detach",
            "watch",
            "watch",
            ("rppbench watch --output runs",),
        ),
        "ablate": Command(
            "vary options of a method and compare the variants",
            "ablate",
            "ablate",
            (
                "rppbench ablate --method rpp --vary kd=on,off --seed 1 2 3",
                "rppbench ablate --method coop --vary length=4,16 --vary recipe.lr=0.002,0.02",
            ),
        ),
        "tune": Command(
            "choose options of a method on validation images alone",
            "tune",
            "tune",
            ("rppbench tune --method coop --task few-shot --vary length=4,16 --budget 4",),
        ),
        "reproduce": Command(
            "measure a paper's table again and compare it",
            "reproduce",
            "reproduce",
            (
                "rppbench reproduce list",
                "rppbench reproduce maple:table3 --plan",
            ),
        ),
    },
    "read results": {
        "leaderboard": Command(
            "make tables from records",
            "leaderboard",
            "leaderboard",
            (
                "rppbench leaderboard --output runs",
                "rppbench leaderboard few-shot --format csv > few-shot.csv",
            ),
        ),
        "compare": Command(
            "test whether two rows of a table differ",
            "compare",
            "compare",
            ("rppbench compare zeroshot coop --output runs",),
        ),
        "power": Command(
            "say how many seeds would show a difference",
            "power",
            "power",
            ("rppbench power zeroshot coop --difference 0.5",),
        ),
        "reliability": Command(
            "show how far confidence is from accuracy",
            "reliability",
            "reliability",
            ("rppbench reliability --output runs",),
        ),
        "report": Command(
            "make a static site of all tables and plots",
            "report",
            "report",
            ("rppbench report --output runs --to site",),
        ),
        "published": Command(
            "show the numbers printed in papers",
            "published",
            "published",
            ("rppbench published --task few-shot --method coop",),
        ),
        "records": Command(
            "list, show or drop single records",
            "records",
            "records",
            (
                "rppbench records list --status failed",
                "rppbench records show 0123456789ab",
                "rppbench records drop --method coop --yes",
            ),
        ),
        "gallery": Command(
            "draw predictions next to the ground truth",
            "gallery",
            "gallery",
            ("rppbench gallery rpp --task segmentation --to gallery",),
        ),
    },
    "use a learned prompt": {
        "predict": Command(
            "classify images with an exported prompt",
            "predict",
            "predict",
            ("rppbench predict --prompt prompt pictures --csv",),
        ),
        "export": Command(
            "write a learned prompt and its card to a folder",
            "export",
            "export",
            (
                "rppbench export coop --to prompt",
                "rppbench export rpp:kd=off --seed 2 --to prompt",
            ),
        ),
        "export-classifier": Command(
            "write a prompt's class features for a detector",
            "export_classifier",
            "export_classifier",
            ("rppbench export-classifier --prompt prompt --vocabulary lvis --to classifier",),
        ),
        "import": Command(
            "read a checkpoint or the runs of another harness",
            "import_prompt",
            "adopt",
            (
                "rppbench import model.pth.tar-50 --method coop --model RN50/openai --to prompt",
                "rppbench import dassl output --output runs",
            ),
        ),
    },
    "keep and share records": {
        "merge": Command(
            "join folders of records", "merge", "merge", ("rppbench merge all runs-1 runs-2",)
        ),
        "publish": Command(
            "copy sound records to a shared folder",
            "publish",
            "publish",
            ("rppbench publish runs --to leaderboards",),
        ),
        "score": Command(
            "score the predictions of another program",
            "score",
            "score",
            ("rppbench score results.json --task detection --dataset coco --variant detector",),
        ),
    },
    "data and installation": {
        "list": Command(
            "list methods, data sets, tasks, engines or backbones",
            "list_info",
            "listed",
            (
                "rppbench list methods",
                "rppbench list backbones",
            ),
            "list_flags",
        ),
        "info": Command(
            "show one component: options, recipes, paper",
            "list_info",
            "info",
            ("rppbench info coop",),
            "info_flags",
        ),
        "data": Command(
            "list, check, prepare, index or export data sets",
            "data",
            "data",
            (
                "rppbench data list",
                "rppbench data check eurosat",
                "rppbench data prepare eurosat --to data",
                "rppbench data export folder:pictures --format webdataset --to shards",
            ),
        ),
        "export-coco": Command(
            "write scenes as COCO-format files",
            "export_coco",
            "export",
            ("rppbench export-coco lvis --to scenes",),
        ),
        "cache": Command(
            "show, prune or verify stored features",
            "cache",
            "cache",
            (
                "rppbench cache info",
                "rppbench cache prune --max-size 10GB",
            ),
        ),
        "new": Command(
            "write a package with a method, data set, task or engine of your own",
            "new",
            "new",
            ("rppbench new method my-method --to my-method",),
        ),
        "doctor": Command(
            "describe this installation for a bug report", "doctor", "doctor", ("rppbench doctor",)
        ),
        "completion": Command(
            "print a script that completes commands in a shell",
            "completion",
            "completion",
            ("rppbench completion bash > ~/.local/share/bash-completion/completions/rppbench",),
        ),
    },
}
"""The verbs of the program under the headings of its help."""
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
