"""How numbers are printed."""

from __future__ import annotations

import pytest

from rppbench.leaderboard.number_format import signed_text


@pytest.mark.parametrize(
    ("difference", "digits", "text"),
    [(-0.04, 1, "0.0"), (0.04, 1, "0.0"), (0.0, 3, "0.000"), (-0.06, 1, "-0.1"), (10.0, 0, "+10")],
)
def test_a_difference_that_rounds_to_zero_has_no_sign(
    difference: float, digits: int, text: str
) -> None:
    assert signed_text(difference, digits) == text
