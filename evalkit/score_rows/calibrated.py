"""Calibration as rows: how far confidence is from the share that is right."""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.calibration import ece, ece_by_chance, ece_debiased, ece_of, mce, reliability
from evalkit.metrics.estimands import Params
from evalkit.score_rows.number import N_REPLICATES, SEED, Number
from evalkit.score_rows.states import ScoreStates
from evalkit.uncertainty.bootstrap import bootstrap_interval


def calibration_number(
    states: ScoreStates,
    slug: str,
    params: Params,
    level: float,
    clusters: NDArray[np.int64] | None,
) -> Number:
    """Return one of the calibration errors of a binary or multiclass task."""
    if states.confidences is None:
        return Number(math.nan, "no_probabilities")
    scheme: Literal["mass", "width"] = "width" if params.get("bins") == "width" else "mass"
    bins = reliability(states.confidences, scheme=scheme)
    if slug == "mce":
        return Number(mce(bins), no_interval="no_closed_form")
    value = ece(bins) if scheme == "width" else ece_debiased(bins)
    if clusters is not None:
        return Number(value, no_interval="clustered")
    bounds = bootstrap_interval(
        bins.counts,
        ece_of(bins.mean_confidence),
        level=level,
        n_replicates=N_REPLICATES,
        seed=SEED,
        centre=value,
    )
    if bounds is not None and ece(bins) <= ece_by_chance(bins, level=0.5 + level / 2, seed=SEED):
        bounds = min(value, 0.0), bounds[1]  # a calibrated model's gaps are no smaller
    return Number(value, None, bounds, "bootstrap")
