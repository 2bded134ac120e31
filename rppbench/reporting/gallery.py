"""Pictures of segmentations and detections: image, truth and predictions side by side.

Below the panels is a legend. Each picture assigns the colours anew, to the classes that it
shows: sixty colours for all classes could not be told apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rppbench.contracts.regions import IGNORED, Comparison, Detections

Colour = tuple[int, int, int]
Labels = NDArray[np.uint16]

PALETTE: tuple[Colour, ...] = (
    *((230, 57, 70), (29, 120, 200), (42, 157, 80), (244, 162, 30), (142, 68, 190)),
    *((0, 175, 185), (233, 90, 170), (140, 100, 40), (120, 190, 33), (90, 90, 220)),
    *((255, 215, 60), (0, 90, 100)),
)
OTHERS: Colour = (235, 235, 235)
"""Colour of classes beyond the palette."""
NO_CLASS: Colour = (25, 25, 25)
"""Colour of pixels that the prediction gives no class."""
INK: Colour = (28, 33, 39)
"""Colour of text."""
PANEL = 400
"""Longer side of a panel in pixels."""
GAP, LINE, LETTERS = 12, 24, 15
"""In pixels: gap between panels, height of a line of the legend, height of a letter."""
OPACITY = 0.65
"""Share of the class's colour in a pixel, over the grey image."""
OVERLAP = 0.5
"""Least intersection over union of a predicted box and the true box that it matches."""


@dataclass(frozen=True)
class Picture:
    """A drawn scene and its caption."""

    image: Image.Image
    caption: str


def draw(
    scene: Comparison,
    names: Sequence[str],
    unseen: Sequence[int],
    predictions: Mapping[str, Labels | Detections] | None = None,
) -> Picture:
    """The picture of a scene; `names` are the classes by label, `unseen` labels not trained on.

    `predictions` by title are drawn side by side, the scene's own last; by default it alone.
    """
    hidden = set(unseen)
    titles = {at: f"{name} (unseen)" if at in hidden else name for at, name in enumerate(names)}
    drawn = predictions or {"prediction": scene.prediction}
    if isinstance(scene.truth, Detections):
        boxes = {name: one for name, one in drawn.items() if isinstance(one, Detections)}
        return _boxes(scene, scene.truth, boxes, titles)
    maps = {name: one for name, one in drawn.items() if not isinstance(one, Detections)}
    return _maps(scene, scene.truth, maps, titles)


def changes(before: Mapping[int, float], after: Mapping[int, float], names: dict[int, str]) -> str:
    """What of each class was right before and after, in words: '; gained cat, lost dog'."""
    gained = [names[label] for label in after if after[label] > before.get(label, 0)]
    lost = [names[label] for label in before if before[label] > after.get(label, 0)]
    parts = [
        f"{verb} {', '.join(some)}" for verb, some in (("gained", gained), ("lost", lost)) if some
    ]
    return "; " + ", ".join(parts) if parts else "; nothing changed"


# --- label maps -----------------------------------------------------------------------------------


def _maps(
    scene: Comparison, truth: Labels, predictions: Mapping[str, Labels], titles: dict[int, str]
) -> Picture:
    scored = truth != IGNORED
    shown = [truth, *list(predictions.values())[::-1]]
    order = dict.fromkeys(label for labels in shown for label in _by_pixels(labels, scored))
    colours = _colours(list(order))
    panels = [("image", scene.image), ("truth", _painted(scene.image, truth, scored, colours))]
    for name, predicted in predictions.items():
        panels.append((name, _painted(scene.image, predicted, scored, colours)))
    legend = [(titles[label], colours[label]) for label in order]
    if any((predicted == IGNORED)[scored].any() for predicted in predictions.values()):
        legend.append(("no class", NO_CLASS))
    total = int(scored.sum())
    if not total:
        return Picture(_sheet(panels, legend), "no pixel of this scene is scored")
    *others, (_, own) = predictions.items()
    right = 100 * float((truth == own)[scored].mean())
    caption = f"{right:.0f} % of the scored pixels have the right class"
    for name, other in others:
        share = 100 * float((truth == other)[scored].mean())
        change = changes(_right(truth, other), _right(truth, own), titles)
        caption += f" ({name}: {share:.0f} %{change})"
    return Picture(_sheet(panels, legend), caption)


