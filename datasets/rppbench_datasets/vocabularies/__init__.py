"""Class lists of published data sets, one .tsv file each; its first lines name its source."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def table(name: str) -> list[list[str]]:
    """Rows (category id, class name, further columns) of a class list, by label."""
    text = files(__name__).joinpath(f"{name}.tsv").read_text("utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
