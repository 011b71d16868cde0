"""The Python door: evaluate a model, score predictions, or count along in a loop of one's own.

>>> import evalkit
>>> result = evalkit.score([0, 1, 2, 2], y_pred=[0, 2, 2, 2])
>>> result.value("accuracy"), result.value("recall", average="macro")
(0.75, 0.6666666666666666)
"""

import re
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import escape

from evalkit.asking import asked_of
from evalkit.assemble import Question
from evalkit.catalogue import METRICS
from evalkit.classes import check_class_names, name_list
from evalkit.errors import DataError, SpecificationError
from evalkit.ledger import FILE_NAME as LEDGER
from evalkit.ledger import Output
from evalkit.metrics.estimands import Scalar
from evalkit.provenance import collect_provenance
from evalkit.render.html import render_html
from evalkit.render.text import render_text
from evalkit.render.view import report_view
from evalkit.result import EvalResult as Document
from evalkit.rows import MetricRow, describe, row_key
from evalkit.rundir import open_run_directory, publish_file
from evalkit.scoring import Tally, make_decision, metrics_error
from evalkit.spec import validate_metrics
from evalkit.verdict import Verdict, worst

if TYPE_CHECKING:
    import pandas as pd


# A label beyond this without names is a mistake, and K x K counts would not fit in memory.
_MAX_CLASSES = 10_000
# What Hugging Face writes where nobody named the classes.
_PLACEHOLDER = re.compile(r"LABEL_\d+")


class _Scratch:
    """A folder for the per-sample table that goes when nobody looks at it any more."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def ledger(self) -> Path:
        """Return the table's path; the folder is made when it is first asked for."""
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix="evalkit-"))
            weakref.finalize(self, shutil.rmtree, self._path, ignore_errors=True)
        return self._path / LEDGER


class EvalResult:
    """A result: the document, and ways to look at it."""

    def __init__(
        self,
        document: Document | Callable[[], Document],
        ledger: Callable[[], Path] | None = None,
        scratch: _Scratch | None = None,
    ) -> None:
        self._document = document
        self._ledger = ledger
        self._scratch = scratch  # kept, because its folder goes with it

    @property
    def document(self) -> Document:
        """Everything that was found out; written when it is first asked for."""
        if callable(self._document):
            self._document = self._document()
        return self._document

    def value(
        self,
        metric: str,
        *,
        average: str | None = None,
        class_name: str | None = None,
        slice_: Mapping[str, Scalar] | None = None,
        **params: Scalar,
    ) -> float | None:
        """Return one number; None where it is undefined.

        Args:
            metric, average, class_name, slice_: The row's key.
            **params: The metric's parameters, such as ``k=5``; the defaults where they are left out.

        Raises:
            KeyError: The result has no such row.
        """
        return self.row(metric, average=average, class_name=class_name, slice_=slice_, **params).value

    def row(
        self,
        metric: str,
        *,
        average: str | None = None,
        class_name: str | None = None,
        slice_: Mapping[str, Scalar] | None = None,
        **params: Scalar,
    ) -> MetricRow:
        """Return one row, with its interval and what it was made of; KeyError where there is none."""
        said = {
            **(METRICS[metric].params if metric in METRICS and "prevalence" not in params else {}),
            **params,
        }
        key = row_key(metric, params=said, average=average, class_name=class_name, slice_=slice_)
        rows = self.document.rows()
        if key not in rows:
            raise KeyError(f"the result has no {describe(key)}")
        return rows[key]

    def to_frame(self) -> "pd.DataFrame":
        """Return all metric rows as a table."""
        import pandas as pd  # noqa: PLC0415 - a second of imports

        return pd.DataFrame(
            [{name: getattr(row, name) for name in MetricRow.__slots__} for row in self.document.metrics]
        )

    def mistakes(self, n: int = 20) -> "pd.DataFrame":
        """Return the most confident mistakes from the per-sample table, the worst first."""
        import pandas as pd  # noqa: PLC0415

        if self._ledger is None:
            raise DataError("this result has no per-sample table")
        if self.document.task == "multilabel":
            raise DataError("label sets have no single mistake; look at predictions.parquet")
        table = pd.read_parquet(self._ledger())
        wrong = table[table["y_true"] != table["y_pred"]]
        wrong = wrong.sort_values(["margin", "index"], ascending=[False, True], kind="stable").head(max(n, 0))
        names = np.array(self.document.class_names, dtype=object)
        columns = ["sample_id", "y_true", "y_pred", "p_pred", "p_true", "margin"]
        return wrong[columns].assign(y_true=names[wrong["y_true"]], y_pred=names[wrong["y_pred"]])

    def save(self, directory: str | Path) -> None:
        """Write the documents of the run; OutputError where the folder holds anything else."""
        with open_run_directory(Path(directory)) as target:
            document = self.document.to_json()
            verdict = self._verdict(document)
            parts: dict[str, bytes | Path] = {}
            if self._ledger is not None:
                parts[LEDGER] = shutil.copyfile(self._ledger(), target.temporary(LEDGER))
            target.publish(
                {
                    **parts,
                    "result.json": document,
                    "verdict.json": verdict.to_json(),
                    "report.html": render_html(self.document, verdict),
                }
            )

    def report(self, path: str | Path) -> None:
        """Write the report as one page."""
        publish_file(Path(path), render_html(self.document, None))

    def show(self, height: int = 600) -> "_Frame":
        """Return the report for a notebook to show, in a frame of so many pixels."""
        return _Frame(render_html(self.document, None).decode(), int(height))

    def __repr__(self) -> str:
        return render_text(report_view(self.document, None)).split("\n\n\n")[0]

    def _repr_html_(self) -> str:
        """Return verdict and headline table for a notebook."""
        view = report_view(self.document, None)
        rows = "".join(
            f"<tr><th>{escape(m.label)}</th><td>{escape(m.value)}</td><td>{escape(m.interval)}</td></tr>"
            for m in view.metrics
        )
        return f"<p><b>{escape(view.heading)}</b></p><table>{rows}</table>"

    def _verdict(self, document: bytes) -> Verdict:
        return Verdict(
            name=self.document.name,
            outcome=worst(()),
            valid=self.document.valid,
            checks=(),
            warnings=(),
            signature=self.document.signature,
            result_sha256=sha256(document).hexdigest(),
            baseline=None,
        )


