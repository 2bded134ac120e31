"""Lists of classes that come with the package, one file each; its head says where it is from."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
@cache
def table(name: str) -> list[list[str]]:
    """Rows of a list: number, name, and what else is known."""
    text = files(__name__).joinpath(f"{name}.tsv").read_text("utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
