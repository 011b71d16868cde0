"""Predictions of any framework: in one call, or along a loop of one's own."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit.api.arrays import as_array, default_names
from evalkit.api.result import EvalResult, Scratch
from evalkit.classes import check_class_names, name_list
from evalkit.errors import SpecificationError
from evalkit.ledger import Output
from evalkit.provenance import collect_provenance
from evalkit.scoring import Tally, make_decision
from evalkit.spec import validate_metrics


class Accumulator:
    """Counts along in a loop of one's own.

    Args:
        class_names: In output order.
        task: multiclass, binary or multilabel.
        threshold: Of a binary task, on the positive class's probability or score, or of a multilabel one.
        output: What ``y_score`` is: logits, probabilities, or scores that are only ranked.
        positive_class: Of a binary task; the second name unless said.
        metrics: What to compute, as the block of a specification: names, averages, interval, cluster, cost, …
        slices: Attributes to slice by, as in a specification.
        name: Of the run.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        *,
        task: str = "multiclass",
        threshold: float | None = None,
        output: Output = "scores",
        positive_class: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        slices: Sequence[Any] = (),
        name: str = "model",
    ) -> None:
        names = check_class_names(name_list(class_names, where="class_names"), where="class_names")
        self._task, self._threshold, self._output = task, threshold, output
        decision = make_decision(
            names, task=task, output=output, threshold=threshold, positive_class=positive_class, scored=False
        )
        self._scratch = Scratch()
        measured, sliced = validate_metrics(dict(metrics or {}), slices, where="metrics")
        self._tally = Tally(
            names, decision, ledger=self._scratch.ledger, name=name, metrics=measured, slices=sliced
        )

    def add(
        self,
        y_true: Any,
        *,
        y_pred: Any = None,
        y_score: Any = None,
        ids: Any = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> "Accumulator":
        """Take one batch: truth, and predictions or scores; arrays, lists or tensors."""
        undecided = y_pred is None and self._task != "multiclass" and self._output == "scores"
        if undecided and self._threshold is None:
            raise SpecificationError("threshold: is required for output: scores, in the score's own units")
        columns = (
            None if attributes is None else {name: as_array(values) for name, values in attributes.items()}
        )
        self._tally.add(
            as_array(y_true), y_pred=as_array(y_pred), y_score=as_array(y_score), ids=ids, attributes=columns
        )
        return self

    def result(self) -> EvalResult:
        """Return the result of everything that was added."""
        self._tally.find()
        facts = provenance()
        return EvalResult(lambda: self._tally.document(facts), self._tally.ledger, self._scratch)


def score(
    y_true: Any,
    y_pred: Any = None,
    *,
    y_score: Any = None,
    class_names: Sequence[str] | None = None,
    task: str = "multiclass",
    threshold: float | None = None,
    output: Output = "scores",
    positive_class: str | None = None,
    ids: Any = None,
    attributes: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    slices: Sequence[Any] = (),
    name: str = "model",
) -> EvalResult:
    """Score predictions of any framework.

    Args:
        y_true: Class indices or names, shape (n,).
        y_pred: The same for predictions.
        y_score: Scores, shape (n, K); decided by argmax or threshold where ``y_pred`` is left out.
        class_names: In output order; by default the sorted names that occur, or 0 to the largest index.
        task: multiclass, binary or multilabel.
        threshold, positive_class: Of a binary task; the threshold also of a multilabel one.
        output: What ``y_score`` is; undeclared scores are only ranked.
        ids: Unique sample ids.
        attributes: Further columns, for slices, clusters and units.
        metrics: What to compute, as the block of a specification: names, averages, interval, cluster, cost, …
        slices: Attributes to slice by, as in a specification.
        name: Of the run.
    """
    true, pred, scores = as_array(y_true), as_array(y_pred), as_array(y_score)
    names = default_names(true, pred, scores) if class_names is None else class_names
    accumulator = Accumulator(
        names,
        task=task,
        threshold=threshold,
        output=output,
        positive_class=positive_class,
        metrics=metrics,
        slices=slices,
        name=name,
    )
    return accumulator.add(true, y_pred=pred, y_score=scores, ids=ids, attributes=attributes).result()


def provenance() -> dict[str, Any]:
    """Return facts about this process."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    command = [Path(sys.argv[0]).name] if sys.argv and sys.argv[0] else ["python"]
    return collect_provenance(
        command=command, specification=None, base=Path(), directory=Path(), started=started
    )
