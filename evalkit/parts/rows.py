"""The rows of one part: what goes to the per-sample table, and columns that only joining needs.

A part is an Arrow file: ledger columns, hidden columns, and what was observed in its metadata. Its name says
which batches it holds and carries a digest, so that a torn or damaged one is never taken for whole.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedWriter
from pathlib import Path
from typing import Any, BinaryIO, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit import files
from evalkit.binned import ClassBins
from evalkit.errors import DocumentError, OutputError, os_reason, reason_of
from evalkit.integrity import CHECKS
from evalkit.ledger import (
    MAX_SCORE_COLUMNS,
    Conforming,
    PredictionBatch,
    arrow_table,
    joined_batch,
    ledger_columns,
)
from evalkit.parts.observed import Observed
from evalkit.result import Status
from evalkit.samples import as_numpy

CANDIDATE, BASELINE = "candidate", "baseline"
_DIGITS = 32
_BUFFER = 1 << 20
_HIDDEN = "hidden:"
_PRINT = f"{_HIDDEN}print"
_SCORE = f"{_HIDDEN}score:"
_KEY = b"evalkit.part"
_NAME = re.compile(
    r"(?P<stream>[a-z]+)-(?P<first>[0-9]{8})-(?P<stop>[0-9]{8})-(?P<digest>[0-9a-f]{32})\.arrow"
)
Findings = Mapping[str, tuple[Status, str]]
# Batches are accounted for together: so many rows, so many outputs at most. Where a model is small, threads
# that take turns cost more than what they do.
_ROWS, _VALUES = 1 << 15, 1 << 20
# A part that is larger is worth writing: about so many bytes, of about so many a row beside its scores.
_FULL, _ROW = 1 << 24, 64


@dataclass(frozen=True, slots=True)
class PartFile:
    """A part on disk: the batches [first, stop) of one model's pass."""

    path: Path
    stream: str
    first: int
    stop: int
    digest: str

    def content(self) -> bytes | None:
        """Return the file's bytes; None where they are not what was written."""
        try:
            found = self.path.read_bytes()
        except OSError:
            return None
        return found if _digest(memoryview(found)) == self.digest else None


@dataclass(frozen=True, slots=True)
class Part:
    """What a part holds.

    Attributes:
        observed: Facts that add up.
        findings: Outcomes of checks so far: status and detail.
        identified: Whether samples have ids.
        rows: The rows of the per-sample table; None where no sample could be read.
        prints: 64 bits of each input's hash, uint64, shape (n,).
        scores: What is binned, float64, shape (n,), by class.
    """

    observed: Observed
    findings: Findings
    identified: bool
    rows: pa.Table | None
    prints: NDArray[np.uint64]
    scores: Mapping[int, NDArray[np.float64]]


