"""The trunk: a model and data become one EvalResult and a ledger, whichever door they came through."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import torch

from evalkit.concluding import Evaluation
from evalkit.describing import Description
from evalkit.errors import DataError
from evalkit.inference import Fed, batch_list, copied, feed, iterate_batches
from evalkit.inference.mode import flags
from evalkit.integrity import IntegrityLog
from evalkit.result import Partial
from evalkit.running import Run
from evalkit.setup import Setup, check_apart
from evalkit.work import Share, Work

__all__ = ["Candidate", "Evaluation", "Progress", "measure", "share_of"]

# Takes (samples done, samples in all, seconds by what they were spent on).
Progress = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is run over the data, or beside another over the same batches.

    Attributes:
        setup: What to evaluate.
        integrity: Filled with the outcome of every check.
        work: Which batches, and where parts and the per-sample table are kept.
    """

    setup: Setup
    integrity: IntegrityLog
    work: Work


def share_of(setup: Setup, *, limit: int | None = None, index: int = 1, count: int = 1) -> Share:
    """Return which batches a pass has: those of all samples, of the first ones, or of one shard.

    Raises:
        DataError: The data hold no samples.
    """
    n_available = len(setup.source)
    if n_available == 0:
        raise DataError(f"{setup.where}: holds no samples")
    n_samples = n_available if limit is None else min(limit, n_available)
    return Share(n_samples, setup.batch_size, index, count)


def measure(models: Sequence[Candidate], *, clock: Callable[[], float], progress: Progress) -> list[Run]:
    """Run what is to be done; what became of it is told by each run's ``evaluation``.

    Args:
        models: The candidate, and perhaps a baseline over the same batches, which ends where the candidate's
            run becomes invalid.
        clock: Seconds from any start.
        progress: Called with (samples done, samples in all, seconds by what they were spent on).

    Raises:
        EvalkitError: The model returns what was not declared, or an input is refused. An invalid run does
            not raise.
    """
    for other in models[1:]:
        check_apart(models[0].setup.model, other.setup.model)
    runs = [
        Run(one.setup, one.integrity, one.work, clock, _described(one.setup, one.work.share))
        for one in models
    ]
    _run_all(runs, progress)
    return runs


def _run_all(runs: Sequence[Run], progress: Progress) -> None:
    """Read every batch once and hand it to each run; the others end where the first becomes invalid.

    Raises:
        DataError: Samples or labels are refused.
    """
    first, *others = runs
    first.check_labels()
    setup, share, to_do = first.setup, first.work.share, first.work.to_do
    batches = batch_list(share.n_samples, share.batch_size, to_do)
    with ExitStack() as stack:
        for run in runs:
            stack.push(run.opened)
            run.start()
        stamp = setup.source.stamp()
        n_done = sum(len(batch) for batch in batch_list(share.n_samples, share.batch_size, share.batches))
        n_done -= sum(len(batch) for batch in batches)
        loaded = feed(
            iterate_batches(
                setup.source, batches, workers=setup.workers, timeout=setup.worker_timeout, numbers=to_do
            ),
            dtype=first.dtype,
            ahead=setup.reads_ahead,
            pin=setup.device.type == "cuda",
        )
        progress(n_done, len(share.samples), first.spent)
        # Closed here and now: the error that makes a run invalid would keep the workers as long as itself.
        with first.watching_workers(), closing(loaded):
            for position, fed in zip(to_do, first.reading(loaded), strict=False):
                if first.part_is_due or first.next_position not in (None, position):
                    _cut(runs)
                for run in others:  # each its own inputs: a forward pass may change them in place
                    apart = replace(fed.batch, inputs=copied(fed.batch.inputs))
                    run.take(position, Fed.of(apart, run.dtype))
                first.take(position, fed)
                if first.failure is not None or first.work.stopping():
                    break
                progress(n_done + first.n_seen, len(share.samples), first.spent)
        first.check_data(stamp)
        first.check_readable()
        _cut(runs)
        for run in reversed(runs):
            run.close()


def _cut(runs: Sequence[Run]) -> None:
    """Write parts of all runs over the same batches, the leading one's last: it says that all are there."""
    for run in reversed(runs):
        run.cut()


def _described(setup: Setup, share: Share) -> Description:
    """Return what a document says whatever the model answers."""
    n_available, samples, partial = len(setup.source), share.samples, None
    if share.count > 1:
        partial = Partial(limit=len(samples), of=n_available, shard=(share.index, share.count))
    elif share.n_samples < n_available:
        partial = Partial(limit=share.n_samples, of=n_available)
    return Description(
        question=setup.question,
        where=setup.where,
        first=samples.start,
        stop=samples.stop,
        n_available=n_available,
        exclude=setup.exclude,
        memory=setup.memory,
        chosen_on=setup.chosen_on,
        weights=setup.weights_sha256,
        spec=setup.spec,
        model=setup.model_facts,
        data=setup.source.facts(),
        run={**setup.run, "used_device": str(setup.device), **flags()},
        torch_version=torch.__version__.partition("+")[0],
        partial=partial,
    )
