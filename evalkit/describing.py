"""What a document says of a pass beside the numbers: who asked what of which model, on what machine."""

import math
from dataclasses import dataclass, field
from typing import Any

from evalkit.asking import asked_of
from evalkit.assemble import Question, assemble
from evalkit.classes import check_class_names
from evalkit.decide import Decision
from evalkit.errors import DocumentError, EvalkitError, SpecificationError, listed, reason_of
from evalkit.findings import Findings
from evalkit.integrity import IntegrityLog
from evalkit.parts import Joined, Observed, Shape
from evalkit.parts.repeats import Repeats
from evalkit.result import EvalResult, Partial
from evalkit.spec import MetricsSpec, SlicesSpec, SourceMap, validate_gates
from evalkit.uncertainty import share_at_most

SHOWN_UNREADABLE = 100
_LEVEL = 0.95
_STATED: dict[str, Any] = {
    **dict.fromkeys(("name", "where", "parameters", "torch_version"), str),
    **dict.fromkeys(("chosen_on", "weights"), (str, type(None))),
    **dict.fromkeys(("spec", "model", "data", "run"), dict),
    **dict.fromkeys(("exclude", "classes_assumed"), bool),
    **dict.fromkeys(("memory", "n_available"), int),
    **dict.fromkeys(("class_names", "decision", "averages"), list),
}


