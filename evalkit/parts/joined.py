"""Parts become one pass: the per-sample table, the counts and the digests, the same wherever it was cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.binned import ClassBins
from evalkit.counts import ConfusionCounts, counter_of
from evalkit.decide import Decision
from evalkit.digests import DataDigest
from evalkit.integrity import IntegrityLog
from evalkit.ledger import open_ledger
from evalkit.parts.observed import Observed
from evalkit.parts.rows import Part, PartFile, read_parts
from evalkit.parts.seen import Seen
from evalkit.samples import as_numpy, label_matrix


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


def join(parts: Sequence[PartFile], shape: Shape, integrity: IntegrityLog, *, ledger: Path) -> Joined:
    """Put parts together; one is held at a time, and one row group of the table.

    Args:
        parts: In the order of their batches.
        shape: What they are counted by.
        integrity: Takes what was found in each.
        ledger: Where the per-sample table is written; no file where there are no rows.

    Raises:
        DocumentError: A part is damaged.
        DataError: Attributes change their types between parts.
        OutputError: The table cannot be written.
    """
    decision, n_classes = shape.decision, len(shape.class_names)
    observed, seen, bins = Observed(), Seen(shape.n_samples), shape.bins()
    counter: Any = counter_of(decision.task, n_classes)
    data, prints = DataDigest(shape.class_names), [np.zeros(0, np.uint64)]
    with open_ledger(ledger, decision.output) as writer:
        for part in read_parts(parts):
            observed.join(part.observed)
            integrity.join(part.findings)
            seen.add(np.array([lost.index for lost in part.observed.unreadable], np.int64))
            if part.rows is None:
                continue
            y_true, y_pred = (_labels(part, name, decision.task, n_classes) for name in ("y_true", "y_pred"))
            seen.add(as_numpy(part.rows["index"]))
            counter.add(y_true, y_pred)
            data.add(y_true, part.rows["sample_id"].to_pylist() if part.identified else None)
            bins.add(y_true, part.scores)
            prints.append(part.prints.copy())
            writer.write_rows(part.rows)
    if not observed.n_evaluated:
        ledger.unlink()
    return Joined(observed, seen, counter.result(), data, bins, np.concatenate(prints))


def _labels(part: Part, name: str, task: str, n_classes: int) -> NDArray[Any]:
    assert part.rows is not None
    if task == "multilabel":
        return label_matrix(part.rows[name], n_classes)
    return np.array(as_numpy(part.rows[name]))  # a copy: a view would keep the whole part in memory
