"""``evalkit run`` on every rank but 0: do a share of the batches, report, and print nothing but errors."""

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from evalkit.attempt import Attempt
from evalkit.cli.ci import Ended
from evalkit.cli.console import complain
from evalkit.cli.hand import GO_ON, Hand
from evalkit.cli.job import Job, kinds_of, measure_job, prepare_job
from evalkit.cli.ranks import noting_sigterm
from evalkit.errors import DataError, EvalkitError, ExitCode, InvalidRunError, reason_of
from evalkit.opening import Opened
from evalkit.parts import CANDIDATE
from evalkit.parts.rows import named_parts
from evalkit.ranks import Place, Report, holds_token, words_of
from evalkit.ranks.world import joined
from evalkit.rundir import PARTS, RunDirectory
from evalkit.runfile import RunFile
from evalkit.running import Run
from evalkit.sources import Sources
from evalkit.usercode import import_path

# How often a folder is looked at again: what another machine wrote may take a moment to be seen.
N_LOOKS = 40
_TERMINATED = 143
# How long a batch may still take once torchrun ends the ranks, which kills after half a minute.
PATIENCE = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rank is to do, as its command line says.

    Attributes:
        output: Folder of the run.
        opened: Opens the specification, and perhaps a baseline's.
        sources: The files of the model's code.
        limit: Only so many samples.
        timeout: Seconds that a rank may be silent.
    """

    output: Path
    opened: Callable[[], tuple[Opened, Opened | None]]
    sources: Sources
    base: Path
    limit: int | None
    timeout: float


def follow(place: Place, asked: Asked) -> Ended:
    """Do one rank's share.

    Raises:
        EvalkitError: Something failed here, and rank 0 could not say so.
        click.exceptions.Exit: Rank 0 says why there is nothing more to do.
    """
    with noting_sigterm(patience=PATIENCE) as sent, joined(place, timeout=asked.timeout) as world:
        hand = Hand(world, sent, timeout=asked.timeout)
        try:
            reduced = _share(hand, asked)
        except EvalkitError as error:
            _fail(hand, error)
            if _told(hand):
                raise click.exceptions.Exit(int(error.exit_code)) from error
            return Ended(error.exit_code, error=error)
        except Exception as error:
            _fail(hand, EvalkitError(reason_of(error)))
            raise
        except KeyboardInterrupt:
            with suppress(InvalidRunError):
                hand.board.report(Report(stopped=True))
                hand.board.stop()
            raise
        if not reduced:
            _tell_of_lead(hand)
            raise click.exceptions.Exit(_TERMINATED if sent.came else int(ExitCode.CANNOT_JUDGE))
    return Ended(ExitCode.OK)


def _tell_of_lead(hand: Hand) -> None:
    """Say that rank 0 is missing, which cannot; of several ranks the first one does."""
    with suppress(InvalidRunError):
        lost = hand.signs.lost([0])
        if lost and hand.world.place.rank == 1:
            error = InvalidRunError(f"rank 0 is missing: {lost[0]}", check="workers", hint=GO_ON)
            complain(f"error[{error.slug}]", str(error))


def _fail(hand: Hand, error: EvalkitError) -> None:
    """Tell the others; samples that cannot be read let them look for more of these."""
    with suppress(InvalidRunError):  # nobody can be told
        hand.board.report(Report(failures={CANDIDATE: words_of(error)}, stopped=True))
        if not (isinstance(error, DataError) and hand.n_left == 0):
            hand.board.stop()


def _share(hand: Hand, asked: Asked) -> bool:
    """Do this rank's share; returns whether its counts went into the sum, or nothing was to be done."""
    _look_for_token(hand, asked.output)
    with redirect_stdout(sys.stderr), import_path(asked.base):
        candidate, older = asked.opened()
        whole = (1, 1)
        job = prepare_job(
            candidate, older, limit=asked.limit, shard=whole, sources=asked.sources, place=hand.world.place
        )
        plan = _awaited(hand, hand.board.planned)
        if plan is None:
            return False
        if plan["stands"]:
            return True
        hand.count(kinds_of(job))
        runs = measure_job(
            job, _attempt(job, asked.output, plan), RunDirectory(asked.output), quiet=True, hand=hand
        )
    _report(hand, job, runs)
    if not _awaited(hand, lambda: hand.board.going or None):
        return False
    hand.world.total(hand.tally.vector())
    return True


def _look_for_token(hand: Hand, folder: Path) -> None:
    token = hand.world.shared(None)
    for _ in range(N_LOOKS):
        found = holds_token(folder, token)
        if found:
            break
        hand.wait()
    hand.world.without(has=found)


def _attempt(job: Job, output: Path, plan: Mapping[str, Any]) -> Attempt:
    """Join the run that rank 0 began; ChangedError where this rank has other things in hand."""
    known, now = RunFile.read_from(output), job.run_file(None)
    known.check_sibling(now, "its run", first="rank 0's")
    folder = output / PARTS
    done = {
        stream: named_parts(folder / Path(name).name for name in names)
        for stream, names in plan["done"].items()
    }
    return Attempt(folder, known, done)


def _report(hand: Hand, job: Job, runs: Mapping[str, Run]) -> None:
    """Say what was done, and what failed."""
    candidate = runs[CANDIDATE]
    parts = {
        stream: [part.path.name for part in run.parts[len(run.work.done) :]] for stream, run in runs.items()
    }
    n_done = sum(part.stop - part.first for part in candidate.parts[len(candidate.work.done) :])
    report = Report(
        parts=parts,
        code=job.sources.code(),
        read=job.sources.read(),
        stopped=n_done < len(candidate.work.to_do),
        failures={stream: words_of(run.failure) for stream, run in runs.items() if run.failure is not None},
    )
    hand.board.report(report)
    if report.stopped:
        hand.board.stop()


def _awaited(hand: Hand, find: Callable[[], Any]) -> Any:
    """Wait for word of rank 0; None where it has ended, or this rank is told to end.

    Raises:
        InvalidRunError: Rank 0 is lost.
    """
    while True:
        lost = hand.signs.lost([0])
        found, ended = find(), hand.board.ended
        if found is not None or ended or hand.sent.came:
            return found
        if lost:
            raise InvalidRunError(f"rank 0 is missing: {lost[0]}", check="workers", hint=GO_ON)
        hand.wait()


def _told(hand: Hand) -> bool:
    """Wait until rank 0 has said what failed; returns whether it has."""
    with suppress(InvalidRunError):
        return bool(_awaited(hand, lambda: hand.board.ended or None))
    return False
