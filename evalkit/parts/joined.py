"""Parts become one pass: the per-sample table, the counts and the digests, the same wherever it was cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.binned import ClassBins
from evalkit.counts import ConfusionCounts, counter_of
from evalkit.decide import Decision
from evalkit.digests import DataDigest
from evalkit.errors import DocumentError, reason_of
from evalkit.integrity import OF_FIRST, IntegrityLog
from evalkit.ledger import open_ledger
from evalkit.parts.observed import Observed
from evalkit.parts.rows import Part, PartFile, read_parts
from evalkit.parts.seen import Seen
from evalkit.samples import as_numpy, label_matrix

# What a part of somebody else's making can provoke.
_FOREIGN = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class Shape:
    """What parts are counted by.

    Attributes:
        class_names: In output order.
        decision: The rule from scores to classes.
        binned: Classes that gates rank by.
        n_samples: Of the whole pass.
    """

    class_names: tuple[str, ...]
    decision: Decision
    binned: tuple[int, ...]
    n_samples: int

    def bins(self) -> ClassBins:
        """Return empty bins."""
        return ClassBins(self.binned, n_classes=len(self.class_names), output=self.decision.output)


@dataclass(frozen=True, slots=True)
class Joined:
    """A pass that was put together.

    Attributes:
        observed: Facts about everything that was fed.
        seen: Which samples were seen.
        counts: What was counted.
        data: The digest of who was asked about.
        bins: Of the classes that gates rank by and the table does not hold.
        prints: 64 bits of each input's hash, uint64, shape (n,), in the order of the table.
    """

    observed: Observed
    seen: Seen
    counts: ConfusionCounts
    data: DataDigest
    bins: ClassBins
    prints: NDArray[np.uint64]


def join(
    parts: Sequence[PartFile],
    shape: Shape,
    integrity: IntegrityLog,
    *,
    ledger: Path,
    audited: bool = False,
) -> Joined:
    """Put parts together; one is held at a time, and one row group of the table.

    Args:
        parts: In the order of their batches.
        shape: What they are counted by.
        integrity: Takes what was found in each.
        ledger: Where the per-sample table is written; no file where there are no rows.
        audited: Whether some of every batch were asked again; else each rank's first ones were, and the
            first of all count.

    Raises:
        DocumentError: A part is damaged.
        DataError: Attributes change their types between parts.
        OutputError: The table cannot be written.
    """
    joining = _Joining(shape, integrity, audited=audited)
    with open_ledger(ledger, shape.decision.output) as writer:
        for file, part in zip(parts, read_parts(parts), strict=True):
            try:
                joining.add(part)
            except _FOREIGN as error:  # a part of somebody else's making
                text = f"{file.path}: is not what evalkit writes ({reason_of(error)})"
                raise DocumentError(text) from error
            if part.rows is not None:
                writer.write_rows(part.rows)
    try:
        found = joining.result()
    except ValueError as error:
        raise DocumentError(f"{parts[0].path.parent}: holds labels that are no classes ({error})") from error
    if not found.observed.n_evaluated:
        ledger.unlink()
    return found


class _Joining:
    """Takes parts in the order of their batches."""

    def __init__(self, shape: Shape, integrity: IntegrityLog, *, audited: bool) -> None:
        self._shape = shape
        self._integrity = integrity
        self._audited = audited
        self._observed, self._seen, self._bins = Observed(), Seen(shape.n_samples), shape.bins()
        self._counter: Any = counter_of(shape.decision.task, len(shape.class_names))
        self._data, self._prints = DataDigest(shape.class_names), [np.zeros(0, np.uint64)]

    def add(self, part: Part) -> None:
        first = not self._observed.n_evaluated and part.observed.n_evaluated > 0
        later = frozenset() if first or self._audited else OF_FIRST
        self._integrity.join({check: found for check, found in part.findings.items() if check not in later})
        self._observed.join(part.observed)
        self._seen.add(np.array([lost.index for lost in part.observed.unreadable], np.int64))
        if part.rows is None:
            return
        task, n_classes = self._shape.decision.task, len(self._shape.class_names)
        y_true, y_pred = labels_of(part, task, n_classes)
        self._seen.add(as_numpy(part.rows["index"]))
        self._counter.add(y_true, y_pred)
        self._data.add(y_true, part.rows["sample_id"].to_pylist() if part.identified else None)
        self._bins.add(y_true, part.scores)
        self._prints.append(part.prints.copy())  # a view would keep the whole part in memory

    def result(self) -> Joined:
        counts, prints = self._counter.result(), np.concatenate(self._prints)
        return Joined(self._observed, self._seen, counts, self._data, self._bins, prints)


def labels_of(part: Part, task: str, n_classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the true and the predicted labels of a part that has rows."""
    return _labels(part, "y_true", task, n_classes), _labels(part, "y_pred", task, n_classes)


def _labels(part: Part, name: str, task: str, n_classes: int) -> NDArray[Any]:
    assert part.rows is not None
    if task == "multilabel":
        return label_matrix(part.rows[name], n_classes)
    return np.array(as_numpy(part.rows[name]))  # a copy, as of the prints
