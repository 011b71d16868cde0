"""The per-sample table, predictions.parquet: the contract with other tools.

One row a sample, in index order of the batches: who it was, what was true, what was predicted, and the
scores, from which every score metric is computed.
"""

from evalkit.ledger.batch import Output, PredictionBatch, joined_batch
from evalkit.ledger.columns import (
    MAX_SCORE_COLUMNS,
    arrow_table,
    check_attributes,
    ledger_columns,
    reserved,
    slim_columns,
)
from evalkit.ledger.writer import FILE_NAME, ROW_GROUP, Conforming, LedgerWriter, open_ledger

__all__ = [
    "FILE_NAME",
    "MAX_SCORE_COLUMNS",
    "ROW_GROUP",
    "Conforming",
    "LedgerWriter",
    "Output",
    "PredictionBatch",
    "arrow_table",
    "check_attributes",
    "joined_batch",
    "ledger_columns",
    "open_ledger",
    "reserved",
    "slim_columns",
]
