"""Published numbers: the files that come with rppbench, what is refused, what does not add up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from rppbench.cli import main
from rppbench.errors import UsageError
from rppbench.leaderboard.published import figures, read, shipped
from rppbench.leaderboard.published_check import check, unit
from rppbench.plugins.registry import Registry

WHOLE = """
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
    def made(text: str) -> Path:
        path = tmp_path / "paper.yaml"
        path.write_text(text)
        return path

    return made


def table(columns: str, values: str, more: str = "") -> str:
    head = "{origin: P, task: t, metric: m, backbone: b, kind: original, tables: [{place: T, "
    return f"{head}columns: [{columns}], rows: [{{title: R, values: [{values}]{more}}}]}}]}}"


def test_a_number_keeps_its_digits_and_all_that_is_said_of_it(write: Write) -> None:
    (line,) = read(write(WHOLE))
    (figure,) = line.figures.values()
    assert str(figure.value) == "50.10"
    assert (figure.source, figure.origin, figure.place) == ("paper", "A paper", "Table 1")
    assert (figure.title, figure.dataset, figure.over) == ("Mine", "flowers", ())
    facts = figure.facts
    assert (facts.task, facts.metric, facts.kind) == ("few-shot", "top1", "original")


def test_a_column_wins_over_its_row_and_a_row_over_its_table(write: Write) -> None:
    text = WHOLE.replace('"-"', "7").replace("title: Mine", "title: Mine, kind: re-implemented")
    first, second = read(write(text))[0].figures.values()
    assert first.facts.kind == second.facts.kind == "re-implemented"
    assert (first.facts.metric, second.facts.metric) == ("top1", "base")


