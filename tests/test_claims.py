"""Quantitative sentences of the pages follow from committed records and measurements."""

from __future__ import annotations

import pytest
from claims import (
    COMPARISONS,
    QUESTION,
    ROOT,
    TRACED,
    Claim,
    claims,
    filled,
    unexplained,
    untraced,
)
from support.claims.numbers import agrees, measured, numbers, on_one_line

CLAIMS = claims()


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim.words for claim in CLAIMS])
def test_a_claim_stands_on_its_page_and_says_where_its_numbers_come_from(claim: Claim) -> None:
    page = on_one_line((ROOT / claim.page).read_text(encoding="utf-8"))
    assert on_one_line(claim.words) in page
    assert claim.checks or claim.command or claim.definition
    assert numbers(claim.words), "no number: not a quantitative claim"


CHECKED = [claim for claim in CLAIMS if claim.checks]


@pytest.mark.parametrize("claim", CHECKED, ids=[claim.words for claim in CHECKED])
def test_the_numbers_of_a_claim_are_those_of_the_committed_files(claim: Claim) -> None:
    assert unexplained(claim) == []


@pytest.mark.parametrize("page", TRACED)
def test_every_measured_number_of_a_page_belongs_to_a_claim(page: str) -> None:
    assert untraced(page) == []


def test_every_row_of_the_tables_of_comparisons_is_what_compare_gives() -> None:
    page = (ROOT / COMPARISONS).read_text(encoding="utf-8")
    assert len(QUESTION.findall(page)) > 15
    assert filled(page) == page


def test_a_wrong_number_is_noticed() -> None:
    assert agrees("0.9", 0.903)
    assert agrees("-2.1", -2.148)
    assert not agrees("0.9", 0.8)
    assert not agrees("0.90", 0.91)
    assert numbers("+1.4 (+0.2 to +2.5), 1,141 classes, ViT-B/16, 95 %") == [
        *("1.4", "0.2", "2.5", "1141", "95"),
    ]


def test_what_looks_measured() -> None:
    words = "3 seeds gain 2.0 points (95 % interval 1.1 to 3) in 9 minutes, 40 % of ViT-B/16's"
    assert [found[0] for found in measured(words)] == ["2.0", "1.1", "9 minutes", "40 %"]
