"""The trunk: a model and data become one EvalResult and a ledger, whichever door they came through."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.inference import batch_list, copied, iterate_batches
from evalkit.integrity import IntegrityLog
from evalkit.running import Evaluation, Run
from evalkit.setup import Setup, check_apart

__all__ = ["Beside", "Evaluation", "Progress", "measure"]

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Beside:
    """A second model over the same batches.

    Attributes:
        setup, integrity, ledger: As of :func:`measure`.
        evaluation: What it gave, once it was measured.
    """

    setup: Setup
    integrity: IntegrityLog
    ledger: Path
    evaluation: Evaluation | None = None


def measure(
    setup: Setup,
    *,
    integrity: IntegrityLog,
    ledger: Path,
    provenance: dict[str, Any],
    clock: Callable[[], float],
    progress: Progress,
    limit: int | None = None,
    beside: Beside | None = None,
) -> Evaluation:
    """Run and count.

    Args:
        setup: What to evaluate.
        integrity: Filled with the outcome of every check.
        ledger: Where the per-sample table is written; absent afterwards where the run is invalid.
        provenance: Facts about machine and command.
        clock: Seconds from any start.
        progress: Called with (samples done, samples in all).
        limit: Evaluate only the first samples; the result is partial then.
        beside: Another model to run over the same batches, whose evaluation it is given; it is given none
            where the run becomes invalid.

    Raises:
        EvalkitError: The model returns what was not declared, or an input is refused. An invalid run does
            not raise.
    """
    if beside is not None:
        check_apart(setup.model, beside.setup.model)
    runs = [Run(setup, integrity, ledger, clock, limit)]
    if beside is not None:
        runs.append(Run(beside.setup, beside.integrity, beside.ledger, clock, limit, leads=False))
    _run_all(runs, progress)
    if beside is not None and runs[0].failure is None:
        beside.evaluation = runs[1].evaluation(provenance)
    return runs[0].evaluation(provenance)


def _run_all(runs: Sequence[Run], progress: Progress) -> None:
    """Read every batch once and hand it to each run; the others end where the first becomes invalid.

    Raises:
        DataError: Samples or labels are refused, or the threshold was chosen on these samples.
    """
    first, *others = runs
    first.check_labels()
    with ExitStack() as stack:
        for run in runs:
            stack.push(run.opened)
            run.start()
        batches = batch_list(first.ran.n_asked, first.setup.batch_size)
        stream = first.reading(iterate_batches(first.setup.source, batches, workers=first.setup.workers))
        with first.watching_workers():
            for position, batch in enumerate(stream):
                for run in others:  # each its own inputs: a forward pass may change them in place
                    run.take(position, replace(batch, inputs=copied(batch.inputs)))
                first.take(position, batch)
                if first.failure is not None:
                    break
                progress(first.ran.state.n_evaluated, first.ran.n_asked)
        for run in reversed(runs):
            run.close()
        for run in runs if first.failure is None else [first]:
            run.finish()