def _right(truth: Labels, predicted: Labels) -> dict[int, float]:
    """The share of its pixels that have the right class, by class; those that have any."""
    shares = {
        label: float((predicted == label)[truth == label].mean())
        for label in _by_pixels(truth, truth != IGNORED)
    }
    return {label: share for label, share in shares.items() if share}


def _by_pixels(labels: Labels, where: NDArray[np.bool_]) -> list[int]:
    """Labels within `where`, the most frequent first."""
    values, counts = np.unique(labels[where], return_counts=True)
    return [int(values[at]) for at in np.argsort(-counts, kind="stable") if values[at] != IGNORED]


def _painted(
    image: Image.Image, labels: Labels, scored: NDArray[np.bool_], colours: dict[int, Colour]
) -> Image.Image:
    """The image in grey, overlaid with the colours of the labels where pixels are scored."""
    grey = np.asarray(image.convert("L").convert("RGB"), np.float32)
    paint = np.zeros((*labels.shape, 3), np.float32)
    for label, colour in {**colours, IGNORED: NO_CLASS}.items():
        paint[labels == label] = colour
    share = np.where(scored, OPACITY, 0)[..., None]
    return Image.fromarray((grey * (1 - share) + paint * share).round().astype(np.uint8))


# --- boxes ----------------------------------------------------------------------------------------


def _boxes(
    scene: Comparison,
    truth: Detections,
    predictions: Mapping[str, Detections],
    titles: dict[int, str],
) -> Picture:
    best = {name: _best(predicted, len(truth)) for name, predicted in predictions.items()}
    hits = {name: matched(truth, predicted) for name, predicted in best.items()}
    shown = [truth, *list(best.values())[::-1]]
    labels = dict.fromkeys(label for boxes in shown for label in boxes.labels.tolist())
    colours = _colours(list(labels))
    solid = [True] * len(truth)
    panels = [
        ("image", scene.image),
        ("truth", _framed(scene.image, truth, colours, titles, solid)),
    ]
    for name, predicted in best.items():
        panels.append((name, _framed(scene.image, predicted, colours, titles, hits[name])))
    legend = [(titles[label], colours[label]) for label in labels]
    counts = {
        name: Counter(predicted.labels[np.array(hits[name], bool)].tolist())
        for name, predicted in best.items()
    }
    *others, own = counts
    caption = f"{sum(hits[own])} of {len(truth)} objects found with the right class"
    for name in others:
        caption += f" ({name}: {sum(hits[name])}{changes(counts[name], counts[own], titles)})"
    return Picture(_sheet(panels, legend), caption)


def _best(predicted: Detections, count: int) -> Detections:
    """The `count` detections with the highest scores."""
    order = np.argsort(-predicted.scores, kind="stable")[:count]
    return Detections(predicted.boxes[order], predicted.scores[order], predicted.labels[order])


def matched(truth: Detections, predicted: Detections) -> list[bool]:
    """For each detection, in order, whether it matches a true box of its class.

    A true box is matched once, by the first detection that overlaps it by at least `OVERLAP`.
    """
    from faster_coco_eval.core import mask

    if not len(truth) or not len(predicted):
        return [False] * len(predicted)
    overlaps = mask.iou(
        predicted.boxes.astype(float).tolist(), truth.boxes.astype(float).tolist(), [0] * len(truth)
    )
    free = np.ones(len(truth), bool)
    hits = []
    for row, label in zip(np.asarray(overlaps), predicted.labels, strict=True):
        fits = np.where(free & (truth.labels == label), row, 0.0)
        hits.append(bool(fits.max() >= OVERLAP))
        free[int(fits.argmax())] &= not hits[-1]
    return hits


