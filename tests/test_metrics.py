"""Every metric equals scikit-learn's, or its undefined cells are named."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import AVERAGES, CELLS, ORACLE, OVERALL, ask, labels_of

from evalkit.catalogue import METRICS
from evalkit.counts import ConfusionCounts
from evalkit.metrics import (
    PER_CLASS,
    Policy,
    accuracy,
    average,
    balanced_accuracy,
    class_members,
    per_class,
)

K = 4
POLICIES = ("present", "declared", "supported")
pairs = st.lists(st.tuples(st.integers(0, K - 1), st.integers(0, K - 1)), min_size=1, max_size=25)

# Corners that random tables meet rarely.
CORNERS = {
    "one class only": ([1, 1], [1, 1]),
    "single sample": ([2], [2]),
    "all wrong": ([0, 1, 2], [1, 2, 0]),
    "never predicted": ([0, 1, 2], [0, 1, 1]),
    "predicted, never true": ([0, 1], [0, 3]),
    "nothing in common": ([0, 0], [3, 3]),
}


def counts_of(y_true, y_pred, n_classes=K):
    return ConfusionCounts.from_labels(y_true, y_pred, n_classes=n_classes)


def same(ours, theirs):
    return (np.isnan(ours) and np.isnan(theirs)) or ours == pytest.approx(theirs, abs=1e-12)


def test_no_metric_enters_untested():
    """The catalogue, the formulas and the oracle name the same metrics."""
    assert set(METRICS) == set(ORACLE) | set(OVERALL) | CELLS
    assert set(PER_CLASS) == set(ORACLE)


def check_against_oracle(y_true, y_pred):
    counts = counts_of(y_true, y_pred)
    for policy in POLICIES:
        members = class_members(counts, Policy(policy))
        labels = labels_of(policy, y_true, y_pred, K)
        assert np.flatnonzero(members).tolist() == labels
        for metric in ORACLE:
            for kind in AVERAGES:
                for zero in (0, "nan"):
                    ours = average(counts, metric, kind, members=members, zero_division=zero)
                    sk_zero = np.nan if zero == "nan" else zero
                    theirs = ask(metric, y_true, y_pred, labels=labels, average=kind, zero_division=sk_zero)
                    if ours.undefined and zero == 0:
                        assert theirs == 0  # scikit-learn prints 0 where evalkit says undefined
                    else:
                        assert same(float(ours.value), theirs), (metric, kind, policy, zero)


@given(pairs)
def test_averages_equal_scikit_learn(drawn):
    """micro, macro and weighted, for each policy of classes and zero_division."""
    y = np.array(drawn)
    check_against_oracle(y[:, 0].tolist(), y[:, 1].tolist())


@pytest.mark.parametrize("corner", CORNERS)
def test_corners_equal_scikit_learn(corner):
    """The corners, at every prefix."""
    y_true, y_pred = CORNERS[corner]
    for n in range(1, len(y_true) + 1):
        check_against_oracle(y_true[:n], y_pred[:n])


def test_every_prefix_equals_scikit_learn():
    """A seeded stream, compared after each sample."""
    rng = np.random.default_rng(3)
    y_true = rng.integers(0, K, 60)
    y_pred = np.where(rng.random(60) < 0.7, y_true, rng.integers(0, K, 60))
    for n in range(1, 61):
        check_against_oracle(y_true[:n].tolist(), y_pred[:n].tolist())


@given(pairs)
def test_per_class_values_and_undefined_cells(drawn):
    """Each class equals scikit-learn's; what it fills in with zero_division is undefined here."""
    y = np.array(drawn)
    counts = counts_of(y[:, 0], y[:, 1])
    for metric in ORACLE:
        ours = per_class(counts, metric)
        arguments = {"labels": range(K), "average": None, "zero_division": np.nan}
        theirs = ask(metric, y[:, 0], y[:, 1], **arguments)
        assert ours.undefined.tolist() == np.isnan(theirs).tolist()
        assert np.allclose(ours.value, theirs, rtol=0, atol=1e-15, equal_nan=True)


@given(pairs)
def test_second_oracle_in_fractions(drawn):
    """The same from the definition, in exact arithmetic."""
    counts = counts_of(*np.array(drawn).T)
    for c in range(K):
        tp = sum(t == c == p for t, p in drawn)
        fp = sum(p == c != t for t, p in drawn)
        fn = sum(t == c != p for t, p in drawn)
        tn = len(drawn) - tp - fp - fn
        definitions = {
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
            "f1": (2 * tp, 2 * tp + fp + fn),
            "specificity": (tn, tn + fp),
        }
        for metric, (numerator, denominator) in definitions.items():
            value = per_class(counts, metric).value[c]
            if denominator:
                assert value == float(Fraction(numerator, denominator))
            else:
                assert np.isnan(value)


@given(pairs)
def test_overall_metrics(drawn):
    """Accuracy and balanced accuracy are scikit-learn's."""
    y = np.array(drawn)
    counts = counts_of(y[:, 0], y[:, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert accuracy(counts).value == OVERALL["accuracy"](y[:, 0], y[:, 1])
        expected = OVERALL["balanced_accuracy"](y[:, 0], y[:, 1])
    value, undefined, n_classes = balanced_accuracy(counts)
    assert not undefined
    assert n_classes == len(set(y[:, 0].tolist()))
    assert value == pytest.approx(expected, abs=1e-12)


@given(pairs)
def test_micro_f1_is_accuracy(drawn):
    """For single-label tasks over all classes that were seen."""
    counts = counts_of(*np.array(drawn).T)
    micro = average(counts, "f1", "micro", members=class_members(counts, Policy()))
    assert micro.value == accuracy(counts).value


@given(st.lists(pairs, min_size=1, max_size=3))
def test_leading_axes_equal_one_at_a_time(groups):
    """A stack of matrices gives the stack of the results."""
    single = [counts_of(*np.array(group).T) for group in groups]
    stack = ConfusionCounts(np.stack([counts.matrix for counts in single]))
    members = np.ones(K, bool)
    for metric in ORACLE:
        for kind in AVERAGES:
            together = average(stack, metric, kind, members=members, zero_division="nan")
            for i, counts in enumerate(single):
                alone = average(counts, metric, kind, members=members, zero_division="nan")
                assert same(float(together.value[i]), float(alone.value))
                assert together.n_classes[i] == alone.n_classes
    assert balanced_accuracy(stack)[0].shape == (len(groups),)


def test_without_samples_everything_is_undefined():
    """0/0 is not 0."""
    empty = ConfusionCounts.empty(3)
    assert accuracy(empty).undefined
    assert balanced_accuracy(empty)[1]
    assert per_class(empty, "f1").undefined.all()
    for kind in AVERAGES:
        assert average(empty, "f1", kind, members=class_members(empty, Policy())).undefined


def test_the_policy_changes_the_number():
    """Same predictions, four declared classes: the three macro precisions that the field prints."""
    y_true, y_pred = [0, 0, 1, 1, 2], [0, 1, 1, 1, 0]
    counts = counts_of(y_true, y_pred)
    present = average(counts, "precision", "macro", members=class_members(counts, Policy()))
    declared = average(counts, "precision", "macro", members=np.ones(K, bool))
    dropped = average(counts, "precision", "macro", members=np.ones(K, bool), zero_division="nan")
    assert [round(float(v.value), 4) for v in (present, declared, dropped)] == [0.3889, 0.2917, 0.5833]
    assert [int(v.n_classes) for v in (present, declared, dropped)] == [3, 4, 2]