@dataclass(frozen=True, slots=True)
class Description:
    """Everything that a document says and that no part of the pass changes.

    Attributes:
        question: What is asked.
        where: Names the data in messages.
        first, stop: The samples of this pass.
        n_available: Samples that the data have.
        exclude: Leave unreadable samples out instead of refusing.
        memory: How many bytes of scores may be held at once.
        chosen_on: Digest of the data that the threshold was chosen on.
        weights: SHA-256 of the checkpoint file; None where the model came without one.
        parameters: SHA-256 of the model's parameters and buffers, whatever file they came from.
        spec: The resolved specification without ``run``.
        model, data, run: Facts about each.
        torch_version: Of the machine that ran the model.
        partial: Why the pass covers only a part of the data.
    """

    question: Question
    where: str
    first: int
    stop: int
    n_available: int
    exclude: bool = False
    memory: int = 0
    chosen_on: str | None = None
    weights: str | None = None
    parameters: str = ""
    spec: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    torch_version: str = ""
    partial: Partial | None = None

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON; what is asked follows from the specification, classes and decision."""
        named = ("where", "exclude", "memory", "chosen_on", "weights", "parameters", "n_available")
        blocks = ("spec", "model", "data", "run", "torch_version")
        decision = self.question.asked.decision
        return {
            **{name: getattr(self, name) for name in (*named, *blocks)},
            "name": self.question.name,
            "classes_assumed": self.question.classes_assumed,
            "class_names": list(self.question.asked.class_names),
            "averages": list(self.question.asked.measures.averages),
            "decision": [decision.task, decision.output, decision.positive, decision.threshold],
        }

    @classmethod
    def of_all(cls, found: dict[str, Any], *, n_samples: int) -> "Description":
        """Read what :meth:`to_json` gave, as the description of all shards together.

        Raises:
            DocumentError: It is not what evalkit writes.
        """
        try:
            stated = dict(found)
            _check_types(stated)
            names, decision = tuple(stated.pop("class_names")), Decision(*stated.pop("decision"))
            name, assumed = stated.pop("name"), stated.pop("classes_assumed")
            spec, n_available = stated["spec"], stated["n_available"]
            # What was asked, not only what was said: of label sets an average more is the default.
            metrics = {**spec["metrics"], "averages": stated.pop("averages")}
            asked = asked_of(
                MetricsSpec.model_validate(metrics),
                SlicesSpec.model_validate({"slices": spec["data"]["slices"]}).slices,
                class_names=names,
                decision=decision,
                gates=validate_gates({"gates": spec["gates"]}, SourceMap("run.json")).gates
                if spec["gates"]
                else (),
                scored=True,
                error=lambda path, message: SpecificationError(f"{path}: {message}"),
            )
            partial = None if n_samples == n_available else Partial(limit=n_samples, of=n_available)
            question = Question(name, asked, assumed)
            return cls(question=question, first=0, stop=n_samples, partial=partial, **stated)
        except (KeyError, TypeError, ValueError, EvalkitError) as error:
            raise DocumentError(f"run.json: is not what evalkit writes ({reason_of(error)})") from error

    @property
    def n_asked(self) -> int:
        """How many samples were to be run."""
        return self.stop - self.first

    @property
    def shape(self) -> Shape:
        """What parts are counted by."""
        asked = self.question.asked
        return Shape(asked.class_names, asked.decision, asked.binned, self.n_available)


def _check_types(stated: dict[str, Any]) -> None:
    """Raise ValueError where something is of another type than evalkit writes."""
    odd = [name for name, kinds in _STATED.items() if not isinstance(stated[name], kinds)]
    if odd or not all(isinstance(name, str) for name in stated["class_names"]):
        raise ValueError(f"{listed(odd) or 'class_names'} of another type")
    check_class_names(stated["class_names"], where="run.json")


def record_warnings(
    described: Description, joined: Joined, repeats: Repeats, integrity: IntegrityLog
) -> None:
    """Record what does not make a run invalid, but a reader must know."""
    observed = joined.observed
    doubts = {
        "inputs_differ": (repeats.n_duplicates, f"{repeats.n_duplicates} inputs equal an earlier one"),
        "labels_agree": (
            repeats.n_conflicting,
            f"{repeats.n_conflicting} samples have an input that also occurs with another label",
        ),
    }
    shared = observed.n_trained_on
    if shared is not None:
        text = f"{shared} of {observed.n_evaluated} inputs are in the training set"
        doubts["not_trained_on"] = (shared, text)
    for check, (found, text) in doubts.items():
        if found:
            integrity.record(check, "warn", text)
    _record_precision(described.run.get("precision"), observed, integrity)
    declared = described.question.asked.decision.output == "probabilities"
    checks = ["eval_mode", "forward", "workers", "finite_outputs", "seen_once", "data_unchanged"]
    checks.append("model_unchanged")
    integrity.ok([*doubts, "images_complete", *checks, *(["probabilities"] if declared else [])])


def _record_precision(kind: Any, observed: Observed, integrity: IntegrityLog) -> None:
    """Say how far answers of half precision can be trusted."""
    again, n = observed.again, observed.n_evaluated
    if kind == "amp":
        integrity.record("precision", "not_run", "amp: answers of half precision, compared with nothing")
        return
    if kind != "fast":
        integrity.record("precision", "ok", "every answer is one of the model's own precision")
        return
    bound = _changed_at_most(observed)
    text = (
        f"fast: {again.n_near} of {n} samples ran again in full precision; of {again.n_audited} drawn at "
        f"random {again.n_changed} change their prediction, so that at most {bound:.2%} of all do "
        f"(Clopper-Pearson, {_LEVEL:.0%})"
    )
    if again.unforeseen:
        text += f"; an error of {again.largest:.2g} was seen where {again.limit:.2g} was measured before"
    integrity.record("precision", "warn" if again.n_changed or again.unforeseen else "ok", text)


def _changed_at_most(observed: Observed) -> float:
    """Return the bound on the share of predictions that full precision would change."""
    again, n = observed.again, observed.n_evaluated
    if again.n_near >= n:
        return 0.0
    if again.n_audited >= n:
        return again.n_changed / n
    return share_at_most(again.n_changed, again.n_audited, level=_LEVEL)


def document(
    described: Description,
    observed: Observed,
    joined: Joined | None,
    found: Findings | None,
    *,
    repeats: Repeats,
    integrity: IntegrityLog,
    provenance: dict[str, Any],
) -> EvalResult:
    """Write down what was found; without findings the run is invalid and holds no number.

    Args:
        described: What does not depend on the samples' answers.
        observed: What the loop saw.
        joined: The pass, where it was put together.
        found: The numbers, where there are any.
        repeats: What occurs more than once.
        integrity: The outcome of every check.
        provenance: Facts about machine and command.
    """
    n_samples = described.n_asked if found is None else observed.n_evaluated
    complete = observed.inputs.n_items == n_samples
    return assemble(
        described.question,
        found,
        n_asked=described.n_asked,
        partial=described.partial,
        n_excluded=len(observed.unreadable),
        digests={
            "data": joined.data.hexdigest() if complete and joined is not None else None,
            "inputs": observed.inputs.hexdigest() if complete else None,
            "weights": described.weights,
            "parameters": described.parameters,
            **({"scores": joined.bins.digest()} if joined is not None and joined.bins.result() else {}),
        },
        torch_version=described.torch_version,
        dtype=observed.output_dtype,
        integrity=integrity,
        spec=described.spec,
        model={**described.model, "output_dtype": observed.output_dtype or None},
        data=_data_facts(described, observed, repeats),
        run=_run_facts(described, observed, n_samples),
        provenance=provenance,
    )


def _data_facts(described: Description, observed: Observed, repeats: Repeats) -> dict[str, Any]:
    return {
        **described.data,
        "n_evaluated": observed.n_evaluated,
        "n_unreadable": len(observed.unreadable),
        "unreadable": [f"{lost.name}: {lost.reason}" for lost in observed.unreadable[:SHOWN_UNREADABLE]],
        "duplicate_inputs": repeats.n_duplicates,
        "conflicting_labels": repeats.n_conflicting,
        "in_training_set": observed.n_trained_on,
        "modes": dict(sorted(observed.modes.items())),
        "classes_assumed": described.question.classes_assumed,
        "input_cast": observed.input_cast,
        "input_statistics": observed.statistics.summary(),
        "n_ties": observed.n_ties,
    }


def _run_facts(described: Description, observed: Observed, n_samples: int) -> dict[str, Any]:
    seconds = observed.seconds.get("inference")
    return {
        **described.run,
        **_speed(observed, n_samples),
        **({"fast": _fast_facts(observed)} if described.run.get("precision") == "fast" else {}),
        "halved_batches": len(observed.halved),
        "smallest_batch": min(observed.halved.values(), default=None),
        "seconds": {name: observed.seconds.get(name, 0.0) for name in ("inference", "audit")},
        "samples_per_second": n_samples / seconds if seconds else None,
    }


def _speed(observed: Observed, n_samples: int) -> dict[str, Any]:
    """Return what gates can take: samples a second, milliseconds a batch, megabytes."""
    seconds, latencies = observed.seconds.get("inference"), observed.latencies
    return {
        "throughput": n_samples / seconds if seconds else None,
        "latency_p50_ms": latencies.milliseconds(0.5),
        "latency_p95_ms": latencies.milliseconds(0.95),
        "peak_memory_mb": observed.peak_memory_mb,
        "breakdown": {name: observed.seconds.get(name, 0.0) for name in ("load", "forward", "account")},
    }


def _fast_facts(observed: Observed) -> dict[str, Any]:
    again = observed.again
    limit, largest = (value if math.isfinite(value) else None for value in (again.limit, again.largest))
    return {
        "ran_again": again.n_near,
        "compared": again.n_audited,
        "changed": again.n_changed,
        "changed_at_most": _changed_at_most(observed),
        "level": _LEVEL,
        "measured_error": limit,
        "largest_error": largest,
    }
