"""What one rank counted while its model answered: summed over ranks, it must be what their parts hold."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.counts import ConfusionCounts, counter_of
from evalkit.ledger import PredictionBatch
from evalkit.parts.joined import labels_of
from evalkit.parts.rows import Part


class Tally:
    """Counts by stream, of answers and not of files.

    Args:
        kinds: Task and number of classes of each stream.
    """

    def __init__(self, kinds: Mapping[str, tuple[str, int]]) -> None:
        self._kinds = kinds
        self._counters: dict[str, Any] = {stream: counter_of(*kind) for stream, kind in kinds.items()}

    def taking(self, stream: str) -> Callable[[PredictionBatch], None]:
        """Return what takes a stream's batches."""
        counter = self._counters[stream]

        def take(batch: PredictionBatch) -> None:
            counter.add(batch.y_true, batch.y_pred)

        return take

    def take_parts(self, stream: str, parts: Iterable[Part]) -> None:
        """Add parts of an earlier attempt, which nobody here answered."""
        for part in parts:
            if part.rows is not None:
                self._counters[stream].add(*labels_of(part, *self._kinds[stream]))

    def vector(self) -> NDArray[np.int64]:
        """Return everything as one vector, int64."""
        return np.concatenate([one.result().matrix.ravel() for one in self._counters.values()])

    def split(self, total: NDArray[np.int64]) -> dict[str, ConfusionCounts]:
        """Return a sum of such vectors as counts by stream."""
        found, start = {}, 0
        for stream, counter in self._counters.items():
            shape = counter.result().matrix.shape
            stop = start + int(np.prod(shape))
            found[stream] = ConfusionCounts(total[start:stop].reshape(shape))
            start = stop
        return found
