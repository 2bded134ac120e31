"""Cross-domain: learn once on the source, score its classes in images of other domains.

Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022, section 4.2 (there: domain
generalisation, from ImageNet to its variants).
"""

from __future__ import annotations

from rppbench_tasks.cross_dataset import CrossDataset
from rppbench_tasks.shots import ShotsOfRecipe
from rppbench_tasks.suite import DEFAULT_SUITE


class CrossDomain(CrossDataset):
    """One cell for each shift set; the training is that of `cross-dataset`."""

    name = "cross-domain"
    title = "Domain generalisation"
    question = "Learn once. Does it still help when known things look different?"
    paper = "arXiv:2109.01134, arXiv:2203.05557"
    targets = "shift"

    # Without `transductive`: shift sets have no training images.
    def __init__(
        self, *, suite: str = DEFAULT_SUITE, source: str = "", shots: ShotsOfRecipe = 0
    ) -> None:
        super().__init__(suite=suite, source=source, shots=shots)
