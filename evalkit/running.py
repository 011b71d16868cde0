"""One model's pass over the data: what is taken batch by batch, checked, and written in parts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.concluding import Evaluation, conclude, lost
from evalkit.datasets import Batch, Inputs
from evalkit.datasets.images import truncated_allowed
from evalkit.describing import Description
from evalkit.errors import DataError, InvalidRunError
from evalkit.inference import (
    Fed,
    Taken,
    batch_list,
    evaluation_mode,
    first_line,
    is_of_worker,
    iterate_batches,
    relabelled,
)
from evalkit.inference.anatomy import anatomy
from evalkit.inference.audit import N_TWICE, Auditor, check_repeatable
from evalkit.inference.batches import copied, reordered
from evalkit.inference.memory import Fitting, peak_memory_mb
from evalkit.inference.mode import check_eval_mode
from evalkit.inference.precision import Half, Limit, half_of, measure
from evalkit.inference.unchanged import check_unchanged, model_digest
from evalkit.integrity import IntegrityLog
from evalkit.parts import Observed, PartFile, PartWriter
from evalkit.setup import Setup, floating_dtype, predictor_of
from evalkit.work import Work

if TYPE_CHECKING:
    from evalkit.counts import ConfusionCounts

Found = TypeVar("Found")
# A part is written every so many seconds, later so often that a kill costs a hundredth of the time so far;
# and proving that the model is still the same takes a hundredth at most.
PART_SECONDS, LOST_SHARE, CHECK_SHARE = 2.0, 0.01, 0.01


class Run:
    """One model's pass: what the loop fills in, and the parts that are made of it."""

    def __init__(
        self,
        setup: Setup,
        integrity: IntegrityLog,
        work: Work,
        clock: Callable[[], float],
        described: Description,
    ) -> None:
        """Prepare a pass; one that does not lead is handed the batches that another one read."""
        self.setup = setup
        self.work = work
        self.integrity = integrity
        self.clock = clock
        self.described = described
        self.failure: InvalidRunError | None = None
        self.counted: ConfusionCounts | None = None  # by all ranks together
        self.observed = Observed()
        self.parts: list[PartFile] = list(work.done)
        self.opened = ExitStack()
        self._parameters = ""
        self._check_seconds = 0.0
        self._few: Inputs = ()
        self._whole: Description | None = None
        self._started = clock()
        self._fitting = Fitting()
        self._half = half_of(setup.precision, work.share.n_samples, setup.seed)
        self._quick: Any = torch.compile(setup.model) if setup.compiles else None
        self._begin_part()
        output = setup.question.asked.decision.output
        self._writer = PartWriter(work.folder, work.stream, output, described.shape.bins())

    def _begin_part(self) -> None:
        self._state = Observed(n_trained_on=None if self.setup.trained_on is None else 0)
        if self._half is not None and self._half.limit is not None:
            self._state.again.limit = self._state.again.largest = self._half.limit.absolute
        predictor = predictor_of(self.setup, self._state)
        further = {"half": self._half, "quick": self._quick, "clock": self.clock}
        self._predictor = replace(predictor, fitting=self._fitting, **further)
        self._batches: list[int] = []
        self._since = self.clock()

    def start(self) -> None:
        """Put the model into eval mode, until the run is finished."""
        start = self.clock()
        self._parameters = model_digest(self.setup.model)
        self._check_seconds = self.clock() - start
        try:
            self.opened.enter_context(evaluation_mode(self.setup.model))
            self._measure_half()
        except InvalidRunError as error:
            self.failure = error

    def _measure_half(self) -> None:
        """See how far half precision is off, on samples that are the same for every shard."""
        if self._half is None or not self._half.asks_again:
            return
        start = self.clock()
        self._half = measure(self._half, self._limit)
        self._fitting = Fitting()  # so that a batch that has to be halved is one of those that count
        self._begin_part()
        self._state.spend("audit", self.clock() - start)

    def _limit(self, half: Half) -> Limit:
        setup, size = self.setup, self.setup.batch_size
        parts = (half.measured[start : start + size] for start in range(0, len(half.measured), size))
        batches = (self._alive(setup.source.batch(index)) for index in parts)
        asked = (self._predictor.both(batch, half) for batch in batches if len(batch.index))
        return Limit.of(setup.question.asked.decision, asked)

    @property
    def dtype(self) -> torch.dtype | None:
        """The model's floating type."""
        return self._predictor.dtype

    @property
    def n_seen(self) -> int:
        """Samples of parts and batches that are done."""
        return self.observed.n_seen + self._state.n_seen

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

    def reading(self, batches: Iterator[Fed]) -> Iterator[Fed]:
        """Count the time in which batches are waited for; a dead worker makes the run invalid."""
        while True:
            start = self.clock()
            try:
                batch = next(batches, None)
            except InvalidRunError as error:
                self.failure = error
                return
            self._spend("load", self.clock() - start)
            if batch is None:
                return
            yield batch

    def take(self, position: int, fed: Fed) -> None:
        """Run one batch; what the model answers goes to the part that is being made."""
        if self.failure is not None:
            return
        try:
            self._take(position, fed)
        except InvalidRunError as error:
            self.failure = error

    def _take(self, position: int, fed: Fed) -> None:
        asked_again = self._few_of(fed.batch)
        if asked_again:
            self._read_again(fed.batch)
        start, forward = self.clock(), self._state.seconds.get("forward", 0.0)
        found = self._predictor.take(position, fed)
        if found is not None:
            self._writer.add(found.batch, found.prints)
            self.work.taken(found.batch)
            if self.setup.trained_on is not None:
                self._state.n_trained_on = (self._state.n_trained_on or 0) + self.setup.trained_on.n_shared(
                    found.prints
                )
        self._batches.append(position)
        seconds = self.clock() - start
        self._state.spend("inference", seconds)
        self._state.spend("account", seconds - (self._state.seconds.get("forward", 0.0) - forward))
        if found is not None and asked_again:
            self._audit(asked_again, found)

    def _spend(self, what: str, seconds: float) -> None:
        """Count time of the loop."""
        self._state.spend("inference", seconds)
        self._state.spend(what, seconds)

    @property
    def spent(self) -> Mapping[str, float]:
        """Seconds of the loop so far: load, forward, account."""
        names = ("load", "forward", "account")
        return {
            name: sum(one.seconds.get(name, 0.0) for one in (self.observed, self._state)) for name in names
        }

    def _read_again(self, batch: Batch) -> None:
        """Compare the batch with what is read a second time, before a model can change it."""
        setup, start = self.setup, self.clock()
        if self.work.leads and setup.audit != "off" and not setup.stochastic:
            check_repeatable(setup.source, batch)
            self.integrity.ok(["data_repeatable"])
            self._state.spend("audit", self.clock() - start)

    def _few_of(self, batch: Batch) -> Inputs:
        """Copy the samples of a batch that the model is asked about again, before it can change them.

        These are the first of the whole data, so that it does not matter how a run is cut.
        """
        first = self.work.begins and not self._few
        if not (first or self.setup.audit == "full") or not len(batch.index):
            return ()
        return first_of(batch)

    def _audit(self, inputs: Inputs, found: Taken) -> None:
        """Ask again as soon as there is an answer, so that a wrong model does not run for hours."""
        setup, start = self.setup, self.clock()
        self._few = self._few or inputs
        if setup.audit == "off" or found.batch.outputs is None:
            return
        if setup.stochastic:
            self.integrity.record("deterministic", "not_run", "the model is meant to be random")
            return
        on_cpu = setup.device.type == "cpu"
        asked, dtype = setup.question.asked.decision, self._state.output_dtype
        recorded = found.batch.outputs
        try:
            if self._half is not None and self._half.asks_again:  # only some of what is recorded is exact
                recorded, dtype = self._predictor.ask(copied(inputs)), "float32"
            Auditor(self._ask, asked, dtype, on_cpu=on_cpu).audit(inputs, recorded, self.integrity)
        except InvalidRunError:
            self._check_model("after the first batch")  # the cause, where it is known
            raise
        self._state.spend("audit", self.clock() - start)

    def _ask(self, inputs: Inputs) -> NDArray[Any]:
        """Ask the model again, with a sign of life: a dozen forward passes are no single batch."""
        return self._alive(self._predictor.ask(inputs))

    def _alive(self, found: Found) -> Found:
        self.work.alive()
        return found

    def _check_model(self, when: str) -> None:
        """Raise InvalidRunError where the model is in train mode, or another one than before."""
        start = self.clock()
        check_eval_mode(self.setup.model, when)
        check_unchanged(self._parameters, model_digest(self.setup.model))
        self._check_seconds = self.clock() - start

    @property
    def part_is_due(self) -> bool:
        """Whether enough was done to be worth keeping; a run that will be refused keeps nothing."""
        if self._state.unreadable and not self.setup.exclude:
            return False
        now = self.clock()
        elapsed = (now - self._started) * LOST_SHARE
        interval = max(PART_SECONDS, elapsed, self._check_seconds / CHECK_SHARE)
        return self._writer.is_full or now - self._since >= interval

    @property
    def next_position(self) -> int | None:
        """The batch that the part which is being made goes on with; None where any may be its first."""
        return self._batches[-1] + 1 if self._batches else None

    def cut(self) -> None:
        """Write what was done as a part, once the model is proved to be the same as before."""
        if self.failure is not None or not self._batches:
            return
        first, last, start = self._batches[0], self._batches[-1], self.clock()
        self._state.peak_memory_mb = peak_memory_mb(self.setup.device)
        try:
            self._check_model(f"after batch {last}")
        except InvalidRunError as error:
            self.failure = error
            return
        if truncated_allowed():
            text = "LOAD_TRUNCATED_IMAGES is set: pictures may be cut off"
            self.integrity.record("images_complete", "warn", text)
        self.work.note()
        self.parts.append(self._writer.write(first, last + 1, self._state, self.integrity.found))
        self.observed.join(self._state)
        self._begin_part()
        self._spend("account", self.clock() - start)

    def close(self) -> None:
        """Give the model back; what failed first is what failed."""
        self._writer.close()
        try:
            self.opened.close()
        except InvalidRunError as error:
            self.failure = self.failure or error
        if self.failure is not None:
            self.observed.join(self._state)

    def check_data(self, stamp: str) -> None:
        """Make the run invalid where the data are not what they were when it began."""
        if self.failure is None and self.setup.source.stamp() != stamp:
            gone = "".join(f" ({one.name}: {one.reason})" for one in self._state.unreadable[:1])
            text = f"{self.described.where}: samples came, went or were written again during the run{gone}"
            self.failure = InvalidRunError(text, check="data_unchanged")

    def check_readable(self) -> None:
        """Raise DataError where a sample could not be read and must not be left out."""
        if self.failure is None and self._state.unreadable and not self.setup.exclude:
            raise lost(self._state.unreadable, self.described.n_asked)

    def describe(self) -> Description:
        """Return what a document says of the pass; the layers are looked at once everything is counted."""
        if self._whole is None:
            self._whole = self._describe()
        return self._whole

    def _describe(self) -> Description:
        layers, setup = None, self.setup
        few = self._first_inputs() if self.failure is None and self.work.is_first else ()
        if few:
            layers = anatomy(setup.model, few, setup.device, floating_dtype(setup.model))
        model = {**self.described.model, "architecture": layers}
        return replace(self.described, parameters=self._parameters, model=model)

    def _first_inputs(self) -> Inputs:
        """Return the first samples that can be read; in a run that goes on they are read once more."""
        share = self.work.share
        for index in batch_list(share.n_samples, share.batch_size, () if self._few else share.batches):
            batch = self.setup.source.batch(index)
            if len(batch.index):
                return first_of(batch)
        return self._few

    def evaluation(self, provenance: dict[str, Any]) -> Evaluation:
        """Compute the numbers of this pass and make the document."""
        parts = sorted(self.parts, key=lambda part: part.first)
        return conclude(
            self.describe(),
            parts,
            self.integrity,
            ledger=self.work.ledger,
            observed=self.observed,
            failure=self.failure,
            counted=self.counted,
            provenance=provenance,
        )

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
                probe = predictor_of(setup, Observed())
                first = next(iterate_batches(setup.source, batch_list(1, 1), workers=0))
                probe.take(0, Fed.of(first, probe.dtype))
            raise


def first_of(batch: Batch) -> Inputs:
    """Return copies of a batch's first samples."""
    return reordered(batch.inputs, np.arange(min(N_TWICE, len(batch.index))))
