"""The leaderboard pages of a folder of records: Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rppbench.files.atomic import write_whole
from rppbench.leaderboard.tables import Table
from rppbench.leaderboard.variants import grouped
from rppbench.records.store import file_name
from rppbench.reporting import csv_json, latex, leaderboard_markdown


def write_leaderboards(tables: Iterable[Table], folder: Path) -> list[Path]:
    """Write <task>.md, .tex, .csv and .json of every task into a folder; the paths written."""
    written = []
    for name, of_task in grouped(tables, lambda table: table.task).items():
        for ending, text in (
            ("md", leaderboard_markdown.page(of_task)),
            ("tex", latex.page(of_task)),
            ("csv", csv_json.csv(of_task)),
            ("json", csv_json.json(of_task)),
        ):
            path = Path(folder) / f"{file_name(name)}.{ending}"
            write_whole(path, text)
            written.append(path)
    return written
