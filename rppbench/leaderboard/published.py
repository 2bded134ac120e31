"""Published numbers: what papers and repositories print, with the place and the conditions.

They come from one YAML file a source in `leaderboards/published/`; `leaderboards/README.md`
documents the format. `published_match` puts them beside measured numbers, and `published_check`
computes again what a source derives from its own numbers (averages, say).
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

PACKAGE = Path(__file__).parents[1]
FOLDERS = (PACKAGE / "published_numbers", PACKAGE.parent / "leaderboards" / "published")
"""Folders of the YAML files: in an installed package, and in a checkout."""
KINDS = ("original", "re-implemented")
"""Values of `Provenance.kind`."""
ITSELF = "itself"
"""Value of `Provenance.trained_on` where each data set is trained on itself."""
NO_VALUE = "-"
"""Placeholder in a YAML file for a value that the source does not print."""
NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class Provenance:
    """Conditions and origin of a published number, as written in its file; '' where unknown.

    A column overrides its row, a row its table, a table the file.
    """

    task: str = ""
    metric: str = ""
    """Percent, unless a unit follows a comma: 'memory, GB'."""
    backbone: str = ""
    kind: str = ""
    """'original': measured by the method's authors. 're-implemented': by others."""
    recipe: str = ""
    """How it was trained, in words."""
    trained_on: str = ""
    """Name of a data set, or 'itself'."""
    shots: str = ""
    seed: str = ""
    """Seed of a single run; '' for the result that the source claims."""
    via: str = ""
    """The secondary source through which the number was read."""
    note: str = ""


@dataclass(frozen=True)
class PublishedNumber:
    """One number as a paper or repository prints it."""

    value: Decimal
    """In the unit of its metric, with the digits that are printed."""
    source: str
    """Name of the YAML file, without its suffix."""
    origin: str
    """Paper or repository, and the version that was read."""
    place: str
    """Table, page or file within the origin."""
    column: str
    title: str
    """The method's name as printed."""
    method: str
    """The method's name in rppbench; '' if rppbench does not have it."""
    dataset: str
    """Name of the data set; '' for averages and for numbers without a data set."""
    over: tuple[str, ...]
    """Names of the data sets that an average is over; () for any other number."""
    recipes: tuple[str, ...]
    """Names of the recipes or protocols of rppbench that train in this way."""
    options: tuple[tuple[str, str], ...]
    """Options of rppbench's method that differ from its recipe's, sorted by name."""
    quotes: str
    """`source` of the number that this one quotes; '' if it is not known to quote any."""
    provenance: Provenance

    @property
    def identity(self) -> tuple[object, ...]:
        """What the number measures, equal for every source that prints it."""
        origin = self.provenance
        subject = (self.method or self.title, self.dataset, frozenset(self.over), self.options)
        return (*subject, origin.task, origin.metric, origin.backbone, origin.seed)


@dataclass(frozen=True)
class PublishedRow:
    """A row of a published table, with the columns that the source computes from others."""

    where: str
    """File, place and row."""
    numbers: Mapping[str, PublishedNumber]
    """The printed numbers, by the name of the column."""
    derived: tuple[tuple[str, str, tuple[str, ...]], ...]
    """(kind, column, the columns it is computed from); kind is one of `DERIVED_KINDS`."""
    sic: str
    """Why a number is kept although it does not add up; '' if there is nothing to explain."""


PROVENANCE_KEYS = tuple(field.name for field in fields(Provenance))
FILE_KEYS = ("origin", "tables", *PROVENANCE_KEYS)
TABLE_KEYS = ("place", "columns", "rows", *PROVENANCE_KEYS)
DERIVED_KINDS = ("mean", "harmonic_mean", "difference")
COLUMN_KEYS = ("name", "dataset", "over", *DERIVED_KINDS, *PROVENANCE_KEYS)
ROW_KEYS = ("title", "method", "values", "recipes", "options", "quotes", "sic", *PROVENANCE_KEYS)


@lru_cache
def shipped_rows() -> tuple[PublishedRow, ...]:
    """All rows of the files that come with rppbench.

    Raises UsageError if the folder is missing or a file is invalid.
    """
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    if folder is None:
        raise UsageError(f"the published numbers are missing: there is no folder {FOLDERS[0]}")
    return tuple(row for path in sorted(folder.glob("*.yaml")) for row in read_rows(path))


def shipped_numbers() -> list[PublishedNumber]:
    """All published numbers that come with rppbench. Raises UsageError as `shipped_rows`."""
    return [number for row in shipped_rows() for number in row.numbers.values()]


