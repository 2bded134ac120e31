"""Quantitative sentences of the pages follow from committed records and measurements."""

from __future__ import annotations

import pytest
from claims import (
    COMPARISONS,
    QUESTION,
    ROOT,
    Claim,
    agrees,
    claims,
    filled,
    numbers,
    on_one_line,
    unexplained,
)

CLAIMS = claims()


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim.words for claim in CLAIMS])
def test_a_claim_stands_on_its_page_and_says_where_its_numbers_come_from(claim: Claim) -> None:
    page = on_one_line((ROOT / claim.page).read_text(encoding="utf-8"))
    assert on_one_line(claim.words) in page
    assert claim.check or claim.command
    assert numbers(claim.words), "no number: not a quantitative claim"


CHECKED = [claim for claim in CLAIMS if claim.check]


@pytest.mark.parametrize("claim", CHECKED, ids=[claim.words for claim in CHECKED])
def test_the_numbers_of_a_claim_are_those_of_the_committed_files(claim: Claim) -> None:
    assert unexplained(claim) == []


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
