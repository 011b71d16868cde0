"""One call of ``evalkit run`` in one folder: evaluate, go on with what was stopped, or judge what stands."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from evalkit.attempt import Attempt, attempt
from evalkit.baselines import BaselineRun
from evalkit.cli.console import tell
from evalkit.cli.crew import Crew
from evalkit.cli.job import Job, concluded, measure_job, publish_shard
from evalkit.cli.judging import Judgement
from evalkit.cli.publishing import Concluded, flipped_ids, measured, publish_evaluation
from evalkit.cli.repeating import (
    age,
    holds_valid_result,
    judge_again,
    known_run,
    shard_stands,
    standing_result,
)
from evalkit.errors import EvalkitError, InvalidRunError, OutputError
from evalkit.gallery import GalleryRow
from evalkit.gates import Terms
from evalkit.parts import BASELINE, CANDIDATE
from evalkit.picking import pick
from evalkit.result import EvalResult
from evalkit.rundir import PARTS, RUN, RunDirectory
from evalkit.runfile import RunFile
from evalkit.running import Run
from evalkit.showing import are_images, shown
from evalkit.verdict import Verdict

# After these the machine may have failed, not the model: what was done is worth going on with.
_RESUMABLE = ("workers", "forward")


@dataclass(frozen=True, slots=True)
class Session:
    """Where a run is written, and how it is judged and told.

    Attributes:
        directory: The folder, held by this process.
        terms, baseline: How it is judged.
        provenance: Facts about machine and command.
        quiet: Whether nothing is told.
        pictures: Whether people look at a terminal.
        resume: Go on with the parts that are there.
        force: Compute again, even if nothing changed.
        crew: The other ranks, where there are any.
    """

    directory: RunDirectory
    terms: Terms
    baseline: BaselineRun | None
    provenance: dict[str, Any]
    quiet: bool
    pictures: bool
    resume: bool
    force: bool
    crew: Crew | None = None

    def whole(self, job: Job) -> tuple[EvalResult, Judgement, InvalidRunError | None]:
        """Evaluate and judge, or judge again what stands; returns why the run is invalid, too."""
        path, known = self.directory.path, self._known()
        now = job.run_file(known)
        stands = standing_result(path, known, now)
        if known is not None and stands is not None:
            if self.crew is not None:
                self.crew.dismiss()
            self._tell(f"evaluated {age(known.finished)}, nothing changed; --force repeats it")
            shutil.rmtree(path / PARTS, ignore_errors=True)  # of a process that was killed when all was done
            return stands, judge_again(self.directory, stands, self.terms, self.baseline), None
        with self._attempt(job, known, now) as made:
            runs = self._measured(job, made)
            self._keep_report(made, runs[CANDIDATE].failure)
            found = concluded(runs[CANDIDATE], self.provenance)
            failure, baseline = found.evaluation.failure, self.baseline
            if BASELINE in runs and failure is None:
                baseline = measured(concluded(runs[BASELINE], self.provenance))
            made.keep = failure is not None and failure.check in _RESUMABLE and made.n_parts > 0
            judgement = publish_evaluation(
                self.directory, found, self.terms, baseline,
                partial(self._gallery, job, found),
                job.noted(made.now), complete=not made.keep,
            )  # fmt: skip
        return found.evaluation.result, judgement, failure

    def _keep_report(self, made: Attempt, failure: InvalidRunError | None) -> None:
        """Leave a good report where it is, if all that failed is that a rank is missing.

        Raises:
            InvalidRunError: A rank is missing; what was done is kept, to go on with.
        """
        if self.crew is None or failure is None or failure.check != "workers":
            return
        if holds_valid_result(self.directory.path):
            made.keep = True
            raise failure

    def _measured(self, job: Job, made: Attempt) -> dict[str, Run]:
        if self.crew is not None:
            return self.crew.lead(job, made, self.directory, quiet=self.quiet)
        return measure_job(job, made, self.directory, quiet=self.quiet)

    def shard(self, job: Job) -> None:
        """Evaluate one shard; nothing is judged.

        Raises:
            InvalidRunError: The shard is invalid.
        """
        path, known = self.directory.path, self._known()
        now, of = job.run_file(known), f"shard {job.share.index} of {job.share.count}"
        if known is not None and shard_stands(path, known, now):
            self._tell(f"{of}: evaluated {age(known.finished)}, nothing changed; --force repeats it")
            return
        with self._attempt(job, known, now) as made:
            runs = measure_job(job, made, self.directory, quiet=self.quiet)
            failure = runs[CANDIDATE].failure
            made.keep = failure is not None and failure.check in _RESUMABLE
            publish_shard(self.directory, job, made.now, runs, self.provenance)
            made.keep = True
        self._tell(f"{of}: {len(job.share.samples)} samples in {path}; evalkit merge joins the shards")

    def _known(self) -> RunFile | None:
        return None if self.force else known_run(self.directory.path)

    @contextmanager
    def _attempt(self, job: Job, known: RunFile | None, now: RunFile) -> Iterator[Attempt]:
        """Begin, or go on; say on the way out of a stopped run how it can be continued."""
        path, unfinished = self.directory.path, known is not None and not known.complete
        if unfinished and not self.resume:
            self._tell(f"{path}: begins anew; --resume goes on with a run that was stopped")
        elif self.resume and known is None and (path / RUN).exists():
            self._tell(f"{path}: {RUN} cannot be read; begins anew")
        going_on, refused = self.resume and unfinished, False
        try:
            with attempt(path, now, streams=tuple(job.setups), resume=going_on) as made:
                if made.n_damaged:
                    self._tell(f"{path}: {made.n_damaged} parts are torn or damaged, and are made again")
                self._tell(f"preprocessing: {job.setup.model_facts['preprocessing']}")
                yield made
        except EvalkitError as error:
            refused = not isinstance(error, (OutputError, InvalidRunError))
            raise
        finally:
            left = known_run(path)
            if left is not None and not left.complete and (path / PARTS).is_dir() and not refused:
                tell(f"{path}: keeps what was done; the same command with --resume goes on")

    def _gallery(self, job: Job, found: Concluded, verdict: Verdict) -> Sequence[GalleryRow]:
        """Choose samples that a reader wants to see: pictures at a terminal, names elsewhere, unless said."""
        allowed, source = job.opened.loaded.spec.report.samples, job.setup.source
        if allowed == "none":
            return ()
        rows, positions = pick(found.ledger, flipped_ids(verdict), found.evaluation.conflicting)
        pictures = allowed is None and self.pictures and are_images(source)
        return shown(source, rows, positions) if allowed == "thumbnails" or pictures else rows

    def _tell(self, text: str) -> None:
        if not self.quiet:
            tell(text)
