"""Rank 0 and the others: say what there is to do, do its own share, gather the rest, and name who failed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from evalkit.attempt import Attempt
from evalkit.cli.console import complain
from evalkit.cli.hand import GO_ON, Hand
from evalkit.cli.job import Job, kinds_of, measure_job
from evalkit.errors import ChangedError, DataError, EvalkitError, InvalidRunError, OutputError, listed
from evalkit.merging import check_cover
from evalkit.parts import CANDIDATE
from evalkit.parts.rows import named_parts, read_parts
from evalkit.ranks import Report, error_of, write_token
from evalkit.rundir import RunDirectory
from evalkit.running import Run

# How long others may take to end where this process is told to end, or cannot go on.
GRACE = 10.0
A_MOMENT = 3.0
Reports = Mapping[int, Report]


class Crew:
    """The other ranks, as rank 0 sees them.

    Args:
        hand: This rank's own.
    """

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._board = hand.board

    def share(self, directory: RunDirectory) -> None:
        """Prove that every rank sees this folder; OutputError where one does not."""
        world = self._hand.world
        world.shared(write_token(directory.path))
        blind = world.without(has=True)
        if blind:
            raise OutputError(
                f"{directory.path}: the run folder is not shared between the nodes: ranks "
                f"{listed(blind)} do not see what rank 0 writes there",
                hint="Name a folder on a file system that all of them mount",
            )

    def dismiss(self) -> None:
        """Say that there is nothing to do."""
        self._board.plan({"stands": True})

    def lead(self, job: Job, made: Attempt, directory: RunDirectory, *, quiet: bool) -> dict[str, Run]:
        """Measure with all ranks; the passes that are returned have everyone's parts and counts.

        Raises:
            EvalkitError: A rank's input was refused.
        """
        hand = self._hand
        hand.count(kinds_of(job))
        for stream, parts in made.done.items():
            hand.tally.take_parts(stream, read_parts(parts))
        done = {stream: [part.path.name for part in parts] for stream, parts in made.done.items()}
        self._board.plan({"stands": False, "done": done})
        try:
            runs = measure_job(job, made, directory, quiet=quiet, hand=hand)
        except BaseException as error:
            made.keep = made.keep or isinstance(error, InvalidRunError)
            self._call_off(error)
            raise
        self._gather(made, runs)
        return runs

    def _call_off(self, error: BaseException) -> None:
        """Let the others end before their parts are removed; what they cannot read is named, too."""
        complete = isinstance(error, DataError) and self._hand.n_left == 0
        if not complete:
            self._board.stop()
        reports, _ = self._wait(patience=None if isinstance(error, EvalkitError) else GRACE)
        _tell_all(_failures(reports, CANDIDATE))

    def _wait(self, *, patience: float | None = None) -> tuple[Reports, dict[int, str]]:
        """Wait for everyone's report; returns these, and who is lost.

        Args:
            patience: Seconds after which it is enough; None waits as long as there are signs of life.
        """
        hand, until = self._hand, None if patience is None else self._hand.clock() + patience
        while True:
            reports = self._board.reports()
            missing = [rank for rank in self._board.others if rank not in reports]
            lost = hand.signs.lost(missing)
            if lost or hand.sent.came:
                self._board.stop()
            if len(lost) == len(missing):
                return reports, lost
            if until is None and hand.sent.came:
                until = hand.clock() + GRACE
            if until is not None and hand.clock() >= until:
                return reports, lost
            hand.wait()

    def _gather(self, made: Attempt, runs: Mapping[str, Run]) -> None:
        """Put everyone's parts and counts into the passes, or the reason why there is no number.

        Raises:
            EvalkitError: An input was refused.
        """
        candidate = runs[CANDIDATE]
        if candidate.failure is not None:
            self._board.stop()
        reports, lost = self._wait()
        for stream, run in runs.items():
            _adopt(made, run, reports, stream)
        failures = _failures(reports, CANDIDATE)
        if candidate.failure is not None:
            _tell_all(failures)
            return
        candidate.failure = self._why_not(reports, failures, lost)
        if candidate.failure is None:
            self._sum_up(made, runs)

    def _why_not(
        self, reports: Reports, failures: Mapping[int, EvalkitError], lost: Mapping[int, str]
    ) -> InvalidRunError | None:
        """Return what the ranks' shares lack; None where nothing is.

        Raises:
            EvalkitError: An input was refused.
        """
        if failures:
            first, *others = sorted(failures)
            _tell_all({rank: failures[rank] for rank in others})
            found = failures[first]
            if isinstance(found, InvalidRunError):
                return found
            raise found
        if lost:
            return _missing(lost)
        if self._hand.sent.came:
            self._hand.sent.end()
        stopped = [rank for rank in sorted(reports) if reports[rank].stopped]
        return _missing(dict.fromkeys(stopped, "it was stopped")) if stopped else None

    def _sum_up(self, made: Attempt, runs: Mapping[str, Run]) -> None:
        """Sum everyone's counts, and prove that the parts hold every batch once."""
        hand, candidate = self._hand, runs[CANDIDATE]
        self._board.go()
        try:
            counted = hand.tally.split(hand.world.total(hand.tally.vector()))
            for stream, run in runs.items():
                run.counted = counted[stream]
                if run.failure is None:
                    parts = sorted(run.parts, key=lambda part: part.first)
                    check_cover(parts, run.work.share.batches, made.folder)
        except ChangedError as error:
            candidate.failure = InvalidRunError(error.message, check="seen_once")
        except InvalidRunError as error:
            lost = self._lost_in_sum()
            candidate.failure = _missing(lost) if lost else error

    def _lost_in_sum(self) -> dict[int, str]:
        """Return who is missing in the sum; a process that was killed is known to be after a moment."""
        hand = self._hand
        until = hand.clock() + A_MOMENT
        while not (lost := hand.signs.lost(self._board.others, summing=True)) and hand.clock() < until:
            hand.wait()
        return lost


def _adopt(made: Attempt, run: Run, reports: Reports, stream: str) -> None:
    """Add others' parts to a pass, the files that they opened to run.json, and what failed in them."""
    failures = _failures(reports, stream)
    if stream != CANDIDATE and failures:
        first = failures[min(failures)]
        run.failure = run.failure or InvalidRunError(first.message, check="forward")
    code, read = dict(made.now.code), dict(made.now.read)
    for _, report in sorted(reports.items()):
        run.parts += named_parts(made.folder / Path(name).name for name in report.parts.get(stream, ()))
        code = {**report.code, **code}
        read = {**report.read, **read}
    made.note(replace(made.now, code=code, read=read))


def _failures(reports: Reports, stream: str) -> dict[int, EvalkitError]:
    """Return what failed in a stream, by rank."""
    return {
        rank: error_of(rank, report.failures[stream])
        for rank, report in sorted(reports.items())
        if stream in report.failures
    }


def _tell_all(failures: Mapping[int, EvalkitError]) -> None:
    for error in failures.values():
        complain(f"error[{error.slug}]", str(error))


def _missing(how: Mapping[int, str]) -> InvalidRunError:
    """Say which ranks are missing, and how that is known."""
    words = [f"rank {rank} is missing: {reason}" for rank, reason in sorted(how.items())]
    return InvalidRunError(
        listed(words, limit=3),
        check="workers",
        hint=GO_ON,
    )
