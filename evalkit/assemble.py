"""Puts a result together from findings and facts, the same for every door."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.display import quoted
from evalkit.findings import Asked, Findings
from evalkit.integrity import IntegrityLog
from evalkit.permutation import Permutation, suspected_permutation
from evalkit.result import EvalResult, Partial
from evalkit.signature import signature


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of predictions, whoever made them.

    Attributes:
        name: Of the run.
        asked: Class names, decision rule, and what to compute.
        classes_assumed: True where the names were taken from the data itself.
    """

    name: str
    asked: Asked
    classes_assumed: bool = False

    @property
    def positive_class(self) -> str | None:
        """The name of the positive class of a binary task."""
        positive = self.asked.decision.positive
        return None if positive is None else self.asked.class_names[positive]


def assemble(
    question: Question,
    found: Findings | None,
    *,
    n_asked: int,
    partial: Partial | None = None,
    n_excluded: int,
    digests: Mapping[str, str | None],
    torch_version: str | None,
    dtype: str | None,
    integrity: IntegrityLog,
    spec: dict[str, Any],
    model: dict[str, Any],
    data: dict[str, Any],
    run: dict[str, Any],
    provenance: dict[str, Any],
) -> EvalResult:
    """Build the document; without findings it is an invalid run and holds no number."""
    numbers = {"counts": None, "metrics": ()} if found is None else found.fields()
    asked, grouping = question.asked, question.asked.grouping
    permuted = None if found is None else _record_order(integrity, asked, found)
    if found is not None:
        _record_predicted(integrity, asked, found)
    n_samples = n_asked if found is None else found.n_samples
    return EvalResult.model_construct(
        name=question.name,
        task=asked.decision.task,
        valid=found is not None,
        partial=partial,
        signature=signature(
            task=asked.decision.task,
            positive=question.positive_class,
            class_names=asked.class_names,
            decide=asked.decision.described,
            policy=asked.measures.policy,
            n_samples=n_samples,
            n_excluded=n_excluded,
            cluster=grouping.cluster,
            unit=None if grouping.unit is None else "/".join(grouping.unit),
            classes_assumed=question.classes_assumed,
            digests=digests,
            torch_version=torch_version,
            dtype=dtype,
        ),
        digests=dict(digests),
        class_names=asked.class_names,
        positive_class=question.positive_class,
        threshold=asked.decision.threshold,
        n_samples=n_samples,
        spec=spec,
        integrity=integrity.rows(),
        model=model,
        data=data if permuted is None else {**data, "suspected_order": dict(permuted.mapping)},
        run=run,
        provenance=provenance,
        **numbers,
    )


def _record_order(integrity: IntegrityLog, asked: Asked, found: Findings) -> Permutation | None:
    """Record whether another order of the classes is suspected; label sets have no order to exchange."""
    if asked.decision.task == "multilabel":
        return None
    permuted = suspected_permutation(found.counts, asked.class_names)
    if permuted is None:
        integrity.ok(["class_order"])
    else:
        integrity.record("class_order", "warn", str(permuted))
    return permuted


def _record_predicted(integrity: IntegrityLog, asked: Asked, found: Findings) -> None:
    """Record where everything is taken for one class, although others occur."""
    if asked.decision.task == "multilabel":
        return
    true, predicted = (found.counts.matrix.sum(axis=axis) > 0 for axis in (1, 0))
    if predicted.sum() == 1 and true.sum() > 1:
        name = quoted(asked.class_names[int(predicted.argmax())])
        integrity.record("several_predicted", "warn", f"every sample is taken for {name}")
    integrity.ok(["several_predicted"])
