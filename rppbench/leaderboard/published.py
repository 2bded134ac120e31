"""Numbers that papers and repositories print, with where they stand and who made them.

One YAML file a source, in `leaderboards/published/`; its form is in `leaderboards/README.md`.
What a source averages itself is worked out again: see `rppbench.leaderboard.published_check`.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from rppbench.errors import UsageError, unknown

HERE = Path(__file__).parents[1]
FOLDERS = (HERE / "published_numbers", HERE.parent / "leaderboards" / "published")
"""In an installed package, and in a checkout."""
KINDS = ("original", "re-implemented")
ITSELF = "itself"
"""`trained_on` where each data set is learned on itself."""
NONE = "-"
NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class Provenance:
    """What holds for a number, in the words of its file; '' where that says nothing.

    A column wins over its row, a row over its table, a table over the file.
    """

    task: str = ""
    metric: str = ""
    """Percent, unless a unit follows a comma: 'memory, GB'."""
    backbone: str = ""
    kind: str = ""
    """'original': by the authors of the method. 're-implemented': by somebody else."""
    recipe: str = ""
    """How it was learned, in words."""
    trained_on: str = ""
    """A data set, or 'itself'."""
    shots: str = ""
    seed: str = ""
    """Of a single run; '' for what the source gives as its result."""
    via: str = ""
    """The secondary source through which the number was read."""
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """One printed number."""

    value: Decimal
    """With the digits that are printed."""
    source: str
    """Name of the file, without its ending."""
    origin: str
    """Paper or repository, and the version that was read."""
    place: str
    """Table, page or file in it."""
    column: str
    title: str
    """Of the method, as printed."""
    method: str
    """The harness's name of it; '' for what it does not have."""
    dataset: str
    """'' for an average and for what is of no data set."""
    over: tuple[str, ...]
    """Data sets of an average."""
    recipes: tuple[str, ...]
    """Recipes of the harness that learn in this way."""
    options: tuple[tuple[str, str], ...]
    """Those of the harness's method that differ from its recipe's."""
    quotes: str
    """The source that printed the same number first; '' if none is known."""
    facts: Provenance

    @property
    def identity(self) -> tuple[object, ...]:
        """What the number is of, whoever prints it."""
        facts = self.facts
        what = (self.method or self.title, self.dataset, frozenset(self.over), self.options)
        return (*what, facts.task, facts.metric, facts.backbone, facts.seed)


@dataclass(frozen=True)
class Line:
    """A row of a printed table, and what its columns are made of."""

    where: str
    """File, place and row."""
    figures: Mapping[str, Figure]
    """By the name of the column; those that are printed."""
    sums: tuple[tuple[str, str, tuple[str, ...]], ...]
    """(kind, column, the columns it is computed from); kinds are those of
    `rppbench.leaderboard.published_check`."""
    sic: str
    """Why it stands here although it does not add up."""


PROVENANCE = tuple(field.name for field in fields(Provenance))
FILE = ("origin", "tables", *PROVENANCE)
TABLE = ("place", "columns", "rows", *PROVENANCE)
SUMS = ("mean", "harmonic_mean", "difference")
COLUMN = ("name", "dataset", "over", *SUMS, *PROVENANCE)
ROW = ("title", "method", "values", "recipes", "options", "quotes", "sic", *PROVENANCE)


