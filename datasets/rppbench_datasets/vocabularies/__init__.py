"""Class lists of published data sets, one .tsv file each; its first lines name its source."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from rppbench.files.lines import split_lines


@cache
def table(name: str) -> list[list[str]]:
    """Rows (category id, class name, further columns) of a class list, by label."""
    text = files(__name__).joinpath(f"{name}.tsv").read_text("utf-8")
    return [line.split("\t") for line in split_lines(text) if not line.startswith("#")]
