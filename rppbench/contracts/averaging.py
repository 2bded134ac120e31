"""Methods whose learned parameters are an average over epochs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class AveragesEpochs(ABC):
    """Beside `Method`: the parameters after each epoch are averaged, not the last ones kept."""

    @abstractmethod
    def epoch_weights(self, epochs: int) -> Sequence[float]:
        """The weight in the average of the parameters after each of the `epochs` epochs."""
