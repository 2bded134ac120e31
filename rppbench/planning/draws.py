"""Trainings whose images are drawn otherwise than CoOp does: by a file, or with a long tail."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from rppbench.data.draw_files import check_shots, keep, read_draw
from rppbench.data.draws import LONG_TAIL, imbalance
from rppbench.errors import MissingDataError, UsageError
from rppbench.planning.input_digests import MISSING, InputDigests
from rppbench.records.cell import DRAW, Training

NAMED = re.compile(r"(?:([A-Za-z0-9_-]+)=)?(.+)")
UNNAMED = "file"
"""Name of a draw in a file that was given without one."""


def with_draw(training: Training, text: str, input_digests: InputDigests) -> Training:
    """The training with the draw that `--draw` names: 'long-tail:RATIO' or '[NAME=]FILE'.

    In FILE, '{dataset}', '{shots}' and '{seed}' stand for those of the training. UsageError for a
    ratio below 1, and for a file that is not a draw of this data set and number of shots.
    """
    if text.startswith(LONG_TAIL):
        return replace(training, draw=f"{LONG_TAIL}{imbalance(text):g}")
    match = NAMED.fullmatch(text)
    if match is None:
        raise UsageError("--draw takes [NAME=]FILE or long-tail:RATIO")
    name, place = match[1] or UNNAMED, match[2]
    for word in ("dataset", "shots", "seed"):
        value = training.source if word == "dataset" else getattr(training, word)
        place = place.replace(f"{{{word}}}", str(value))
    digest = _digest(Path(place).expanduser(), training, input_digests)
    return replace(
        training, draw=name, inputs=(*training.inputs, (f"{DRAW}{training.source}", digest))
    )


def _digest(path: Path, training: Training, input_digests: InputDigests) -> str:
    """The digest of the draw in a file, which is kept for the run; read once for a plan."""
    key = f"draw of {training.shots} shots of {training.source} in {path}"
    if key not in input_digests.known:
        try:
            dataset = input_digests.dataset(training.source)
        except MissingDataError:  # the cell will record why
            return MISSING
        draw = read_draw(path, dataset)
        check_shots(draw, dataset, path, training.shots)
        input_digests.known[key] = keep(draw)
    return input_digests.known[key]
