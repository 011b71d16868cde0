"""Metrics with one value for the whole run, as functions of the margins, with their derivatives.

Names and numbers are scikit-learn's (``balanced_accuracy_score``, ``matthews_corrcoef``,
``cohen_kappa_score``). Undefined here, where scikit-learn prints a number or NaN: correlation and agreement
of one class alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evalkit.metrics.margins import Array, Gradient, Margins
from evalkit.metrics.ratios import Floats, Mask


@dataclass(frozen=True, slots=True)
class Value:
    """One number over the leading axes.

    Attributes:
        value: float64; NaN exactly where undefined.
        undefined: Mask.
        n_classes: Classes that went in, or None where all did.
        numerator, denominator: Of a plain quotient of counts.
    """

    value: Floats
    undefined: Mask
    n_classes: Array | None = None
    numerator: Array | None = None
    denominator: Array | None = None


def accuracy(margins: Margins) -> Value:
    """Right / all."""
    right, n = margins.tp.sum(axis=-1), margins.n[..., 0]
    return _quotient(right, n)


def balanced_accuracy(margins: Margins) -> Value:
    """Mean recall of the classes that occur, whatever the averaging policy."""
    recall, n_classes = _recalls(margins)
    return _value(recall.sum(axis=-1), n_classes, n_classes=n_classes)


def balanced_accuracy_adjusted(margins: Margins) -> Value:
    """Balanced accuracy, rescaled so that guessing gives 0 and a perfect run 1."""
    mean = balanced_accuracy(margins)
    assert mean.n_classes is not None
    chance = 1 / np.maximum(mean.n_classes, 1)
    return _value(mean.value - chance, np.where(mean.n_classes > 1, 1 - chance, 0), n_classes=mean.n_classes)


def mcc(margins: Margins) -> Value:
    """Matthews' correlation, in Gorodkin's form for any number of classes."""
    numerator, spread_predicted, spread_true = _mcc_parts(margins)
    # The root of the product, not the product of roots: exactly 1 where everything is right.
    found = _value(numerator, np.sqrt(spread_predicted * spread_true))
    return Value(np.clip(found.value, -1, 1), found.undefined)


def cohen_kappa(margins: Margins) -> Value:
    """Agreement beyond chance: (observed - expected) / (1 - expected)."""
    numerator, denominator = _kappa_parts(margins)
    return _value(numerator, denominator)


def weighted_kappa(margins: Margins, power: int) -> Value:
    """Cohen's kappa with disagreement weighted by the distance of the classes in their declared order."""
    observed, expected = _weighted_parts(margins, power)
    kappa = _value(margins.n[..., 0] * observed, expected)
    return Value(1 - kappa.value, kappa.undefined)


def g_mean(margins: Margins) -> Value:
    """Geometric mean of the recalls of the classes that occur."""
    supported = margins.support > 0
    n_classes = np.asarray(supported.sum(axis=-1))
    recall = np.where(supported, margins.tp / np.maximum(margins.support, 1e-300), 1.0)
    with np.errstate(divide="ignore"):
        mean = np.log(recall).sum(axis=-1) / np.maximum(n_classes, 1)
    return _value(np.where(n_classes > 0, np.exp(mean), 0), np.minimum(n_classes, 1), n_classes=n_classes)


def hamming_loss(margins: Margins) -> Value:
    """Share of wrong labels among all labels of all samples."""
    wrong = (margins.fp + margins.fn).sum(axis=-1)
    return _quotient(wrong, margins.n[..., 0] * margins.tp.shape[-1])


def expected_cost(margins: Margins, cost: Floats) -> Value:
    """Mean cost of a sample: ``cost[i, j]`` for true class i taken for j."""
    assert margins.matrix is not None
    return _value((margins.matrix * cost).sum(axis=(-2, -1)), margins.n[..., 0])


def accuracy_gradient(margins: Margins) -> Gradient:
    """Return the derivative of accuracy."""
    n = margins.n[..., 0]
    zero = np.zeros(margins.tp.shape)
    return Gradient(zero + 1 / margins.n, zero, zero, -margins.tp.sum(axis=-1) / n**2)


def balanced_accuracy_gradient(margins: Margins) -> Gradient:
    """Return the derivative of balanced accuracy."""
    recall, n_classes = _recalls(margins)
    scale = _inverse(margins.support) / np.maximum(n_classes, 1)[..., None]
    return Gradient(scale, -recall * scale, np.zeros(scale.shape), np.zeros(n_classes.shape))


def balanced_accuracy_adjusted_gradient(margins: Margins) -> Gradient:
    """Return the derivative of adjusted balanced accuracy: an affine function of the plain one."""
    plain, (_, n_classes) = balanced_accuracy_gradient(margins), _recalls(margins)
    scale = 1 / np.where(n_classes > 1, 1 - 1 / np.maximum(n_classes, 1), 1)
    return Gradient(plain.tp * scale[..., None], plain.support * scale[..., None], plain.predicted, plain.n)


def mcc_gradient(margins: Margins) -> Gradient:
    """Return the derivative of MCC."""
    numerator, spread_predicted, spread_true = (part[..., None] for part in _mcc_parts(margins))
    root = np.sqrt(spread_predicted * spread_true)
    half = numerator / root / 2
    n, right = margins.n, margins.tp.sum(axis=-1, keepdims=True)
    return Gradient(
        np.broadcast_to(n / root, margins.tp.shape),
        -margins.predicted / root + half * 2 * margins.support / spread_true,
        -margins.support / root + half * 2 * margins.predicted / spread_predicted,
        (right / root - half * 2 * n * (1 / spread_true + 1 / spread_predicted))[..., 0],
    )


