"""What is to be done of a pass, and what of it is done already."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
        # Rounded up, so that the first shard has the first samples, which are asked about again.
        edges = [-(-self.n_batches * part // self.count) for part in (self.index - 1, self.index)]
        return range(*edges)

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
    """

    folder: Path
    ledger: Path
    share: Share
    done: Sequence[PartFile] = ()
    stream: str = CANDIDATE
    answered: bool = False
    note: Callable[[], None] = field(default=lambda: None)

    @property
    def leads(self) -> bool:
        """Whether this pass reads the batches itself."""
        return self.stream == CANDIDATE

    @property
    def is_first(self) -> bool:
        """Whether the pass has the first samples of the data."""
        return self.share.index == 1

    @property
    def begins(self) -> bool:
        """Whether the first samples of the data that can be read are still to be run."""
        return self.is_first and not self.answered

    @property
    def to_do(self) -> list[int]:
        """The positions of the batches that no part holds yet."""
        kept = {position for part in self.done for position in range(part.first, part.stop)}
        return [position for position in self.share.batches if position not in kept]
