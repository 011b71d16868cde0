"""The trunk: a specification's model and data become one EvalResult and a ledger."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evalkit.catalogue import DEFAULT_NAMES
from evalkit.checkpoints.contract import positive_index
from evalkit.checkpoints.data import dtype_name
from evalkit.checkpoints.factory import build_model, import_path
from evalkit.checkpoints.loading import LoadedWeights, load_weights
from evalkit.classes import ranks
from evalkit.counts import ConfusionCounts, LabelCounter
from evalkit.datasets import check_range, open_npz
from evalkit.digests import named_data_digest, positional_data_digest
from evalkit.errors import DataError, InvalidRunError
from evalkit.inference import Decision, Inference, batch_list, evaluation_mode, pick_device, predict
from evalkit.integrity import IntegrityLog, check_unchanged, model_digest
from evalkit.ledger import PredictionBatch, open_ledger
from evalkit.metrics import Policy
from evalkit.result import EvalResult, Partial, counts_fields
from evalkit.rows import metric_rows
from evalkit.signature import signature
from evalkit.spec import Loaded

DEFAULT_THRESHOLD = 0.5
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a run gave.

    Attributes:
        result: The document; ``valid`` is False where the run cannot give a number.
        failure: Why it cannot.
    """

    result: EvalResult
    failure: InvalidRunError | None


def evaluate_specification(
    loaded: Loaded,
    class_names: tuple[str, ...],
    *,
    ledger: Path,
    provenance: dict[str, Any],
    clock: Callable[[], float],
    progress: Progress,
    limit: int | None = None,
) -> Evaluation:
    """Build, load, run and count.

    Args:
        loaded: The specification.
        class_names: In the model's output order.
        ledger: Where the per-sample table is written; absent afterwards where the run is invalid.
        provenance: Facts about machine and command.
        clock: Seconds from any start.
        progress: Called with (samples done, samples in all).
        limit: Evaluate only the first samples; the result is partial then.

    Raises:
        EvalkitError: The model cannot be built, or an input is refused. An invalid run does not raise.
    """
    run = _Run(loaded, class_names, clock, limit)
    try:
        with import_path(loaded.base):  # a forward pass may import, too
            counts = run.count(ledger, progress)
        return Evaluation(run.document(counts, provenance), None)
    except InvalidRunError as error:
        ledger.unlink(missing_ok=True)
        run.integrity.record(error.check, "fail", error.message)
        return Evaluation(run.document(None, provenance), error)


