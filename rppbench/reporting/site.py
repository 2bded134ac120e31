"""Tables as a static site: one page that needs no server, and the files it links to."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from rppbench.comparison.ablation import Ablation
from rppbench.files.atomic import write_whole
from rppbench.leaderboard.build import Part
from rppbench.leaderboard.tables import Row, Table
from rppbench.records.record import lower_is_better
from rppbench.records.store import file_name
from rppbench.reporting import ablation_page, ablation_plots, plots
from rppbench.reporting.figure_style import inline
from rppbench.reporting.footnotes import notes
from rppbench.reporting.layout import (
    COSTS,
    OTHERS,
    PUBLISHED,
    Layout,
    Shown,
    costs,
    layout,
    measured,
    others,
    published,
)
from rppbench.reporting.pages import write_leaderboards
from rppbench.reporting.row_details import opened
from rppbench.reporting.shot_curve import TOLD, Across, across, alone

FORMATS = {"md": "Markdown", "tex": "LaTeX", "csv": "CSV", "json": "JSON"}
ABLATION_FORMATS = {"md": "Markdown", "json": "JSON", "svg": "SVG", "png": "PNG"}
"""The last two where there is a figure."""


def write(
    parts: Sequence[Part],
    folder: Path,
    ablations: Sequence[Ablation] = (),
    step: Callable[[str], object] = lambda _: None,
) -> Path:
    """Write index.html, and beside it tables and ablations in all other formats; where it is.

    `step` is told of each part before it is drawn.
    """
    write_leaderboards([part.table for part in parts], folder)
    for report in ablations:
        step(report.grid.title)
        ablation_page.write(report, folder)
    index = Path(folder) / "index.html"
    write_whole(index, page(parts, ablations, step))
    return index


def page(
    parts: Sequence[Part],
    ablations: Sequence[Ablation] = (),
    step: Callable[[str], object] = lambda _: None,
) -> str:
    """The whole page; the same for the same records.

    Names come from anyone's plugins and records, so every text is escaped, and the page itself
    forbids whatever is not its own script (Content-Security-Policy).
    """
    web = files("rppbench") / "web"
    read = {name: (web / name).read_text("utf-8") for name in ("page.html", "style.css")}
    script = (web / "script.js").read_text("utf-8")
    digest = sha256(f"\n{script}\n".encode()).digest()  # of all between the tags
    content: list[list[dict[str, object]]] = []
    sections = []
    for number, found in enumerate(across(part.table for part in parts), 1):
        sections.append(_shots(number, found))
    for number, part in enumerate(parts, 1):
        step(part.table.title)
        sections.append(_section(number, part, parts, content))
    sections += [_ablations(ablations)] if ablations else []
    return Template(read["page.html"]).substitute(
        title="Leaderboards",
        permitted=f"sha256-{b64encode(digest).decode()}",
        style=read["style.css"],
        script=script,
        filters="\n".join(_filters([part.table for part in parts])),
        sections="\n".join(sections),
        data=embedded({"rows": content}),
    )


def embedded(data: object) -> str:
    """JSON that can stand in a script element: nothing in it ends the element or starts markup."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
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


def _shots(number: int, found: Across) -> str:
    """Numbers by shots, as a table and as curves."""
    table = found.table
    apart = f" ({found.differences})" if found.differences else ""
    lines = [
        f'<section class="by-shots" data-task="{escape(table.task)}" '
        f'data-backbone="{escape(dict(table.setting)["backbone"])}" '
        f'aria-labelledby="shots-{number}">',
        f'<h2 id="shots-{number}">{escape(f"{table.title}, by shots{apart}")}</h2>',
        *_shape(TOLD, found.layout),
    ]
    if drawn := plots.by_shots(found):
        told = (
            "Bars are 95 % t-intervals over seeds; a dotted line is a method that learns nothing."
        )
        if len(found.rows) > plots.MOST:
            told += f" Of {len(found.rows)} rows the best {plots.MOST}."
        lines += ['<div class="figures">', _figure(told, drawn, f"shots-{number}", table.title)]
        lines += ["</div>"]
    return "\n".join([*lines, "</section>"])