class _Frame:
    """A page that a notebook shows in a frame of its own."""

    def __init__(self, page: str, height: int) -> None:
        self._page = page
        self._height = height

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self._page)}" width="100%" height="{self._height}"></iframe>'


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
        self._scratch = _Scratch()
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
            None if attributes is None else {name: _array(values) for name, values in attributes.items()}
        )
        self._tally.add(
            _array(y_true), y_pred=_array(y_pred), y_score=_array(y_score), ids=ids, attributes=columns
        )
        return self

    def result(self) -> EvalResult:
        """Return the result of everything that was added."""
        self._tally.find()
        provenance = _provenance()
        return EvalResult(lambda: self._tally.document(provenance), self._tally.ledger, self._scratch)


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
    true, pred, scores = _array(y_true), _array(y_pred), _array(y_score)
    names = _default_names(true, pred, scores) if class_names is None else class_names
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


def evaluate(
    model: Any,
    data: Any,
    *,
    class_names: Sequence[str] | None = None,
    task: str = "multiclass",
    threshold: float | None = None,
    output: Output = "logits",
    inputs: Sequence[str] | str | None = None,
    labels: str | None = None,
    attributes: Sequence[str] | str | None = None,
    select: int | str | None = None,
    positive_class: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    slices: Sequence[Any] = (),
    batch_size: int = 256,
    name: str = "model",
) -> EvalResult:
    """Evaluate a module on a Dataset or DataLoader; the module comes back as it was found.

    Args:
        model: On its device; measured in eval mode without gradients.
        data: A map-style Dataset, or a DataLoader whose data set is walked in order with its own collate
            function and workers.
        class_names: In output order; by default ``model.config.id2label``, then ``dataset.classes``.
        task: multiclass, binary or multilabel.
        threshold, positive_class: Of a binary task; the threshold also of a multilabel one.
        output: What the model returns: logits, probabilities or scores.
        inputs, labels, attributes: Keys, where items are mappings.
        select: Index or key of the scores in the model's output.
        metrics: What to compute, as the block of a specification: names, averages, interval, cluster, cost, …
        slices: Attributes to slice by, as in a specification.
        batch_size: For a Dataset; a DataLoader brings its own.
        name: Of the run.

    Raises:
        InvalidRunError: The run cannot give a number.
        EvalkitError: Whatever else is refused.
    """
    from evalkit.datasets.userdata import (  # noqa: PLC0415 - torch
        UserData,
        check_dataset,
        own_indices,
        walk_loader,
    )
    from evalkit.integrity import IntegrityLog  # noqa: PLC0415
    from evalkit.measure import (  # noqa: PLC0415
        Setup,
        check_module,
        measure,
        model_device,
        module_facts,
    )

    check_module(model)
    walked = walk_loader(data, batch_size)
    check_dataset(walked.dataset, "data")
    config = getattr(model, "config", None)
    names = _names_of(class_names, config, walked.dataset)
    scratch = _Scratch()
    decision = make_decision(
        names, task=task, output=output, threshold=threshold, positive_class=positive_class
    )
    measured, sliced = validate_metrics(dict(metrics or {}), slices, where="metrics")
    asked = asked_of(measured, sliced, class_names=names, decision=decision, scored=True, error=metrics_error)
    setup = Setup(
        question=Question(name, asked),
        model=model,
        weights_sha256=None,
        model_facts={**module_facts(model), "output": output},
        source=UserData(
            walked.dataset,
            "data",
            names,
            walked.collate,
            _keys(inputs),
            labels,
            _keys(attributes),
            None if task == "multilabel" else own_indices(walked.dataset, names, "data"),
            multilabel=task == "multilabel",
        ),
        where="data",
        select=select,
        default_select="logits" if hasattr(config, "id2label") else None,  # as Hugging Face calls its scores
        device=model_device(model),
        batch_size=walked.batch_size,
        workers=walked.workers,
        spec={"name": name, "task": task, "metrics": measured.model_dump(mode="json")},
        run={"batch_size": walked.batch_size, "workers": walked.workers},
    )
    evaluation = measure(
        setup,
        integrity=IntegrityLog(),
        ledger=scratch.ledger(),
        provenance=_provenance(),
        clock=time.perf_counter,
        progress=lambda done, total: None,  # noqa: ARG005
    )
    if evaluation.failure is not None:
        raise evaluation.failure
    return EvalResult(evaluation.result, scratch.ledger, scratch)


