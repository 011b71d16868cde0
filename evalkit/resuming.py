"""Whether samples are what they were when a part of a run was made, where no digest tells."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from evalkit.datasets import Batch
from evalkit.digests import input_codes
from evalkit.errors import ChangedError
from evalkit.inference import Predictor, batch_list, iterate_batches
from evalkit.inference.batches import moved
from evalkit.inference.prints import host_arrays
from evalkit.ledger import PredictionBatch, arrow_table, ledger_columns
from evalkit.parts import Observed, PartFile
from evalkit.parts.rows import read_part
from evalkit.setup import Setup, predictor_of
from evalkit.work import Share

# What the model answered: the rest of a row is the sample's own.
_ANSWERED = frozenset("y_pred p_pred p_true margin logloss brier true_rank".split())


def check_read_again(
    setup: Setup, share: Share, parts: Sequence[PartFile], progress: Callable[[int, int], None]
) -> None:
    """Read the samples of finished parts again, without running the model over them.

    Args:
        setup: What is evaluated.
        share: The list of batches.
        parts: What is done.
        progress: Called with (samples done, samples in all).

    Raises:
        ChangedError: An input, a label, an id or an attribute is another one now.
    """
    predictor, n_done = predictor_of(setup, Observed()), 0
    lists = [batch_list(share.n_samples, share.batch_size, range(one.first, one.stop)) for one in parts]
    n_all = sum(len(index) for batches in lists for index in batches)
    for file, batches in zip(parts, lists, strict=True):
        part, prints, rows, lost = read_part(file), [np.zeros(0, np.uint64)], [], []
        for batch in iterate_batches(
            setup.source, batches, workers=setup.workers, timeout=setup.worker_timeout
        ):
            lost += [one.index for one in batch.unreadable]
            if len(batch.index):
                fed = host_arrays(moved(batch.inputs, setup.device, predictor.dtype))
                prints.append(input_codes(fed)[:, 0])
                rows.append(_own(batch, predictor))
            n_done += len(batch.index) + len(batch.unreadable)
            progress(n_done, n_all)
        same = np.array_equal(np.concatenate(prints), part.prints)
        same = same and lost == [one.index for one in part.observed.unreadable]
        if not same or not _equal(rows, part.rows):
            first = file.first * share.batch_size
            raise ChangedError(
                f"{setup.where}: samples from {first} on are not what they were when the run was begun",
                hint="Without --resume it is begun anew",
            )


def _own(batch: Batch, predictor: Predictor) -> pa.Table:
    """Return what a row says of the sample itself."""
    labels = predictor.labels(batch)
    columns = ledger_columns(
        PredictionBatch(batch.index, labels, labels, None, batch.ids, batch.attributes), "scores"
    )
    return arrow_table({name: values for name, values in columns.items() if name not in _ANSWERED})


def _equal(rows: Sequence[pa.Table], known: pa.Table | None) -> bool:
    """Compare tables of samples with what was written of them, whose types are those of the first batch."""
    if not rows or known is None:
        return not rows and known is None
    try:
        for name in rows[0].column_names:
            found: list[Any] = []
            for table in rows:
                found += table[name].cast(known.schema.field(name).type).to_pylist()
            if repr(found) != repr(known[name].to_pylist()):  # in words, because NaN equals nothing
                return False
    except (pa.ArrowException, KeyError, ValueError):
        return False
    return True
