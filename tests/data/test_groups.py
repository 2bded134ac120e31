"""Groups of images: those of the embedded world, and what a data set may name."""

from __future__ import annotations

import pytest

from rppbench.contracts import Sample
from rppbench.data.groups import groups_of
from rppbench.errors import ContractError
from rppbench_datasets.demo import Animals, Clothing, Rendered


def test_renders_of_one_drawing_are_a_group() -> None:
    for kind in (Animals, Clothing):
        data: Rendered = kind()
        samples = data.samples("test")
        groups = groups_of(data, samples)
        shown = [data.drawing(sample) for sample in samples]
        assert len(groups) == len(samples)
        pairs = zip(groups, shown, strict=True)
        assert len(set(groups)) == len(set(shown)) == len(set(pairs)) < len(samples)


def test_a_data_set_of_independent_images_has_no_groups() -> None:
    class Single(Animals):
        unit = "image"

    assert groups_of(Single(), Single().samples("test")) == ()


def test_a_group_that_is_no_text_is_named() -> None:
    class Numbered(Animals):
        def group(self, sample: Sample) -> str:
            return 3  # type: ignore[return-value]

    with pytest.raises(ContractError, match=r"'demo-2-animals': image .* has the group 3"):
        groups_of(Numbered(), Numbered().samples("test"))
