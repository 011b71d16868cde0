"""``evalkit run`` under torchrun: which rank this process is, and who leads; torch is loaded only then."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.console import tell
from evalkit.errors import EvalkitError, ExitCode, SpecificationError
from evalkit.spec import Loaded

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from evalkit.cli.crew import Crew
    from evalkit.ranks import Place

_PORTS, _MOST_RANKS = 1 << 16, 1 << 16
_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(slots=True)
class Signal:
    """Whether SIGTERM came: torchrun sends it where another rank died, and where it is stopped itself."""

    came: bool = False
    previous: "Callable[[int, FrameType | None], Any] | int | None" = None

    def end(self) -> None:
        """End as this process would have without us."""
        signal.signal(signal.SIGTERM, self.previous)
        signal.raise_signal(signal.SIGTERM)


def place_here() -> "Place | None":
    """Return which rank this process is, as torchrun's variables say; None where it is the only one.

    Raises:
        SpecificationError: They are no numbers, or not those of a rank.
    """
    found = place_of(os.environ)
    if found is None:
        return None
    from evalkit.ranks import Place  # noqa: PLC0415 - torch

    return Place(*found)


def place_of(environment: Mapping[str, str]) -> tuple[int, int, int] | None:
    """Return rank, number of ranks and rank of the machine; see :func:`place_here`."""
    if not all(environment.get(name) for name in _NEEDED):
        return None
    texts = {name: environment[name] for name in _NEEDED[:3]}
    numbers = [int(text) if text.isdecimal() and text.isascii() else -1 for text in texts.values()]
    rank, size, local_rank = numbers
    port = environment["MASTER_PORT"]
    known = port.isdecimal() and port.isascii() and int(port) < _PORTS
    if not known or local_rank < 0 or not 0 <= rank < size <= _MOST_RANKS:
        said = ", ".join(f"{name}={text}" for name, text in (*texts.items(), ("MASTER_PORT", port)))
        raise SpecificationError(f"{said}: is no rank of torchrun's", hint="Unset them to run alone")
    return None if size == 1 else (rank, size, local_rank)


def leads_not() -> bool:
    """Return whether this is one of several ranks, and not the first: what is said once is not said here."""
    try:
        place = place_of(os.environ)
    except SpecificationError:
        return False
    return place is not None and place[0] > 0


def check_whole(place: "Place | None", shard: str | None) -> None:
    """Raise SpecificationError where a shard is asked of several ranks."""
    if place is not None and shard is not None:
        what = f"--shard {shard}: torchrun's ranks have the batches among them already"
        raise _refused(place, what, hint="One of the two")


def check_single(place: "Place | None") -> None:
    """Raise SpecificationError where ranks are asked for several models, or for predictions."""
    if place is not None:
        what = "torchrun's ranks evaluate one model at a time, and none where predictions are there already"
        raise _refused(place, what, hint="Call evalkit run without torchrun")


def _refused(place: "Place", text: str, *, hint: str) -> Exception:
    """Return what ends a rank; the first one says why."""
    return click.exceptions.Exit(int(ExitCode.USAGE)) if place.rank else SpecificationError(text, hint=hint)


@contextmanager
def captain(place: "Place | None", loaded: Loaded) -> "Iterator[Crew | None]":
    """Find the other ranks, on rank 0, and tell them when it has ended; None where there are none."""
    if place is None:
        yield None
        return
    from evalkit.cli.crew import Crew  # noqa: PLC0415 - torch
    from evalkit.cli.hand import Hand  # noqa: PLC0415
    from evalkit.ranks.world import joined  # noqa: PLC0415

    timeout = loaded.spec.run.rank_timeout
    with noting_sigterm() as sent, joined(place, timeout=timeout) as world:
        board = world.board
        try:
            yield Crew(Hand(world, sent, timeout=timeout))
        except BaseException:
            with suppress(EvalkitError):
                board.stop()
            raise
        finally:
            # The others may end now, and torchrun tells us to when one fails: there is only to print.
            if sent.previous is not None:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with suppress(EvalkitError):
                board.end()


@contextmanager
def noting_sigterm(*, patience: int | None = None) -> Iterator[Signal]:
    """Note SIGTERM instead of ending at once: what is done is written down first.

    Args:
        patience: Seconds after which the process ends all the same, where it hangs.
    """
    sent, owner = Signal(), os.getpid()

    def note(*_: object) -> None:
        if os.getpid() != owner:  # a loader worker that was forked: it has nothing to close
            os._exit(128 + signal.SIGTERM)
        sent.came = True
        if patience is not None and os.name != "nt":
            signal.alarm(patience)

    with suppress(ValueError):  # not in the main thread: signals are not ours to take
        sent.previous = signal.signal(signal.SIGTERM, note)
    try:
        yield sent
    finally:
        if patience is not None and os.name != "nt":
            signal.alarm(0)


def tell_code(place: "Place | None", code: ExitCode, directory: "Path") -> None:
    """Say where the exit code can be had: torchrun makes each one but 0 a 1."""
    if code is not ExitCode.OK and (place is not None or os.environ.get("TORCHELASTIC_RUN_ID")):
        tell(
            f"exit code {int(code)}, of which torchrun makes 1: the verdict is in "
            f"{directory / 'verdict.json'}, and of gates evalkit gate {directory} gives the code"
        )
