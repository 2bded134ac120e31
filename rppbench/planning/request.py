"""A request to the planner: the cells of which methods, tasks, data sets, seeds and shots."""

from __future__ import annotations

from dataclasses import dataclass

from rppbench.errors import UsageError


@dataclass(frozen=True)
class Request:
    """The cells that a person wants, in the words of the command line."""

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    datasets: tuple[str, ...] = ()
    """The data sets to score; () for all of the task. A data set outside the suites of all tasks is
    added to the transfer sets of those tasks that have any."""
    backbone: str = ""
    """'' takes the registry's default."""
    teacher: str | None = None
    """Teacher of methods that distil; None takes `usual_teacher`."""
    seeds: tuple[int, ...] = (1,)
    shots: tuple[int, ...] = ()
    """Numbers of training images per class, each with its own cells; () leaves the number
    to task and recipe."""
    precision: str = "fp32"
    limit: int | None = None
    recipe: str | None = None
    validation: str = ""
    """Validation images ('few-shot', 'held-out-shot', 'full') of the source, which are scored
    in place of the test images; '' scores the task."""
    draw: str = ""
    """How training images are drawn: '' as CoOp does, '[NAME=]FILE' or 'long-tail:RATIO'."""
    partial: bool = False
    """Whether data sets may lack images (`contracts.dataset.may_be_partial`): marks its cells."""
    quick: bool = False
    """Whether recipes take `recipes.QUICK_STEPS` steps at most: marks its cells."""
    settings: tuple[tuple[str, str], ...] = ()
    """(KEY, VALUE) of --set; KEY is 'length', 'method.length', 'task.suite', 'recipe.lr', ..."""


MANY_CELLS = 10_000
"""A request of more cells is planned only after a confirmation: it may be a mistake."""


class TooManyCellsError(UsageError):
    """A request of more cells than `MANY_CELLS`, counted before they are built."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"these are up to {count:,} cells; more than {MANY_CELLS:,} are planned only with --yes"
        )
        self.count = count
