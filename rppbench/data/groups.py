"""Groups of images that belong together, as a data set names them."""

from __future__ import annotations

from collections.abc import Sequence

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.errors import ContractError
from rppbench.records.outcomes import IMAGE


def groups_of(data: Dataset, samples: Sequence[Sample]) -> tuple[str, ...]:
    """The group of each image; () if the data set's unit is the image.

    ContractError, which names the data set, for a unit, a space or a group that is not a text.
    """
    if type(data.unit) is not str or not data.unit.isprintable() or not data.unit:
        raise ContractError(f"data set {data.name!r}: unit is {data.unit!r:.40}, not a word")
    if type(data.group_space) is not str:
        space = f"{data.group_space!r:.40}"
        raise ContractError(f"data set {data.name!r}: group_space is {space}, not a text")
    if data.unit == IMAGE:
        return ()
    groups = tuple(data.group(sample) for sample in samples)
    for sample, group in zip(samples, groups, strict=True):
        if type(group) is not str:
            raise ContractError(
                f"data set {data.name!r}: image {sample.key!r} has the group {group!r:.40}, "
                "not a text"
            )
    return groups
