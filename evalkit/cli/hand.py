"""What every rank does during its share of a run: counts, gives signs of life, and listens for a stop."""

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalkit.cli.ranks import Signal
from evalkit.ranks import Board, Signs, Tally
from evalkit.work import Work

if TYPE_CHECKING:
    from evalkit.ranks.world import World

POLL_SECONDS, WAIT_SECONDS = 1.0, 0.1
GO_ON = "What was done is kept: --resume goes on, with any number of ranks"
Progress = Callable[[int, int, Mapping[str, float]], None]


class Hand:
    """One rank at work.

    Args:
        world: The ranks.
        sent: Whether SIGTERM came.
        timeout: Seconds that a rank may be silent.
    """

    def __init__(
        self,
        world: "World",
        sent: Signal,
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.world = world
        self.sent = sent
        self.clock = clock
        self.signs = Signs(self.board, timeout=timeout, clock=clock, gone=is_gone)
        self.n_left: int | None = None
        self._pause = pause
        self._tally: Tally | None = None
        self._stopping = False
        self._polled = float("-inf")
        self.board.come(process_here())

    @property
    def board(self) -> Board:
        """What ranks tell each other."""
        return self.world.board

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.world.place.rank == 0

    @property
    def tally(self) -> Tally:
        """What this rank counted."""
        if self._tally is None:
            raise RuntimeError("nothing was to be counted yet")
        return self._tally

    def count(self, kinds: Mapping[str, tuple[str, int]]) -> None:
        """Begin to count; see :class:`Tally`."""
        self._tally = Tally(kinds)

    def share_of(self, work: Work) -> Work:
        """Return what of a pass is this rank's."""
        place = self.world.place
        return replace(
            work,
            rank=place.rank,
            n_ranks=place.size,
            taken=self.tally.taking(work.stream),
            stopping=self.stopping,
            alive=self.sign,
        )

    def stopping(self) -> bool:
        """Return whether to end early."""
        return self.sent.came or self._stopping

    def alive(self, progress: Progress) -> Callable[[int, int], None]:
        """Give signs of life while something is done that is no share."""

        def update(done: int, total: int) -> None:
            if self._is_due():
                self.board.beat(total - done)
            progress(done, total, {})

        return update

    def watching(self, progress: Progress) -> Progress:
        """Give signs of life, and show what all ranks have done."""
        others: dict[int, int] = {}

        def update(done: int, total: int, spent: Mapping[str, float]) -> None:
            self.n_left = total - done
            if self._is_due() or not self.n_left:
                self.board.beat(self.n_left)
                self._stopping = self.board.stopping
                if self.leads:
                    others.update(self._left_of_others())
            progress(max(0, done - sum(others.values())), total, spent)

        return update

    def _left_of_others(self) -> dict[int, int]:
        found = {rank: self.board.last_beat(rank) for rank in self.board.others}
        return {rank: beat[0] for rank, beat in found.items() if beat is not None}

    def _is_due(self) -> bool:
        now = self.clock()
        if now - self._polled < POLL_SECONDS:
            return False
        self._polled = now
        return True

    def sign(self) -> None:
        """Give a sign of life, if it is time."""
        if self._is_due():
            self.board.beat(self.n_left or 0)

    def wait(self) -> None:
        """Wait a moment, alive."""
        self.sign()
        self._pause(WAIT_SECONDS)


def process_here() -> list[Any]:
    """Say which process this is: machine, parent, number."""
    return [socket.gethostname(), os.getppid(), os.getpid()]


def is_gone(process: Sequence[Any]) -> bool:
    """Return whether a process of the same torchrun has ended; of another one that cannot be told."""
    host, parent, number = process
    if [host, parent] != process_here()[:2] or os.name == "nt":
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
