"""What is to be done of a pass, and what of it is done already."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.ledger import PredictionBatch
from evalkit.parts import CANDIDATE, PartFile


@dataclass(frozen=True, slots=True)
class Share:
    """A shard of the batches of a data set: neighbours, whole batches, perhaps none.

    Attributes:
        n_samples: Of all shards.
        batch_size: Samples a batch; the last batch may be shorter.
        index, count: Which shard of how many, from 1.
    """

    n_samples: int
    batch_size: int
    index: int = 1
    count: int = 1

    @property
    def n_batches(self) -> int:
        """Of all shards."""
        return -(-self.n_samples // self.batch_size)

    @property
    def batches(self) -> range:
        """The positions of this shard's batches."""
        # The first shard has the first samples, which are asked about again.
        return range(self.n_batches)[cut(self.n_batches, self.index - 1, self.count)]

    @property
    def samples(self) -> range:
        """The positions of this shard's samples."""
        batches, size = self.batches, self.batch_size
        return range(min(batches.start * size, self.n_samples), min(batches.stop * size, self.n_samples))


@dataclass(frozen=True, slots=True)
class Work:
    """Where one model's pass is kept.

    Attributes:
        folder: Where parts are written.
        ledger: Where the per-sample table is.
        share: Which batches.
        done: Parts that are there already.
        stream: Names the model in parts' file names.
        answered: Whether a part holds answers already, so that the first ones were asked for again.
        note: Called before a part is written: what it was made of is to be on disk first.
        rank, n_ranks: Which of several processes, from 0, that have what is to be done among them.
        taken: Called with the answers to each batch.
        stopping: Whether to end early, and keep what is done.
        alive: Called while something takes long that is no batch.
    """

    folder: Path
    ledger: Path
    share: Share
    done: Sequence[PartFile] = ()
    stream: str = CANDIDATE
    answered: bool = False
    note: Callable[[], None] = field(default=lambda: None)
    rank: int = 0
    n_ranks: int = 1
    taken: Callable[[PredictionBatch], None] = field(default=lambda _: None)
    stopping: Callable[[], bool] = field(default=lambda: False)
    alive: Callable[[], None] = field(default=lambda: None)

    @property
    def leads(self) -> bool:
        """Whether this pass reads the batches itself."""
        return self.stream == CANDIDATE

    @property
    def is_first(self) -> bool:
        """Whether the pass has the first samples of the data."""
        return self.share.index == 1 and self.rank == 0

    @property
    def begins(self) -> bool:
        """Whether the first samples that can be read are still to be run: the data's, or those of a rank."""
        return self.share.index == 1 and not self.answered

    @property
    def to_do(self) -> list[int]:
        """The positions of the batches that no part holds yet; of several ranks, this one's."""
        kept = {position for part in self.done for position in range(part.first, part.stop)}
        missing = [position for position in self.share.batches if position not in kept]
        return missing[cut(len(missing), self.rank, self.n_ranks)]


def cut(n: int, part: int, n_parts: int) -> slice:
    """Return one of several neighbouring parts of n things, from 0; the first has the first thing."""
    start, stop = (-(-n * edge // n_parts) for edge in (part, part + 1))
    return slice(start, stop)
