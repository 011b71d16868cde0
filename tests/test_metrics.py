"""Every metric equals scikit-learn's, or its undefined cells are named."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import AVERAGES, CELLS, ELSEWHERE, NO_MICRO, ORACLE, OVERALL, ask, ask_overall, labels_of

from evalkit.catalogue import METRICS
from evalkit.counts import ConfusionCounts
from evalkit.metrics import OVERALL as FORMULAS
from evalkit.metrics import (
    PER_CLASS,
    SUMS,
    Margins,
    Policy,
    average,
    average_gradient,
    class_members,
    expected_cost,
    expected_cost_gradient,
    per_class,
    per_class_gradient,
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
    return Margins.of(ConfusionCounts.from_labels(y_true, y_pred, n_classes=n_classes).matrix)


def kinds_of(metric):
    return [kind for kind in AVERAGES if kind != "micro" or metric not in NO_MICRO]


def same(ours, theirs):
    return (np.isnan(ours) and np.isnan(theirs)) or ours == pytest.approx(theirs, abs=1e-12)


def test_no_metric_enters_untested():
    """The catalogue, the formulas and the oracle name the same metrics."""
    counted = {slug for slug, metric in METRICS.items() if metric.needs in ("counts", "samples")}
    assert counted == set(ORACLE) | set(OVERALL) | CELLS | ELSEWHERE
    assert {*PER_CLASS, *SUMS, "fbeta"} == set(ORACLE)
    assert set(FORMULAS) == set(OVERALL) | {"hamming_loss"}


def check_against_oracle(y_true, y_pred):
    counts = counts_of(y_true, y_pred)
    for policy in POLICIES:
        members = class_members(counts, Policy(policy))
        labels = labels_of(policy, y_true, y_pred, K)
        assert np.flatnonzero(members).tolist() == labels
        for metric in ORACLE:
            for kind in kinds_of(metric):
                for zero in (0, "nan"):
                    ours = average(counts, metric, kind, members=members, zero_division=zero, beta=2)
                    sk_zero = np.nan if zero == "nan" else zero
                    theirs = ask(metric, y_true, y_pred, labels=labels, average=kind, zero_division=sk_zero)
                    if ours.undefined and zero == 0:
                        assert theirs == 0  # scikit-learn prints 0 where evalkit says undefined
                    else:
                        assert same(float(ours.value), theirs), (metric, kind, policy, zero)


@settings(max_examples=25)
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
    for n in (*range(1, 12), 20, 40, 60):
        check_against_oracle(y_true[:n].tolist(), y_pred[:n].tolist())


@given(pairs)
def test_per_class_values_and_undefined_cells(drawn):
    """Each class equals scikit-learn's; what it fills in with zero_division is undefined here."""
    y = np.array(drawn)
    counts = counts_of(y[:, 0], y[:, 1])
    for metric in ORACLE:
        ours = per_class(counts, metric, beta=2)
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
            "npv": (tn, tn + fn),
            "fpr": (fp, tn + fp),
            "fnr": (fn, tp + fn),
            "jaccard": (tp, tp + fp + fn),
        }
        assert set(definitions) == set(PER_CLASS)
        for metric, (numerator, denominator) in definitions.items():
            value = per_class(counts, metric).value[c]
            if denominator:
                assert value == float(Fraction(numerator, denominator))
            else:
                assert np.isnan(value)


@given(pairs)
def test_overall_metrics(drawn):
    """Each equals scikit-learn's, or is undefined: correlation and agreement of one class alone."""
    y = np.array(drawn)
    check_overall(y[:, 0], y[:, 1])


def check_overall(y_true, y_pred):
    counts = counts_of(y_true, y_pred)
    for metric in OVERALL:
        found = FORMULAS[metric][0](counts)
        theirs = ask_overall(metric, y_true, y_pred)
        if found.undefined:
            assert metric in ("mcc", "balanced_accuracy_adjusted") or "kappa" in metric
            assert len(set(y_true)) == 1 or len(set(y_pred)) == 1
            assert not np.isfinite(theirs) or theirs in (0, 1), metric
        else:
            assert float(found.value) == pytest.approx(theirs, abs=1e-9), metric
    n_classes = FORMULAS["balanced_accuracy"][0](counts).n_classes
    assert n_classes == len(set(np.asarray(y_true).tolist()))


