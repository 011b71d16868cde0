"""Which ranks are lost: their process is gone, or they gave no sign for too long."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from evalkit.ranks.board import Board


class Signs:
    """Remembers when each rank gave a sign last.

    Args:
        board: Where they are given.
        timeout: Seconds that a rank may be silent.
        clock: Seconds from any start.
        gone: Tells of a process of this machine, as it said itself, whether it has ended.
    """

    def __init__(
        self,
        board: Board,
        *,
        timeout: float,
        clock: Callable[[], float],
        gone: Callable[[Sequence[Any]], bool],
    ) -> None:
        self._board = board
        self._timeout = timeout
        self._clock = clock
        self._gone = gone
        self._last: dict[int, tuple[object, float]] = {}

    def lost(self, ranks: Collection[int], *, summing: bool = False) -> dict[int, str]:
        """Return those of some ranks that are lost, and how; one that reported is not.

        Args:
            ranks: Which are asked about.
            summing: Whether they are still needed, although they have reported.
        """
        found = {rank: self._how(rank) for rank in ranks}
        return {
            rank: how
            for rank, how in found.items()
            # Asked last: it may just have ended.
            if how is not None and (summing or self._board.reported(rank) is None)
        }

    def _how(self, rank: int) -> str | None:
        process, now = self._board.process(rank), self._clock()
        if process is not None and self._gone(process):
            return "its process has ended without a word"
        sign = (process, self._board.last_beat(rank))
        if self._last.get(rank, (None, 0.0))[0] != sign:
            self._last[rank] = sign, now
        silent = now - self._last[rank][1]
        return f"it gave no sign for {silent:.0f} s" if silent >= self._timeout else None
