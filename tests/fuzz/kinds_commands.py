"""The command line on malformed input: exit status 0, 1 or 2, and never a traceback."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fuzz import kinds_data, kinds_records
from fuzz.harness import Kind

from rppbench.cli import main


def write_records(folder: Path) -> None:
    kinds_records.write_lines(folder)
    kinds_records.write_stored_grid(folder)
    kinds_records.write_config(folder)
    kinds_data.write_logs(folder)


def run_records(folder: Path) -> None:
    os.chdir(folder)
    for words in (
        ["leaderboard", "--output", "."],
        ["report", "--output", ".", "--to", "site"],
        ["compare", "rpp", "coop", "--output", "."],
        ["merge", ".", "--into", "merged"],
        ["publish", ".", "--to", "published"],
        ["plan", "--config", "a.yaml"],
        ["import", "dassl", "dassl", "--output", "imported"],
        ["import", "clip-benchmark", "clip", "--output", "imported"],
    ):
        assert main(words) in (0, 1, 2), words


def write_inputs(folder: Path) -> None:
    kinds_records.write_prompt(folder)
    kinds_data.write_checkpoint(folder)
    kinds_data.write_folder(folder)
    kinds_data.write_vocabulary(folder)
    (folder / "a.png").write_bytes(kinds_data.png())
    (folder / "boxes.json").write_text(json.dumps([{"image_id": 1, "category_id": 1}]))


def run_inputs(folder: Path) -> None:
    os.chdir(folder)
    zero = ["export-classifier", "--method", "zeroshot", "--model", "demo", "--format", "zsseg"]
    objects = ("--task", "detection", "--dataset", "demo-2-objects")
    for words in (
        ["predict", "--prompt", "prompt", "--classes", "cat,dog", "a.png"],
        ["import", "model.pth.tar-50", "--method", "coop", "--model", "demo", "--to", "new"],
        ["data", "check", "folder:set"],
        ["score", "boxes.json", "--variant", "x", *objects],
        [*zero, "--vocabulary", "names.txt", "--to", "c1"],
        [*zero, "--vocabulary", "coco.json", "--to", "c2"],
        [
            "plan",
            "--method",
            "zeroshot",
            "--model",
            "demo",
            "--dataset",
            "folder:set",
            "--output",
            "runs",
        ],
    ):
        assert main(words) in (0, 1, 2), words


KINDS = [
    Kind(
        "commands on records",
        write_records,
        run_records,
        kinds_records.seal_record,
        share=0.1,
    ),
    Kind(
        "commands on inputs",
        write_inputs,
        run_inputs,
        hostile=kinds_data.strange_folder,
        share=0.2,
    ),
]