@pytest.mark.parametrize("corner", CORNERS)
def test_overall_corners(corner):
    """At every prefix."""
    y_true, y_pred = CORNERS[corner]
    for n in range(1, len(y_true) + 1):
        check_overall(y_true[:n], y_pred[:n])


def numeric_gradient(value, matrix, h=1e-5):
    """Central differences by each cell."""
    found = np.zeros(matrix.shape)
    for cell in np.ndindex(*matrix.shape[1:]):
        for sign in (1, -1):
            moved = matrix.copy()
            moved[(slice(None), *cell)] += sign * h
            found[(slice(None), *cell)] += sign * value(Margins.of(moved)) / (2 * h)
    return found


def check_gradient(value, gradient, matrix):
    assert np.allclose(gradient(Margins.of(matrix)).dense(), numeric_gradient(value, matrix), atol=1e-7)


def test_derivatives_equal_differences():
    """Of every metric and average, on a stack of two tables."""
    rng = np.random.default_rng(0)
    matrix = rng.integers(1, 30, (2, K, K)).astype(float)
    members = np.array([True, True, False, True])
    for value, gradient in FORMULAS.values():
        check_gradient(lambda m, f=value: f(m).value, gradient, matrix)
    cost = rng.random((K, K))
    check_gradient(lambda m: expected_cost(m, cost).value, lambda m: expected_cost_gradient(m, cost), matrix)
    for metric in ORACLE:
        for kind in kinds_of(metric):
            arguments = {"members": members, "beta": 2}
            check_gradient(
                lambda m, s=metric, k=kind, a=arguments: average(m, s, k, **a).value,
                lambda m, s=metric, k=kind, a=arguments: average_gradient(m, s, k, **a),
                matrix,
            )


def test_derivatives_of_classes():
    """A class's own derivative, cell by cell of the class against the rest."""
    rng = np.random.default_rng(1)
    matrix = rng.integers(1, 30, (2, K, K)).astype(float)
    for metric in ORACLE:
        found = per_class_gradient(Margins.of(matrix), metric, beta=2)
        for k in range(K):
            expected = numeric_gradient(lambda m, s=metric, c=k: per_class(m, s, beta=2).value[:, c], matrix)
            tp, support, predicted, n = (
                part[:, k] for part in (found.tp, found.support, found.predicted, found.n)
            )
            other = (k + 1) % K
            assert np.allclose(expected[:, k, k], tp + support + predicted + n)
            assert np.allclose(expected[:, k, other], support + n)
            assert np.allclose(expected[:, other, k], predicted + n)
            assert np.allclose(expected[:, other, other], n)


def test_a_wrong_derivative_is_found():
    """The tester is tested."""
    matrix = np.ones((1, K, K)) + np.eye(K)
    with pytest.raises(AssertionError):
        check_gradient(lambda m: FORMULAS["mcc"][0](m).value, FORMULAS["cohen_kappa_linear"][1], matrix)


@given(pairs)
def test_micro_f1_is_accuracy(drawn):
    """For single-label tasks over all classes that were seen."""
    counts = counts_of(*np.array(drawn).T)
    micro = average(counts, "f1", "micro", members=class_members(counts, Policy()))
    assert micro.value == FORMULAS["accuracy"][0](counts).value


@given(st.lists(pairs, min_size=1, max_size=3))
def test_leading_axes_equal_one_at_a_time(groups):
    """A stack of matrices gives the stack of the results."""
    single = [counts_of(*np.array(group).T) for group in groups]
    stack = Margins.of(np.stack([counts.matrix for counts in single]))
    members = np.ones(K, bool)
    for metric in ORACLE:
        for kind in kinds_of(metric):
            together = average(stack, metric, kind, members=members, zero_division="nan")
            for i, counts in enumerate(single):
                alone = average(counts, metric, kind, members=members, zero_division="nan")
                assert same(float(together.value[i]), float(alone.value))
                assert together.n_classes[i] == alone.n_classes
    for metric, (value, _) in FORMULAS.items():
        alone = [float(value(counts).value) for counts in single]
        assert np.allclose(value(stack).value, alone, equal_nan=True), metric


def test_without_samples_everything_is_undefined():
    """0/0 is not 0."""
    empty = Margins.of(ConfusionCounts.empty(3).matrix)
    assert all(value(empty).undefined for value, _ in FORMULAS.values())
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