def _ablations(reports: Sequence[Ablation]) -> str:
    """What each report found in a line, its figure, and its page in other formats."""
    lines = ['<section class="ablations" aria-labelledby="ablations">']
    lines += ['<h2 id="ablations">Ablations</h2>']
    lines += ["<p>Differences from the baseline on the same images under the same seeds.</p>"]
    for number, report in enumerate(reports, 1):
        name = ablation_page.stem(report.grid)
        drawn = ablation_plots.figure(report)
        formats = ABLATION_FORMATS if drawn else dict(list(ABLATION_FORMATS.items())[:2])
        links = [f'<a href="{escape(name)}.{end}">{kind}</a>' for end, kind in formats.items()]
        cells = [len(result.combination.cells) for result in report.results]
        done = sum(result.done for result in report.results)
        told = (
            f"{report.table.title}, {report.table.metric}: {len(cells)} combinations, {done} of "
            f"{sum(cells)} cells. Baseline: {report.grid.baseline.label}. "
        )
        lines += [f"<h3>{escape(report.grid.title)}</h3>"]
        lines += [f"<p>{escape(told)}{', '.join(links)}.</p>"]
        if drawn:
            label = f"Ablation {report.grid.title}: plot"
            lines += [
                f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">'
                f"{inline(drawn, f'ablation-{number}', label)}</div>"
            ]
    return "\n".join([*lines, "</section>"])


def _section(
    number: int, part: Part, parts: Sequence[Part], content: list[list[dict[str, object]]]
) -> str:
    """A table with all about it; what its rows open to is added to `content`."""
    table = part.table
    alike = [other.table for other in parts if other.table.task == table.task]
    not_alike = len(alike) > 1 and not alone(alike)
    facts = ", ".join(f"{name}: {value}" for name, value in table.differences)
    heading = f"{table.title} ({facts})" if facts else table.title
    links = [
        f'<a href="{escape(file_name(table.task))}.{ending}">{name}</a>'
        for ending, name in FORMATS.items()
    ]
    setting = [f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in table.setting]
    warning = (
        f"This task has {len(alike)} tables, measured under different conditions; do not compare "
        "numbers across them."
    )
    backbone = escape(dict(table.setting)["backbone"])
    lines = [
        f'<section class="table-part" data-task="{escape(table.task)}" '
        f'data-backbone="{backbone}" aria-labelledby="part-{number}">',
        f'<h2 id="part-{number}">{escape(heading)}</h2>',
        *([f'<p class="warning">{warning}</p>'] if not_alike else []),
        f'<p class="setting">{escape(measured(table))} Also as {", ".join(links)}.</p>',
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="part-{number}">',
        *_table(part, content),
        "</div>",
        *_below(table),
        '<ul class="notes">',
        *(f"<li>{escape(note)}</li>" for note in notes(table)),
        "</ul>",
        f"<details><summary>Setting</summary><dl>{''.join(setting)}</dl></details>",
        *_figures(number, part),
        "</section>",
    ]
    return "\n".join(lines)


def _below(table: Table) -> Iterator[str]:
    """Other metrics and published numbers, as the Markdown has them."""
    also = others(table.rows)
    found = [*([(OTHERS, also)] if also else [])]
    if table.reported:
        found.append((f"Against published numbers {PUBLISHED}", published(table.reported)))
    for told, shape in found:
        yield from _shape(told, shape)


def _shape(told: str, shape: Layout) -> Iterator[str]:
    """A table that cannot be sorted, below a sentence on it."""
    yield f"<p>{escape(told)}</p>"
    yield f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(told)}"><table>'
    kinds = ["name" if i < shape.names else "" for i in range(len(shape.heads))]
    heads = zip(shape.heads, kinds, strict=True)
    cells = [f'<th scope="col" class="{kind}">{escape(head)}</th>' for head, kind in heads]
    yield f"<thead><tr>{''.join(cells)}</tr></thead><tbody>"
    for row in shape.body:
        lines = [_cell(shown, index < shape.names) for index, shown in enumerate(row)]
        yield f"<tr>{''.join(lines)}</tr>"
    yield "</tbody></table></div>"