def cohen_kappa_gradient(margins: Margins) -> Gradient:
    """Return the derivative of kappa."""
    numerator, denominator = (part[..., None] for part in _kappa_parts(margins))
    kappa = numerator / denominator
    n, right = margins.n, margins.tp.sum(axis=-1, keepdims=True)
    return Gradient(
        np.broadcast_to(n / denominator, margins.tp.shape),
        margins.predicted * (kappa - 1) / denominator,
        margins.support * (kappa - 1) / denominator,
        ((right - 2 * n * kappa) / denominator)[..., 0],
    )


def weighted_kappa_gradient(margins: Margins, power: int) -> Gradient:
    """Return the derivative of weighted kappa."""
    weights = _distances(margins, power)
    observed, expected = (part[..., None] for part in _weighted_parts(margins, power))
    n, zero = margins.n, np.zeros(margins.tp.shape)
    scale = n * observed / expected**2
    return Gradient(
        zero,
        scale * (margins.predicted @ weights),
        scale * (margins.support @ weights),
        (-observed / expected)[..., 0],
        -(n / expected)[..., None] * weights,
    )


def g_mean_gradient(margins: Margins) -> Gradient:
    """Return the derivative of the geometric mean, at counts where no recall is 0."""
    found = g_mean(margins)
    assert found.n_classes is not None
    scale = (found.value / np.maximum(found.n_classes, 1))[..., None]
    zero = np.zeros(margins.tp.shape)
    return Gradient(
        scale * _inverse(margins.tp), -scale * _inverse(margins.support), zero, np.zeros(found.value.shape)
    )


def hamming_loss_gradient(margins: Margins) -> Gradient:
    """Return the derivative of hamming loss."""
    size = margins.tp.shape[-1]
    each = np.ones(margins.tp.shape) / (margins.n * size)
    return Gradient(-2 * each, each, each, -hamming_loss(margins).value / margins.n[..., 0])


def expected_cost_gradient(margins: Margins, cost: Floats) -> Gradient:
    """Return the derivative of expected cost."""
    zero, n = np.zeros(margins.tp.shape), margins.n[..., 0]
    return Gradient(zero, zero, zero, -expected_cost(margins, cost).value / n, cost / margins.n[..., None])


# slug -> (value, derivative); those with parameters are asked for by their own names
OVERALL: dict[str, tuple[Callable[[Margins], Value], Callable[[Margins], Gradient]]] = {
    "accuracy": (accuracy, accuracy_gradient),
    "balanced_accuracy": (balanced_accuracy, balanced_accuracy_gradient),
    "balanced_accuracy_adjusted": (balanced_accuracy_adjusted, balanced_accuracy_adjusted_gradient),
    "mcc": (mcc, mcc_gradient),
    "cohen_kappa": (cohen_kappa, cohen_kappa_gradient),
    "cohen_kappa_linear": (
        lambda margins: weighted_kappa(margins, 1),
        lambda margins: weighted_kappa_gradient(margins, 1),
    ),
    "cohen_kappa_quadratic": (
        lambda margins: weighted_kappa(margins, 2),
        lambda margins: weighted_kappa_gradient(margins, 2),
    ),
    "g_mean": (g_mean, g_mean_gradient),
    "hamming_loss": (hamming_loss, hamming_loss_gradient),
}


def _quotient(numerator: Array, denominator: Array) -> Value:
    plain = _value(numerator, denominator)
    return Value(
        plain.value, plain.undefined, numerator=np.asarray(numerator), denominator=np.asarray(denominator)
    )


def _value(numerator: Array, denominator: Array, *, n_classes: Array | None = None) -> Value:
    undefined = np.asarray(denominator == 0)
    value = np.where(undefined, np.nan, numerator / np.where(undefined, 1, denominator))
    return Value(value, undefined, n_classes)


def _recalls(margins: Margins) -> tuple[Floats, Array]:
    """Return the recall of each class, 0 where it does not occur, and how many occur."""
    return margins.tp * _inverse(margins.support), np.asarray((margins.support > 0).sum(axis=-1))


def _inverse(values: Array) -> Floats:
    return np.where(values > 0, 1 / np.where(values > 0, values, 1), 0.0)


def _mcc_parts(margins: Margins) -> tuple[Array, Array, Array]:
    # In floats: n squared leaves int64 at three billion samples.
    n, right = margins.n[..., 0].astype(float), margins.tp.sum(axis=-1).astype(float)
    true, predicted = margins.support.astype(float), margins.predicted.astype(float)
    return (
        right * n - (true * predicted).sum(axis=-1),
        n**2 - (predicted**2).sum(axis=-1),
        n**2 - (true**2).sum(axis=-1),
    )


def _kappa_parts(margins: Margins) -> tuple[Array, Array]:
    n, right = margins.n[..., 0].astype(float), margins.tp.sum(axis=-1).astype(float)
    by_chance = (margins.support.astype(float) * margins.predicted).sum(axis=-1)
    return right * n - by_chance, n**2 - by_chance


def _distances(margins: Margins, power: int) -> Floats:
    order = np.arange(margins.tp.shape[-1], dtype=float)
    return np.asarray(np.abs(order[:, None] - order) ** power)


def _weighted_parts(margins: Margins, power: int) -> tuple[Array, Array]:
    assert margins.matrix is not None
    weights = _distances(margins, power)
    expected = ((margins.support.astype(float) @ weights) * margins.predicted).sum(axis=-1)
    return (margins.matrix * weights).sum(axis=(-2, -1)), expected