@lru_cache
def shipped() -> tuple[Line, ...]:
    """All lines of the files that come with rppbench. UsageError for one that cannot be read."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    if folder is None:
        raise UsageError(f"the published numbers are missing: there is no folder {FOLDERS[0]}")
    return tuple(line for path in sorted(folder.glob("*.yaml")) for line in read(path))


def figures() -> list[Figure]:
    """All published numbers that come with rppbench."""
    return [figure for line in shipped() for figure in line.figures.values()]


def read(path: Path) -> list[Line]:
    """The lines of a file. UsageError says what in it is wrong, and where."""
    import yaml

    # Nothing is made of what is read but texts: digits stay as they are printed.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    file = _mapping(content, path.name, FILE, ("origin", "tables"))
    found: list[Line] = []
    for table in _items(file["tables"], f"{path.name}: tables"):
        found += _table(file, table, path.stem)
    return found


def _table(file: Mapping[str, Any], content: Any, source: str) -> Iterator[Line]:
    table = _mapping(content, f"{source}.yaml: a table", TABLE, ("place", "columns", "rows"))
    where = f"{source}.yaml: {table['place']}"
    columns = [_column(column, where) for column in _items(table["columns"], f"{where}: columns")]
    names = [column["name"] for column in columns]
    if len(set(names)) < len(names):
        raise UsageError(f"{where}: two columns have one name: {', '.join(names)}")
    sums = tuple(_sums(columns, where))
    for item in _items(table["rows"], f"{where}: rows"):
        row = _mapping(item, f"{where}: a row", ROW, ("title", "values"))
        here = f"{where}: {row['title']}"
        values = _items(row["values"], f"{here}: values")
        if len(values) != len(columns):
            raise UsageError(f"{here}: {len(values)} values for {len(columns)} columns")
        printed = {
            column["name"]: _figure(value, source, file, table, row, column, here)
            for column, value in zip(columns, values, strict=True)
            if value != NONE
        }
        yield Line(here, printed, sums, row.get("sic", ""))


def _figure(
    value: Any,
    source: str,
    file: Mapping[str, Any],
    table: Mapping[str, Any],
    row: Mapping[str, Any],
    column: Mapping[str, Any],
    where: str,
) -> Figure:
    here = f"{where}: {column['name']}"
    said = ChainMap(dict(column), dict(row), dict(table), dict(file))
    facts = Provenance(
        **{name: _text(said[name], f"{here}: {name}") for name in PROVENANCE if name in said}
    )
    for name in ("task", "metric", "backbone", "kind"):
        if not getattr(facts, name):
            raise UsageError(f"{here}: nothing says its {name!r}")
    if facts.kind not in KINDS:
        raise unknown(f"kind in {here} is named", facts.kind, KINDS, "kinds")
    if not NUMBER.fullmatch(_text(value, here)):
        raise UsageError(f"{here}: {value!r} is no number; {NONE!r} stands for none")
    number = Decimal(value)
    if "," not in facts.metric and not 0 <= number <= 100:
        raise UsageError(f"{here}: {value} is no percentage, and no unit follows {facts.metric!r}")
    options = _mapping(row.get("options", {}), f"{here}: options")
    return Figure(
        value=number,
        source=source,
        origin=_text(file["origin"], f"{source}.yaml: origin"),
        place=_text(table["place"], f"{where}: place"),
        column=column["name"],
        title=_text(row["title"], f"{here}: title"),
        method=_text(row.get("method", ""), f"{here}: method"),
        dataset=column["dataset"],
        over=column["over"],
        recipes=_texts(row.get("recipes", []), f"{here}: recipes"),
        options=tuple(sorted(options.items())),
        quotes=_text(row.get("quotes", ""), f"{here}: quotes"),
        facts=facts,
    )


def _column(content: Any, where: str) -> dict[str, Any]:
    """A column with all its keys; a mere text is a data set."""
    said = {"dataset": content} if isinstance(content, str) else content
    column = _mapping(said, f"{where}: a column", COLUMN)
    named = column.get("name") or column.get("dataset")
    if not named:
        raise UsageError(f"{where}: a column has neither a name nor a data set")
    here = f"{where}: column {named}"
    lists = {name: _texts(column.get(name, []), f"{here}: {name}") for name in ("over", *SUMS)}
    return {**column, **lists, "name": named, "dataset": column.get("dataset", "")}


def _sums(
    columns: Sequence[Mapping[str, Any]], where: str
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What each column is worked out from, where all of that stands in the same table."""
    names = [column["name"] for column in columns]
    for column in columns:
        for kind in SUMS:
            of = column[kind]
            for name in of:
                if name not in names:
                    raise unknown(f"column of {where} is named", name, names, "columns")
            if of:
                yield kind, column["name"], of
        alike = {c["dataset"]: c["name"] for c in columns if _like(c, column)}
        if column["over"] and all(dataset in alike for dataset in column["over"]):
            yield "mean", column["name"], tuple(alike[dataset] for dataset in column["over"])


def _like(one: Mapping[str, Any], average: Mapping[str, Any]) -> bool:
    """Whether a column has a data set, and the metric that is averaged."""
    return bool(one["dataset"]) and one.get("metric") == average.get("metric")


# --- what must be what --------------------------------------------------------------------------


def _mapping(
    content: Any, where: str, known: Sequence[str] = (), needed: Sequence[str] = ()
) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UsageError(f"{where} must hold KEY: VALUE pairs, not {content!r:.60}")
    for name in content:
        if known and name not in known:
            raise unknown(f"key of {where} is named", str(name), known, "keys")
    missing = [name for name in needed if not content.get(name)]
    if missing:
        raise UsageError(f"{where} lacks {', '.join(map(repr, missing))}")
    return content


def _items(content: Any, where: str) -> list[Any]:
    if not isinstance(content, list) or not content:
        raise UsageError(f"{where} must be a list, not {content!r:.60}")
    return content


def _text(content: Any, where: str) -> str:
    if not isinstance(content, str):
        raise UsageError(f"{where} must be a text, not {content!r:.60}")
    return content


def _texts(content: Any, where: str) -> tuple[str, ...]:
    if not isinstance(content, list):
        raise UsageError(f"{where} must be a list, not {content!r:.60}")
    return tuple(_text(item, where) for item in content)
