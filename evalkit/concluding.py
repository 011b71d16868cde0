"""Parts become an evaluation: joined, checked, counted and written down, whoever made them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.binned import ClassBins
from evalkit.counts import ConfusionCounts
from evalkit.describing import Description, document, record_warnings
from evalkit.errors import DataError, InvalidRunError, listed
from evalkit.findings import find
from evalkit.integrity import IntegrityLog
from evalkit.parts import Joined, Observed, PartFile, Unreadable, join
from evalkit.parts.repeats import Repeats, find_repeats
from evalkit.result import EvalResult
from evalkit.stored import Stored


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a run gave.

    Attributes:
        result: The document; ``valid`` is False where the run cannot give a number.
        failure: Why it cannot.
        bins: Of the classes that gates rank by and the table does not hold.
        described: What the document says beside the numbers.
        conflicting: Rows of the table, the first ones whose input occurs with another label, too.
    """

    result: EvalResult
    failure: InvalidRunError | None
    bins: ClassBins
    described: Description
    conflicting: tuple[int, ...] = ()


def conclude(
    described: Description,
    parts: Sequence[PartFile],
    integrity: IntegrityLog,
    *,
    ledger: Path,
    provenance: dict[str, Any],
    observed: Observed | None = None,
    failure: InvalidRunError | None = None,
    counted: ConfusionCounts | None = None,
) -> Evaluation:
    """Join the parts of a pass and compute its numbers.

    Args:
        described: What the document says beside.
        parts: In the order of their batches.
        integrity: Filled with the outcome of every check.
        ledger: Where the per-sample table is written; absent afterwards where the run is invalid.
        provenance: Facts about machine and command.
        observed: What an invalid run saw before it failed.
        failure: Why the run is invalid.
        counted: What was counted without the parts, which must hold the very same.

    Raises:
        DataError: No sample can be read, or the threshold was chosen on these.
        DocumentError: A part is damaged.
    """
    try:
        if failure is not None:
            raise failure
        audited = described.run.get("audit") == "full"
        joined = join(parts, described.shape, integrity, ledger=ledger, audited=audited)
        _check(described, joined)
        _check_counted(joined, counted)
    except InvalidRunError as error:
        ledger.unlink(missing_ok=True)
        integrity.record(error.check, "fail", error.message)
        written = document(
            described, observed or Observed(), None, None,
            repeats=Repeats(), integrity=integrity, provenance=provenance,
        )  # fmt: skip
        return Evaluation(written, error, described.shape.bins(), described)
    repeats = find_repeats(joined.prints, ledger)
    record_warnings(described, joined, repeats, integrity)

    found = find(described.question.asked, joined.counts, lambda: _stored(described, joined, ledger))
    written = document(
        described, joined.observed, joined, found,
        repeats=repeats, integrity=integrity, provenance=provenance,
    )  # fmt: skip
    return Evaluation(written, None, joined.bins, described, repeats.conflicting)


def _check(described: Description, joined: Joined) -> None:
    """Raise where there is no number: a sample was seen twice or never, or none at all."""
    observed = joined.observed
    joined.seen.check(described.first, described.stop)
    if observed.unreadable and not described.exclude:
        raise lost(observed.unreadable, described.n_asked)
    if not observed.n_evaluated:
        raise DataError(f"{described.where}: none of {described.n_asked} samples can be read")
    if (joined.counts.n_samples != observed.n_evaluated).any():
        raise InvalidRunError(
            f"counts sum to {joined.counts.n_samples}, not {observed.n_evaluated}", check="seen_once"
        )
    shard = described.partial is not None and described.partial.shard is not None
    if not shard and described.chosen_on is not None and described.chosen_on == joined.data.hexdigest():
        raise DataError(
            "the threshold was chosen on these very samples", hint="Choose it on a run over other data"
        )


def _check_counted(joined: Joined, counted: ConfusionCounts | None) -> None:
    if counted is not None and counted != joined.counts:
        raise InvalidRunError(
            "the sum of what the ranks counted is not what their parts hold", check="seen_once"
        )


def lost(unreadable: Sequence[Unreadable], n_samples: int) -> DataError:
    """Say how many samples cannot be read, which are the first, and why."""
    shown = listed([f"{one.name}: {one.reason}" for one in unreadable], limit=5)
    return DataError(
        f"{len(unreadable)} of {n_samples} cannot be read ({shown})",
        hint="Repair them, or set data.on_unreadable to exclude",
    )


def _stored(described: Description, joined: Joined, ledger: Path) -> Stored:
    """Say where the run wrote its samples down."""
    asked = described.question.asked
    return Stored(
        ledger,
        asked.measures.task,
        len(asked.class_names),
        asked.grouping.columns,
        described.memory,
        joined.bins.result(),
    )