class _Run:
    """One evaluation: what is set up before the loop and what the document needs after it."""

    def __init__(
        self, loaded: Loaded, class_names: tuple[str, ...], clock: Callable[[], float], limit: int | None
    ) -> None:
        spec = loaded.spec
        self.loaded = loaded
        self.class_names = class_names
        self.clock = clock
        self.started = clock()
        self.decision = _decision(loaded, class_names)
        self.device = pick_device(spec.run.device)
        self.integrity = IntegrityLog()
        torch.manual_seed(spec.run.seed)
        self.model = build_model(spec.model.factory, spec.model.args, base=loaded.base)
        self.weights = self._load()
        self.model.to(self.device)
        self.source = open_npz(loaded.resolve(spec.data.path))
        self._check_labels()
        self.n_samples = len(self.source) if limit is None else min(limit, len(self.source))
        self.state = Inference(np.zeros(self.n_samples, np.uint8))
        self.seconds: dict[str, float] = {"setup": clock() - self.started}

    def _load(self) -> LoadedWeights:
        model = self.loaded.spec.model
        assert model.checkpoint is not None  # the specification's own check
        path = self.loaded.resolve(model.checkpoint)
        found = load_weights(self.model, path, weights=model.weights, sha256=model.sha256)
        texts = {
            "crc_verified": ("ok", "the file's checksums hold"),
            "crc_not_recorded": ("warn", "the file carries no checksums"),
            "not_verifiable": ("warn", "this format has no checksums"),
        }
        status, text = texts[found.checkpoint.integrity]
        if model.sha256 is not None:
            status, text = "ok", "the file's sha256 is the pinned one"
        self.integrity.record("file_integrity", "ok" if status == "ok" else "warn", text)
        return found

    def _check_labels(self) -> None:
        """Refuse labels outside the classes; where the classes are the mistake, say that instead."""
        where = str(self.loaded.resolve(self.loaded.spec.data.path))
        try:
            check_range(self.source.y, n_classes=len(self.class_names), where=where)
        except DataError:
            with suppress(InvalidRunError), evaluation_mode(self.model):
                next(self._predict(1, Inference(np.zeros(1, np.uint8))))
            raise

    def _predict(self, n_samples: int, state: Inference) -> Iterator[PredictionBatch]:
        spec = self.loaded.spec
        return predict(
            self.model,
            self.source,
            batch_list(n_samples, spec.run.batch_size),
            decision=self.decision,
            n_classes=len(self.class_names),
            select=spec.model.select,
            device=self.device,
            dtype=_floating_dtype(self.model),
            workers=spec.run.workers if n_samples > 1 else 0,
            state=state,
        )

    def count(self, ledger: Path, progress: Progress) -> ConfusionCounts:
        """Run the loop; the counts come from the same arrays that go to the ledger."""
        before, start = model_digest(self.model), self.clock()
        counter, done = LabelCounter(len(self.class_names)), 0
        with open_ledger(ledger, self.decision.output) as writer, evaluation_mode(self.model):
            for batch in self._predict(self.n_samples, self.state):
                counter.add(batch.y_true, batch.y_pred)
                writer.write(batch)
                done += len(batch.index)
                progress(done, self.n_samples)
        self.seconds["inference"] = self.clock() - start
        self.state.check_complete()
        check_unchanged(before, model_digest(self.model))
        counts = counter.result()
        if int(counts.n_samples) != self.n_samples:
            raise InvalidRunError(
                f"counts sum to {counts.n_samples}, not {self.n_samples}", check="seen_once"
            )
        self.integrity.ok(
            ["eval_mode", "forward", "workers", "finite_outputs", "seen_once", "model_unchanged"]
        )
        if self.decision.output == "probabilities":
            self.integrity.ok(["probabilities"])
        return counts

    def document(self, counts: ConfusionCounts | None, provenance: dict[str, Any]) -> EvalResult:
        """Write down what was found; without counts the run is invalid and holds no number."""
        spec, digests = self.loaded.spec, self._digests()
        policy = Policy(spec.metrics.classes, spec.metrics.zero_division)
        positive = self.decision.positive
        whole = len(self.source)
        numbers: dict[str, Any] = {"counts": None, "metrics": ()}
        if counts is not None:
            numbers = {**counts_fields(counts), "metrics": tuple(self._rows(counts, policy))}
        return EvalResult.model_construct(
            name=spec.name,
            task=spec.task,
            valid=counts is not None,
            partial=None if self.n_samples == whole else Partial(limit=self.n_samples, of=whole),
            signature=signature(
                task=spec.task,
                positive=None if positive is None else self.class_names[positive],
                class_names=self.class_names,
                decide=self._decide_text(),
                policy=policy,
                n_samples=self.n_samples,
                digests=digests,
                torch_version=torch.__version__.partition("+")[0],
                dtype=self.state.output_dtype,
            ),
            digests=digests,
            class_names=self.class_names,
            positive_class=None if positive is None else self.class_names[positive],
            threshold=self.decision.threshold,
            n_samples=self.n_samples,
            spec=self.loaded.document(),
            integrity=self.integrity.rows(),
            model=self._model_facts(),
            data=self._data_facts(counts),
            run=self._run_facts(),
            provenance=provenance,
            **numbers,
        )

    def _rows(self, counts: ConfusionCounts, policy: Policy) -> list[Any]:
        spec = self.loaded.spec
        extra = () if spec.metrics.names == "default" else spec.metrics.names
        gated = [gate.metric for gate in spec.gates]
        averages = {*spec.metrics.averages, *(gate.average for gate in spec.gates if gate.average)}
        return metric_rows(
            counts,
            self.class_names,
            policy=policy,
            names=[*DEFAULT_NAMES, *extra, *gated],
            averages=sorted(averages),
            level=spec.metrics.interval,
        )

    def _digests(self) -> dict[str, str | None]:
        y_true = self.source.y[: self.n_samples]
        names = sorted(self.class_names)
        if self.source.ids is None:
            order = ranks(self.class_names)
            by_index = np.array([order[name] for name in self.class_names], np.int64)
            data = positional_data_digest(by_index[y_true], names)
        else:
            labels = [self.class_names[label] for label in y_true.tolist()]
            data = named_data_digest(self.source.ids[: self.n_samples], labels, names)
        complete = self.state.inputs.n_items == self.n_samples
        return {
            "data": data,
            "inputs": self.state.inputs.hexdigest() if complete else None,
            "weights": self.weights.checkpoint.sha256,
        }

    def _decide_text(self) -> str:
        threshold = self.decision.threshold
        return self.decision.text if threshold is None else f"{self.decision.text}({threshold:g})"

    def _model_facts(self) -> dict[str, Any]:
        spec, parameters = self.loaded.spec.model, list(self.model.parameters())
        return {
            "factory": spec.factory,
            "class": f"{type(self.model).__module__}.{type(self.model).__qualname__}",
            "n_parameters": sum(parameter.numel() for parameter in parameters),
            "dtype": dtype_name(_floating_dtype(self.model) or "none"),
            "output": spec.output,
            "output_dtype": self.state.output_dtype or None,
            **self.weights.facts(),
        }

    def _data_facts(self, counts: ConfusionCounts | None) -> dict[str, Any]:
        facts = self.source.facts()
        if counts is not None:
            facts["n_ties"] = self.state.n_ties
        return {**facts, "n_evaluated": self.n_samples, "input_cast": self.state.input_cast}

    def _run_facts(self) -> dict[str, Any]:
        seconds = {**self.seconds, "total": self.clock() - self.started}
        inference = seconds.get("inference")
        return {
            **self.loaded.spec.run.model_dump(mode="json"),
            "used_device": str(self.device),
            "threads": torch.get_num_threads(),
            "seconds": seconds,
            "samples_per_second": self.n_samples / inference if inference else None,
        }


def _decision(loaded: Loaded, class_names: tuple[str, ...]) -> Decision:
    model, positive = loaded.spec.model, positive_index(loaded, class_names)
    if positive is None:
        return Decision(loaded.spec.task, model.output)
    threshold = DEFAULT_THRESHOLD if model.threshold is None else float(str(model.threshold))
    return Decision(loaded.spec.task, model.output, positive, threshold)


def _floating_dtype(model: torch.nn.Module) -> torch.dtype | None:
    return next((value.dtype for value in model.parameters() if value.is_floating_point()), None)
