"""Score a table: one pass over its rows, whatever their number."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.assemble import Question
from evalkit.binned import FILE_NAME as SCORES
from evalkit.binned import ClassBins, read_bins
from evalkit.codes import Texts, text_codes
from evalkit.counts import counter_of
from evalkit.digests import DataDigest, counted_digest
from evalkit.errors import DataError, DocumentError
from evalkit.findings import Findings, find
from evalkit.ledger import ROW_GROUP, LedgerWriter, PredictionBatch, arrow_table, open_ledger, slim_columns
from evalkit.result import EvalResult
from evalkit.scoring.checked import checked
from evalkit.scoring.columns import ID
from evalkit.scoring.counted import CountedRows
from evalkit.scoring.document import document
from evalkit.scoring.duplicates import Duplicates
from evalkit.scoring.opened import OpenedTable
from evalkit.scoring.own import OwnReader
from evalkit.scoring.rows import RowReader, Rows, ids_of
from evalkit.stored import Stored
from evalkit.tables import Table

_SLIM_GROUP = 1 << 20
Progress = Callable[[int], None]
Reader = RowReader | OwnReader


@dataclass(frozen=True, slots=True)
class Scored:
    """What a table gave.

    Attributes:
        result: The document.
        table: The per-sample table; None where rows stand for many samples.
        bins: Of classes whose scores the per-sample table does not hold.
        matrix: Counts of the samples; None of label sets, and of counts.
    """

    result: EvalResult
    table: Path | None = None
    bins: ClassBins | None = None
    matrix: NDArray[np.int64] | None = None


def score_table(
    opened: OpenedTable, *, ledger: Path, folder: Path, provenance: dict[str, Any], progress: Progress
) -> Scored:
    """Read every row once, and compute the document.

    Args:
        opened: The table.
        ledger: Where the per-sample table is written.
        folder: An empty one, for the codes of ids.
        provenance: Facts about machine and command.
        progress: Called with the rows that are done.

    Raises:
        DataError: A row is refused, an id stands twice, or there are no rows.
        OutputError: The disk is full.
    """
    stamp = _stamp(opened.table)
    if opened.columns.count is None:
        found = _Samples(opened, folder).score(ledger, provenance, progress)
    else:
        found = _score_counts(opened, provenance, progress)
    if _stamp(opened.table) != stamp:
        raise DataError(f"{opened.table.path}: changed while it was read")
    return found


class _Samples:
    """One pass over a table with a row a sample."""

    def __init__(self, opened: OpenedTable, folder: Path) -> None:
        names, task = opened.class_names, opened.decision.task
        self._opened = opened
        self._asked = opened.asked(scored=opened.scored)
        self._counter: Any = counter_of(task, len(names))
        self._digest = DataDigest(names)
        self._bins = ClassBins(self._asked.binned, n_classes=len(names), output=opened.decision.output)
        self._id = None if opened.positional else ID if opened.columns.own else opened.columns.id
        checked = self._id is not None and opened.loaded.spec.data.ids == "check"
        self._duplicates = Duplicates(folder) if checked else None
        self._n_rows = self._n_ties = self._n_contradictions = 0

    def score(self, ledger: Path, provenance: dict[str, Any], progress: Progress) -> Scored:
        opened = self._opened
        group = ROW_GROUP if opened.scored else _SLIM_GROUP
        with open_ledger(ledger, opened.decision.output, row_group=group) as writer:
            for rows in _read(opened):
                self._count(rows)
                self._write(rows, writer)
                progress(self._n_rows)
        _check_rows(self._n_rows, opened)
        if self._duplicates is not None:
            self._duplicates.check(self._ids(), where=f"{opened.table.path}: {self._id}")
        return self._concluded(ledger, provenance)

    def _count(self, rows: Rows) -> None:
        codes = None if rows.ids is None else text_codes(Texts.of_arrow(rows.ids))
        if self._duplicates is not None and codes is not None:
            self._duplicates.add(codes[0])
        self._counter.add(rows.y_true, rows.y_pred)
        self._digest.add(rows.y_true, codes)
        self._n_rows += len(rows)
        self._n_ties += rows.n_ties
        self._n_contradictions += rows.n_contradictions

    def _write(self, rows: Rows, writer: LedgerWriter) -> None:
        if rows.written is not None:
            writer.write_rows(rows.written)
            return
        batch = _batch(rows)
        if batch.outputs is None:
            writer.write_rows(arrow_table(slim_columns(batch)))
            return
        self._bins.add(batch.y_true, self._bins.scores(batch))
        writer.write(batch)

    def _ids(self) -> Iterator[pa.Array]:
        assert self._id is not None
        for batch in self._opened.table.batches([self._id]):
            yield ids_of(batch.column(self._id), self._id, 0)

    def _concluded(self, ledger: Path, provenance: dict[str, Any]) -> Scored:
        opened, counts = self._opened, self._counter.result()
        digest = self._digest.hexdigest()
        if opened.chosen_on is not None and opened.chosen_on == digest:
            raise DataError(
                "the threshold was chosen on these very samples", hint="Choose it on a run over other data"
            )
        if opened.columns.own:
            self._bins = self._stored_bins()
        task, size = opened.decision.task, len(opened.class_names)
        source = Stored(ledger, task, size, self._asked.grouping.columns, opened.memory, self._bins.result())
        found = find(self._asked, counts, lambda: source)
        ids = "positional" if self._id is None else "explicit"
        ids = "trusted" if self._id is not None and self._duplicates is None else ids
        data = {"ids": ids, "n_ties": self._n_ties}
        result = _document(
            opened, found, digest, data, self._n_rows, provenance,
            scores=self._bins.digest(), n_contradictions=self._n_contradictions,
        )  # fmt: skip
        matrix = None if task == "multilabel" else counts.matrix
        return Scored(result, ledger, self._bins, matrix)

    def _stored_bins(self) -> ClassBins:
        """Read the bins beside evalkit's own table; DocumentError where they are not its result's."""
        path = self._opened.table.path.parent / SCORES
        found = ClassBins.holding(read_bins(path), self._opened.decision.output)
        if path.exists() and found.digest() != self._opened.scores:
            raise DocumentError(f"{path}: is not what its run wrote", hint="Restore it, or remove the run")
        return found


def _score_counts(opened: OpenedTable, provenance: dict[str, Any], progress: Progress) -> Scored:
    """Score a table whose rows stand for many samples."""
    rows_of = CountedRows(len(opened.class_names), opened.columns.attributes)
    n_rows = 0
    for rows in _read(opened):
        rows_of.add(rows)
        n_rows += len(rows)
        progress(n_rows)
    _check_rows(n_rows, opened)
    counts = rows_of.counts()
    n_samples = int(counts.n_samples)
    _check_rows(n_samples, opened)
    found = find(opened.asked(scored=False), counts, rows_of.result)
    digest = counted_digest(opened.class_names, counts.support.tolist())
    return Scored(_document(opened, found, digest, {"ids": "counted", "n_ties": 0}, n_samples, provenance))


def _read(opened: OpenedTable) -> Iterator[Rows]:
    reader, start = _reader(opened), 0
    for batch in opened.table.batches(reader.names):
        if batch.num_rows:
            yield reader.read(batch, start)
        start += batch.num_rows


def _reader(opened: OpenedTable) -> Reader:
    columns, names, decision = opened.columns, opened.class_names, opened.decision
    if columns.own:
        return OwnReader(opened.table.names, names, decision, positional=opened.positional)
    return RowReader(
        columns,
        names,
        decision,
        typed=opened.table.typed,
        reading=opened.loaded.spec.data.labels_are,
        numbers=opened.numbers,
    )


def _batch(rows: Rows) -> PredictionBatch:
    index, true, pred = np.arange(rows.start, rows.start + len(rows)), rows.y_true, rows.y_pred
    if true.ndim == 1:
        true, pred = true.astype(np.int64), pred.astype(np.int64)
    return PredictionBatch(index, true, pred, rows.outputs, rows.ids, rows.attributes)


def _document(
    opened: OpenedTable,
    found: Findings,
    digest: str,
    data: dict[str, Any],
    n_samples: int,
    provenance: dict[str, Any],
    *,
    scores: str | None = None,
    n_contradictions: int = 0,
) -> EvalResult:
    columns = opened.columns
    facts = {
        "source": "predictions",
        "path": opened.loaded.spec.data.path,
        "sha256": _digest(opened.table.files),
        "n_files": len(opened.table.files),
        "n_samples": n_samples,
        "n_evaluated": n_samples,
        **data,
        "attributes": sorted(columns.attributes),
        **({"classes_assumed": True} if opened.assumed else {}),
    }
    question = Question(
        opened.loaded.spec.name, opened.asked(scored=opened.scored), classes_assumed=opened.assumed
    )
    spec = opened.loaded.document()
    return document(
        question, found, digest=digest, spec=spec, data=facts, provenance=provenance, scores=scores,
        checked=checked(opened, n_samples=n_samples, n_contradictions=n_contradictions),
    )  # fmt: skip


def _check_rows(n_rows: int, opened: OpenedTable) -> None:
    if not n_rows:
        raise DataError(f"{opened.table.path}: holds no samples")


def _digest(files: Sequence[Path]) -> str:
    """Return the SHA-256 of a file; of several that of their digests."""
    found = []
    for path in files:
        with path.open("rb") as file:
            found.append(file_digest(file, "sha256").hexdigest())
    return found[0] if len(found) == 1 else sha256("".join(found).encode()).hexdigest()


def _stamp(table: Table) -> list[tuple[int, int]]:
    """Return what changes with the files: their sizes and times."""
    return [(found.st_size, found.st_mtime_ns) for found in (path.stat() for path in table.files)]
