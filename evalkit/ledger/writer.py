"""Writes the per-sample table, row group by row group."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.errors import DataError, OutputError, os_reason
from evalkit.files import Sink
from evalkit.ledger.batch import Output, PredictionBatch
from evalkit.ledger.columns import arrow_table, ledger_columns

FILE_NAME = "predictions.parquet"
ROW_GROUP = 65_536


class Conforming:
    """Gives tables the first one's types: attributes of one's own may come as 1 here and 1.5 there."""

    def __init__(self) -> None:
        self._schema: pa.Schema | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return a table with the first one's columns and types; DataError where that cannot be."""
        if self._schema is None:
            self._schema = table.schema
        if table.schema == self._schema:
            return table
        try:
            return table.select(self._schema.names).cast(self._schema)
        except (pa.ArrowException, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"attributes change their names or types between batches: {reason}") from error


class LedgerWriter:
    """Streams rows into row groups of a Parquet file; these are the same however the rows came in.

    A group is packed behind the caller's back, while the next one comes together; one waits at a time.
    """

    def __init__(self, file: BinaryIO, output: Output, *, row_group: int = ROW_GROUP) -> None:
        self._file = file
        self._output: Output = output
        self._row_group = row_group
        self._writer: pq.ParquetWriter | None = None
        self._conforming = Conforming()
        self._tables: list[pa.Table] = []
        self._rows = 0
        self._behind = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def write(self, batch: PredictionBatch) -> None:
        """Add a batch."""
        self.write_rows(arrow_table(ledger_columns(batch, self._output)))

    def write_rows(self, table: pa.Table) -> None:
        """Add rows of the table's own columns."""
        self._tables.append(self._conforming(table))
        self._rows += table.num_rows
        if self._rows >= self._row_group:
            self._flush(self._rows // self._row_group * self._row_group)

    def close(self) -> None:
        """Write what is buffered and the footer."""
        self._flush(self._rows)
        self._wait()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def abandon(self) -> None:
        """Let go of what is being written."""
        self._behind.shutdown()
        if self._writer is not None:
            with suppress(Exception):  # it would complain of the closed file when it is collected
                self._writer.close()

    def _flush(self, n_rows: int) -> None:
        if not self._tables:
            return
        table = pa.concat_tables(self._tables)
        self._wait()
        self._pending = self._behind.submit(self._pack, table.slice(0, n_rows))
        rest = table.slice(n_rows)
        self._tables, self._rows = [rest] if rest.num_rows else [], rest.num_rows

    def _pack(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(Sink(self._file), table.schema, **_encoding(table.schema))
        self._writer.write_table(table.combine_chunks(), row_group_size=self._row_group)

    def _wait(self) -> None:
        """Wait for the group before; its error is raised here."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None


def _encoding(schema: pa.Schema) -> dict[str, Any]:
    """Return how columns are packed: what is different in nearly every row takes no dictionary."""
    named = {"index": "DELTA_BINARY_PACKED", "sample_id": "DELTA_LENGTH_BYTE_ARRAY"}
    own = {name: encoding for name, encoding in named.items() if name in schema.names}
    few = [field.name for field in schema if field.name not in own and not pa.types.is_floating(field.type)]
    return {"use_dictionary": few, "column_encoding": own}


@contextmanager
def open_ledger(path: Path, output: Output, *, row_group: int = ROW_GROUP) -> Iterator[LedgerWriter]:
    """Open a ledger for writing and close it; a full disk is an OutputError."""
    try:
        # An open file, because arrow takes no path that is not UTF-8.
        with path.open("wb") as file:
            writer = LedgerWriter(file, output, row_group=row_group)
            try:
                yield writer
                writer.close()
            finally:
                writer.abandon()
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"{path.parent}: the ledger cannot be written: {os_reason(error)}") from error