def read_rows(path: Path) -> list[PublishedRow]:
    """The rows of a YAML file. Raises UsageError that names the mistake and its place."""
    import yaml

    # The base loader yields texts only, so that digits stay as they are printed.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    file = mapping(content, path.name, FILE_KEYS, ("origin", "tables"))
    rows: list[PublishedRow] = []
    for table in _items(file["tables"], f"{path.name}: tables"):
        rows += _rows(file, table, path.stem)
    return rows


def _rows(file: Mapping[str, Any], content: Any, source: str) -> Iterator[PublishedRow]:
    table = mapping(content, f"{source}.yaml: a table", TABLE_KEYS, ("place", "columns", "rows"))
    where = f"{source}.yaml: {table['place']}"
    columns = [_column(column, where) for column in _items(table["columns"], f"{where}: columns")]
    names = [column["name"] for column in columns]
    if len(set(names)) < len(names):
        raise UsageError(f"{where}: two columns have the same name: {', '.join(names)}")
    derived = tuple(_derived(columns, where))
    for item in _items(table["rows"], f"{where}: rows"):
        row = mapping(item, f"{where}: a row", ROW_KEYS, ("title", "values"))
        here = f"{where}: {row['title']}"
        values = _items(row["values"], f"{here}: values")
        if len(values) != len(columns):
            raise UsageError(f"{here}: {len(values)} values for {len(columns)} columns")
        printed = {
            column["name"]: _number(value, source, file, table, row, column, here)
            for column, value in zip(columns, values, strict=True)
            if value != NO_VALUE
        }
        yield PublishedRow(here, printed, derived, row.get("sic", ""))


def _number(
    value: Any,
    source: str,
    file: Mapping[str, Any],
    table: Mapping[str, Any],
    row: Mapping[str, Any],
    column: Mapping[str, Any],
    where: str,
) -> PublishedNumber:
    here = f"{where}: {column['name']}"
    inherited = ChainMap(dict(column), dict(row), dict(table), dict(file))
    provenance = Provenance(
        **{
            name: _text(inherited[name], f"{here}: {name}")
            for name in PROVENANCE_KEYS
            if name in inherited
        }
    )
    for name in ("task", "metric", "backbone", "kind"):
        if not getattr(provenance, name):
            raise UsageError(
                f"{here}: {name!r} is missing; column, row, table or file must give it"
            )
    if provenance.kind not in KINDS:
        raise unknown(f"kind in {here} is named", provenance.kind, KINDS, "kinds")
    if not NUMBER.fullmatch(_text(value, here)):
        raise UsageError(
            f"{here}: {value!r} is not a number; write {NO_VALUE!r} if none is printed"
        )
    number = Decimal(value)
    if "," not in provenance.metric and not 0 <= number <= 100:
        raise UsageError(
            f"{here}: {value} is not a percentage, and no unit follows {provenance.metric!r}"
        )
    options = mapping(row.get("options", {}), f"{here}: options")
    return PublishedNumber(
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
        provenance=provenance,
    )


def _column(content: Any, where: str) -> dict[str, Any]:
    """A column with all its keys; a bare text is the name of a data set."""
    keys = {"dataset": content} if isinstance(content, str) else content
    column = mapping(keys, f"{where}: a column", COLUMN_KEYS)
    name = column.get("name") or column.get("dataset")
    if not name:
        raise UsageError(f"{where}: a column has neither a name nor a data set")
    here = f"{where}: column {name}"
    lists = {key: _texts(column.get(key, []), f"{here}: {key}") for key in ("over", *DERIVED_KINDS)}
    return {**column, **lists, "name": name, "dataset": column.get("dataset", "")}


def _derived(
    columns: Sequence[Mapping[str, Any]], where: str
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(kind, column, operands) of columns that are computed from columns of the same table."""
    names = [column["name"] for column in columns]
    for column in columns:
        for kind in DERIVED_KINDS:
            operands = column[kind]
            for name in operands:
                if name not in names:
                    raise unknown(f"column of {where} is named", name, names, "columns")
            if operands:
                yield kind, column["name"], operands
        parts = {c["dataset"]: c["name"] for c in columns if _is_part_of(c, column)}
        if column["over"] and all(dataset in parts for dataset in column["over"]):
            yield "mean", column["name"], tuple(parts[dataset] for dataset in column["over"])


def _is_part_of(column: Mapping[str, Any], average: Mapping[str, Any]) -> bool:
    """Whether a column is of one data set, with the metric of the average."""
    return bool(column["dataset"]) and column.get("metric") == average.get("metric")


# --- types of YAML values -----------------------------------------------------------------------


def mapping(
    content: Any, where: str, known: Sequence[str] = (), needed: Sequence[str] = ()
) -> dict[str, Any]:
    """The content as a mapping with all `needed` keys and none but the `known` ones (() for any).

    UsageError that says `where` it is not.
    """
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
