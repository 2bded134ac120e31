"""The claims of `docs/claims.md`, and the numbers that committed files give for each.

python tests/claims.py             # every claim with its numbers
python tests/claims.py --fill      # writes the numbers of the tables of comparisons anew
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from support.claims import benchmarks, tables
from support.claims.numbers import agrees, measured, numbers, on_one_line

from rppbench.leaderboard.number_format import signed_text

ROOT = Path(__file__).parents[1]
COMPARISONS = "leaderboards/embedded/README.md"
"""The page with tables of comparisons."""
TRACED = ("README.md", "leaderboards/README.md", COMPARISONS, "benchmarks/README.md")
"""The pages on which every measured number belongs to a claim."""
CLAIM = re.compile(r'^- "(?P<words>[^"]+)"(?P<rest>(?:\n  .*)*)', re.MULTILINE)
"""A claim: the words as they stand on the page, and below them where its numbers come from."""
CHECKED = re.compile(r"checked by ((?:`[^`]+`(?:,? and |, )?)+)")
COMMAND = re.compile(r"measured by `([^`]+)`")
DEFINITION = "by definition"
QUESTION = re.compile(
    r"^\| (?P<task>[\w-]+)(?: \((?P<what>[^)]+)\))?, "
    r"`(?P<first>[^`]+)` against `(?P<second>[^`]+)` \| (?P<numbers>.*) \|$",
    re.MULTILINE,
)
"""A row of a table of comparisons."""
ELSEWHERE = re.compile(r"```.*?```|<!-- leaderboard -->.*?<!-- end -->", re.DOTALL)
"""Commands, and a table that other tests compare with the records."""
CHECKS = {**tables.CHECKS, **benchmarks.CHECKS}


@dataclass(frozen=True)
class Claim:
    """Words of a page with numbers in them."""

    page: str
    words: str
    checks: tuple[str, ...]
    """What computes the numbers from committed files; () if only the command can."""
    command: str
    definition: bool
    """Whether the numbers were set, not measured."""


def claims() -> list[Claim]:
    """All claims of the page, in its order."""
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    result = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        page = part.partition("\n")[0].strip("` ")
        for claim in CLAIM.finditer(part):
            rest = on_one_line(claim["rest"])
            checked, command = CHECKED.search(rest), COMMAND.search(rest)
            result.append(
                Claim(
                    page,
                    claim["words"],
                    tuple(re.findall(r"`([^`]+)`", checked[1])) if checked else (),
                    command[1] if command else "",
                    DEFINITION in rest,
                )
            )
    return result


def given(claim: Claim) -> list[float]:
    """The numbers that the checks of a claim compute."""
    values = []
    for check in claim.checks:
        name, *words = re.findall(r"'[^']*'|\S+", check)
        values += CHECKS[name](*(word.strip("'") for word in words))
    return values


def unexplained(claim: Claim) -> list[str]:
    """Numbers of the words that no check of the claim gives."""
    values = given(claim)
    return [n for n in numbers(claim.words) if not any(agrees(n, value) for value in values)]


def untraced(page: str) -> list[str]:
    """The measured numbers of a page that no claim holds, each with the words around it.

    Rows of comparisons are claims by themselves.
    """
    text = ELSEWHERE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    text = on_one_line(QUESTION.sub("", text))
    held: set[int] = set()
    for claim in claims():
        words = on_one_line(claim.words)
        for found in re.finditer(re.escape(words), text) if claim.page == page else ():
            held.update(range(*found.span()))
    return [
        text[max(0, found.start() - 50) : found.end() + 20]
        for found in measured(text)
        if found.start() not in held
    ]


def filled(page: str) -> str:
    """The text of a page with the computed numbers in its tables of comparisons."""

    def row(found: re.Match[str]) -> str:
        first, second, *change = tables.compared(
            found["task"], found["first"], found["second"], found["what"] or ""
        )
        mean, low, high = map(signed_text, change)
        what = found[0][: found.start("numbers") - found.start()]
        return f"{what}{first:.1f} | {second:.1f} | {mean} | {low} to {high} |"

    return QUESTION.sub(row, page)


def main() -> None:
    if sys.argv[1:] == ["--fill"]:
        page = ROOT / COMPARISONS
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
        return
    for claim in claims():
        shown = ", ".join(f"{value:.4g}" for value in given(claim)) or claim.command
        print(f"{claim.page}: {claim.words}\n    {shown}")
    for page in TRACED:
        for words in untraced(page):
            print(f"{page}, no claim: {words}")


if __name__ == "__main__":
    main()
