"""What a pass took: the times of its batches, and what was asked again in full precision."""

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

# A bin is about 1 % wide.
_BINS_A_DOUBLING = 64
# The largest of many errors is a little over the largest of a few; this is far over.
_FORESEEN = 2.0


@dataclass(slots=True)
class Latencies:
    """How many batches took how long.

    Attributes:
        bins: Batches by the bin of their logarithm.
    """

    bins: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        """Take one batch."""
        self.bins[round(math.log2(max(seconds, 1e-9)) * _BINS_A_DOUBLING)] += 1

    def milliseconds(self, share: float) -> float | None:
        """Return the time that a share of the batches took at most, within 1 %; None without batches."""
        needed = share * self.bins.total()
        for place in sorted(self.bins):
            needed -= self.bins[place]
            if needed <= 0:
                return float(f"{1000 * 2 ** (place / _BINS_A_DOUBLING):.3g}")
        return None


@dataclass(slots=True)
class AskedAgain:
    """What was asked again in full precision, beside answers of half precision.

    Attributes:
        n_near: Samples so near to another decision that their answers are those of full precision.
        n_audited: Samples that were drawn to be compared.
        n_changed: Those of them whose prediction is another one in full precision.
        limit: The largest error among the samples that were measured first.
        largest: The largest error among all that were asked again.
        excess: The same as a multiple of what was allowed for a sample, the largest.
    """

    n_near: int = 0
    n_audited: int = 0
    n_changed: int = 0
    limit: float = 0.0
    largest: float = 0.0
    excess: float = 0.0

    @property
    def unforeseen(self) -> bool:
        """Whether an error was so large that samples which were not asked again may be decided otherwise."""
        return self.excess > _FORESEEN

    def join(self, other: "AskedAgain") -> None:
        """Add those of other samples."""
        self.n_near += other.n_near
        self.n_audited += other.n_audited
        self.n_changed += other.n_changed
        self.limit, self.largest = max(self.limit, other.limit), max(self.largest, other.largest)
        self.excess = max(self.excess, other.excess)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return asdict(self)
