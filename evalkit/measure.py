"""The trunk: a model and data become one EvalResult and a ledger, whichever door they came through."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.assemble import Question, assemble
from evalkit.binned import ClassBins
from evalkit.checkpoints.data import dtype_name
from evalkit.counts import ConfusionCounts, counter_of
from evalkit.datasets import Source
from evalkit.digests import DataDigest
from evalkit.errors import DataError, InvalidRunError, ModelError
from evalkit.findings import Findings, find
from evalkit.inference import Inference, batch_list, evaluation_mode, predict, relabelled
from evalkit.inference.unchanged import check_unchanged, model_digest
from evalkit.integrity import IntegrityLog
from evalkit.ledger import PredictionBatch, open_ledger
from evalkit.result import EvalResult
from evalkit.samples import DEFAULT_MEMORY, Samples, read_samples

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Setup:
    """What is evaluated, and how: everything that the trunk needs to know.

    Attributes:
        question: What is asked.
        model: On its device, weights loaded.
        weights_sha256: Of the checkpoint file; None where the model came without one.
        model_facts: What the document says about the model.
        source: The samples.
        where: Names the data in messages.
        select: Which part of the model's output holds the scores.
        default_select: The same where ``select`` is None and the output is no tensor.
        device, batch_size, workers: How to run.
        exclude: Leave unreadable samples out instead of refusing.
        n_outputs: Of the model; by default as many as there are class names.
        valid: The outputs that count, as indices into all that the model has; None for all.
        memory: How many bytes of scores may be held at once.
        chosen_on: Digest of the data that the threshold was chosen on.
        spec: The resolved specification without ``run``; run: that block.
    """

    question: Question
    model: torch.nn.Module
    weights_sha256: str | None
    model_facts: dict[str, Any]
    source: Source
    where: str
    select: int | str | None
    device: torch.device
    batch_size: int
    workers: int
    exclude: bool = False
    default_select: str | None = None
    valid: NDArray[np.int64] | None = None
    memory: int = DEFAULT_MEMORY
    chosen_on: str | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    n_outputs: int = 0

    def __post_init__(self) -> None:
        """Take the number of class names where nothing else is said."""
        if not self.n_outputs:
            object.__setattr__(self, "n_outputs", len(self.question.asked.class_names))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a run gave.

    Attributes:
        result: The document; ``valid`` is False where the run cannot give a number.
        failure: Why it cannot.
        bins: Of the classes that gates rank by and the table does not hold.
    """

    result: EvalResult
    failure: InvalidRunError | None
    bins: ClassBins


def measure(
    setup: Setup,
    *,
    integrity: IntegrityLog,
    ledger: Path,
    provenance: dict[str, Any],
    clock: Callable[[], float],
    progress: Progress,
    limit: int | None = None,
) -> Evaluation:
    """Run and count.

    Args:
        setup: What to evaluate.
        integrity: Filled with the outcome of every check.
        ledger: Where the per-sample table is written; absent afterwards where the run is invalid.
        provenance: Facts about machine and command.
        clock: Seconds from any start.
        progress: Called with (samples done, samples in all).
        limit: Evaluate only the first samples; the result is partial then.

    Raises:
        EvalkitError: The model returns what was not declared, or an input is refused. An invalid run does
            not raise.
    """
    run = _Run(setup, integrity, clock, limit)
    try:
        counts = run.count(ledger, progress)
        found = find(setup.question.asked, counts, lambda: run.samples(ledger))
        return Evaluation(run.document(found, provenance), None, run.bins)
    except InvalidRunError as error:
        ledger.unlink(missing_ok=True)
        integrity.record(error.check, "fail", error.message)
        return Evaluation(run.document(None, provenance), error, run.bins)


