"""Which process of how many this one is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Which process of how many this one is.

    Attributes:
        rank, size: From 0, of how many.
        local_rank: On this machine, from 0: which of its GPUs.
    """

    rank: int
    size: int
    local_rank: int
