"""What classes are called: one word or several, of which the best counts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain, pairwise
from typing import Literal

import torch
from torch import Tensor

from rppbench.contracts import RegionClassifier, SegmentationSet

Wording = Literal["own", "synonyms", "maskclip"]

Words = Sequence[Sequence[str]]
"""The words of each class, by label."""


def words_of(data: SegmentationSet, wording: Wording) -> Words:
    """The data set's own words, the synonyms that its names list, or those of MaskCLIP.

    UsageError where MaskCLIP has no names for the data set.
    """
    if wording == "maskclip":
        return [[name] for name in data.maskclip_names()]
    own = data.words()
    if wording == "own":
        return own
    return [[part for word in words for part in word.split(", ")] for words in own]


def similarities(
    classifier: RegionClassifier, features: Tensor, words: Words, *, prompted: bool = True
) -> Tensor:
    """(b, c) cosines of unit features (b, e) with each class: the largest of its words."""
    cosines = classifier.similarities(features, list(chain(*words)), prompted=prompted)
    if all(len(one) == 1 for one in words):
        return cosines
    ends = list(accumulate(map(len, words), initial=0))
    return torch.stack([cosines[:, low:high].amax(1) for low, high in pairwise(ends)], 1)
