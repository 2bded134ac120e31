"""P-values: McNemar's test for one pair of methods, Holm's correction for several tests.

Other p-values: of a paired difference in `two_level`, of t-tests in `distributions`.
`rppbench.comparison` says which of them a comparison uses.
"""

from __future__ import annotations

from collections.abc import Sequence


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value of McNemar's test (null: a gain is as likely as a loss).

    `gained` and `lost` count the images that only the second or only the first method gets right.
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def holm(values: Sequence[float]) -> list[float]:
    """The p-values in the same order, adjusted for making all these tests at once (Holm, 1979)."""
    adjusted = [0.0] * len(values)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        least = max(least, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = least
    return adjusted
