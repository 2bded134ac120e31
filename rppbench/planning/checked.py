"""What planning can make cells of: assignments of a task, names that a record can hold, and own
images with a backbone that somebody named.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from rppbench.contracts.backbone import Backbone
from rppbench.contracts.task import Assignment
from rppbench.errors import ContractError, UsageError
from rppbench.plugins.registry import Registry
from rppbench.records.cell import UNLABELLED

MOST = 100_000
"""More assignments than any task has: an endless list is a mistake."""
PARTS = ("all", "base", "seen", UNLABELLED)


def checked_assignments(task: str, given: Iterable[Assignment]) -> list[Assignment]:
    """The assignments. ContractError, which names the task, for what no cell can be made of."""
    who = f"task {task!r}: assignments()"
    assignments = list(islice(given, MOST + 1))
    if len(assignments) > MOST:
        raise ContractError(f"{who} lists more than {MOST:,}")
    places = set()
    for one in assignments:
        if not isinstance(one, Assignment):
            raise ContractError(f"{who} lists {type(one).__name__} in place of an Assignment")
        for name in (one.dataset, one.source, one.start):
            if type(name) is not str:
                raise ContractError(f"{who} names the data set {name!r:.60}, which is not a text")
        if one.classes not in PARTS:
            raise ContractError(f"{who} asks for {one.classes!r:.60} classes, not one of {PARTS}")
        if one.shots is not None and (type(one.shots) is not int or one.shots < 1):
            raise ContractError(f"{who} asks for {one.shots!r:.60} shots")
        place = (one.dataset, one.start)
        if place in places:
            raise ContractError(f"{who} lists the data set {one.dataset!r} twice")
        places.add(place)
    return assignments


def refuse_surrogates(names: Iterable[str]) -> None:
    """UsageError for a name with bytes that are not text: no record could hold it."""
    for name in names:
        if any("\ud800" <= character <= "\udfff" for character in name):
            shown = name.encode("utf-8", "backslashreplace").decode()
            raise UsageError(f"the name {shown!r} is not valid UTF-8; rename the file or folder")


def refuse_default_backbone(
    registry: Registry, assignments: Iterable[Assignment], default: Backbone
) -> None:
    """UsageError if a user's own images would be scored with a backbone that nobody named."""
    names = {name: None for one in assignments for name in (one.dataset, one.source) if name}
    for name in names:
        if registry.get("datasets", name).own:
            raise UsageError(
                f"{name} needs a backbone: name one, --model ViT-B-16/openai for photographs "
                "(`rppbench list backbones` lists more)\n"
                f"--model {default.name} runs it on the default: {default.note or default.title}"
            )
