"""Puts a result together from counts and facts, the same for every door."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.count_rows import count_rows
from evalkit.counts import ConfusionCounts
from evalkit.decide import Decision
from evalkit.integrity import IntegrityLog
from evalkit.result import EvalResult, Partial, counts_fields
from evalkit.rows import Measures
from evalkit.signature import signature


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of predictions, whoever made them.

    Attributes:
        name: Of the run.
        class_names: In output order.
        decision: The rule from scores to classes; its task is the run's.
        measures: What to compute.
        classes_assumed: True where the names were taken from the data itself.
    """

    name: str
    class_names: tuple[str, ...]
    decision: Decision
    measures: Measures
    classes_assumed: bool = False

    @property
    def positive_class(self) -> str | None:
        """The name of the positive class of a binary task."""
        positive = self.decision.positive
        return None if positive is None else self.class_names[positive]


def assemble(
    question: Question,
    counts: ConfusionCounts | None,
    *,
    n_asked: int,
    n_available: int,
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
    """Build the document; without counts it is an invalid run and holds no number."""
    numbers: dict[str, Any] = {"counts": None, "metrics": ()}
    if counts is not None:
        rows = count_rows(counts.matrix, question.class_names, question.measures)
        numbers = {**counts_fields(counts), "metrics": tuple(rows)}
    n_samples = n_asked if counts is None else int(counts.n_samples)
    return EvalResult.model_construct(
        name=question.name,
        task=question.decision.task,
        valid=counts is not None,
        partial=None if n_asked == n_available else Partial(limit=n_asked, of=n_available),
        signature=signature(
            task=question.decision.task,
            positive=question.positive_class,
            class_names=question.class_names,
            decide=question.decision.described,
            policy=question.measures.policy,
            n_samples=n_samples,
            n_excluded=n_excluded,
            classes_assumed=question.classes_assumed,
            digests=digests,
            torch_version=torch_version,
            dtype=dtype,
        ),
        digests=dict(digests),
        class_names=question.class_names,
        positive_class=question.positive_class,
        threshold=question.decision.threshold,
        n_samples=n_samples,
        spec=spec,
        integrity=integrity.rows(),
        model=model,
        data=data,
        run=run,
        provenance=provenance,
        **numbers,
    )
