"""Whether samples are what they were when a part of a run was made, where no digest tells."""

from collections.abc import Callable, Sequence

import numpy as np

from evalkit.digests import array_items, item_codes
from evalkit.errors import ChangedError
from evalkit.inference import batch_list, iterate_batches
from evalkit.inference.batches import moved
from evalkit.inference.prints import host_arrays
from evalkit.parts import Observed, PartFile
from evalkit.parts.rows import read_part
from evalkit.samples import as_numpy, label_matrix
from evalkit.setup import Setup, predictor_of
from evalkit.work import Share


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
        ChangedError: A sample or a label is another one now.
    """
    predictor = predictor_of(setup, Observed())
    n_all = sum(
        min(part.stop * share.batch_size, share.n_samples) - part.first * share.batch_size for part in parts
    )
    n_done = 0
    for file in parts:
        part = read_part(file)
        batches = batch_list(share.n_samples, share.batch_size, range(file.first, file.stop))
        prints, labels, lost = [np.zeros(0, np.uint64)], [], []
        for batch in iterate_batches(
            setup.source, batches, workers=setup.workers, timeout=setup.worker_timeout
        ):
            lost += [one.index for one in batch.unreadable]
            if len(batch.index):
                fed = host_arrays(moved(batch.inputs, setup.device, predictor.dtype))
                prints.append(item_codes(array_items(fed))[:, 0])
                labels.append(predictor.labels(batch))
            n_done += len(batch.index) + len(batch.unreadable)
            progress(n_done, n_all)
        same = np.array_equal(np.concatenate(prints), part.prints)
        same = same and lost == [one.index for one in part.observed.unreadable]
        if labels and part.rows is not None and same:
            column = part.rows["y_true"]
            several = setup.question.asked.decision.task == "multilabel"
            known = (
                label_matrix(column, len(setup.question.asked.class_names)) if several else as_numpy(column)
            )
            same = np.array_equal(np.concatenate(labels), known)
        if not same:
            first = file.first * share.batch_size
            raise ChangedError(
                f"{setup.where}: samples from {first} on are not what they were when the run was begun",
                hint="Without --resume it is begun anew",
            )
