"""Takes predictions batch by batch, as Python code hands them over."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.asking import asked_of
from evalkit.assemble import Question
from evalkit.counts import counter_of, narrow
from evalkit.decide import Decision
from evalkit.digests import DataDigest
from evalkit.errors import DataError
from evalkit.findings import Findings, find
from evalkit.ledger import LedgerWriter, PredictionBatch, check_attributes, open_ledger
from evalkit.predictions import check_ids, check_labels, check_scores
from evalkit.result import EvalResult
from evalkit.scoring.document import document
from evalkit.scoring.rule import metrics_error
from evalkit.spec import MetricsSpec, SliceSpec, SlicesSpec
from evalkit.stored import Stored


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A batch whose rows are not written yet."""

    start: int
    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    ids: Sequence[str] | None
    attributes: Mapping[str, NDArray[Any]]

    def with_outputs(self, outputs: NDArray[Any] | None) -> PredictionBatch:
        index = np.arange(self.start, self.start + len(self.y_true))
        true, pred = self.y_true, self.y_pred
        if true.ndim == 1:
            true, pred = true.astype(np.int64), pred.astype(np.int64)
        return PredictionBatch(index, true, pred, outputs, self.ids, self.attributes)


class Tally:
    """Takes predictions batch by batch and gives the result; what :class:`evalkit.Accumulator` is made of.

    Labels alone stay in memory, a few bytes a sample; with scores every batch goes to the per-sample table.

    Args:
        class_names: In output order.
        decision: The rule from scores to classes.
        ledger: Gives the path where the per-sample table is written; called when it is.
        name: Of the run.
        metrics: What to compute, as in a specification.
        slices: Which attributes to slice by.
    """

    def __init__(
        self,
        class_names: tuple[str, ...],
        decision: Decision,
        *,
        ledger: Callable[[], Path],
        name: str = "model",
        metrics: MetricsSpec | None = None,
        slices: Sequence[SliceSpec] = (),
    ) -> None:
        self.class_names = class_names
        self.decision = decision
        self.name = name
        self._metrics = metrics or MetricsSpec()
        self._slices = slices
        self._asked(scored=False)  # what cannot be asked is refused before anything is counted
        self._ledger = ledger
        self._counter: Any = counter_of(decision.task, len(class_names))
        self._digest = DataDigest(class_names)
        self._open = ExitStack()
        self._writer: LedgerWriter | None = None
        self._waiting: list[_Waiting] = []
        self._ids: set[str] = set()
        self._identified: bool | None = None
        self._scored: bool | None = None
        self._n_ties = 0
        self._n_samples = 0
        self._found: Findings | None = None

    def add(
        self,
        y_true: ArrayLike,
        *,
        y_pred: ArrayLike | None = None,
        y_score: ArrayLike | None = None,
        ids: Sequence[object] | None = None,
        attributes: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Take one batch.

        Args:
            y_true: Class indices (integers) or names (text), shape (n,); label sets of 0 and 1, shape (n, L).
            y_pred: The same for predictions; decided from the scores where it is left out.
            y_score: Scores, shape (n, K); of a binary task also (n,), of the positive class.
            ids: Unique sample ids, all or none of the samples.
            attributes: Further columns, each of shape (n,).

        Raises:
            DataError: Shapes, types or values outside the contract. Nothing of the batch is counted then.
        """
        if self._found is not None:
            raise DataError("the result was taken already; nothing can be added")
        if y_pred is None and y_score is None:
            raise DataError("expected y_pred or y_score")
        true = check_labels(y_true, self.class_names, task=self.decision.task, what="y_true")
        n = len(true)
        outputs = None
        if y_score is not None:
            size = len(self.class_names)
            outputs = check_scores(y_score, self.decision, n_samples=n, n_classes=size)
        pred, n_ties = self._decided(y_pred, outputs, n)
        if not n:
            return
        names = self._named(ids, n)
        if self._scored not in (None, outputs is not None):
            raise DataError("y_score: expected for all batches or for none")
        kept = true, pred
        if true.ndim == 1:
            kept = narrow(true, len(self.class_names)), narrow(pred, len(self.class_names))
        self._keep(_Waiting(self._n_samples, *kept, names, _columns(attributes, n)), outputs)
        self._scored, self._identified = outputs is not None, names is not None
        self._ids.update(names or ())
        self._counter.add(*kept)
        # Ranks are looked up faster by wide indices, and need no looking up where names are in order.
        self._digest.add(kept[0] if self._digest.in_order else true, names)
        self._n_samples += n
        self._n_ties += n_ties

    def find(self) -> Findings:
        """Compute every number of everything that was added; DataError without samples."""
        if self._found is None:
            if self._n_samples == 0:
                raise DataError("no samples were added")
            asked = self._asked(scored=bool(self._scored))
            self._found = find(asked, self._counter.result(), self._stored)
        return self._found

    def ledger(self) -> Path:
        """Write the per-sample table where it is not written yet, and return its path."""
        for batch in self._waiting:
            self._write(batch, None)
        self._waiting = []
        self._open.close()
        return self._ledger()

    def _keep(self, batch: "_Waiting", outputs: NDArray[Any] | None) -> None:
        if outputs is None:
            self._waiting.append(batch)
        else:
            self._write(batch, outputs)

    def _write(self, batch: "_Waiting", outputs: NDArray[Any] | None) -> None:
        if self._writer is None:
            self._writer = self._open.enter_context(open_ledger(self._ledger(), self.decision.output))
        self._writer.write(batch.with_outputs(outputs))

    def _asked(self, *, scored: bool) -> Any:
        return asked_of(
            self._metrics,
            self._slices,
            class_names=self.class_names,
            decision=self.decision,
            scored=scored,
            error=metrics_error,
        )

    def _stored(self) -> Stored:
        asked = self._asked(scored=bool(self._scored))
        size = len(self.class_names)
        return Stored(self.ledger(), self.decision.task, size, asked.grouping.columns)

    def document(self, provenance: dict[str, Any]) -> EvalResult:
        """Return the document of what was found."""
        question = Question(self.name, self._asked(scored=bool(self._scored)))
        data = {
            "source": "predictions",
            "n_samples": self._n_samples,
            "n_evaluated": self._n_samples,
            "ids": "explicit" if self._identified else "positional",
            "n_ties": self._n_ties,
        }
        spec = {
            "name": self.name,
            "task": self.decision.task,
            "metrics": self._metrics.model_dump(mode="json"),
            "data": SlicesSpec(slices=tuple(self._slices)).model_dump(mode="json"),
        }
        return document(
            question,
            self.find(),
            digest=self._digest.hexdigest(),
            spec=spec,
            data=data,
            provenance=provenance,
        )

    def _decided(
        self, y_pred: ArrayLike | None, outputs: NDArray[Any] | None, n_samples: int
    ) -> tuple[NDArray[Any], int]:
        if y_pred is not None:
            task = self.decision.task
            return check_labels(y_pred, self.class_names, task=task, what="y_pred", n_samples=n_samples), 0
        assert outputs is not None
        return self.decision.decide(outputs) if n_samples else (np.array([], np.int64), 0)

    def _named(self, ids: Sequence[object] | None, n_samples: int) -> list[str] | None:
        if self._identified is not None and self._identified != (ids is not None):
            raise DataError("ids: expected for all batches or for none")
        return None if ids is None else check_ids(ids, n_samples=n_samples, known=self._ids)


def _columns(attributes: Mapping[str, ArrayLike] | None, n_samples: int) -> dict[str, NDArray[Any]]:
    columns = {name: np.asarray(values) for name, values in (attributes or {}).items()}
    check_attributes(columns, where="attributes")
    for name, column in columns.items():
        if column.shape != (n_samples,):
            raise DataError(f"attributes: {name!r} has shape {column.shape}, expected ({n_samples},)")
    return columns
