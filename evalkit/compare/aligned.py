"""Rows of two tables put side by side: which is where, which both have, in whose order of classes."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.compare.shares import MAX_IDS
from evalkit.errors import DocumentError
from evalkit.samples import Samples, as_numpy

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Which samples two runs share, where their data changed between them.

    Attributes:
        n_common: Samples with the same id and label in both.
        appeared, gone: Ids that only the candidate, or only the baseline, has; the first 1,000.
        relabelled: Ids whose label is another one; the first 1,000.
        counts: How many of these three there are.
    """

    n_common: int
    appeared: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    counts: tuple[int, int, int] = (0, 0, 0)

    @property
    def n_all(self) -> int:
        """Samples that either run has."""
        return self.n_common + sum(self.counts)

    @property
    def share(self) -> float:
        """How much of all is common."""
        return self.n_common / self.n_all if self.n_all else 0.0

    @property
    def text(self) -> str:
        """``4,981 of 5,000 samples are the same: 12 new, 4 gone, 3 relabelled``."""
        appeared, gone, relabelled = self.counts
        of = f"{self.n_common:,} of {self.n_all:,} samples are the same"
        return f"{of}: {appeared:,} new, {gone:,} gone, {relabelled:,} relabelled"

    def document(self) -> dict[str, Any]:
        """Return it as a document holds it."""
        return {
            "n_common": self.n_common,
            "n_all": self.n_all,
            **dict(zip(("n_new", "n_gone", "n_relabelled"), self.counts, strict=True)),
            "new_ids": list(self.appeared),
            "gone_ids": list(self.gone),
            "relabelled_ids": list(self.relabelled),
        }


def positions_of(new: pa.ChunkedArray, old: pa.ChunkedArray, *, where: str) -> Rows | None:
    """Return where each of the candidate's samples is in the baseline's table; None for the same order."""
    if len(new) == len(old) and pc.all(pc.equal(new, old)).as_py():
        return None
    found = pc.index_in(new, value_set=old.combine_chunks())
    places = np.asarray(as_numpy(pc.fill_null(found, 0)), np.int64)
    if found.null_count or len(new) != len(old) or repeats(places):
        raise DocumentError(f"{where}: holds other samples than its result")
    return places


def repeats(places: Rows) -> bool:
    """Return whether a sample stands twice in a table."""
    return bool(places.size) and int(np.bincount(places).max()) > 1


def taken(samples: Samples, rows: Rows) -> Samples:
    """Return some samples, in the order of their rows."""

    def column(values: NDArray[Any] | None) -> Any:
        return None if values is None else values[rows]

    return Samples(
        samples.y_true[rows],
        samples.y_pred[rows],
        column(samples.scores),
        samples.probable,
        log_loss=column(samples.log_loss),
        brier=column(samples.brier),
        confidence=column(samples.confidence),
        true_rank=column(samples.true_rank),
        attributes={name: values[rows] for name, values in samples.attributes.items()},
    )


def in_class_order(samples: Samples, order: list[int]) -> Samples:
    """Put classes in another order: first the one at ``order[0]``."""
    if order == sorted(order):
        return replace(samples, bins={})
    several = samples.y_true.ndim == 2  # noqa: PLR2004 - (n, L)
    position = np.argsort(np.array(order))
    y_true, y_pred = (one[:, order] if several else position[one] for one in (samples.y_true, samples.y_pred))
    scores = None if samples.scores is None else samples.scores[:, order]
    return replace(samples, y_true=y_true, y_pred=y_pred, scores=scores, bins={})


def first_ids(ids: pa.ChunkedArray, rows: Rows) -> tuple[str, ...]:
    """Return the ids of some rows, the first 1,000."""
    return tuple(ids.take(pa.array(rows[:MAX_IDS])).to_pylist())
