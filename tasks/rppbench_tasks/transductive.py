"""The option `transductive` of tasks: to learn from images of the classes that are scored as new.

Li et al., PromptKD: Unsupervised Prompt Distillation for Vision-Language Models, CVPR 2024: the
student learns from all training images of a data set, without labels, those of new classes too.
"""

from __future__ import annotations

from collections.abc import Iterable

from rppbench.contracts import Assignment, Method
from rppbench.errors import UsageError


def unlabelled(names: Iterable[str], method: type[Method]) -> list[Assignment]:
    """Each data set learned on all its training images. UsageError if the method uses labels."""
    if method.learning is not None and method.uses_labels:
        raise UsageError(
            f"{method.name!r} learns from labels, so it cannot learn from the images of all "
            "classes of transductive=on; a method that does not, as promptkd, can"
        )
    return [Assignment.unlabelled(name) for name in names]
