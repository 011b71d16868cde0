"""Shares of samples that two models have right, by group: who flipped, and the difference's interval."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.uncertainty import MIN_CLUSTERS, t_quantile
from evalkit.uncertainty.paired import Flips, tango_interval

# Ids that a document lists of each kind.
MAX_IDS = 1000
Rights = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ShareGaps:
    """What two models have right in each of G groups; every array has shape (G,).

    Attributes:
        flips: Only the new model right, only the old one, and all samples.
        both_right: Right in both.
        low, high: Of the new share less the old one; NaN where there is no interval.
        method: tango, or influence where samples come in clusters.
    """

    flips: Flips
    both_right: Ints
    low: Floats
    high: Floats
    method: str

    def document(self, position: int) -> dict[str, Any]:
        """Return a group as a document holds it."""
        gained, lost, n = (int(part[position]) for part in (self.flips.gained, self.flips.lost, self.flips.n))
        both, known = int(self.both_right[position]), bool(np.isfinite(self.low[position]))
        return {
            "n_samples": n,
            "both_right": both,
            "only_candidate": gained,
            "only_baseline": lost,
            "both_wrong": n - both - gained - lost,
            "difference": (gained - lost) / n if n else None,
            "low": float(self.low[position]) if known else None,
            "high": float(self.high[position]) if known else None,
            "method": self.method if known else None,
        }


def share_gaps(
    new: Rights, old: Rights, codes: Ints, n_groups: int, *, clusters: Ints | None, level: float
) -> ShareGaps:
    """Compare two models in every group at once.

    Args:
        new, old: Which samples each has right, shape (n,).
        codes: Each sample's group.
        n_groups: G.
        clusters: Each sample's cluster; None where samples are independent.
        level: Of the intervals.
    """

    def counted(which: Rights) -> Ints:
        return np.bincount(codes[which], minlength=n_groups)

    flips = Flips(counted(new & ~old), counted(old & ~new), np.bincount(codes, minlength=n_groups))
    both = counted(new & old)
    if clusters is None:
        return ShareGaps(flips, both, *tango_interval(flips, level=level), "tango")
    return ShareGaps(
        flips, both, *_clustered(new, old, codes, flips, clusters=clusters, level=level), "influence"
    )


def _clustered(
    new: Rights, old: Rights, codes: Ints, flips: Flips, *, clusters: Ints, level: float
) -> tuple[Floats, Floats]:
    """Return bounds from the sums of influences by cluster, and one pseudo-flip; NaN under 20 clusters."""
    n_groups, width = len(flips.n), int(clusters.max(initial=0)) + 1
    cells, cell = np.unique(codes * width + clusters, return_inverse=True)
    change = np.bincount(cell, new.astype(float) - old, minlength=len(cells))
    size, group = np.bincount(cell, minlength=len(cells)), cells // width
    n = np.maximum(flips.n, 1)
    sums = (change - flips.difference[group] * size) / n[group]
    n_clusters = np.bincount(group, minlength=n_groups)
    spread = np.bincount(group, sums**2, minlength=n_groups)
    variance = spread * n_clusters / np.maximum(n_clusters - 1, 1) + 1 / n**2.0
    quantile = np.array([t_quantile(level, max(int(g) - 1, 1)) for g in n_clusters])
    half = np.where(n_clusters >= MIN_CLUSTERS, quantile * np.sqrt(variance), np.nan)
    return flips.difference - half, flips.difference + half
