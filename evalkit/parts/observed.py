"""What a pass over samples saw, beside the predictions: facts that add up, in any order of the parts."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from evalkit.digests import OrderFreeDigest
from evalkit.parts.spent import AskedAgain, Latencies
from evalkit.parts.statistics import InputStatistics


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A sample that could not be read."""

    index: int
    name: str
    reason: str


@dataclass(slots=True)
class Observed:
    """What the loop learned beside the predictions; filled while it runs.

    Attributes:
        n_evaluated: Samples that were read and run.
        inputs: The digest of what the model was fed.
        n_ties: Samples that the decision rule could have decided either way.
        output_dtype: The type that the model answered in.
        input_cast: ``float64 -> float32`` where inputs took the model's floating type.
        statistics: Mean, standard deviation and range of what the model was fed.
        unreadable: Samples that could not be read, in order.
        modes: How many images of each mode were decoded.
        n_trained_on: How many inputs are in the training set; None where that was not asked.
        halved: Batches that did not fit in memory, and the size that did.
        seconds: By what they were spent on.
        latencies: How long batches took in the model.
        again: What was asked again in full precision.
        peak_memory_mb: Of the process so far; None where it is not known.
    """

    n_evaluated: int = 0
    inputs: OrderFreeDigest = field(default_factory=OrderFreeDigest)
    n_ties: int = 0
    output_dtype: str = ""
    input_cast: str | None = None
    statistics: InputStatistics = field(default_factory=InputStatistics)
    unreadable: list[Unreadable] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)
    n_trained_on: int | None = None
    halved: dict[int, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    latencies: Latencies = field(default_factory=Latencies)
    again: AskedAgain = field(default_factory=AskedAgain)
    peak_memory_mb: float | None = None

    @property
    def n_seen(self) -> int:
        """Samples that were asked for, readable or not."""
        return self.n_evaluated + len(self.unreadable)

    def join(self, later: "Observed") -> None:
        """Add a part of later samples."""
        self.n_evaluated += later.n_evaluated
        self.inputs += later.inputs
        self.n_ties += later.n_ties
        if later.n_evaluated:
            self.output_dtype, self.input_cast = later.output_dtype, later.input_cast
        self.statistics.join(later.statistics)
        self.unreadable += later.unreadable
        self.modes += later.modes
        if later.n_trained_on is not None:
            self.n_trained_on = (self.n_trained_on or 0) + later.n_trained_on
        self.halved |= later.halved
        self.latencies.bins.update(later.latencies.bins)
        self.again.join(later.again)
        if later.peak_memory_mb is not None:
            self.peak_memory_mb = max(self.peak_memory_mb or 0.0, later.peak_memory_mb)
        for what, seconds in later.seconds.items():
            self.spend(what, seconds)

    def spend(self, what: str, seconds: float) -> None:
        """Add time that something took."""
        self.seconds[what] = self.seconds.get(what, 0.0) + seconds

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "n_evaluated": self.n_evaluated,
            "inputs": [self.inputs.first, self.inputs.second, self.inputs.n_items],
            "n_ties": self.n_ties,
            "output_dtype": self.output_dtype,
            "input_cast": self.input_cast,
            "statistics": self.statistics.to_json(),
            "unreadable": [[lost.index, lost.name, lost.reason] for lost in self.unreadable],
            "modes": dict(self.modes),
            "n_trained_on": self.n_trained_on,
            "halved": list(self.halved.items()),
            "seconds": dict(self.seconds),
            "latencies": list(self.latencies.bins.items()),
            "again": self.again.to_json(),
            "peak_memory_mb": self.peak_memory_mb,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Observed":
        """Read what :meth:`to_json` gave."""
        return cls(
            **{
                **found,
                "inputs": OrderFreeDigest(*found["inputs"]),
                "statistics": InputStatistics.from_json(found["statistics"]),
                "unreadable": [Unreadable(*lost) for lost in found["unreadable"]],
                "modes": Counter(found["modes"]),
                "halved": dict(found["halved"]),
                "latencies": Latencies(Counter(dict(found["latencies"]))),
                "again": AskedAgain(**found["again"]),
            }
        )
