"""What changed sample by sample: who was right before and is not now, and the other way round."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.compare.shares import MAX_IDS, Ints, share_gaps
from evalkit.count_rows import count_columns
from evalkit.display import spreadsheet_text
from evalkit.rows import Measures, MetricRow
from evalkit.uncertainty import BySample
from evalkit.uncertainty.paired import mcnemar

if TYPE_CHECKING:
    from evalkit.compare.joined import Joined

Bools = NDArray[np.bool_]


def flips_of(joined: "Joined", class_names: Sequence[str], *, level: float) -> dict[str, Any]:
    """Return the four counts of two models' answers: over all samples, by class and by slice, with ids.

    Label sets are right as a whole; by class, a label is right where a sample that has it was given it. A
    negative flip was right before and is wrong now; positive less negative flips are the change in right
    answers.

    Args:
        joined: The two runs' samples.
        class_names: In the candidate's order.
        level: Of the intervals.
    """
    new, old = rights_of(joined)
    whole = np.zeros(len(joined), np.int64)
    found = share_gaps(new, old, whole, 1, clusters=joined.clusters, level=level).document(0)
    exact, mid = mcnemar(found["only_candidate"], found["only_baseline"])
    return {
        **found,
        "mcnemar": {"exact": exact, "mid_p": mid},
        "by_class": list(_by_class(joined, class_names, level)),
        "by_slice": list(_by_slice(joined, level)),
        "negative_ids": ids_of(joined, old & ~new),
        "positive_ids": ids_of(joined, new & ~old),
    }


def rights_of(joined: "Joined") -> tuple[Bools, Bools]:
    """Return which samples the candidate has right, and which the baseline, shape (n,)."""
    new, old = (_right(one.y_true, one.y_pred) for one in (joined.new, joined.old))
    return new, old


def rights_by_class(joined: "Joined") -> tuple[Bools, Bools, NDArray[np.int64], NDArray[np.int64]]:
    """Return the same for each sample of each class: right now, right before, its class, and its row.

    A sample with several labels stands in each of their classes.
    """
    y_true = joined.new.y_true
    if y_true.ndim == 1:
        new, old = rights_of(joined)
        return new, old, y_true, np.arange(len(y_true))
    rows, labels = np.nonzero(y_true)
    new, old = (one.y_pred[rows, labels] for one in (joined.new, joined.old))
    return new, old, labels, rows


def ids_of(joined: "Joined", which: Bools, *, limit: int | None = MAX_IDS) -> list[str]:
    """Return the ids of some samples, the first ones only where there is a limit."""
    return [joined.ids[row].as_py() for row in np.flatnonzero(which)[:limit].tolist()]


def flip_rows(joined: "Joined", class_names: Sequence[str], *, level: float) -> Iterator[MetricRow]:
    """Yield negative flips and their rate as rows: over all samples, of each class, and of each slice.

    The rate's denominator is every sample of the group (S. Yan et al., "Positive-congruent training", CVPR
    2021); its interval is that of a share.

    Args:
        joined: The two runs' samples.
        class_names: In the candidate's order.
        level: Of the intervals.
    """
    new, old = rights_of(joined)
    negative, whole = old & ~new, np.zeros(len(joined), np.int64)
    yield from _rates(negative, whole, [{}], joined.clusters, level)
    new, old, codes, rows = rights_by_class(joined)
    clusters = None if joined.clusters is None else joined.clusters[rows]
    yield from _rates(old & ~new, codes, [{"class_name": name} for name in class_names], clusters, level)
    for one in joined.slicings:
        yield from _rates(
            negative, one.codes, [{"slice": name} for name in one.names], joined.clusters, level
        )


def _rates(
    negative: Bools, codes: Ints, groups: Sequence[Mapping[str, Any]], clusters: Ints | None, level: float
) -> Iterator[MetricRow]:
    """Yield both rows of every group: a flip is a miss of what was right, so its rate is a miss rate."""
    n = np.bincount(codes, minlength=len(groups))
    flipped = np.bincount(codes[negative], minlength=len(groups))
    matrix = np.zeros((len(groups), 2, 2), np.int64)
    matrix[:, 0, 0], matrix[:, 0, 1] = n - flipped, flipped
    sampling = None
    if clusters is not None:
        members = tuple(np.flatnonzero(codes == group) for group in range(len(groups)))
        truth = np.zeros(len(codes), np.int64)
        sampling = BySample.of(matrix, truth, negative.astype(np.int64), rows=members, clusters=clusters)
    asked = Measures(asked=(("fnr", {}),), averages=(), level=level)
    columns = count_columns(matrix, asked, members=np.ones(2, bool), sampling=sampling)
    rate = next(column for column in columns if column.metric.slug == "fnr")
    for position, group in enumerate(groups):
        named = {"class_name": None, **group}
        row = next(rate.rows(position, ("right", "wrong"), n_samples=int(n[position]), level=level))
        yield replace(row, metric="negative_flip_rate", trivial=None, **named)
        yield replace(
            row,
            metric="negative_flips",
            value=int(flipped[position]),
            undefined=None,
            numerator=None,
            denominator=None,
            low=None,
            high=None,
            level=None,
            method=None,
            no_interval="count",
            trivial=None,
            **named,
        )


def flip_table(joined: "Joined", class_names: Sequence[str]) -> str:
    """Return every flip as CSV: sample_id, flip, y_true, baseline, candidate; labels of a set with ``|``."""
    new, old = rights_of(joined)
    target = StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(("sample_id", "flip", "y_true", "baseline", "candidate"))
    for row in np.flatnonzero(new != old).tolist():
        labels = (joined.new.y_true[row], joined.old.y_pred[row], joined.new.y_pred[row])
        kind = "positive" if new[row] else "negative"
        texts = (joined.ids[row].as_py(), kind, *(_named(one, class_names) for one in labels))
        writer.writerow([spreadsheet_text(text) for text in texts])
    return target.getvalue()


def _named(label: Any, class_names: Sequence[str]) -> str:
    """Name a class, or the labels of a set."""
    chosen = np.flatnonzero(label).tolist() if np.ndim(label) else [int(label)]
    return "|".join(class_names[k] for k in chosen)


def _right(y_true: NDArray[Any], y_pred: NDArray[Any]) -> Bools:
    same = y_true == y_pred
    return np.asarray(same.all(axis=1) if same.ndim == 2 else same)  # noqa: PLR2004 - (n, L)


def _by_class(joined: "Joined", class_names: Sequence[str], level: float) -> Iterator[dict[str, Any]]:
    """Compare the recall of every class that occurs."""
    new, old, codes, rows = rights_by_class(joined)
    clusters = None if joined.clusters is None else joined.clusters[rows]
    found = share_gaps(new, old, codes, len(class_names), clusters=clusters, level=level)
    for k, name in enumerate(class_names):
        if found.flips.n[k]:
            yield {"class_name": name, **found.document(k)}


def _by_slice(joined: "Joined", level: float) -> Iterator[dict[str, Any]]:
    """Compare the share right of every slice."""
    new, old = rights_of(joined)
    for one in joined.slicings:
        found = share_gaps(new, old, one.codes, len(one.names), clusters=joined.clusters, level=level)
        for position, name in enumerate(one.names):
            yield {"slice": name, **found.document(position)}