class PartWriter:
    """Collects the batches of a part and writes them as one file.

    Args:
        folder: Where parts lie.
        stream: Whose pass.
        output: What the model returns.
        bins: Says which classes' scores are binned.
    """

    def __init__(self, folder: Path, stream: str, output: Any, bins: ClassBins) -> None:
        self._folder = folder
        self._stream = stream
        self._output = output
        self._bins = bins
        self._conforming = Conforming()
        self._tables: list[pa.Table] = []
        self._waiting: list[tuple[PredictionBatch, NDArray[np.uint64]]] = []
        self._behind = ThreadPoolExecutor(1, "evalkit-account")
        self._pending: Future[None] | None = None
        self._kinds: tuple[str, ...] | None = None
        self._identified = False
        self._n_bytes = self._n_waiting = 0

    @property
    def is_full(self) -> bool:
        """Whether there is so much that it should not be held any longer."""
        return self._n_bytes >= _FULL

    def add(self, batch: PredictionBatch, prints: NDArray[np.uint64]) -> None:
        """Take a batch of answers and the prints of its inputs; its outputs may be overwritten later."""
        kinds = batch.kinds()
        if self._waiting and (kinds != self._kinds or kinds is None):
            self._account()
        self._kinds = kinds
        self._waiting.append((batch.kept(), prints))
        self._identified = batch.ids is not None
        self._n_waiting += len(batch.index)
        width = 1 if batch.outputs is None else batch.outputs.shape[1]
        self._n_bytes += len(batch.index) * (_ROW + 4 * min(width, MAX_SCORE_COLUMNS))
        if self._n_waiting >= _ROWS or self._n_waiting * width >= _VALUES:
            self._account()

    def close(self) -> None:
        """Let go of the thread that accounts."""
        self._behind.shutdown()

    def _account(self) -> None:
        """Compute the columns of the batches that wait, behind the model's back; one block is at work."""
        self._settle()
        if self._waiting:
            self._pending = self._behind.submit(self._add_table, self._waiting)
            self._waiting, self._n_waiting = [], 0

    def _settle(self) -> None:
        """Wait for the block before; what it raised is raised here."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _add_table(self, waiting: Sequence[tuple[PredictionBatch, NDArray[np.uint64]]]) -> None:
        batch = joined_batch([one for one, _ in waiting])
        columns = ledger_columns(batch, self._output)
        columns[_PRINT] = np.concatenate([prints for _, prints in waiting])
        columns |= {f"{_SCORE}{k}": values for k, values in self._bins.scores(batch).items()}
        self._tables.append(self._conforming(arrow_table(columns)))

    def write(self, first: int, stop: int, observed: Observed, findings: Findings) -> PartFile:
        """Write the batches [first, stop), and begin the next part.

        Raises:
            OutputError: The disk is full, or cannot be written.
        """
        self._account()
        self._settle()
        table = pa.concat_tables(self._tables) if self._tables else pa.table({})
        state = {
            "observed": observed.to_json(),
            "findings": dict(findings),
            "identified": self._identified,
        }
        table = table.replace_schema_metadata({_KEY: json.dumps(state)})
        try:
            written = self._written(table, first, stop)
        except (OSError, pa.ArrowException) as error:
            raise OutputError(f"{self._folder}: a part cannot be written: {os_reason(error)}") from error
        self._tables, self._n_bytes = [], 0
        return written

    def _written(self, table: pa.Table, first: int, stop: int) -> PartFile:
        """Write a table as it lies in memory; its name is known once it is there."""
        staged = files.temporary(self._folder / f"{self._stream}.arrow")
        try:
            with staged.open("xb") as file:
                sink = _Digesting(file)
                with (
                    BufferedWriter(sink, _BUFFER) as buffered,
                    pa.ipc.new_file(buffered, table.schema) as writer,
                ):
                    writer.write_table(table)
                files.flush(file)
            digest = sink.hexdigest()
            path = self._folder / f"{self._stream}-{first:08d}-{stop:08d}-{digest}.arrow"
            files.rename(staged, path)
        finally:
            staged.unlink(missing_ok=True)
        return PartFile(path, self._stream, first, stop, digest)


class _Digesting(files.Sink):
    """A file that digests what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._digest = sha256()

    def write(self, content: object) -> int:
        """Write bytes; returns how many."""
        self._digest.update(memoryview(content).cast("B"))  # type: ignore[arg-type]
        return super().write(content)

    def hexdigest(self) -> str:
        """Return what a part's name says."""
        return self._digest.hexdigest()[:_DIGITS]


def list_parts(folder: Path, stream: str) -> list[PartFile]:
    """Return a stream's parts by their names, in the order of their batches."""
    paths = list(folder.iterdir()) if folder.is_dir() else []
    return [part for part in named_parts(paths) if part.stream == stream]


def named_parts(paths: Iterable[Path]) -> list[PartFile]:
    """Return parts by their names, whether the files are there or not, in the order of their batches."""
    names = [(path, _NAME.fullmatch(path.name)) for path in paths]
    found = [
        PartFile(path, match["stream"], int(match["first"]), int(match["stop"]), match["digest"])
        for path, match in names
        if match
    ]
    return sorted(found, key=lambda part: (part.first, part.stop))


def read_part(file: PartFile) -> Part:
    """Read a part.

    Raises:
        DocumentError: It is torn or damaged, or nothing that evalkit wrote.
    """
    content = file.content()
    if content is None:
        raise DocumentError(f"{file.path}: is torn or damaged")
    try:
        return _part(pa.ipc.open_file(pa.BufferReader(content)).read_all())
    except (
        pa.ArrowException, AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise DocumentError(f"{file.path}: is not what evalkit writes ({reason_of(error)})") from error


def _part(table: pa.Table) -> Part:
    state = json.loads(table.schema.metadata[_KEY])
    shown = [name for name in table.column_names if not name.startswith(_HIDDEN)]
    scores = [name for name in table.column_names if name.startswith(_SCORE)]
    empty = table.num_columns == 0
    if not empty and (table.schema.field(_PRINT).type != pa.uint64() or table[_PRINT].null_count):
        raise ValueError("prints are 64 bits a sample")
    return Part(
        Observed.from_json(state["observed"]),
        _findings(state["findings"]),
        bool(state["identified"]),
        None if empty else table.select(shown).replace_schema_metadata(None),
        np.zeros(0, np.uint64) if empty else as_numpy(table[_PRINT]),
        {int(name.removeprefix(_SCORE)): as_numpy(table[name]) for name in scores},
    )


def _findings(stated: Mapping[str, tuple[Status, str]]) -> Findings:
    found = {check: (status, detail) for check, (status, detail) in stated.items()}
    for check, (status, detail) in found.items():
        if check not in CHECKS or status not in get_args(Status) or not isinstance(detail, str):
            raise ValueError("findings of checks that there are not")
    return found


def read_parts(parts: Sequence[PartFile]) -> Iterator[Part]:
    """Read parts one after another; only one is held."""
    for part in parts:
        yield read_part(part)


def _digest(content: memoryview) -> str:
    return sha256(content).hexdigest()[:_DIGITS]
