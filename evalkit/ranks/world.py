"""The processes of one run: how they find each other, and the three exchanges that all of them take part in.

Over gloo, also where models run on GPUs: what is exchanged are a token, flags and counts.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from evalkit.errors import InvalidRunError, reason_of
from evalkit.ranks.board import Board
from evalkit.ranks.place import Place
from evalkit.ranks.token import N_BYTES

# The store outlives a run: what a second one of the same processes says goes under another name.
_TURNS = count()
_ALONE = "A command that is alone among RANK and WORLD_SIZE of another one runs without them"


@dataclass(frozen=True, slots=True)
class World:
    """A process among others that it found.

    Attributes:
        place: Which one it is.
        board: What ranks tell each other without waiting.
    """

    place: Place
    board: Board

    def shared(self, token: bytes | None) -> bytes:
        """Return rank 0's token; the others give None."""
        found = torch.frombuffer(bytearray(token or N_BYTES), dtype=torch.uint8)
        with _answered("the token of rank 0 did not come"):
            dist.broadcast(found, src=0)
        return found.numpy().tobytes()

    def without(self, *, has: bool) -> list[int]:
        """Return the ranks that say that they do not have what is asked about."""
        flags = np.zeros(self.place.size, np.int64)
        flags[self.place.rank] = not has
        return np.flatnonzero(self.total(flags)).tolist()

    def total(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum of everyone's counts, int64, shape (n,)."""
        found = torch.from_numpy(counts.copy())
        with _answered("a rank is missing in the sum of the counts"):
            dist.all_reduce(found)
        return found.numpy()


@contextmanager
def joined(place: Place, *, timeout: float) -> Iterator[World]:
    """Find the other ranks, as the environment says (``env://``).

    Args:
        place: Of this process.
        timeout: Seconds after which an exchange gives up on a rank.

    Raises:
        InvalidRunError: They do not come.
    """
    patience = timedelta(seconds=timeout)
    with _answered(f"rank {place.rank} did not find the other {place.size - 1} ranks", hint=_ALONE):
        store, rank, size = next(iter(rendezvous("env://", timeout=patience)))
        own = PrefixStore(f"evalkit/{next(_TURNS)}", store)
        dist.init_process_group("gloo", store=own, rank=rank, world_size=size, timeout=patience)
    try:
        yield World(place, Board(PrefixStore("board", own), place.rank, place.size))
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()


@contextmanager
def _answered(otherwise: str, *, hint: str | None = None) -> Iterator[None]:
    """Make the run invalid where an exchange fails: a rank ended, hangs, or never came."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        # Without the place in torch's sources, and its good wishes.
        words = re.sub(r"\[/\S+\] ", "", reason_of(error)).partition(". ")[0]
        raise InvalidRunError(f"{otherwise}: {words}", check="workers", hint=hint) from error
