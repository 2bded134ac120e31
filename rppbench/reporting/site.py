"""Static site of all tables: one HTML page that needs no server, and the files it links to."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from rppbench.comparison.ablation import Ablation
from rppbench.files.atomic import write_atomically
from rppbench.files.printable import printable
from rppbench.leaderboard.build import TableWithVariants
from rppbench.leaderboard.calibration import Curve
from rppbench.leaderboard.tables import Table
from rppbench.records import stand_in
from rppbench.records.names import file_name
from rppbench.records.record import lower_is_better
from rppbench.reporting import ablation_page, ablation_plots, plots
from rppbench.reporting.figure_style import inline_svg
from rppbench.reporting.footnotes import footnotes
from rppbench.reporting.html_text import escape
from rppbench.reporting.layout import (
    OTHER_METRICS_CAPTION,
    PUBLISHED_CAPTION,
    CellText,
    Layout,
    against_caption,
    against_layout,
    caption,
    cost_columns,
    leaderboard_layout,
    other_metrics_layout,
    published_layout,
)
from rppbench.reporting.leaderboard_files import write_leaderboards
from rppbench.reporting.row_details import row_details
from rppbench.reporting.shot_curve import CAPTION, ShotCurve, differ_in_shots_only, shot_curves

FORMATS = {"md": "Markdown", "tex": "LaTeX", "csv": "CSV", "json": "JSON"}
Curves = Callable[[TableWithVariants], Iterable[Curve]]
"""Reads the reliability curves of a table's rows."""
ABLATION_FORMATS = {"md": "Markdown", "json": "JSON", "svg": "SVG", "png": "PNG"}
"""Formats by suffix of the file; the last two exist if there is a figure."""


def write(
    tables: Sequence[TableWithVariants],
    folder: Path,
    ablations: Sequence[Ablation] = (),
    step: Callable[[str], object] = lambda _: None,
    curves: Curves = lambda _: (),
) -> Path:
    """Write index.html, and beside it all tables and ablations in their other formats.

    Returns the path of index.html. `step` is called with the title of each table and ablation
    before it is drawn. `curves` reads the reliability curves of a table, which are drawn too.
    Raises OSError if a file cannot be written.
    """
    write_leaderboards([built.table for built in tables], folder)
    for report in ablations:
        step(report.grid.title)
        ablation_page.write(report, folder)
    index = Path(folder) / "index.html"
    write_atomically(index, page(tables, ablations, step, curves))
    return index


def page(
    tables: Sequence[TableWithVariants],
    ablations: Sequence[Ablation] = (),
    step: Callable[[str], object] = lambda _: None,
    curves: Curves = lambda _: (),
) -> str:
    """The HTML of the page; the same bytes for the same records.

    Names come from untrusted plugins and records, so every text is escaped, and the page's
    Content-Security-Policy forbids all scripts but its own.
    """
    web = files("rppbench.reporting") / "web"
    texts = {name: (web / name).read_text("utf-8") for name in ("page.html", "style.css")}
    script = (web / "script.js").read_text("utf-8")
    digest = sha256(f"\n{script}\n".encode()).digest()  # of all characters between the tags
    details: list[list[dict[str, object]]] = []
    sections = list(_stand_in_section(tables))
    for number, curve in enumerate(shot_curves(built.table for built in tables), 1):
        sections.append(_shot_section(number, curve))
    for number, built in enumerate(tables, 1):
        step(built.table.title)
        sections.append(_table_section(number, built, tables, details, curves))
    sections += [_ablation_section(ablations)] if ablations else []
    return Template(texts["page.html"]).substitute(
        title="Leaderboards",
        permitted=f"sha256-{b64encode(digest).decode()}",
        style=texts["style.css"],
        script=script,
        filters="\n".join(_filters([built.table for built in tables])),
        sections="\n".join(sections),
        data=embedded({"rows": details}),
    )


def _stand_in_section(tables: Sequence[TableWithVariants]) -> Iterator[str]:
    """The warning of a page with numbers from the embedded world, above all tables."""
    if any(built.table.stand_in for built in tables):
        yield (
            f'<p class="warning"><strong>{escape(stand_in.HEADING)}</strong> '
            f"{escape(stand_in.WARNING)}</p>"
        )


