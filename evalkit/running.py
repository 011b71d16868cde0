"""One model's pass over the data: what is taken batch by batch, checked at the end, and written down."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.binned import ClassBins
from evalkit.counts import ConfusionCounts, counter_of
from evalkit.datasets import Batch, Inputs
from evalkit.describing import Pass, document, record_warnings
from evalkit.digests import DataDigest
from evalkit.errors import DataError, InvalidRunError
from evalkit.findings import find
from evalkit.inference import (
    Inference,
    batch_list,
    evaluation_mode,
    first_line,
    is_of_worker,
    iterate_batches,
    relabelled,
)
from evalkit.inference.audit import N_TWICE, Auditor, check_repeatable
from evalkit.inference.batches import reordered
from evalkit.inference.mode import check_eval_mode
from evalkit.inference.repeats import find_repeats
from evalkit.inference.unchanged import check_unchanged, model_digest
from evalkit.integrity import IntegrityLog
from evalkit.ledger import LedgerWriter, PredictionBatch, open_ledger
from evalkit.result import EvalResult
from evalkit.samples import Samples, read_samples
from evalkit.setup import Setup, predictor_of


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a run gave.

    Attributes:
        result: The document; ``valid`` is False where the run cannot give a number.
        failure: Why it cannot.
        bins: Of the classes that gates rank by and the table does not hold.
        conflicting: Rows of the table, the first ones whose input occurs with another label, too.
    """

    result: EvalResult
    failure: InvalidRunError | None
    bins: ClassBins
    conflicting: tuple[int, ...] = ()


