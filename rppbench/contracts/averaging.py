"""Methods whose learned parameters are an average over epochs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class AveragesEpochs(ABC):
    """Mix-in for a `Method` that averages its parameters over epochs; it does not keep the last."""

    @abstractmethod
    def epoch_weights(self, epochs: int) -> Sequence[float]:
        """Weights of the average: one for the parameters after each of the `epochs` epochs."""
