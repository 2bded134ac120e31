"""Published numbers: the files of rppbench, invalid files, and numbers that do not add up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from rppbench.cli import main
from rppbench.errors import UsageError
from rppbench.leaderboard.published import read_rows, shipped_numbers, shipped_rows
from rppbench.leaderboard.published_check import check, last_digit
from rppbench.plugins.registry import Registry

VALID = """
origin: A paper
task: few-shot
metric: top1
backbone: ViT-B-16/openai
tables:
  - place: Table 1
    kind: original
    columns:
      - flowers
      - {name: pets, dataset: pets, metric: base}
    rows:
      - {title: Mine, values: [50.10, "-"]}
"""
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str) -> Path:
        path = tmp_path / "paper.yaml"
        path.write_text(text)
        return path

    return write_file


def table(columns: str, values: str, more: str = "") -> str:
    """A file with one table of one row; `more` are further keys of the row."""
    head = "{origin: P, task: t, metric: m, backbone: b, kind: original, tables: [{place: T, "
    return f"{head}columns: [{columns}], rows: [{{title: R, values: [{values}]{more}}}]}}]}}"


def test_a_number_keeps_its_digits_and_provenance(write: Write) -> None:
    (row,) = read_rows(write(VALID))
    (number,) = row.numbers.values()
    assert str(number.value) == "50.10"
    assert (number.source, number.origin, number.place) == ("paper", "A paper", "Table 1")
    assert (number.title, number.dataset, number.over) == ("Mine", "flowers", ())
    provenance = number.provenance
    assert (provenance.task, provenance.metric, provenance.kind) == ("few-shot", "top1", "original")


def test_a_column_overrides_its_row_and_a_row_its_table(write: Write) -> None:
    text = VALID.replace('"-"', "7").replace("title: Mine", "title: Mine, kind: re-implemented")
    first, second = read_rows(write(text))[0].numbers.values()
    assert first.provenance.kind == second.provenance.kind == "re-implemented"
    assert (first.provenance.metric, second.provenance.metric) == ("top1", "base")


INVALID = {
    "not YAML": ("{", "cannot read"),
    "no mapping": ("[1]", "must hold KEY: VALUE pairs"),
    "no tables": ("origin: x", "lacks 'tables'"),
    "a wrong key": (VALID + "    shot: 4\n", "did you mean 'shots'"),
    "a value too few": (VALID.replace(', "-"', ""), "Table 1: Mine: 1 values for 2 columns"),
    "not a number": (VALID.replace("50.10", "5O.10"), "Mine: flowers: '5O.10' is not a number"),
    "NaN": (VALID.replace("50.10", "nan"), "is not a number"),
    "not a percentage": (VALID.replace("50.10", "501.0"), "501.0 is not a percentage"),
    "no kind": (VALID.replace("    kind: original\n", ""), "flowers: 'kind' is missing"),
    "another kind": (VALID.replace("original", "orginal"), "did you mean 'original'"),
    "a column twice": (
        VALID.replace("name: pets", "name: flowers"),
        "columns have the same name",
    ),
    "a sum of nothing": (table("{name: x, mean: [y]}", "1"), "no column of paper.yaml: T is named"),
    "an object": (VALID.replace("A paper", "!!python/name:os.system"), "lacks 'origin'"),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_mistake_in_a_file_is_reported_with_its_place(write: Write, case: str) -> None:
    text, message = INVALID[case]
    with pytest.raises(UsageError, match=re.escape(message)):
        read_rows(write(text))


@pytest.mark.parametrize(
    ("columns", "values", "message", "rounded"),
    [
        ("a, b, {name: c, over: [a, b]}", "50.0, 60.0, 55.0", None, False),
        ("a, b, {name: c, over: [a, b]}", "50.0, 60.1, 55.0", None, False),  # 55.05: both are right
        ("a, b, {name: c, over: [a, b]}", "50.0, 60.0, 55.1", "mean of 50.0, 60.0 is 55.0", True),
        ("a, b, {name: c, over: [a, b]}", "50.0, 60.0, 55.2", "55.2 is printed", False),
        ("a, b, {name: c, over: [a, d]}", "50.0, 60.0, 99.9", None, False),  # d is not printed here
        ("a, b, {name: c, harmonic_mean: [a, b]}", "40.0, 60.0, 48.0", None, False),
        ("a, b, {name: c, harmonic_mean: [a, b]}", "40.0, 60.0, 50.0", "harmonic mean of", False),
        ("a, b, {name: c, harmonic_mean: [a, b]}", "0, 60.0, 0", None, False),
        ("a, b, {name: c, difference: [a, b]}", "60.0, 40.0, 20.0", None, False),
        ("a, b, {name: c, difference: [a, b]}", "60.0, 40.0, 20.1", "difference of", True),
        ("a, b, {name: c, difference: [a, b]}", "60.0, 40.0, 20.2", "difference of", False),
        ("a, b, {name: c, mean: [a, b]}", '50.0, "-", 50.0', None, False),  # one is left out
    ],
)
def test_derived_numbers_are_computed_again(
    write: Write, columns: str, values: str, message: str | None, rounded: bool
) -> None:
    discrepancies = check(read_rows(write(table(columns, values))))
    if message is None:
        assert discrepancies == []
    else:
        (discrepancy,) = discrepancies
        assert message in str(discrepancy)
        assert discrepancy.where == "paper.yaml: T: R: c"
        assert discrepancy.rounded == rounded


def test_a_quotation_must_equal_the_number_it_quotes(tmp_path: Path) -> None:
    rows = []
    for name, values, more in (
        ("first", "50.04, 60.0", ""),
        ("good", "50.0, 60.0", ", quotes: first"),
        ("bad", "50.1, 60.0", ", quotes: first"),
    ):
        path = tmp_path / f"{name}.yaml"
        path.write_text(table("a, b", values, more))
        rows += read_rows(path)
    assert [str(discrepancy) for discrepancy in check(rows)] == [
        "bad.yaml: T: R: a: 50.1 is not a quotation of first's 50.04; no rounding explains it"
    ]


# --- what comes with rppbench -------------------------------------------------------------------


def test_all_discrepancies_in_the_shipped_files_are_known() -> None:
    """A mistake of entry fails this test; a mistake of the source is marked `sic` in its file."""
    discrepancies = check(shipped_rows())
    unexplained = {(d.where, d.message.split()[0]) for d in discrepancies if not d.rounded}
    assert unexplained == {
        ("promptsrc.yaml: README.md: ProDA: HM", "76.65"),
        ("pomp.yaml: introduction: POMP: gain", "2.9"),
        ("pomp-dense.yaml: Table 4: SPNet: VOC hIoU", "21.8"),
        ("pomp-dense.yaml: Table 4: CaGNet: VOC hIoU", "39.7"),
        ("pomp-dense.yaml: Table 4: ZSSeg: VOC hIoU", "77.5"),
        ("rmadapter.yaml: table for shifts not known: MaPLe: mean of 4", "60.26"),
    }
    assert all(d.sic for d in discrepancies if not d.rounded)
    wrong = {d.where.rpartition(": ")[0] for d in discrepancies}
    assert {row.where for row in shipped_rows() if row.sic} <= wrong, "sic in a row that adds up"
    (clip,) = (d for d in discrepancies if "CLIP" in d.where)
    assert clip.rounded
    assert clip.message.endswith(
        "57.17 is printed, but the mean of 60.83, 46.15, 47.77, 73.96 is 57.18"
    )


def test_every_average_that_can_be_checked_is_checked() -> None:
    kinds = Counter(kind for row in shipped_rows() for kind, _, _ in row.derived)
    assert kinds["mean"] >= 25
    assert kinds["harmonic_mean"] >= 30
    assert kinds["difference"] == 4


def test_every_quotation_has_the_number_it_quotes() -> None:
    known = {(number.source, number.identity) for number in shipped_numbers()}
    for row in shipped_rows():
        quoting = [number for number in row.numbers.values() if number.quotes]
        if quoting:
            assert any((f.quotes, f.identity) in known for f in quoting), row.where


def test_methods_recipes_and_data_sets_named_in_the_shipped_files_exist() -> None:
    registry = Registry.load()
    for number in shipped_numbers():
        if not number.method:
            assert not number.recipes
            continue
        method = registry.get("methods", number.method)
        recipes = method.learning.recipes if method.learning else ()
        known = {name for recipe in recipes for name in (recipe.name, recipe.protocol)}
        assert set(number.recipes) <= known, number
        registry.choose(
            "methods", f"{number.method}:" + ",".join(f"{k}={v}" for k, v in number.options if v)
        )
        if number.provenance.task in registry.all("tasks"):
            for dataset in (*number.over, *filter(None, [number.dataset])):
                registry.get("datasets", dataset)


def test_no_number_is_of_rpp_and_none_is_entered_twice() -> None:
    assert not [f for f in shipped_numbers() if f.method == "rpp" or "RPP" in f.title]
    places = Counter(
        (f.source, f.place, f.title, f.provenance.recipe, f.column) for f in shipped_numbers()
    )
    assert max(places.values()) == 1


@pytest.mark.parametrize(
    ("source", "place", "title", "column", "value"),
    [
        ("coop", "COOP.md", "CoOp", "mean", "92.00"),
        ("cocoop", "per data set, new classes", "CoOp", "dtd", "41.18"),
        ("rmadapter", "table for transfer not known", "PromptSRC", "eurosat", "45.50"),
        ("kgcoop", "readme.md", "CoCoOp", "training time", "160"),
        ("kgcoop", "readme.md", "KgCoOp", "new", "73.6"),
        ("kgcoop", "readme.md", "KgCoOp", "H", "77.0"),
        ("tip-adapter", "16 shots", "Tip-F", "eurosat", "84.54"),
        ("tip-adapter", "1 shot", "CLIP-A", "stanford_cars", "55.13"),
        ("pomp-models", "prompts", "POMP", "mean of 4", "60.4"),
        ("pomp", "Table 1", "Linear probe", "RN50", "6.5"),
        ("pomp", "Table 2", "POMP", "eurosat", "52.1"),
        ("pomp", "Figure 3", "CoOp", "imagenet21k", "316.4"),
        ("pomp-dense", "Table 6", "POMP", "Objects365 APl", "24.7"),
        ("pomp-dense", "Table 13", "POMP's prompt", "PC-59 pACC", "76.4"),
        ("detic", "open-vocabulary COCO", "BoxSup", "novel", "1.3"),
    ],
)
def test_samples_of_the_shipped_numbers(
    source: str, place: str, title: str, column: str, value: str
) -> None:
    values = [
        str(number.value)
        for number in shipped_numbers()
        if (number.source, number.place, number.title, number.column)
        == (source, place, title, column)
    ]
    assert value in values


def test_the_place_value_of_the_last_printed_digit() -> None:
    assert [last_digit(Decimal(text)) for text in ("57.20", "57.2", "57")] == [
        Decimal("0.01"),
        Decimal("0.1"),
        Decimal(1),
    ]


def test_the_command_prints_filters_and_checks_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["published", "--task", "cross-dataset", "--method", "promptsrc"]) == 0
    shown, _ = capsys.readouterr()
    lines = [line for line in shown.splitlines() if line.startswith("| PromptSRC")]
    assert len(lines) == 11
    assert "read in Table 2 of RMAdapter" in lines[0]
    assert main(["published", "--check"]) == 0
    shown, _ = capsys.readouterr()
    assert "the harmonic mean of 81.56, 75.83 is 78.59; no rounding explains it" in shown
    assert main(["published", "--method", "comap"]) == 2
    assert "no published number is of a method named 'comap'" in capsys.readouterr().err