def _table(part: Part, content: list[list[dict[str, object]]]) -> Iterator[str]:
    table, shape = part.table, layout(part.table)
    variants = {variant.label: variant for variant in part.variants}
    yield "<table><thead><tr>"
    for index, head in enumerate((*shape.heads, *COSTS)):
        name = index < shape.names
        small_first = name or head in ("Rank", *COSTS) or lower_is_better(_metric(table, head))
        first = "ascending" if small_first else "descending"
        kind = ' class="name"' if name else ""
        yield (
            f'<th scope="col" data-first="{first}"{kind}>'
            f'<button type="button">{escape(head)}</button></th>'
        )
    yield "</tr></thead>"
    for row, cells in zip(table.rows, shape.body, strict=True):
        number = len(content)
        content.append([asdict(block) for block in opened(variants[row.label])])
        button = (
            f'<button type="button" aria-expanded="false" aria-controls="opened-{number}">'
            f"{escape(row.label)}</button>"
        )
        yield f'<tbody class="entry" data-row="{number}" data-recipe="{escape(row.recipe)}"><tr>'
        yield f'<th scope="row" class="name">{button}</th>'
        yield from (_cell(cell, index + 1 < shape.names) for index, cell in enumerate(cells[1:]))
        yield from _costs(row)
        yield "</tr></tbody>"
    yield "</table>"


def _metric(table: Table, head: str) -> str:
    """The metric of a column of numbers."""
    return head if table.by_metric else table.metric


def _cell(shown: Shown, name: bool) -> str:
    parts = [
        escape(shown.text),
        *([f'<span class="spread">± {escape(shown.spread)}</span>'] if shown.spread else []),
        *([f'<span class="mark">{escape(shown.mark)}</span>'] if shown.mark else []),
    ]
    kind = "name" if name else "best" if shown.best else ""
    return _data(" ".join(parts), None if name else _number(shown.text), kind)


def _costs(row: Row) -> Iterator[str]:
    for text, value in zip(costs(row), (row.parameters, row.train_seconds), strict=True):
        yield _data(text, value)


def _data(html: str, value: float | None, kind: str = "") -> str:
    sorts = "" if value is None else f' data-value="{value}"'
    of_kind = f' class="{kind}"' if kind else ""
    return f"<td{sorts}{of_kind}>{html}</td>"


def _number(text: str) -> float | None:
    """What '32.8' or a rank '1.9 ab' is sorted by; None for what is no number."""
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return None


def _figures(number: int, part: Part) -> Iterator[str]:
    table = part.table
    more = len(table.rows) - len(plots.drawable(table))
    left_out = f" Of {len(table.rows)} rows the best {plots.MOST}." if more else ""
    drawn: tuple[tuple[str, str, Figure | None], ...] = (
        (
            "cost",
            "Accuracy against cost. Bars are 95 % t-intervals over seeds; a dotted line is a "
            "method that learns nothing.",
            plots.cost(table),
        ),
        (
            "ranks",
            "Critical-difference diagram: mean ranks over data sets, 1 is best. Rows on one thick "
            "line cannot be told apart (Friedman's and Nemenyi's tests at 5 %).",
            plots.ranks(table),
        ),
        (
            "curves",
            "Training, mean over trainings. Losses of different objectives are no contest.",
            plots.curves(table, part.variants),
        ),
        (
            "bars",
            "Each data set. Lines are 95 % t-intervals over seeds.",
            plots.bars(table),
        ),
    )
    yield '<div class="figures">'
    for name, caption, figure in drawn:
        if figure is not None:
            told = caption if name == "ranks" else caption + left_out
            yield _figure(told, figure, f"{name}-{number}", table.title)
    yield "</div>"


def _figure(told: str, drawn: Figure, name: str, title: str) -> str:
    return (
        f'<figure><figcaption>{escape(told)}</figcaption><div class="scroll" tabindex="0" '
        f'role="region" aria-label="{escape(title)}: plot">{inline(drawn, name, told)}</div>'
        "</figure>"
    )
