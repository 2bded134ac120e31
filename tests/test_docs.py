"""What pages tell a reader to do works: Python runs, commands are valid, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from types import ModuleType

import made_pages
import numpy as np
import pytest
import readme_table
from PIL import Image

from rppbench import cli

ROOT = Path(__file__).parents[1]
PAGES = (
    *("README.md", "methods/README.md", "datasets/README.md", "tasks/README.md"),
    *("leaderboards/README.md", "benchmarks/README.md", "CONTRIBUTING.md"),
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("docs/*.md"))),
)
"""Pages whose code runs: a new page of `docs/` is one of them."""
LINKED = (
    *PAGES,
    *("CHANGELOG.md", "SECURITY.md", "datasets/world/README.md", "leaderboards/embedded/README.md"),
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("docs/*/*.md"))),
)
"""Pages whose links are followed."""
NEEDED = {
    "export": "no records in",
    "reliability": "no records in",
    "gallery": "no records in",
    "predict": "holds no prompt",
    "import": "cannot read",
    "score": "nothing is at",
}
"""What commands answer whose files only the reader has; an invalid flag would be refused first."""
MADE_BEFORE = {"chosen.yaml": "no config file", "draws/{dataset}": "cannot be read"}
"""What is answered where a file is missing that an earlier command of the page writes."""
PARSED = (
    *("leaderboard", "report", "records", "publish", "merge", "compare", "power", "reproduce"),
    ["data", "prepare"],
)
"""Commands that are only parsed: they need records, write pages or fetch; other tests run them."""
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")
FILE = re.compile(
    r"(?<![\w/.-])((?:rppbench|methods|datasets|tasks|tests|benchmarks|leaderboards|docs)"
    r"/[\w./-]+\.(?:py|md|sh|toml))\b"
)
"""A file of the project, named from its root."""
MODULE = re.compile(r"`(rppbench(?:\.\w+)+)`")
"""A module of the harness, or what a module holds."""


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[str]:
    """Lines of shell blocks that call rppbench, without what installs it."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    calls = [part.strip() for line in lines for part in line.split("&&")]
    calls = [re.split(r"#| > ", call)[0].strip() for call in calls]
    return [call for call in calls if call.startswith("rppbench ")]


def parser_of(name: str) -> ArgumentParser:
    """The parser of a command, which raises UsageError for what it does not know."""
    command = cli.COMMANDS[name]
    parser = cli.Parser(prog=f"rppbench {name}")
    getattr(import_module(f"rppbench.commands.{command.module}"), command.flags)(parser)
    return parser


ALL = [(page, command) for page in PAGES for command in commands(page)]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python_on_a_page_runs_from_top_to_bottom(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "test"):
        for name, colour in (("red_thing", 200), ("dark_thing", 20)):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            Image.fromarray(np.full((40, 40, 3), colour, np.uint8)).save(folder / "1.png")
    monkeypatch.setenv("MY_IMAGES", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    module = ModuleType("page")  # options are read from annotations, by way of the module
    monkeypatch.setitem(sys.modules, "page", module)
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), module.__dict__)


@pytest.mark.parametrize(("page", "command"), ALL, ids=[command for _, command in ALL])
def test_commands_on_a_page_are_valid(
    page: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`run` and `ablate` plan only: the cells, options and names are checked all the same."""
    for number, code in enumerate(blocks(page, "yaml")):
        (tmp_path / ("compare.yaml" if not number else f"{number}.yaml")).write_text(code)
    (tmp_path / "leaderboards").symlink_to(ROOT / "leaderboards")
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    if words[0] in PARSED or "leaderboards" in words or words[:2] in PARSED:
        name, *arguments = words
        parser_of(name).parse_args(arguments)
        return
    if words[:2] == ["data", "check"]:
        assert cli.main(words) == 1, "there is no data"
        return
    if words[:2] == ["data", "manifest"]:
        assert cli.main(words) == 2, "there is no data"
        return
    if words[0] in ("run", "ablate", "eval", "tune"):
        words = [*(word for word in words if word != "--detach"), "--dry-run"]
    answers = [answer for file, answer in MADE_BEFORE.items() if file in command]
    if words[0] in NEEDED or answers:
        assert cli.main(words) == 2
        assert (answers or [NEEDED[words[0]]])[0] in capsys.readouterr().err
        return
    if cli.main(words) != 0:  # a plan of data that is not here names the folders it looked for
        printed = capsys.readouterr()
        assert "--dry-run" in words or words[0] == "plan", printed.err
        assert re.search(r"^blocked \(\d+ cells?\): ", printed.out, re.MULTILINE), printed.err


def headings(page: Path) -> set[str]:
    """What links to the headings of a page say, as GitHub makes it."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    lines = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", LINKED)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target, heading in LINK.findall(path.read_text(encoding="utf-8")):
        if "://" not in target:
            there = path.parent / target if target else path
            assert there.exists(), f"{page} links to {target}"
            assert not heading or heading in headings(there), f"{page} links to {target}#{heading}"


