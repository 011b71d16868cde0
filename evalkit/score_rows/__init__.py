"""The rows that scores determine, with their intervals; computed from the stored values."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evalkit.catalogue import METRICS
from evalkit.rows import Column, Measures
from evalkit.score_rows.calibrated import calibration_number
from evalkit.score_rows.means import Means
from evalkit.score_rows.number import column_of
from evalkit.score_rows.prior import Prior
from evalkit.score_rows.rankings import Rankings
from evalkit.score_rows.states import ScoreStates

__all__ = ["Rankings", "ScoreStates", "score_columns"]


def score_columns(
    states: ScoreStates,
    measures: Measures,
    rankings: Rankings,
    *,
    positive: int | None,
    clusters: NDArray[np.int64] | None,
) -> Iterator[Column]:
    """Yield the columns of every score metric that was asked for.

    Args:
        states: What is known of the scores.
        measures: What to compute.
        rankings: Of these very scores.
        positive: The index of the positive class of a binary task.
        clusters: A number for each sample's cluster, or None where samples are independent.
    """
    means = Means(states, measures.level, positive, clusters)
    prior = Prior.of(states, positive)
    for slug, params in measures.asked:
        metric = METRICS[slug]
        if metric.needs != "scores":
            continue
        if slug in ("log_loss", "brier"):
            number = means.loss(slug)
            yield column_of(slug, params, [replace(number, trivial=prior.loss(slug))])
        elif slug == "top_k_accuracy":
            number = means.top(int(params["k"]))
            yield column_of(slug, params, [replace(number, trivial=prior.top(int(params["k"])))])
        elif slug in ("ece", "mce"):
            yield column_of(
                slug, params, [calibration_number(states, slug, params, measures.level, clusters)]
            )
        else:
            if positive is not None:
                number = rankings.number(slug, positive)
                yield column_of(slug, params, [replace(number, trivial=prior.ranking(slug, "macro"))])
                continue
            for kind in ("macro", "weighted"):
                if kind in measures.averages:
                    number = replace(rankings.average(slug, kind), trivial=prior.ranking(slug, kind))
                    yield column_of(slug, params, [number], average=kind)
            numbers = [rankings.number(slug, k) for k in range(rankings.n_classes)]
            yield column_of(slug, params, numbers, by_class=True)
