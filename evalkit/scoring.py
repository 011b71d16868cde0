"""The other trunk: predictions from anywhere become an EvalResult; never torch."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.assemble import Question, assemble
from evalkit.counts import LabelCounter
from evalkit.decide import Decision
from evalkit.digests import DataDigest
from evalkit.errors import DataError, SpecificationError, listed, nearest
from evalkit.integrity import IntegrityLog
from evalkit.labels import is_missing, match_labels
from evalkit.ledger import LedgerWriter, Output, PredictionBatch, open_ledger
from evalkit.result import EvalResult
from evalkit.rows import Measures, default_metrics

NOT_RUN = "evalkit did not run the model"
_TOLERANCE = 1e-3
_SHOWN = 5


def make_decision(
    class_names: Sequence[str],
    *,
    task: str,
    output: Output,
    threshold: float | None,
    positive_class: str | None,
    scored: bool = True,
) -> Decision:
    """Build the decision rule; SpecificationError where it lacks what it needs."""
    if task not in ("multiclass", "binary"):
        raise SpecificationError(f"task: expected multiclass or binary, got {task!r}")
    if output not in ("logits", "probabilities", "scores"):
        raise SpecificationError(f"output: expected logits, probabilities or scores, got {output!r}")
    if task == "multiclass":
        if threshold is not None or positive_class is not None:
            raise SpecificationError("threshold and positive_class belong to task: binary")
        return Decision(task, output)
    if len(class_names) != 2:  # noqa: PLR2004 - binary
        raise SpecificationError(f"task: binary has 2 classes, got {len(class_names)}")
    if positive_class is not None and positive_class not in class_names:
        raise SpecificationError(
            f"positive_class: {positive_class!r} is no class{nearest(positive_class, class_names)}"
        )
    if scored and threshold is None and output == "scores":
        raise SpecificationError("threshold: is required for output: scores, in the score's own units")
    _check_threshold(threshold, output)
    positive = 1 if positive_class is None else list(class_names).index(positive_class)
    return Decision(task, output, positive, 0.5 if threshold is None else float(threshold))


def _check_threshold(threshold: float | None, output: Output) -> None:
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not math.isfinite(threshold):
        raise SpecificationError(f"threshold: must be a finite number, got {threshold!r}")
    if output != "scores" and not 0 <= threshold <= 1:
        raise SpecificationError(f"threshold: must be between 0 and 1, got {threshold!r}")


class Tally:
    """Takes predictions batch by batch and gives the result; what :class:`evalkit.Accumulator` is made of.

    Args:
        class_names: In output order.
        decision: The rule from scores to classes.
        ledger: Where the per-sample table is written.
        name: Of the run.
    """

    def __init__(
        self, class_names: tuple[str, ...], decision: Decision, *, ledger: Path, name: str = "model"
    ) -> None:
        measures = Measures(
            decision.task, tuple(default_metrics(decision.task, len(class_names), scored=False))
        )
        self.question = Question(name, class_names, decision, measures)
        self._counter = LabelCounter(len(class_names))
        self._digest = DataDigest(class_names)
        self._context = open_ledger(ledger, decision.output)
        self._writer: LedgerWriter = self._context.__enter__()
        self._ids: set[str] = set()
        self._identified: bool | None = None
        self._scored: bool | None = None
        self._n_ties = 0
        self._n_samples = 0
        self._result: EvalResult | None = None

    def add(
        self,
        y_true: ArrayLike,
        *,
        y_pred: ArrayLike | None = None,
        y_score: ArrayLike | None = None,
        ids: Sequence[object] | None = None,
    ) -> None:
        """Take one batch.

        Args:
            y_true: Class indices (integers) or names (text), shape (n,).
            y_pred: The same for predictions; decided from the scores where it is left out.
            y_score: Scores, shape (n, K).
            ids: Unique sample ids, all or none of the samples.

        Raises:
            DataError: Shapes, types or values outside the contract. Nothing of the batch is counted then.
        """
        if self._result is not None:
            raise DataError("the result was taken already; nothing can be added")
        if y_pred is None and y_score is None:
            raise DataError("expected y_pred or y_score")
        true = self._labels(y_true, "y_true", None)
        outputs = None if y_score is None else self._scores(y_score, len(true))
        pred, n_ties = self._decided(y_pred, outputs, len(true))
        names = self._check_ids(ids, len(true))
        if not len(true):
            return
        if self._scored not in (None, outputs is not None):
            raise DataError("y_score: expected for all batches or for none")
        index = np.arange(self._n_samples, self._n_samples + len(true))
        self._writer.write(PredictionBatch(index, true, pred, outputs, names))
        self._scored, self._identified = outputs is not None, names is not None
        self._ids.update(names or ())
        self._counter.add(true, pred)
        self._digest.add(true, names)
        self._n_samples += len(true)
        self._n_ties += n_ties

    def result(self, *, provenance: dict[str, Any]) -> EvalResult:
        """Close the table and return the result; DataError without samples."""
        if self._result is None:
            if self._n_samples == 0:
                raise DataError("no samples were added")
            self._context.__exit__(None, None, None)
            self._result = self._document(provenance)
        return self._result

    def _document(self, provenance: dict[str, Any]) -> EvalResult:
        integrity = IntegrityLog(NOT_RUN)
        integrity.record("seen_once", "ok", "the counts sum to n")
        policy = self.question.measures.policy
        return assemble(
            self.question,
            self._counter.result(),
            n_asked=self._n_samples,
            n_available=self._n_samples,
            n_excluded=0,
            digests={"data": self._digest.hexdigest(), "inputs": None, "weights": None},
            torch_version=None,
            dtype=None,
            integrity=integrity,
            spec={
                "name": self.question.name,
                "task": self.question.decision.task,
                "metrics": {"classes": policy.classes, "zero_division": policy.zero_division},
            },
            model={"output": self.question.decision.output},
            data={
                "source": "predictions",
                "n_samples": self._n_samples,
                "n_evaluated": self._n_samples,
                "ids": "explicit" if self._identified else "positional",
                "n_ties": self._n_ties,
            },
            run={},
            provenance=provenance,
        )

    def _labels(self, values: ArrayLike, what: str, n_samples: int | None) -> NDArray[np.int64]:
        labels = match_labels(np.asarray(values), self.question.class_names, where=what)
        if n_samples is not None and len(labels) != n_samples:
            raise DataError(f"{what}: expected {n_samples} rows, got {len(labels)}")
        return labels

    def _scores(self, values: ArrayLike, n_samples: int) -> NDArray[Any]:
        scores, n_classes = np.asarray(values), len(self.question.class_names)
        if scores.dtype.kind not in "fiub":
            raise DataError(f"y_score: expected numbers, got {scores.dtype}")
        if scores.shape != (n_samples, n_classes):
            raise DataError(f"y_score: expected shape ({n_samples}, {n_classes}), got {scores.shape}")
        scores = scores.astype(np.float32 if scores.dtype in (np.float16, np.float32) else np.float64)
        rows = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        if rows.size:
            raise DataError(f"y_score: NaN or infinite in rows {listed(rows[:_SHOWN].tolist())}")
        if self.question.decision.output == "probabilities":
            wide = scores.astype(np.float64)
            bad = ((wide < 0) | (wide > 1)).any(axis=1) | (np.abs(wide.sum(axis=1) - 1) > _TOLERANCE)
            if bad.any():
                raise DataError(
                    f"y_score: row {int(np.flatnonzero(bad)[0])} is no probability distribution",
                    hint="Say output='logits' or 'scores' if that is what it is",
                )
        return scores

    def _decided(
        self, y_pred: ArrayLike | None, outputs: NDArray[Any] | None, n_samples: int
    ) -> tuple[NDArray[np.int64], int]:
        if y_pred is None:
            assert outputs is not None
            return self.question.decision.decide(outputs) if n_samples else (np.array([], np.int64), 0)
        return self._labels(y_pred, "y_pred", n_samples), 0

    def _check_ids(self, ids: Sequence[object] | None, n_samples: int) -> list[str] | None:
        if n_samples == 0:
            return None
        if self._identified is not None and self._identified != (ids is not None):
            raise DataError("ids: expected for all batches or for none")
        if ids is None:
            return None
        rows = [row for row, name in enumerate(ids) if is_missing(name)]
        if rows:
            raise DataError(f"ids: {len(rows)} are missing (rows {listed(rows, limit=_SHOWN)})")
        names = [str(name) for name in ids]
        if len(names) != n_samples:
            raise DataError(f"ids: expected {n_samples}, got {len(names)}")
        repeated = [name for name, count in Counter(names).items() if count > 1 or name in self._ids]
        if repeated:
            raise DataError(f"ids: must be unique, repeated: {listed(repeated, limit=_SHOWN)}")
        return names