@pytest.mark.parametrize("page", LINKED)
def test_files_and_modules_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for name in FILE.findall(text):
        assert (ROOT / name).exists(), f"{page} names {name}"
    if page == "CHANGELOG.md":  # names what is gone
        return
    for name in MODULE.findall(text):
        try:
            import_module(name)
        except ModuleNotFoundError:
            module, _, inner = name.rpartition(".")
            assert hasattr(import_module(module), inner), f"{page} names {name}"


def test_ci_runs_the_second_command_of_the_readme() -> None:
    _, develop = blocks("README.md", "sh")[:2]
    assert develop.strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_site_is_built_by_one_command_in_ci_and_on_the_page() -> None:
    command = blocks("README.md", "sh")[-1].strip()
    assert "sphinx-build -W" in command
    assert f"- run: {command}\n" in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")


def test_the_readme_shows_the_best_row_of_each_kind_of_the_committed_leaderboard() -> None:
    shown = readme_table.TABLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown == [readme_table.table()], "run `python docs/readme_table.py`"
    rows = shown[0].splitlines()[2:]
    kinds = {*readme_table.KINDS.values(), *readme_table.MORE.values(), "nothing"}
    assert len(rows) == len(kinds) == 7
    page = (ROOT / "leaderboards" / "cross-dataset.md").read_text(encoding="utf-8")
    for row in rows:
        _, method, average, *_ = row.strip("| ").split(" | ")
        (line,) = (line for line in page.split("\n\n")[3].splitlines() if f"| {method} |" in line)
        assert f"| {average} |" in line.replace("**", "")


def test_the_readme_is_short_and_warns_before_its_table() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 900
    assert 0 < text.index("is a stand-in") < text.index("<!-- leaderboard -->")
    assert (ROOT / "docs" / "page.png").stat().st_size < 150_000


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_a_page_begins_with_a_sentence_on_what_it_is_for(page: str) -> None:
    heading, first, *_ = (ROOT / page).read_text(encoding="utf-8").split("\n\n")
    assert heading.startswith("# ")
    assert first.rstrip(":")[0].isalnum() or first.startswith("`"), f"{page} begins with {first!r}"


def test_marks_of_made_parts_are_known_and_each_part_has_its_place() -> None:
    marks = [mark for page in PAGES for mark in made_pages.MARK.findall((ROOT / page).read_text())]
    assert sorted(marks) == sorted(made_pages.PARTS)


def test_a_page_that_the_index_does_not_name_is_listed_as_a_further_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("index", "old", "new"):
        (tmp_path / "docs" / f"{name}.md").write_text("# A page\n\n```{toctree}\nold\n```\n")
    monkeypatch.setattr(made_pages, "ROOT", tmp_path)
    assert "new" in list(made_pages.further_pages())
    (tmp_path / "docs" / "new.md").unlink()
    assert list(made_pages.further_pages()) == []


def test_docstrings_become_restructured_text() -> None:
    lines = ["The `k` of *all* names_ | `a_`.", "", "    x = 1", "", "End."]
    made_pages.markdown_docstring(None, "", "", None, None, lines)
    code = [".. code-block:: python", "", "    x = 1"]
    assert lines == [r"The ``k`` of \*all\* names\_ \| ``a_``.", "", *code, "", "End.", ""]
