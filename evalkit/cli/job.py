"""What one ``evalkit run`` is to do, and doing it: prepare, measure, and write a shard."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from evalkit.attempt import Attempt
from evalkit.cli.console import progress_bar, tell
from evalkit.cli.publishing import Concluded, finished
from evalkit.fingerprint import code_files, fingerprint
from evalkit.integrity import IntegrityLog
from evalkit.measure import Candidate, measure, share_of
from evalkit.opening import Opened
from evalkit.parts import BASELINE, CANDIDATE
from evalkit.prepare import prepare
from evalkit.resuming import check_read_again
from evalkit.rundir import LEDGER, RUN, RunDirectory
from evalkit.runfile import RunFile
from evalkit.running import Run
from evalkit.setup import Setup
from evalkit.work import Share, Work


@dataclass(frozen=True, slots=True)
class Job:
    """A run that is ready to be measured.

    Attributes:
        opened: The specification.
        setups: What is evaluated, by stream: the candidate, and perhaps a baseline.
        logs: The outcome of every check, by stream.
        share: Which batches.
        imported: Modules that were there before the model's.
    """

    opened: Opened
    setups: dict[str, Setup]
    logs: dict[str, IntegrityLog]
    share: Share
    imported: frozenset[str]

    @property
    def setup(self) -> Setup:
        """The candidate."""
        return self.setups[CANDIDATE]

    def run_file(self, known: RunFile | None) -> RunFile:
        """Say what the run is made of; source files of a known run are looked at, too."""
        now = fingerprint(self.setup, self.share, beside=self.setups.get(BASELINE))
        return self.with_code(now, () if known is None else known.code)

    def with_code(self, now: RunFile, known: Iterable[str] = ()) -> RunFile:
        """Say which source files are imported by now: a forward pass may import, too."""
        return replace(now, code=code_files(self.opened.loaded.base, self.imported, known))


def prepare_job(
    opened: Opened,
    older: Opened | None,
    *,
    limit: int | None,
    shard: tuple[int, int],
    imported: frozenset[str],
) -> Job:
    """Build the models and open the data.

    Args:
        opened: The candidate's specification.
        older: A baseline's that is measured over the same batches.
        limit: Only so many samples.
        shard: Which one of how many.
        imported: Modules that are not the model's.
    """
    logs = {CANDIDATE: IntegrityLog()}
    setups = {CANDIDATE: prepare(opened, logs[CANDIDATE])}
    if older is not None:
        logs[BASELINE] = IntegrityLog()
        setups[BASELINE] = prepare(older, logs[BASELINE], beside=setups[CANDIDATE])
    share = share_of(setups[CANDIDATE], limit=limit, index=shard[0], count=shard[1])
    return Job(opened, setups, logs, share, imported)


def measure_job(job: Job, made: Attempt, directory: RunDirectory, *, quiet: bool) -> dict[str, Run]:
    """Run what is not done yet; returns the passes by stream."""
    setup, done = job.setup, made.done.get(CANDIDATE, ())
    with progress_bar(setup.question.name, quiet=quiet) as progress:
        if done and setup.source.identity() is None:
            tell("reading the samples of the finished parts again: only that tells whether they are the same")
            check_read_again(setup, job.share, done, progress)
        models = []
        for stream, one in job.setups.items():
            ledger = directory.temporary(LEDGER)
            work = Work(made.folder, ledger, job.share, made.done.get(stream, ()), stream)
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
    complete = finished(replace(job.with_code(now), streams=streams), sums)
    directory.publish({**documents, RUN: complete.to_json()})
