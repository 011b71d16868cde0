"""What ranks tell each other through torch's store, without ever waiting for each other."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from evalkit import errors
from evalkit.errors import EvalkitError, InvalidRunError, reason_of

_STOP, _PLAN, _GO, _ENDED = "stop", "plan", "go", "ended"


class Store(Protocol):
    """What is asked of torch's stores."""

    def set(self, key: str, value: str) -> None:
        """Set a key."""

    def get(self, key: str) -> bytes:
        """Return a key's value; waits where there is none."""

    def check(self, keys: list[str]) -> bool:
        """Return whether all keys are there."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a rank's own share ended.

    Attributes:
        parts: Names of the part files that it wrote, by stream.
        code, read: Files that it opened, and their digests.
        stopped: Whether it ended before everything was done.
        failures: Why a stream has no number, or why nothing could be begun: see :func:`words_of`.
    """

    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    read: Mapping[str, str] = field(default_factory=dict)
    stopped: bool = False
    failures: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)


class Board:
    """The notes that ranks leave for each other.

    Args:
        store: Where they are.
        rank, size: Who writes, and how many there are.
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self._store = store
        self._n_beats = 0
        self.rank = rank
        self.others = [other for other in range(size) if other != rank]

    def come(self, process: Sequence[Any]) -> None:
        """Say which process this rank is."""
        self._put(f"process/{self.rank}", list(process))

    def process(self, rank: int) -> list[Any] | None:
        """Return which process a rank is; None before it came."""
        found: list[Any] | None = self._found(f"process/{rank}")
        return found

    def beat(self, n_left: int) -> None:
        """Give a sign of life: how many samples are left of this rank's share."""
        self._n_beats += 1
        self._put(f"beat/{self.rank}", [n_left, self._n_beats])

    def last_beat(self, rank: int) -> list[int] | None:
        """Return what is left of a rank's share, and how many signs it gave; None before its first."""
        found: list[int] | None = self._found(f"beat/{rank}")
        return found

    def plan(self, plan: Mapping[str, Any]) -> None:
        """Say what there is to do."""
        self._put(_PLAN, plan)

    def planned(self) -> dict[str, Any] | None:
        """Return what there is to do; None before rank 0 knows."""
        found: dict[str, Any] | None = self._found(_PLAN)
        return found

    def report(self, report: Report) -> None:
        """Say how this rank's share ended."""
        self._put(f"report/{self.rank}", asdict(report))

    def reported(self, rank: int) -> Report | None:
        """Return how a rank's share ended; None before it has."""
        found = self._found(f"report/{rank}")
        return None if found is None else Report(**found)

    def reports(self) -> dict[int, Report]:
        """Return the reports of other ranks that are there."""
        found = {rank: self.reported(rank) for rank in self.others}
        return {rank: report for rank, report in found.items() if report is not None}

    def stop(self) -> None:
        """Ask everyone to keep what is done, and to end."""
        self._put(_STOP, value=True)

    @property
    def stopping(self) -> bool:
        """Whether somebody asked for that."""
        return self._is_there(_STOP)

    def go(self) -> None:
        """Say that every share is done: the counts can be summed."""
        self._put(_GO, value=True)

    @property
    def going(self) -> bool:
        """Whether every share is done."""
        return self._is_there(_GO)

    def end(self) -> None:
        """Say that rank 0 has said what there is to say."""
        self._put(_ENDED, value=True)

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._is_there(_ENDED)

    def _put(self, key: str, value: Any) -> None:
        with _reached():
            self._store.set(key, json.dumps(value))

    def _is_there(self, key: str) -> bool:
        with _reached():
            return self._store.check([key])

    def _found(self, key: str) -> Any:
        with _reached():
            return json.loads(self._store.get(key)) if self._store.check([key]) else None


@contextmanager
def _reached() -> Iterator[None]:
    """Make the run invalid where the store is gone, with the machine that held it."""
    try:
        yield
    except RuntimeError as error:
        text = f"what the ranks tell each other cannot be reached: {reason_of(error)}"
        raise InvalidRunError(text, check="workers") from error


def words_of(error: EvalkitError) -> dict[str, str | None]:
    """Return an error as it goes over the board."""
    check = error.check if isinstance(error, InvalidRunError) else None
    kind = type(error).__name__
    return {
        "kind": kind, "slug": error.slug, "message": error.message, "hint": error.hint, "check": check
    }  # fmt: skip


def error_of(rank: int, words: Mapping[str, str | None]) -> EvalkitError:
    """Return a rank's error as one of this process, that names the rank."""
    message, hint = f"rank {rank}: {words['message']}", words["hint"]
    if words["check"] is not None:
        return InvalidRunError(message, check=words["check"], hint=hint)
    kind: type[EvalkitError] = getattr(errors, words["kind"] or "", EvalkitError)
    return kind(message, hint=hint)