def embedded(data: object) -> str:
    """JSON for a script element: nothing in it can end the element or start markup."""
    text = printable(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _filters(tables: Sequence[Table]) -> Iterator[str]:
    tasks = {table.task: table.title for table in tables}
    backbones = {name: name for table in tables for name in [dict(table.setting)["backbone"]]}
    recipes = {row.recipe: row.recipe for table in tables for row in table.rows if row.recipe}
    for name, values in (("task", tasks), ("backbone", backbones), ("recipe", recipes)):
        choices = [f'<option value="">all ({len(values)})</option>']
        choices += [
            f'<option value="{escape(value)}">{escape(title)}</option>'
            for value, title in sorted(values.items(), key=lambda pair: pair[1].casefold())
        ]
        label = name.capitalize()
        yield f'<label>{label}<select name="{name}">{"".join(choices)}</select></label>'


def _shot_section(number: int, curve: ShotCurve) -> str:
    """A few-shot curve as a table and as a figure."""
    table = curve.table
    apart = f" ({curve.differences})" if curve.differences else ""
    lines = [
        f'<section class="by-shots" data-task="{escape(table.task)}" '
        f'data-backbone="{escape(dict(table.setting)["backbone"])}" '
        f'aria-labelledby="shots-{number}">',
        f'<h2 id="shots-{number}">{escape(f"{table.title}, by shots{apart}")}</h2>',
        *_plain_table(CAPTION, curve.layout),
    ]
    if figure := plots.by_shots(curve):
        text = "Bars are 95 % intervals; a dotted line is a method that learns nothing."
        if len(curve.rows) > plots.MAX_ROWS:
            text += f" Of {len(curve.rows)} rows the best {plots.MAX_ROWS}."
        lines += ['<div class="figures">', _figure(text, figure, f"shots-{number}", table.title)]
        lines += ["</div>"]
    return "\n".join([*lines, "</section>"])


def _ablation_section(reports: Sequence[Ablation]) -> str:
    """For each ablation: a summary, links to its files, and its figure."""
    lines = ['<section class="ablations" aria-labelledby="ablations">']
    lines += ['<h2 id="ablations">Ablations</h2>']
    lines += ["<p>Differences from the baseline on the same images under the same seeds.</p>"]
    for number, report in enumerate(reports, 1):
        name = ablation_page.file_stem(report.grid)
        figure = ablation_plots.ablation_figure(report)
        formats = ABLATION_FORMATS if figure else dict(list(ABLATION_FORMATS.items())[:2])
        links = [f'<a href="{escape(name)}.{end}">{kind}</a>' for end, kind in formats.items()]
        cells = [len(result.combination.cells) for result in report.results]
        done = sum(result.done for result in report.results)
        summary = (
            f"{report.table.title}, {report.table.metric}: {len(cells)} combinations, {done} of "
            f"{sum(cells)} cells. Baseline: {report.grid.baseline.label}. "
        )
        lines += [f"<h3>{escape(report.grid.title)}</h3>"]
        lines += [f"<p>{escape(summary)}{', '.join(links)}.</p>"]
        if figure:
            label = f"Ablation {report.grid.title}: plot"
            lines += [
                f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">'
                f"{inline_svg(figure, f'ablation-{number}', label)}</div>"
            ]
    return "\n".join([*lines, "</section>"])


def _table_section(
    number: int,
    built: TableWithVariants,
    tables: Sequence[TableWithVariants],
    details: list[list[dict[str, object]]],
    curves: Curves,
) -> str:
    """A table with its captions, footnotes and figures; its rows' details go into `details`."""
    table = built.table
    of_task = [other.table for other in tables if other.table.task == table.task]
    not_comparable = len(of_task) > 1 and not differ_in_shots_only(of_task)
    conditions = ", ".join(f"{name}: {value}" for name, value in table.differences)
    heading = f"{table.title} ({conditions})" if conditions else table.title
    links = [
        f'<a href="{escape(file_name(table.task))}.{suffix}">{name}</a>'
        for suffix, name in FORMATS.items()
    ]
    setting = [f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in table.setting]
    warning = (
        f"This task has {len(of_task)} tables, measured under different conditions; do not compare "
        "numbers across them."
    )
    backbone = escape(dict(table.setting)["backbone"])
    lines = [
        f'<section class="table-part" data-task="{escape(table.task)}" '
        f'data-backbone="{backbone}" aria-labelledby="part-{number}">',
        f'<h2 id="part-{number}">{escape(heading)}</h2>',
        *([f'<p class="warning">{warning}</p>'] if not_comparable else []),
        f'<p class="setting">{escape(caption(table))} Also as {", ".join(links)}.</p>',
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="part-{number}">',
        *_sortable_table(built, details),
        "</div>",
        *_further_tables(table),
        '<ul class="notes">',
        *(f"<li>{escape(note)}</li>" for note in footnotes(table)),
        "</ul>",
        f"<details><summary>Setting</summary><dl>{''.join(setting)}</dl></details>",
        *_figures(number, built, curves),
        "</section>",
    ]
    return "\n".join(lines)


def _further_tables(table: Table) -> Iterator[str]:
    """Differences from the reference, other metrics, published numbers, as in the Markdown."""
    if against := against_layout(table):
        yield from _plain_table(against_caption(table), against)
    other_metrics = other_metrics_layout(table.rows)
    if other_metrics:
        yield from _plain_table(OTHER_METRICS_CAPTION, other_metrics)
    if table.reported:
        text = f"Against published numbers {PUBLISHED_CAPTION}"
        yield from _plain_table(text, published_layout(table.reported))


def _plain_table(text: str, layout: Layout) -> Iterator[str]:
    """A table that cannot be sorted, below its caption `text`."""
    yield f"<p>{escape(text)}</p>"
    yield f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(text)}"><table>'
    kinds = ["name" if i < layout.name_columns else "" for i in range(len(layout.heads))]
    heads = zip(layout.heads, kinds, strict=True)
    cells = [f'<th scope="col" class="{kind}">{escape(head)}</th>' for head, kind in heads]
    yield f"<thead><tr>{''.join(cells)}</tr></thead><tbody>"
    for row in layout.body:
        data = [_cell(cell, index < layout.name_columns) for index, cell in enumerate(row)]
        yield f"<tr>{''.join(data)}</tr>"
    yield "</tbody></table></div>"