def _framed(
    image: Image.Image,
    boxes: Detections,
    colours: dict[int, Colour],
    titles: dict[int, str],
    solid: Sequence[bool],
) -> Image.Image:
    """The enlarged image with named boxes; lines are broken where `solid` is False."""
    enlarged = _enlarged(image)
    pen = ImageDraw.Draw(enlarged)
    ratio = enlarged.width / image.width
    tags: list[tuple[float, float, float, float]] = []
    for box, label, unbroken in zip(boxes.boxes, boxes.labels.tolist(), solid, strict=True):
        left, top, width, height = (float(edge) * ratio for edge in box)
        right = min(left + width, enlarged.width - 2)
        bottom = min(top + height, enlarged.height - 2)
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        for start, end in pairwise(corners):
            _line(pen, start, end, colours[label], unbroken)
        tags.append(_place(titles[label], (left, top), enlarged.size, tags))
    for tag, label in zip(tags, boxes.labels.tolist(), strict=True):  # on top of all boxes
        red, green, blue = colours[label]
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 140
        pen.rectangle(tag, colours[label])
        pen.text((tag[0] + 3, tag[1]), titles[label], "white" if dark else INK, _font())
    return enlarged


def _place(
    name: str,
    corner: tuple[float, float],
    size: tuple[int, int],
    occupied: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a name near the corner of its box, clear of all other names."""
    width, height = _font().getlength(name) + 6, LETTERS + 4
    left = max(0.0, min(corner[0], size[0] - width))
    top = max(0.0, min(corner[1], size[1] - height))
    while any(
        left < right and other_left < left + width and top < bottom and other_top < top + height
        for other_left, other_top, right, bottom in occupied
    ):
        top += height
    return left, top, left + width, top + height


def _line(
    pen: ImageDraw.ImageDraw,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: Colour,
    unbroken: bool,
) -> None:
    """Draw a line with a white edge, so that it is visible on any background."""
    a, b = np.array(start), np.array(end)
    length = float(np.abs(b - a).sum())
    steps = 1 if unbroken or not length else max(1, round(length / 8))
    for at in range(0, steps, 2):
        one, two = a + (b - a) * at / steps, a + (b - a) * (at + 1) / steps
        for ink, thick in (((255, 255, 255), 5), (colour, 3)):
            pen.line([tuple(one.tolist()), tuple(two.tolist())], ink, thick)


# --- the sheet ------------------------------------------------------------------------------------


def _colours(labels: Sequence[int]) -> dict[int, Colour]:
    """A colour for each of the first labels; all others share one."""
    return {label: PALETTE[at] if at < len(PALETTE) else OTHERS for at, label in enumerate(labels)}


def _enlarged(image: Image.Image) -> Image.Image:
    ratio = PANEL / max(image.size)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS if ratio < 1 else 0)


def _sheet(
    panels: Sequence[tuple[str, Image.Image]], legend: Sequence[tuple[str, Colour]]
) -> Image.Image:
    """Panels side by side under their titles, with the legend below."""
    images = [_enlarged(image) for _, image in panels]
    width = GAP + sum(image.width + GAP for image in images)
    rows = _wrapped(legend, width)
    top = GAP + LINE
    below = top + images[0].height + GAP
    sheet = Image.new("RGB", (width, below + LINE * len(rows) + GAP), "white")
    pen, left = ImageDraw.Draw(sheet), GAP
    for (title, _), image in zip(panels, images, strict=True):
        pen.text((left, GAP), title, INK, _font())
        sheet.paste(image, (left, top))
        left += image.width + GAP
    for place, row in enumerate(rows):
        for x, name, colour in row:
            y = below + place * LINE
            pen.rectangle((x, y + 3, x + 14, y + 17), colour, INK)
            pen.text((x + 20, y), name, INK, _font())
    return sheet


def _wrapped(
    legend: Sequence[tuple[str, Colour]], width: int
) -> list[list[tuple[int, str, Colour]]]:
    """Rows of the legend, as (x, name, colour). Classes beyond the palette are one entry."""
    items = [(name, colour) for name, colour in legend if colour != OTHERS]
    if others := len(legend) - len(items):
        items.append((f"other classes: {others}", OTHERS))
    rows: list[list[tuple[int, str, Colour]]] = []
    x = width
    for name, colour in items:
        step = 20 + round(_font().getlength(name)) + 24
        if x + step > width:
            rows.append([])
            x = GAP
        rows[-1].append((x, name, colour))
        x += step
    return rows


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(LETTERS)
