"""Calibration as rows: how far confidence is from the share that is right."""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.calibration import ece, ece_by_chance, ece_debiased, ece_of, mce, reliability
from evalkit.metrics.estimands import Params
from evalkit.samples import Samples
from evalkit.score_rows.number import N_REPLICATES, SEED, Number
from evalkit.uncertainty.bootstrap import bootstrap_interval


def calibration_number(
    samples: Samples,
    slug: str,
    params: Params,
    level: float,
    positive: int | None,
    clusters: NDArray[np.int64] | None,
) -> Number:
    """Return one of the calibration errors of a binary or multiclass task."""
    found = confidences(samples, positive)
    if found is None:
        return Number(math.nan, "no_probabilities")
    scheme: Literal["mass", "width"] = "width" if params.get("bins") == "width" else "mass"
    bins = reliability(*found, scheme=scheme)
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


def confidences(
    samples: Samples, positive: int | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """Return confidences and whether they were right: of the positive class, or of the predicted one."""
    if not samples.probable:
        return None
    if positive is not None and samples.scores is not None:
        return samples.scores[:, positive], samples.y_true == positive
    if samples.confidence is None:
        return None
    if positive is not None:
        sure = samples.y_pred == positive
        return np.where(sure, samples.confidence, 1 - samples.confidence), samples.y_true == positive
    return samples.confidence, samples.y_true == samples.y_pred
