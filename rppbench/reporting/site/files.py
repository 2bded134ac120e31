"""Writes the site: its pages, the script files beside them, and the tables in other formats."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from rppbench.comparison.ablation import Ablation
from rppbench.files.atomic import write_atomically
from rppbench.leaderboard.build import TableWithVariants
from rppbench.leaderboard.calibration import Curve
from rppbench.leaderboard.comparability import age
from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.tables import SHOTS_OPTION, Table
from rppbench.records import stand_in
from rppbench.records.names import file_name
from rppbench.records.record import QUESTION
from rppbench.reporting import ablation_page as ablation_report
from rppbench.reporting.leaderboard_files import write_leaderboards
from rppbench.reporting.site.ablations import ablation_page, others
from rppbench.reporting.site.answers import count, counted
from rppbench.reporting.site.board import Board, board, dominance, ids
from rppbench.reporting.site.drawers import drawer_script
from rppbench.reporting.site.html import render
from rppbench.reporting.site.looks import FAMILIES
from rppbench.reporting.site.overview import TaskPage, matrix
from rppbench.reporting.site.pairs import pairs

INDEX = "index.html"
COMPARE = "compare.html"
Curves = Callable[[TableWithVariants], Iterable[Curve]]
"""Reads the reliability curves of a table's rows."""
FORMATS = {"md": "Markdown", "tex": "LaTeX", "csv": "CSV", "json": "JSON"}


def write(
    tables: Sequence[TableWithVariants],
    folder: Path,
    ablations: Sequence[Ablation] = (),
    step: Callable[[str], object] = lambda _: None,
    curves: Curves = lambda _: (),
    records: Path | None = None,
) -> Path:
    """Write the site, and beside it all tables and ablations in their other formats.

    Returns the path of its first page, which is written last. `step` is called with the title of
    each table and ablation before it is drawn; `curves` reads the reliability curves of a table.
    `records` is the folder of the run, so that failed cells link to the logs of their workers.
    Raises OSError if a file cannot be written.
    """
    write_leaderboards([built.table for built in tables], folder)
    for report in ablations:
        step(report.grid.title)
        ablation_report.write(report, folder)
    logs = quote(Path(os.path.relpath(records, folder)).as_posix()) if records else ""
    written = site(tables, folder, ablations, step, curves, logs)
    for name, text in written.items():
        write_atomically(folder / name, text)
    return folder / INDEX


def site(
    tables: Sequence[TableWithVariants],
    folder: Path,
    ablations: Sequence[Ablation] = (),
    step: Callable[[str], object] = lambda _: None,
    curves: Curves = lambda _: (),
    logs: str = "",
) -> dict[str, str]:
    """The files of the site by name, the first page last; the same for the same records.

    Differences of pairs of rows are read from the folder's script files where these are of the
    same records. `logs` is the address, from the pages, of the folder that logs are named from; ''
    links none.
    """
    by_task = group_by(tables, lambda built: built.table.task).values()
    pages = [_task_page(of_task, folder, step, curves) for of_task in by_task]
    reports = [ablation_page(report) for report in ablations]
    warned = any(page.stand_in for page in pages) or any(one.stand_in for one in reports)
    shared = {
        "pages": pages,
        "ablations": reports,
        "families": FAMILIES,
        "stand_in": stand_in,
        "warned": warned,
    }
    written: dict[str, str] = {}
    for page in pages:
        for one in page.boards:
            written[f"{one.drawer}.js"] = drawer_script(one, logs)
            written[f"{one.pairs.name}.js"] = one.pairs.script
        written[page.file] = render(
            "task.html",
            **{**shared, "warned": page.stand_in},
            page=page,
            formats=FORMATS,
            stem=file_name(page.task),
            dominance=dominance,
            data={
                "switch": page.switch,
                "open": page.default.key,
                "boards": [one.data for one in page.boards],
            },
        )
    for report in reports:
        written[report.file] = render(
            "ablation.html",
            **{**shared, "warned": report.stand_in},
            page=report,
            others=others(reports, report),
            data={},
        )
    written[COMPARE] = render("compare.html", **shared, data={"compare": _comparable(pages)})
    written[INDEX] = render(
        "index.html", **shared, matrix=matrix(pages), lead=_lead(pages), count=count, data={}
    )
    return written


def _task_page(
    of_task: Sequence[TableWithVariants],
    folder: Path,
    step: Callable[[str], object],
    curves: Curves,
) -> TaskPage:
    task = of_task[0].table.task
    stem = file_name(task)
    titles = _titles([built.table for built in of_task])
    boards = []
    for place, (built, (key, title)) in enumerate(zip(of_task, titles, strict=True)):
        step(built.table.title)
        ending = f"-{place + 1}" if len(of_task) > 1 else ""
        kept = pairs(built, f"pairs-{stem}{ending}", folder)
        one = board(built, place, key, title, kept, f"rows-{stem}{ending}")
        boards.append(replace(one, figures=tuple(_figures(one, curves))))
    labels = max((v.newest for built in of_task for v in built.variants), key=age).labels
    title = of_task[0].table.title
    return TaskPage(
        task,
        f"{stem}.html" if f"{stem}.html" not in (INDEX, COMPARE) else f"task-{stem}.html",
        title,
        task.capitalize(),
        labels.get(QUESTION, ""),
        tuple(boards),
    )


def _titles(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """What chooses each table of a task: its key in the address and its title."""
    if len(tables) == 1:
        return [("", "")]
    shots = [{name for name, _ in table.differences} == {SHOTS_OPTION} for table in tables]
    if all(shots):
        return [
            (str(table.requested_shots), f"{table.requested_shots} images a class")
            for table in tables
        ]
    titles = [
        ", ".join(f"{name} {value}" for name, value in table.differences) or table.title
        for table in tables
    ]
    return list(zip(ids(titles), titles, strict=True))


def _figures(one: Board, curves: Curves) -> Iterable[Markup]:
    """The reliability of the rows whose confidences are kept, as markup."""
    known = list(curves(one.built))
    if known:
        # Imported only here: importing matplotlib takes longer than making a page.
        from rppbench.reporting.figure_style import inline_svg
        from rppbench.reporting.plots import reliability

        figure = reliability(known)
        if figure is not None:
            yield Markup(inline_svg(figure, f"reliability-{one.place + 1}", "Reliability"))


def _comparable(pages: Sequence[TaskPage]) -> list[dict[str, object]]:
    """What the page that compares two rows holds of each table: its rows and their numbers."""
    return [
        {
            **one.data,
            "title": ", ".join(filter(None, (page.title, one.title))),
            "file": page.file,
            "switch": page.switch,
            "pairs": one.pairs.name,
            "columns": [one.table.heading(column) for column in one.table.columns],
            "lowerColumns": [not head.falling for head in one.heads[-len(one.table.columns) :]],
            "numbers": [
                {
                    "name": row.row.label,
                    "average": row.average.text,
                    "columns": [cell.text.text for cell in row.cells[-len(one.table.columns) :]],
                }
                for row in one.rows
            ],
        }
        for page in pages
        for one in page.boards
    ]


def _lead(pages: Sequence[TaskPage]) -> str:
    """How much is compared, and how."""
    methods = {row.row.method for page in pages for one in page.boards for row in one.rows}
    seeds = {len(row.row.seeds) for page in pages for one in page.boards for row in one.rows}
    runs = f", learned with up to {counted(max(seeds), 'seed')}" if seeds else ""
    return (
        f"{counted(len(methods), 'method').capitalize()} on {counted(len(pages), 'task')}{runs}. "
        "Every number is made from records; methods are compared on the same images and seeds."
    )