REFUSED = {
    "not YAML": ("{", "cannot read"),
    "no mapping": ("[1]", "must hold KEY: VALUE pairs"),
    "no tables": ("origin: x", "lacks 'tables'"),
    "a wrong key": (WHOLE + "    shot: 4\n", "did you mean 'shots'"),
    "a value too few": (WHOLE.replace(', "-"', ""), "Table 1: Mine: 1 values for 2 columns"),
    "no number": (WHOLE.replace("50.10", "5O.10"), "Mine: flowers: '5O.10' is no number"),
    "NaN": (WHOLE.replace("50.10", "nan"), "is no number"),
    "no percentage": (WHOLE.replace("50.10", "501.0"), "501.0 is no percentage"),
    "no kind": (WHOLE.replace("    kind: original\n", ""), "nothing says its 'kind'"),
    "another kind": (WHOLE.replace("original", "orginal"), "did you mean 'original'"),
    "a column twice": (WHOLE.replace("name: pets", "name: flowers"), "two columns have one name"),
    "a sum of nothing": (table("{name: x, mean: [y]}", "1"), "no column of paper.yaml: T is named"),
    "an object": (WHOLE.replace("A paper", "!!python/name:os.system"), "lacks 'origin'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_in_a_file_is_said_with_its_place(write: Write, what: str) -> None:
    text, told = REFUSED[what]
    with pytest.raises(UsageError, match=re.escape(told)):
        read(write(text))


@pytest.mark.parametrize(
    ("columns", "values", "told", "rounded"),
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
def test_sums_are_worked_out_again(
    write: Write, columns: str, values: str, told: str | None, rounded: bool
) -> None:
    found = check(read(write(table(columns, values))))
    if told is None:
        assert found == []
    else:
        (finding,) = found
        assert told in str(finding)
        assert finding.where == "paper.yaml: T: R: c"
        assert finding.rounded == rounded


def test_a_quotation_must_be_what_it_quotes(tmp_path: Path) -> None:
    lines = []
    for name, values, more in (
        ("first", "50.04, 60.0", ""),
        ("good", "50.0, 60.0", ", quotes: first"),
        ("bad", "50.1, 60.0", ", quotes: first"),
    ):
        path = tmp_path / f"{name}.yaml"
        path.write_text(table("a, b", values, more))
        lines += read(path)
    assert [str(finding) for finding in check(lines)] == [
        "bad.yaml: T: R: a: 50.1 is no quotation of first's 50.04; no rounding explains it"
    ]


# --- what comes with rppbench -------------------------------------------------------------------


def test_all_that_does_not_add_up_in_the_shipped_files_is_known() -> None:
    """Whoever enters a number wrongly meets this test; what sources print wrongly says `sic`."""
    found = check(shipped())
    unexplained = {(f.where, f.told.split()[0]) for f in found if not f.rounded}
    assert unexplained == {
        ("promptsrc.yaml: README.md: ProDA: HM", "76.65"),
        ("pomp.yaml: introduction: POMP: gain", "2.9"),
        ("pomp-dense.yaml: Table 4: SPNet: VOC hIoU", "21.8"),
        ("pomp-dense.yaml: Table 4: CaGNet: VOC hIoU", "39.7"),
        ("pomp-dense.yaml: Table 4: ZSSeg: VOC hIoU", "77.5"),
        ("rmadapter.yaml: table for shifts not known: MaPLe: mean of 4", "60.26"),
    }
    assert all(finding.sic for finding in found if not finding.rounded)
    wrong = {finding.where.rpartition(": ")[0] for finding in found}
    assert {line.where for line in shipped() if line.sic} <= wrong, "sic where all is well"
    (clip,) = (f for f in found if "CLIP" in f.where)
    assert clip.rounded
    assert clip.told.endswith(
        "57.17 is printed, but the mean of 60.83, 46.15, 47.77, 73.96 is 57.18"
    )


def test_every_average_that_can_be_checked_is_checked() -> None:
    kinds = Counter(kind for line in shipped() for kind, _, _ in line.sums)
    assert kinds["mean"] >= 25
    assert kinds["harmonic_mean"] >= 30
    assert kinds["difference"] == 4


def test_every_quotation_finds_what_it_quotes() -> None:
    known = {(figure.source, figure.identity) for figure in figures()}
    for line in shipped():
        quoting = [figure for figure in line.figures.values() if figure.quotes]
        if quoting:
            assert any((f.quotes, f.identity) in known for f in quoting), line.where


def test_names_of_the_harness_in_the_shipped_files_exist() -> None:
    registry = Registry.load()
    for figure in figures():
        if not figure.method:
            assert not figure.recipes
            continue
        method = registry.get("methods", figure.method)
        recipes = method.learning.recipes if method.learning else ()
        known = {name for recipe in recipes for name in (recipe.name, recipe.protocol)}
        assert set(figure.recipes) <= known, figure
        registry.choose(
            "methods", f"{figure.method}:" + ",".join(f"{k}={v}" for k, v in figure.options if v)
        )
        if figure.facts.task in registry.all("tasks"):
            for dataset in (*figure.over, *filter(None, [figure.dataset])):
                registry.get("datasets", dataset)


def test_no_number_of_rpp_is_shown_and_none_is_printed_twice_in_one_source() -> None:
    assert not [f for f in figures() if f.method == "rpp" or "RPP" in f.title]
    places = Counter((f.source, f.place, f.title, f.facts.recipe, f.column) for f in figures())
    assert max(places.values()) == 1


@pytest.mark.parametrize(
    ("source", "place", "title", "column", "value"),
    [
        ("coop", "COOP.md", "CoOp", "mean", "92.00"),
        ("cocoop", "per data set, new classes", "CoOp", "dtd", "41.18"),
        ("rmadapter", "table for transfer not known", "PromptSRC", "eurosat", "45.50"),
        ("kgcoop", "readme.md", "CoCoOp", "time", "160"),
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
    found = [
        str(figure.value)
        for figure in figures()
        if (figure.source, figure.place, figure.title, figure.column)
        == (source, place, title, column)
    ]
    assert value in found


def test_the_last_printed_digit_counts() -> None:
    assert [unit(Decimal(text)) for text in ("57.20", "57.2", "57")] == [
        Decimal("0.01"),
        Decimal("0.1"),
        Decimal(1),
    ]


def test_the_command_shows_filters_and_checks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["published", "--task", "cross-dataset", "--method", "promptsrc"]) == 0
    shown, _ = capsys.readouterr()
    lines = [line for line in shown.splitlines() if line.startswith("PromptSRC")]
    assert len(lines) == 11
    assert "read in Table 2 of RMAdapter" in lines[0]
    assert main(["published", "--check"]) == 0
    shown, _ = capsys.readouterr()
    assert "the harmonic mean of 81.56, 75.83 is 78.59; no rounding explains it" in shown
    assert main(["published", "--method", "comap"]) == 2
    assert "no published number is of a method named 'comap'" in capsys.readouterr().err
