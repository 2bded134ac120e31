"""Leaderboard files of each task, written into a folder: Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rppbench.files.atomic import write_atomically
from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.tables import Table
from rppbench.records.names import file_name
from rppbench.reporting import csv_json, latex, markdown

SUFFIXES = ("md", "tex", "csv", "json")
"""Endings of the pages of a task."""


def write_leaderboards(tables: Iterable[Table], folder: Path) -> list[Path]:
    """Write <task>.md, .tex, .csv and .json of every task into a folder; returns their paths.

    Raises OSError if a file cannot be written.
    """
    paths = []
    for name, of_task in group_by(tables, lambda table: table.task).items():
        texts = (
            markdown.page(of_task),
            latex.page(of_task),
            csv_json.csv(of_task),
            csv_json.json(of_task),
        )
        for suffix, text in zip(SUFFIXES, texts, strict=True):
            path = Path(folder) / f"{file_name(name)}.{suffix}"
            write_atomically(path, text)
            paths.append(path)
    return paths
