"""LaTeX tables: contents, escaping, and balanced environments."""

import re
from dataclasses import replace

import pytest
from support.records import record

from rppbench.leaderboard.build import build
from rppbench.records.record import Failure
from rppbench.reporting import latex


def rows(page: str) -> list[list[str]]:
    """Heads and rows; an escaped ampersand does not separate cells."""
    lines = [line.strip() for line in page.splitlines() if line.endswith(r"\\")]
    return [re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in lines]


def test_the_table_has_the_contents_of_the_markdown_without_the_costs():
    records = [
        *(record("coop", "flowers", seed, 60.0 + 2 * seed) for seed in (0, 1, 2)),
        *(record("rpp", "flowers", seed, 50.0) for seed in (0, 1)),
        record("rpp", "flowers", 2, failure=Failure("nan", "step 4")),
        *(record("coop", "pets", seed, 40.0) for seed in (0, 1, 2)),
    ]
    page = latex.page(build(records))
    assert rows(page) == [
        ["Method", "Flowers", "Pets", "Average of 2", "Seeds"],
        ["CoOp", r"\textbf{62.0} $\pm$ 5.0", r"\textbf{40.0} $\pm$ 0.0", page_average(), "3"],
        ["RPP-SAPL", r"50.0 $\pm$ 0.0 (2/3)", "--", "-- (0/2)", "3"],
    ]
    assert page.startswith("% Needs \\usepackage{booktabs,adjustbox}.")
    assert r"\begin{tabular}{lrrrr}" in page
    assert r"\caption{Cross-dataset transfer. Measured: top1 in percent; backbone demo" in page
    assert r"the 95 \% t-interval" in page
    assert "(n/m): n of m seeds" in page


def page_average() -> str:
    return r"\textbf{51.0} $\pm$ 2.5"  # 50, 51, 52: t(2) = 4.303 times 1 / sqrt(3)


def test_names_are_escaped():
    odd = record(dataset="a_b")
    odd = replace(odd, labels={**odd.labels, "method": "R&D_50% {x} ~\\^ #1 · <$>", "dataset": ""})
    ((*_,), (name, *_)) = rows(latex.page(build([odd])))
    assert name == (
        r"R\&D\_50\% \{x\} \textasciitilde{}\textbackslash{}\textasciicircum{} \#1 "
        r"$\cdot$ \textless{}\$\textgreater{}"
    )


@pytest.mark.parametrize("sets", [1, 2, 6])
def test_environments_are_closed_and_rows_have_the_declared_number_of_columns(sets):
    records = [
        record(method, f"set_{index}", value=50.0 + len(method) * index, backbone=backbone)
        for method in ("coop", "rpp", "pomp")
        for index in range(sets)
        for backbone in ("demo", "other")
    ]
    page = latex.page(build(records))
    assert ("Rank" in page) == (sets == 6)
    declared = re.findall(r"\\begin\{tabular\}\{(\w+)\}", page)
    assert len(declared) == 2
    assert {len(row) for row in rows(page)} == {len(declared[0])}
    opened = []
    for verb, name in re.findall(r"\\(begin|end)\{(\w+)\}", page):
        if verb == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    plain = re.sub(r"\\[{}]", "", page)
    assert plain.count("{") == plain.count("}")
    assert "(backbone: demo)" in page
