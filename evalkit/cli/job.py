"""What one ``evalkit run`` is to do, and doing it: prepare, measure, and write a shard."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from evalkit.attempt import Attempt
from evalkit.cli.console import progress_bar, tell
from evalkit.cli.hand import Hand
from evalkit.cli.publishing import Concluded, finished
from evalkit.fingerprint import fingerprint
from evalkit.integrity import IntegrityLog
from evalkit.measure import Candidate, measure, share_of
from evalkit.opening import Opened
from evalkit.parts import BASELINE, CANDIDATE, PartFile
from evalkit.parts.rows import read_part
from evalkit.prepare import prepare
from evalkit.ranks import Place
from evalkit.resuming import check_read_again
from evalkit.rundir import LEDGER, RUN, RunDirectory
from evalkit.runfile import RunFile
from evalkit.running import Run
from evalkit.setup import Setup
from evalkit.sources import Sources
from evalkit.work import Share, Work


@dataclass(frozen=True, slots=True)
class Job:
    """A run that is ready to be measured.

    Attributes:
        opened: The specification.
        setups: What is evaluated, by stream: the candidate, and perhaps a baseline.
        logs: The outcome of every check, by stream.
        share: Which batches.
        sources: The files of the model's code.
    """

    opened: Opened
    setups: dict[str, Setup]
    logs: dict[str, IntegrityLog]
    share: Share
    sources: Sources

    @property
    def setup(self) -> Setup:
        """The candidate."""
        return self.setups[CANDIDATE]

    def run_file(self, known: RunFile | None) -> RunFile:
        """Say what the run is made of; files of a known run are looked at, too, if they are not open yet."""
        now = fingerprint(self.setup, self.share, beside=self.setups.get(BASELINE))
        return self.noted(replace(now, **self._known(known)))

    def noted(self, now: RunFile) -> RunFile:
        """Add the files that are open by now: a forward pass may import and read, too."""
        code, read = self.sources.code(), self.sources.read()
        return replace(now, code={**now.code, **code}, read={**now.read, **read})

    def _known(self, known: RunFile | None) -> dict[str, Any]:
        if known is None:
            return {}
        return {name: self.sources.now(getattr(known, name)) for name in ("code", "read")}


def prepare_job(
    opened: Opened,
    older: Opened | None,
    *,
    limit: int | None,
    shard: tuple[int, int],
    sources: Sources,
    place: Place | None = None,
) -> Job:
    """Build the models and open the data.

    Args:
        opened: The candidate's specification.
        older: A baseline's that is measured over the same batches.
        limit: Only so many samples.
        shard: Which one of how many.
        sources: The files of the model's code.
        place: Which of several ranks.
    """
    local_rank = None if place is None else place.local_rank
    logs = {CANDIDATE: IntegrityLog()}
    setups = {CANDIDATE: prepare(opened, logs[CANDIDATE], local_rank=local_rank)}
    if older is not None:
        logs[BASELINE] = IntegrityLog()
        setups[BASELINE] = prepare(older, logs[BASELINE], beside=setups[CANDIDATE], local_rank=local_rank)
    if place is not None:
        setups = {stream: _among(setup, place) for stream, setup in setups.items()}
    share = share_of(setups[CANDIDATE], limit=limit, index=shard[0], count=shard[1])
    return Job(opened, setups, logs, share, sources)


def measure_job(
    job: Job, made: Attempt, directory: RunDirectory, *, quiet: bool, hand: Hand | None = None
) -> dict[str, Run]:
    """Run what is not done yet, or a rank's share of it; returns the passes by stream."""
    setup, done = job.setup, made.done.get(CANDIDATE, ())
    leads = hand is None or hand.leads
    with progress_bar(setup.question.name, quiet=quiet) as progress:
        if leads and done and setup.source.identity() is None:
            tell("reading the samples of the finished parts again: only that tells whether they are the same")
            check_read_again(setup, job.share, done, progress if hand is None else hand.alive(progress))
        answered, models = leads and is_answered(job.share, done), []
        for stream, one in job.setups.items():
            work = Work(
                made.folder, directory.temporary(LEDGER), job.share, made.done.get(stream, ()), stream,
                answered=answered, note=(lambda: made.note(job.noted(made.now))) if leads else _nothing,
            )  # fmt: skip
            work = work if hand is None else hand.share_of(work)
            models.append(Candidate(one, job.logs[stream], work))
        shown = progress if hand is None else hand.watching(progress)
        runs = measure(models, clock=time.perf_counter, progress=shown)
    return dict(zip(job.setups, runs, strict=True))


def kinds_of(job: Job) -> dict[str, tuple[str, int]]:
    """Return task and number of classes of each stream."""
    asked = {stream: setup.question.asked for stream, setup in job.setups.items()}
    return {stream: (one.decision.task, len(one.class_names)) for stream, one in asked.items()}


def _nothing() -> None:
    """Leave run.json to rank 0."""


def is_answered(share: Share, done: Sequence[PartFile]) -> bool:
    """Return whether the first samples that can be read are in a part: one before all that is still to do."""
    kept = {position for part in done for position in range(part.first, part.stop)}
    to_do = next((position for position in share.batches if position not in kept), share.batches.stop)
    return any(read_part(part).observed.n_evaluated for part in done if part.first < to_do)


def _among(setup: Setup, place: Place) -> Setup:
    """Say in a setup how many ranks there are."""
    return replace(setup, run={**setup.run, "world_size": place.size})


def concluded(run: Run, provenance: dict[str, Any]) -> Concluded:
    """Compute the numbers of a pass."""
    return Concluded(run.evaluation(provenance), run.work.ledger)


def publish_shard(
    directory: RunDirectory, job: Job, now: RunFile, runs: dict[str, Run], provenance: dict[str, Any]
) -> None:
    """Say that the parts of a shard are complete; its own numbers are written beside them, where it has any.

    Raises:
        InvalidRunError: It is invalid.
    """
    for run in runs.values():
        if run.failure is not None:
            raise run.failure
    streams = {
        stream: {
            "described": run.describe().to_json(),
            "findings": run.integrity.found,
            "parts": [part.path.name for part in run.parts],
            "provenance": provenance,
        }
        for stream, run in runs.items()
    }
    documents: dict[str, bytes] = {}
    if runs[CANDIDATE].observed.n_evaluated:
        documents["result.json"] = concluded(runs[CANDIDATE], provenance).evaluation.result.to_json()
    sums = {name: sha256(content).hexdigest() for name, content in documents.items()}
    complete = finished(replace(job.noted(now), streams=streams), sums)
    directory.publish({**documents, RUN: complete.to_json()})
