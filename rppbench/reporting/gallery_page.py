"""HTML pages of pictures: the predictions of a cell, and the images that two methods change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rppbench.leaderboard.number_format import decimals
from rppbench.leaderboard.variants import variants
from rppbench.records import stand_in
from rppbench.records.cell import spell
from rppbench.records.record import Record
from rppbench.reporting.html_text import escape

if TYPE_CHECKING:  # importing numpy takes longer than all of `--help`
    from rppbench.comparison.compare import Comparison

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:1270px;margin:2rem auto;padding:0 1rem;color:#1c2127}"
    "figure{margin:2rem 0}img{max-width:100%;height:auto;border:1px solid #8a9099}"
    ".small{display:inline-block;width:224px;margin:.5rem;vertical-align:top}"
)


def page(record: Record, pictures: Sequence[tuple[str, str, str]], scenes: int) -> str:
    """The page, which refers to no file but its pictures.

    `pictures` are (file name, scene, caption); `scenes` is the number of all test scenes.
    """
    (variant,) = variants([record])
    cell, labels = record.cell, record.labels
    heading = f"{labels.get('task') or cell.task.name}: {variant.label} on {labels.get('dataset')}"
    learned = f"seed {cell.seed}, " if cell.training else ""
    options = ", ".join(f"{name}={spell(value)}" for name, value in cell.task.options)
    numbers = ", ".join(f"{s.metric} {s.value:.{decimals(s.metric)}f}" for s in record.scores)
    paragraphs = [
        f"Cell {record.key}: {learned}backbone {cell.backbone}, {options}.",
        f"Measured: {numbers}.",
        f"{len(pictures)} of {scenes} test scenes, evenly spaced, picked by nobody.",
        "Colours are those of each scene's legend; grey pixels are not scored. As many boxes are "
        "drawn as there are objects, those with the highest scores; a dashed box overlaps no "
        "object of its class by at least half. A class is gained where more of it is right than in "
        "the prediction beside, and lost where less is.",
    ]
    if stand_in.of_cell(cell):
        paragraphs.insert(0, f"{stand_in.HEADING} {stand_in.WARNING}")
    figures = (
        f'<figure><img src="{escape(file)}" alt="{escape(scene)}: image, truth and prediction" '
        f'loading="lazy"><figcaption>{escape(scene)}: {escape(caption)}</figcaption></figure>'
        for file, scene, caption in pictures
    )
    return _page(heading, paragraphs, figures)


@dataclass(frozen=True)
class Picture:
    """A picture beside its page."""

    file: str
    caption: str


def changed_page(
    comparisons: Sequence[Comparison], parts: Sequence[tuple[str, Sequence[Picture]]]
) -> str:
    """The page of images that became right or wrong; `parts` are (title, pictures)."""
    first, second = comparisons[0].first.label, comparisons[0].second.label
    paragraphs = [
        f"Images that {second} gets right and {first} wrong (wrong -> right), and the other way "
        "round. (k/n): under k of n seeds; those of most seeds come first.",
    ]
    if any(comparison.table.stand_in for comparison in comparisons):
        paragraphs.insert(0, f"{stand_in.HEADING} {stand_in.WARNING}")
    lines = []
    for title, pictures in parts:
        lines.append(f"<h2>{escape(title)}</h2>")
        lines += [] if pictures else ["<p>No image changed.</p>"]
        lines += [
            f'<figure class="small"><img src="{escape(picture.file)}" '
            f'alt="{escape(picture.caption)}" loading="lazy">'
            f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
            for picture in pictures
        ]
    return _page(f"{second} against {first}: images that changed", paragraphs, lines)


def _page(heading: str, paragraphs: Iterable[str], body: Iterable[str]) -> str:
    """A page below its heading; `body` is markup."""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; img-src 'self'; style-src 'unsafe-inline'\">",
            f"<title>{escape(heading)}</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(heading)}</h1>",
            *(f"<p>{escape(line)}</p>" for line in paragraphs),
            *body,
            "</body></html>",
            "",
        ]
    )
