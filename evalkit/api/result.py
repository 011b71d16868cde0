"""A result: the document, and ways to look at it."""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import escape

from evalkit.catalogue import METRICS
from evalkit.errors import DataError
from evalkit.ledger import FILE_NAME as LEDGER
from evalkit.metrics.estimands import Scalar
from evalkit.render.html import render_html
from evalkit.render.text import render_text
from evalkit.render.view import report_view
from evalkit.result import EvalResult as Document
from evalkit.rows import MetricRow, describe, row_key
from evalkit.rundir import open_run_directory, publish_file
from evalkit.verdict import Verdict, worst

if TYPE_CHECKING:
    import pandas as pd


class Scratch:
    """A folder for the per-sample table that goes when nobody looks at it any more."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def ledger(self) -> Path:
        """Return the table's path; the folder is made when it is first asked for."""
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix="evalkit-"))
            weakref.finalize(self, shutil.rmtree, self._path, ignore_errors=True)
        return self._path / LEDGER

    @contextmanager
    def parts(self) -> Iterator[Path]:
        """Lend a folder for the parts of a pass."""
        with tempfile.TemporaryDirectory(dir=self.ledger().parent) as folder:
            yield Path(folder)


class EvalResult:
    """A result: the document, and ways to look at it."""

    def __init__(
        self,
        document: Document | Callable[[], Document],
        ledger: Callable[[], Path] | None = None,
        scratch: Scratch | None = None,
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

    def ledger(self) -> Path | None:
        """Return where the per-sample table is; None where there is none."""
        return None if self._ledger is None else self._ledger()

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