class _Run:
    """One pass: what the loop fills in, and the document that is made of it."""

    def __init__(
        self, setup: Setup, integrity: IntegrityLog, clock: Callable[[], float], limit: int | None
    ) -> None:
        self.setup = setup
        self.integrity = integrity
        self.clock = clock
        self.n_asked = len(setup.source) if limit is None else min(limit, len(setup.source))
        if self.n_asked == 0:
            raise DataError(f"{setup.where}: holds no samples")
        self.state = Inference(np.zeros(self.n_asked, np.uint8))
        self.data = DataDigest(setup.question.asked.class_names)
        self.n_evaluated = 0
        asked = setup.question.asked
        self.bins = ClassBins(asked.binned, n_classes=len(asked.class_names), output=asked.decision.output)
        self.seconds = 0.0

    def count(self, ledger: Path, progress: Progress) -> ConfusionCounts:
        """Run the loop; the counts come from the same arrays that go to the ledger."""
        setup = self.setup
        self._check_labels()
        before, start = model_digest(setup.model), self.clock()
        asked = setup.question.asked
        counter: Any = counter_of(asked.measures.task, len(asked.class_names))
        with open_ledger(ledger, asked.decision.output) as writer, evaluation_mode(setup.model):
            for batch in self._predict(self.n_asked, self.state, setup.workers):
                counter.add(batch.y_true, batch.y_pred)
                self.data.add(batch.y_true, batch.ids)
                writer.write(batch)
                self.bins.add(batch)
                progress(self.state.n_evaluated, self.n_asked)
        self.seconds = self.clock() - start
        self.state.check_complete()
        check_unchanged(before, model_digest(setup.model))
        counts: ConfusionCounts = counter.result()
        self._check_sum(counts)
        if setup.chosen_on is not None and setup.chosen_on == self.data.hexdigest():
            raise DataError(
                "the threshold was chosen on these very samples", hint="Choose it on a run over other data"
            )
        checks = ["eval_mode", "forward", "workers", "finite_outputs", "seen_once", "model_unchanged"]
        self.integrity.ok([*checks, "probabilities"] if asked.decision.output == "probabilities" else checks)
        return counts

    def samples(self, ledger: Path) -> Samples:
        """Read what the run wrote down."""
        asked = self.setup.question.asked
        return read_samples(
            ledger,
            task=asked.measures.task,
            n_classes=len(asked.class_names),
            attributes=asked.grouping.columns,
            memory=self.setup.memory,
            bins=self.bins.result(),
        )

    def _check_sum(self, counts: ConfusionCounts) -> None:
        n_evaluated = self.state.n_evaluated
        if n_evaluated == 0:
            raise DataError(f"{self.setup.where}: none of {self.n_asked} samples can be read")
        if (counts.n_samples != n_evaluated).any():
            raise InvalidRunError(f"counts sum to {counts.n_samples}, not {n_evaluated}", check="seen_once")
        self.n_evaluated = n_evaluated

    def _check_labels(self) -> None:
        """Refuse labels outside the classes; where the classes are the mistake, say that instead."""
        labels = self.setup.source.labels()
        if labels is None:
            return
        try:
            relabelled(labels, self.setup.valid, n_classes=self.setup.n_outputs, where=self.setup.where)
        except DataError:
            with suppress(InvalidRunError, DataError), evaluation_mode(self.setup.model):
                next(self._predict(1, Inference(np.zeros(1, np.uint8)), 0), None)
            raise

    def _predict(self, n_samples: int, state: Inference, workers: int) -> Iterator[PredictionBatch]:
        setup = self.setup
        return predict(
            setup.model,
            setup.source,
            batch_list(n_samples, setup.batch_size),
            decision=setup.question.asked.decision,
            n_outputs=setup.n_outputs,
            valid=setup.valid,
            select=setup.select,
            default_select=setup.default_select,
            device=setup.device,
            dtype=floating_dtype(setup.model),
            workers=workers,
            exclude=setup.exclude,
            state=state,
        )

    def document(self, found: Findings | None, provenance: dict[str, Any]) -> EvalResult:
        """Write down what was found; without findings the run is invalid and holds no number."""
        setup, state = self.setup, self.state
        n_samples = self.n_asked if found is None else self.n_evaluated
        complete = state.inputs.n_items == n_samples
        return assemble(
            setup.question,
            found,
            n_asked=self.n_asked,
            n_available=len(setup.source),
            n_excluded=len(state.unreadable),
            digests={
                "data": self.data.hexdigest() if complete else None,
                "inputs": state.inputs.hexdigest() if complete else None,
                "weights": setup.weights_sha256,
            },
            torch_version=torch.__version__.partition("+")[0],
            dtype=state.output_dtype,
            integrity=self.integrity,
            spec=setup.spec,
            model={**setup.model_facts, "output_dtype": state.output_dtype or None},
            data=self._data_facts(),
            run=self._run_facts(n_samples),
            provenance=provenance,
        )

    def _data_facts(self) -> dict[str, Any]:
        state = self.state
        return {
            **self.setup.source.facts(),
            "n_evaluated": self.n_evaluated,
            "n_unreadable": len(state.unreadable),
            "unreadable": [f"{lost.name}: {lost.reason}" for lost in state.unreadable[:100]],
            "modes": dict(sorted(state.modes.items())),
            "classes_assumed": self.setup.question.classes_assumed,
            "input_cast": state.input_cast,
            "input_statistics": state.statistics.summary(),
            "n_ties": state.n_ties,
        }

    def _run_facts(self, n_samples: int) -> dict[str, Any]:
        return {
            **self.setup.run,
            "used_device": str(self.setup.device),
            "threads": torch.get_num_threads(),
            "seconds": {"inference": self.seconds},
            "samples_per_second": n_samples / self.seconds if self.seconds else None,
        }


def check_module(model: object) -> None:
    """Raise ModelError unless it is a torch module."""
    if not isinstance(model, torch.nn.Module):
        raise ModelError(
            f"model: expected a torch.nn.Module, got a {type(model).__name__}",
            hint="Predictions of anything else go to evalkit.score",
        )


def floating_dtype(model: torch.nn.Module) -> torch.dtype | None:
    """Return the model's floating type, which floating inputs take; None where it has none."""
    return next((value.dtype for value in model.parameters() if value.is_floating_point()), None)


def module_facts(model: torch.nn.Module) -> dict[str, Any]:
    """Return what a document says about any module."""
    return {
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": dtype_name(floating_dtype(model) or "none"),
    }


def model_device(model: torch.nn.Module) -> torch.device:
    """Return the device that a model's tensors are on; the CPU where it has none."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
