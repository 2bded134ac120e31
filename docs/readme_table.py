"""The table of README: the best row of each kind, from the committed cross-dataset page.

python docs/readme_table.py        # writes it between README's marks

A kind is what a method learns: nothing, tokens of the text tower, of the image tower or of both,
image tokens and a projection, weights of both towers, or a head on features. A kind's row is that
with the highest average; of equals, the first on the page. So there is nothing to choose. Cells are
copied from the page, without the bold print of the best in a column: in these columns rows need not
be separated.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from rppbench.plugins.options import options, parse_value
from rppbench.plugins.registry import Registry

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGE = ROOT / "leaderboards" / "cross-dataset.md"
TABLE = re.compile(r"(?<=<!-- leaderboard -->\n).*?(?=<!-- end -->)", re.DOTALL)
COLUMNS = ("Average of 10", "Rank", "Parameters", "Train time")
KINDS = {
    (): "a head on features",
    ("text",): "text tokens",
    ("image",): "image tokens",
    ("image", "text"): "tokens of both towers",
}
"""The towers that learned tokens enter, and what README calls it."""
MORE = {
    "clip-lora": "weights of both towers",
    "mma": "weights of both towers",
    "promptkd": "image tokens and a projection",
}
"""What methods learn besides tokens and heads: the registry knows the towers alone."""


def kind(row: dict[str, Any], registry: Registry) -> str:
    """What a row learns, from the method and its options."""
    method = registry.get("methods", row["method"])
    if method.learning is None:
        return "nothing"
    if row["method"] in MORE:
        return MORE[row["method"]]
    defaults = options(method)
    chosen = {name: parse_value(name, text, defaults[name]) for name, text in row["options"]}
    return KINDS[tuple(sorted(method.prompted_towers(defaults | chosen)))]


def page_rows() -> dict[str, dict[str, str]]:
    """The first table of the page: each row's cells by column, by the row's name."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index("| Method |") :].partition("\n\n")[0].splitlines()
    heads, _, *body = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines)
    return {cells[0]: dict(zip(heads, cells, strict=True)) for cells in body}


def table() -> str:
    """README's table as Markdown."""
    registry = Registry.load()
    printed = page_rows()
    first = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))["tables"][0]
    best: dict[str, str] = {}
    for row in first["rows"]:  # the best average first
        best.setdefault(kind(row, registry), row["label"])
    lines = [
        " | ".join(["Learned", "Method", *COLUMNS]),
        " | ".join(["---", "---", *["---:"] * len(COLUMNS)]),
    ]
    for name, label in best.items():
        cells = [printed[label][column].replace("**", "") for column in COLUMNS]
        lines.append(" | ".join([name, label, *cells]))
    return "".join(f"| {line} |\n" for line in lines)


def main() -> None:
    """Write the table into README."""
    text = README.read_text(encoding="utf-8")
    README.write_text(TABLE.sub(lambda _: table(), text), encoding="utf-8")


if __name__ == "__main__":
    main()