def _names_of(class_names: Any, config: Any, dataset: Any) -> tuple[str, ...]:
    from evalkit.datasets.userdata import classes_of  # noqa: PLC0415 - torch

    found, where = class_names, "class_names"
    if found is None:
        found, where = getattr(config, "id2label", None) or None, "model.config.id2label"
    names = None if found is None else name_list(found, where=where)
    if class_names is None and (names is None or all(_PLACEHOLDER.fullmatch(name) for name in names)):
        names = classes_of(dataset) or names
    if names is None:
        raise SpecificationError(
            "class_names: nothing names the model's outputs", hint="Pass class_names=[...]"
        )
    return check_class_names(names, where=where)


def _keys(names: Sequence[str] | str | None) -> Sequence[str]:
    """Take one key, several, or none."""
    return (names,) if isinstance(names, str) else names or ()


def _default_names(*arrays: Any) -> list[str]:
    true, pred, scores = arrays
    if true is not None and true.ndim == 2:  # noqa: PLR2004 - (n, L)
        return [str(k) for k in range(true.shape[1])]
    present = [np.asarray(labels) for labels in (true, pred) if labels is not None]
    text = [labels.dtype.kind in "USO" for labels in present]
    if any(text) and not all(text):
        raise SpecificationError(
            "class_names: y_true and y_pred mix names and indices",
            hint="Pass class_names=[...] in output order",
        )
    if any(text):
        return sorted({str(label) for labels in present for label in labels.tolist()})
    if scores is not None and scores.ndim == 2:  # noqa: PLR2004 - (n, K)
        return [str(k) for k in range(scores.shape[1])]
    largest = max(
        (int(labels.max()) for labels in present if labels.size and labels.dtype.kind in "iu"), default=0
    )
    if largest >= _MAX_CLASSES:
        raise DataError(f"labels: {largest} as a class index", hint="Pass class_names=[...] in output order")
    return [str(k) for k in range(max(largest + 1, 2))]


def _array(values: Any) -> Any:
    """Take arrays, lists and tensors alike."""
    if values is None:
        return None
    if isinstance(values, Iterator):
        values = list(values)
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
        return values.numpy()
    found = np.asarray(values)
    if (
        found.dtype.kind == "U"
        and isinstance(values, (list, tuple))
        and not all(isinstance(value, str) for value in values)
    ):
        found = np.array(values, dtype=object)  # numpy would write numbers as text
    integers = found.dtype == object and all(type(value) is int for value in found.ravel().tolist())
    return found.astype(np.int64) if integers and found.size and _fits(found) else found


def _fits(values: Any) -> bool:
    return bool(max(abs(value) for value in values.ravel().tolist()) < 1 << 63)


def _provenance() -> dict[str, Any]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    command = [Path(sys.argv[0]).name] if sys.argv and sys.argv[0] else ["python"]
    return collect_provenance(
        command=command, specification=None, base=Path(), directory=Path(), started=started
    )
