"""What one ``evalkit run`` is to do, and doing it: prepare, measure, and write a shard."""

import time
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from evalkit.attempt import Attempt
from evalkit.cli.console import progress_bar, tell
from evalkit.cli.publishing import Concluded, finished
from evalkit.fingerprint import fingerprint
from evalkit.integrity import IntegrityLog
from evalkit.measure import Candidate, measure, share_of
from evalkit.opening import Opened
from evalkit.parts import BASELINE, CANDIDATE
from evalkit.parts.rows import read_part
from evalkit.prepare import prepare
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
    opened: Opened, older: Opened | None, *, limit: int | None, shard: tuple[int, int], sources: Sources
) -> Job:
    """Build the models and open the data.

    Args:
        opened: The candidate's specification.
        older: A baseline's that is measured over the same batches.
        limit: Only so many samples.
        shard: Which one of how many.
        sources: The files of the model's code.
    """
    logs = {CANDIDATE: IntegrityLog()}
    setups = {CANDIDATE: prepare(opened, logs[CANDIDATE])}
    if older is not None:
        logs[BASELINE] = IntegrityLog()
        setups[BASELINE] = prepare(older, logs[BASELINE], beside=setups[CANDIDATE])
    share = share_of(setups[CANDIDATE], limit=limit, index=shard[0], count=shard[1])
    return Job(opened, setups, logs, share, sources)


def measure_job(job: Job, made: Attempt, directory: RunDirectory, *, quiet: bool) -> dict[str, Run]:
    """Run what is not done yet; returns the passes by stream."""
    setup, done = job.setup, made.done.get(CANDIDATE, ())
    with progress_bar(setup.question.name, quiet=quiet) as progress:
        if done and setup.source.identity() is None:
            tell("reading the samples of the finished parts again: only that tells whether they are the same")
            check_read_again(setup, job.share, done, progress)
        answered = any(read_part(part).observed.n_evaluated for part in done)
        models = []
        for stream, one in job.setups.items():
            ledger = directory.temporary(LEDGER)
            work = Work(
                made.folder, ledger, job.share, made.done.get(stream, ()), stream,
                answered=answered, note=lambda: made.note(job.noted(made.now)),
            )  # fmt: skip
            models.append(Candidate(one, job.logs[stream], work))
        runs = measure(models, clock=time.perf_counter, progress=progress)
    return dict(zip(job.setups, runs, strict=True))


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
