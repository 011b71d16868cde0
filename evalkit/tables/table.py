"""What every table gives, whatever file it came from."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from evalkit.errors import DataError, EvalkitError, listed, os_reason

# At a time: large enough that a step in Python costs nothing, small enough to be held many times over.
ROWS = 1 << 18


class Table(Protocol):
    """Columns of rows that are read in batches, as often as one likes.

    Attributes:
        path: Where it is, for messages.
        names: Its columns.
        typed: Whether columns have types of their own; a CSV's are all text.
    """

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns."""

    @property
    def typed(self) -> bool:
        """Whether columns have types."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read."""

    @property
    def positions(self) -> Mapping[str, int]:
        """Of columns that are a matrix's: which of them."""

    def n_rows(self) -> int | None:
        """Return how many rows there are; None where only reading would tell."""

    def largest(self, column: str) -> int | None:
        """Return the largest of a column's integers; None where only reading would tell."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of all rows, in order; DataError where they cannot be read."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file provokes into a DataError."""
    try:
        yield
    except (EvalkitError, GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:
        reason = os_reason(error).splitlines() or [type(error).__name__]
        raise DataError(f"{path}: cannot be read: {reason[0]}") from error


def check_names(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Return column names; DataError where one stands twice, or there is none."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: the column {listed(map(repr, repeated))} stands twice")
    if not names:
        raise DataError(f"{path}: has no columns")
    return tuple(names)