def _sortable_table(
    built: TableWithVariants, details: list[list[dict[str, object]]]
) -> Iterator[str]:
    table, layout = built.table, leaderboard_layout(built.table)
    variants = {variant.label: variant for variant in built.variants}
    yield "<table><thead><tr>"
    costs = cost_columns(table.rows)
    small = {"Rank", *(column.head for column in costs if not column.more_is_better)}
    for index, head in enumerate((*layout.heads, *(column.head for column in costs))):
        name = index < layout.name_columns
        small_first = name or head in small or lower_is_better(_metric(table, head))
        first = "ascending" if small_first else "descending"
        kind = ' class="name"' if name else ""
        yield (
            f'<th scope="col" data-first="{first}"{kind}>'
            f'<button type="button">{escape(head)}</button></th>'
        )
    yield "</tr></thead>"
    for row, cells in zip(table.rows, layout.body, strict=True):
        number = len(details)
        details.append([asdict(detail) for detail in row_details(variants[row.label])])
        button = (
            f'<button type="button" aria-expanded="false" aria-controls="opened-{number}">'
            f"{escape(row.label)}</button>"
        )
        yield f'<tbody class="entry" data-row="{number}" data-recipe="{escape(row.recipe)}"><tr>'
        yield f'<th scope="row" class="name">{button}</th>'
        for index, cell in enumerate(cells[1:], 1):
            yield _cell(cell, index < layout.name_columns)
        yield from (_data(column.text(row), column.value(row)) for column in costs)
        yield "</tr></tbody>"
    yield "</table>"


def _metric(table: Table, head: str) -> str:
    """The metric of a column of numbers with this head."""
    return head if table.by_metric else table.metric


def _cell(cell: CellText, name: bool) -> str:
    parts = [
        escape(cell.text),
        *([f'<span class="spread">± {escape(cell.spread)}</span>'] if cell.spread else []),
        *([f'<span class="mark">{escape(cell.mark)}</span>'] if cell.mark else []),
    ]
    kind = "name" if name else "best" if cell.emphasised else ""
    return _data(" ".join(parts), None if name else _number(cell.text), kind)


def _data(html: str, value: float | None, kind: str = "") -> str:
    sorts = "" if value is None else f' data-value="{value}"'
    of_kind = f' class="{kind}"' if kind else ""
    return f"<td{sorts}{of_kind}>{html}</td>"


def _number(text: str) -> float | None:
    """The number that '32.8' or the rank '1.9 ab' is sorted by; None for other texts."""
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return None


def _figures(number: int, built: TableWithVariants, curves: Curves) -> Iterator[str]:
    table = built.table
    more = len(table.rows) - len(plots.plotted_rows(table))
    left_out = f" Of {len(table.rows)} rows the best {plots.MAX_ROWS}." if more else ""
    figures: tuple[tuple[str, str, Figure | None], ...] = (
        (
            "cost",
            "Accuracy against cost. Bars are 95 % intervals; a dotted line is a method that learns "
            "nothing.",
            plots.cost(table),
        ),
        (
            "ranks",
            "Mean ranks over data sets, 1 is best. Rows with a dot on one line are not separated "
            "(paired tests of their averages, corrected for all pairs, at 5 %).",
            plots.ranks(table),
        ),
        (
            "curves",
            "Training, mean over trainings. Losses of different objectives cannot be compared.",
            plots.curves(table, built.variants),
        ),
        (
            "bars",
            "Each data set. Lines are 95 % intervals.",
            plots.bars(table),
        ),
        (
            "reliability",
            "Reliability: accuracy of the images in each of 15 bins of confidence, over all seeds "
            "and data sets. Below the dotted line, predictions are overconfident.",
            plots.reliability(_plotted(table, curves(built))),
        ),
    )
    yield '<div class="figures">'
    for name, text, figure in figures:
        if figure is not None:
            text_of_rows = text if name == "ranks" else text + left_out
            yield _figure(text_of_rows, figure, f"{name}-{number}", table.title)
    yield "</div>"


def _plotted(table: Table, curves: Iterable[Curve]) -> list[Curve]:
    """The curves of the rows that figures have, in the order of the rows."""
    places = {row.label: place for place, row in enumerate(plots.plotted_rows(table))}
    return sorted((c for c in curves if c.label in places), key=lambda c: places[c.label])


def _figure(text: str, figure: Figure, name: str, title: str) -> str:
    return (
        f'<figure><figcaption>{escape(text)}</figcaption><div class="scroll" tabindex="0" '
        f'role="region" aria-label="{escape(title)}: plot">{inline_svg(figure, name, text)}</div>'
        "</figure>"
    )