class Run:
    """One model's pass: what the loop fills in, and the document that is made of it."""

    def __init__(
        self,
        setup: Setup,
        integrity: IntegrityLog,
        ledger: Path,
        clock: Callable[[], float],
        limit: int | None,
        *,
        leads: bool = True,
    ) -> None:
        """Prepare a pass; one that does not lead is handed the batches that another one read."""
        self.setup = setup
        self.leads = leads
        self.integrity = integrity
        self.ledger = ledger
        self.clock = clock
        n_asked = len(setup.source) if limit is None else min(limit, len(setup.source))
        if n_asked == 0:
            raise DataError(f"{setup.where}: holds no samples")
        asked = setup.question.asked
        self.ran = Pass(Inference(np.zeros(n_asked, np.uint8)), DataDigest(asked.class_names), n_asked)
        self.bins = ClassBins(asked.binned, n_classes=len(asked.class_names), output=asked.decision.output)
        self.failure: InvalidRunError | None = None
        self.counts: ConfusionCounts | None = None
        self._counter: Any = counter_of(asked.measures.task, len(asked.class_names))
        self._predictor = predictor_of(setup, self.ran.state)
        self._writer: LedgerWriter | None = None
        self.opened = ExitStack()

    def start(self) -> None:
        """Open the ledger and put the model into eval mode, until the run is finished."""
        self.ran.parameters = model_digest(self.setup.model)
        output = self.setup.question.asked.decision.output
        self._writer = self.opened.enter_context(open_ledger(self.ledger, output))
        try:
            self.opened.enter_context(evaluation_mode(self.setup.model))
        except InvalidRunError as error:
            self.failure = error

    @contextmanager
    def watching_workers(self) -> Iterator[None]:
        """Make the run invalid where a worker dies; torch tells so wherever the main process is."""
        try:
            yield
        except RuntimeError as error:
            if not is_of_worker(error):
                raise
            died = InvalidRunError(f"a loader worker died: {first_line(error)}", check="workers")
            self.failure = self.failure or died

    def reading(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Count the time in which batches are waited for; a dead worker makes the run invalid."""
        while True:
            start = self.clock()
            try:
                batch = next(batches, None)
            except InvalidRunError as error:
                self.failure = error
                return
            self.ran.seconds["inference"] += self.clock() - start
            if batch is None:
                return
            yield batch

    def take(self, position: int, batch: Batch) -> None:
        """Run one batch; the counts come from the same arrays that go to the ledger."""
        if self.failure is not None:
            return
        asked_again = self._few_of(batch)
        if asked_again and not self._reads_again(batch):
            return
        start = self.clock()
        try:
            found = self._predictor.take(position, batch)
        except InvalidRunError as error:
            self.failure = error
            return
        if found is not None:
            assert self._writer is not None
            self._counter.add(found.y_true, found.y_pred)
            self.ran.data.add(found.y_true, found.ids)
            self._writer.write(found)
            self.bins.add(found)
        self.ran.seconds["inference"] += self.clock() - start
        if found is not None and asked_again:
            self._audit(asked_again, found)

    def _reads_again(self, batch: Batch) -> bool:
        """Compare the batch with what is read a second time, before a model can change it."""
        setup, start = self.setup, self.clock()
        if not self.leads or setup.audit == "off" or setup.stochastic:
            return True
        try:
            check_repeatable(setup.source, batch)
        except InvalidRunError as error:
            self.failure = error
            return False
        self.integrity.ok(["data_repeatable"])
        self.ran.seconds["audit"] += self.clock() - start
        return True

    def _few_of(self, batch: Batch) -> Inputs:
        """Copy the samples of a batch that the model is asked about again, before it can change them."""
        if (self.ran.few and self.setup.audit != "full") or not len(batch.index):
            return ()
        return reordered(batch.inputs, np.arange(min(N_TWICE, len(batch.index))))

    def _audit(self, inputs: Inputs, found: PredictionBatch) -> None:
        """Ask again as soon as there is an answer, so that a wrong model does not run for hours."""
        setup, start = self.setup, self.clock()
        self.ran.few = self.ran.few or inputs
        if setup.audit == "off" or found.outputs is None:
            return
        if setup.stochastic:
            self.integrity.record("deterministic", "not_run", "the model is meant to be random")
            return
        on_cpu = setup.device.type == "cpu"
        auditor = Auditor(
            self._predictor.ask, setup.question.asked.decision, self.ran.state.output_dtype, on_cpu=on_cpu
        )
        try:
            auditor.audit(inputs, found.outputs, self.integrity)
        except InvalidRunError as error:
            self.failure = self._cause() or error
        self.ran.seconds["audit"] += self.clock() - start

    def _cause(self) -> InvalidRunError | None:
        """Return what makes answers differ where it is known: train mode, or a model that changes itself."""
        model = self.setup.model
        try:
            check_eval_mode(model, "after the first batch")
            check_unchanged(self.ran.parameters, model_digest(model))
        except InvalidRunError as error:
            return error
        return None

    def close(self) -> None:
        """Close the ledger and give the model back; what failed first is what failed."""
        try:
            self.opened.close()
        except InvalidRunError as error:
            self.failure = self.failure or error

    def finish(self) -> None:
        """Record every check, also those that can only be made at the end; an invalid run loses its table.

        Raises:
            DataError: Samples cannot be read, or the threshold was chosen on these.
        """
        try:
            if self.failure is not None:
                raise self.failure
            self._predictor.check_readable()
            self.ran.state.check_complete()
            check_unchanged(self.ran.parameters, model_digest(self.setup.model))
            counts: ConfusionCounts = self._counter.result()
            self._check_sum(counts)
        except InvalidRunError as error:
            self.failure = error
            self.ledger.unlink(missing_ok=True)
            self.integrity.record(error.check, "fail", error.message)
            return
        setup = self.setup
        if setup.chosen_on is not None and setup.chosen_on == self.ran.data.hexdigest():
            raise DataError(
                "the threshold was chosen on these very samples", hint="Choose it on a run over other data"
            )
        self.counts = counts
        self.ran.repeats = find_repeats(self.ran.state.prints, self.ledger)
        record_warnings(setup, self.ran, self.integrity)
        checks = ["eval_mode", "forward", "workers", "finite_outputs", "seen_once", "model_unchanged"]
        declared = setup.question.asked.decision.output == "probabilities"
        self.integrity.ok([*checks, "probabilities"] if declared else checks)

    def evaluation(self, provenance: dict[str, Any]) -> Evaluation:
        """Compute the numbers and make the document."""
        found = None
        if self.counts is not None:
            found = find(self.setup.question.asked, self.counts, self.samples)
        written = document(self.setup, self.ran, found, integrity=self.integrity, provenance=provenance)
        return Evaluation(written, self.failure, self.bins, self.ran.repeats.conflicting)

    def samples(self) -> Samples:
        """Read what the run wrote down."""
        asked = self.setup.question.asked
        return read_samples(
            self.ledger,
            task=asked.measures.task,
            n_classes=len(asked.class_names),
            attributes=asked.grouping.columns,
            memory=self.setup.memory,
            bins=self.bins.result(),
        )

    def _check_sum(self, counts: ConfusionCounts) -> None:
        n_evaluated = self.ran.state.n_evaluated
        if n_evaluated == 0:
            raise DataError(f"{self.setup.where}: none of {self.ran.n_asked} samples can be read")
        if (counts.n_samples != n_evaluated).any():
            raise InvalidRunError(f"counts sum to {counts.n_samples}, not {n_evaluated}", check="seen_once")
        self.ran.n_evaluated = n_evaluated

    def check_labels(self) -> None:
        """Refuse labels outside the classes; where the classes are the mistake, say that instead."""
        setup = self.setup
        labels = setup.source.labels()
        if labels is None:
            return
        try:
            relabelled(labels, setup.valid, n_classes=setup.n_outputs, where=setup.where)
        except DataError:
            with suppress(InvalidRunError, DataError), evaluation_mode(setup.model):
                probe = predictor_of(setup, Inference(np.zeros(1, np.uint8)))
                probe.take(0, next(iterate_batches(setup.source, batch_list(1, 1), workers=0)))
            raise
