"""What changed sample by sample: who was right before and is not now, and the other way round."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.uncertainty.paired import mcnemar

if TYPE_CHECKING:
    from evalkit.compare.joined import Joined

MAX_IDS = 100


def flips_of(joined: "Joined", class_names: Sequence[str]) -> dict[str, Any]:
    """Return the four counts of two models' answers, and the flips by class with their ids.

    Label sets are right as a whole. A negative flip was right before and is wrong now; positive less negative
    flips are the change in right answers.

    Args:
        joined: The two runs' samples.
        class_names: In the candidate's order.
    """
    new, old = (_right(one.y_true, one.y_pred) for one in (joined.new, joined.old))
    negative, positive = old & ~new, new & ~old
    exact, mid = mcnemar(int(positive.sum()), int(negative.sum()))
    return {
        "n_samples": len(joined),
        "both_right": int((new & old).sum()),
        "only_candidate": int(positive.sum()),
        "only_baseline": int(negative.sum()),
        "both_wrong": int((~new & ~old).sum()),
        "mcnemar": {"exact": exact, "mid_p": mid},
        "by_class": _by_class(joined.new.y_true, negative, positive, class_names),
        "negative_ids": _ids(joined, negative),
        "positive_ids": _ids(joined, positive),
    }


def _right(y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[np.bool_]:
    same = y_true == y_pred
    return np.asarray(same.all(axis=1) if same.ndim == 2 else same)  # noqa: PLR2004 - (n, L)


def _by_class(
    y_true: NDArray[Any], negative: NDArray[np.bool_], positive: NDArray[np.bool_], class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """Count flips by true class; classes without any are left out."""
    if y_true.ndim == 2:  # noqa: PLR2004 - (n, L)
        return []
    size = len(class_names)
    down, up = (np.bincount(y_true[which], minlength=size).tolist() for which in (negative, positive))
    return [
        {"class_name": name, "negative": down[k], "positive": up[k]}
        for k, name in enumerate(class_names)
        if down[k] or up[k]
    ]


def _ids(joined: "Joined", which: NDArray[np.bool_]) -> list[str]:
    return [joined.ids[row].as_py() for row in np.flatnonzero(which)[:MAX_IDS].tolist()]
