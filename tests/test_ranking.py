"""Rankings: scikit-learn's numbers, exact fractions, and bounds that really hold the unbinned value."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from evalkit.metrics.areas import (
    Estimate,
    average_precision,
    average_precision_of,
    coarsened,
    delong_variance,
    roc_auc,
)
from evalkit.metrics.influence import auc_influence, average_precision_influence
from evalkit.metrics.ranked import Ordered, Ranked
from evalkit.metrics.thresholds import operating_points, pr_curve, roc_curve, threshold_table
from evalkit.scores import ScoreBins

few_scores = st.lists(st.tuples(st.booleans(), st.integers(0, 6).map(lambda k: k / 8)), max_size=30)
any_scores = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=30)
samples = st.one_of(few_scores, any_scores)


def both(rows):
    return {y for y, _ in rows} == {True, False}


def arrays(rows):
    return np.array([y for y, _ in rows], bool), np.array([s for _, s in rows], float)


def ranked(rows):
    return Ranked.of(*arrays(rows))


def noisy(n, *, seed, share=0.3, shift=1.0):
    """Logistic noise; positives are shifted."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < share
    return positive, rng.logistic(size=n) + shift * positive


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def exact_auc(rows):
    positives, negatives = ([s for y, s in rows if y == side] for side in (True, False))
    wins = sum(Fraction((p > n) - (p < n) + 1, 2) for p in positives for n in negatives)
    return wins / (len(positives) * len(negatives))


def exact_ap(rows):
    positives = [s for y, s in rows if y]
    return sum(
        Fraction(sum(p >= s for p in positives), sum(other >= s for _, other in rows)) for s in positives
    ) / len(positives)


@given(samples.filter(both))
def test_areas_equal_scikit_learn(rows):
    """With ties, all scores equal, and whatever shares."""
    positive, score = arrays(rows)
    assert roc_auc(ranked(rows)).value == pytest.approx(metrics.roc_auc_score(positive, score), abs=1e-12)
    expected = metrics.average_precision_score(positive, score)
    assert average_precision(ranked(rows)).value == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=10).filter(both))
def test_areas_equal_exact_fractions(rows):
    """A second oracle, which counts pairs."""
    assert roc_auc(ranked(rows)) == Estimate(float(exact_auc(rows)))
    assert average_precision(ranked(rows)).value == pytest.approx(float(exact_ap(rows)), abs=1e-15)


@pytest.mark.parametrize(
    ("rows", "auc", "ap"),
    [
        ([], "no_positives", "no_positives"),
        ([(False, 0.5)], "no_positives", "no_positives"),
        ([(True, 0.5)], "no_negatives", 1.0),
        ([(True, 0.5), (False, 0.5)], 0.5, 0.5),
    ],
)
def test_areas_without_a_side_are_undefined(rows, auc, ap):
    """They say which side is missing, and are never 0."""
    for estimate, expected in ((roc_auc(ranked(rows)), auc), (average_precision(ranked(rows)), ap)):
        assert expected in (estimate.undefined, estimate.value)
        assert math.isnan(estimate.value) == (estimate.undefined is not None)
        assert estimate.bound == 0.0


def test_groups_hold_every_sample_once():
    """Scores strictly fall; float32 scores give the same groups as their float64 values."""
    positive, score = noisy(2000, seed=1)
    score = score.round(1).astype(np.float32)
    groups = Ranked.of(positive, score)
    assert (np.diff(groups.scores) < 0).all()
    assert groups.scores.dtype == np.float64
    assert (groups.n_positives, groups.n_negatives) == (positive.sum(), (~positive).sum())
    same = Ranked.of(positive, score.astype(float))
    assert groups.scores.tolist() == same.scores.tolist()
    assert groups.positives.tolist() == same.positives.tolist()


@pytest.mark.parametrize(
    ("positive", "score"), [([True], [math.nan]), ([True], [1.0, 2.0]), ([[True]], [[1.0]])]
)
def test_scores_outside_the_contract_are_refused(positive, score):
    """NaN has no rank."""
    with pytest.raises(ValueError, match="scores"):
        Ranked.of(positive, score)


def holds(estimate, value):
    return abs(estimate.value - value) <= estimate.bound + 1e-12


@settings(max_examples=300)
@given(any_scores.filter(both), st.lists(st.floats(0, 1), max_size=5))
def test_bounds_hold_for_any_binning(rows, cuts):
    """However coarse the bins, and whichever ties they hide."""
    positive, score = arrays(rows)
    place = np.searchsorted(np.sort(cuts), score)
    exact = Ranked.of(positive, place)
    binned = Ranked(exact.scores, exact.positives, exact.negatives, exact=False)
    assert holds(roc_auc(binned), float(exact_auc(rows)))
    assert holds(average_precision(binned), float(exact_ap(rows)))
    assert holds(average_precision(binned), average_precision(exact).value)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=6),
    st.lists(st.booleans(), max_size=4),
)
def test_bounds_hold_in_one_bin_after_others(inside, before):
    """Every order and tie inside a bin, below samples that are certain."""
    rows = [(y, 100 - i) for i, y in enumerate(before)] + inside
    if not both(rows):
        return
    groups = [(y, 1 - y, True) for y in before] + [
        (sum(y for y, _ in inside), sum(not y for y, _ in inside), False)
    ]
    positives, negatives = (np.array(column, np.int64) for column in list(zip(*groups, strict=True))[:2])
    binned = Ranked(-np.arange(len(groups), dtype=float), positives, negatives, exact=False)
    assert holds(roc_auc(binned), float(exact_auc(rows)))
    assert holds(average_precision(binned), float(exact_ap(rows)))


def test_bounds_are_tight_for_a_certain_bin():
    """The bound is the true range, to the width of its closed form: best is tied on top, worst is last."""
    binned = Ranked(np.array([0.0]), np.array([3]), np.array([2]), exact=False)
    estimate = average_precision(binned)
    worst = float(Fraction(1, 3) + Fraction(2, 4) + Fraction(3, 5)) / 3
    assert estimate.value + estimate.bound == 1.0
    assert worst - 0.01 < estimate.value - estimate.bound <= worst
    assert roc_auc(binned) == Estimate(0.5, None, 0.5)


def confident(n, *, seed):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.5
    return positive, 4 * rng.normal(size=n) + np.where(positive, 8, -8)


def rare(n, *, seed):
    """One in a thousand, and the model is sure of negatives too."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 1e-3
    return positive, 3 * rng.normal(size=n) + np.where(positive, 14, 8)


@pytest.mark.parametrize("kind", ["probability", "score"])
@pytest.mark.parametrize("make", [noisy, confident, rare])
def test_bins_certify_the_area(make, kind):
    """Within 1e-4 for mild scores, confident ones, and a rare overconfident class."""
    positive, score = make(400_000, seed=7)
    score = sigmoid(score) if kind == "probability" else score
    binned = Ranked.of_bins(ScoreBins.from_scores(positive, score, kind=kind))
    exact = Ranked.of(positive, score)
    assert not binned.exact
    assert (np.diff(binned.scores) < 0).all()
    assert 0 < roc_auc(binned).bound <= 1e-4
    assert holds(roc_auc(binned), roc_auc(exact).value)
    assert holds(average_precision(binned), average_precision(exact).value)


@given(samples.filter(both))
def test_influences_sum_to_nothing_and_square_to_delong(rows):
    """The same variance, up to m / (m - 1) of each side."""
    positive, score = arrays(rows)
    auc, influence = auc_influence(Ordered.of(positive, score))
    n, sides = len(rows), (positive, ~positive)
    assert auc == roc_auc(ranked(rows)).value
    assert influence.sum() == pytest.approx(0, abs=1e-9 * n)
    parts = [(influence[side] ** 2).sum() / n**2 for side in sides]
    sizes = [int(side.sum()) for side in sides]
    if min(sizes) > 1:
        expected = sum(part * m / (m - 1) for part, m in zip(parts, sizes, strict=True))
        assert delong_variance(ranked(rows)) == pytest.approx(expected, abs=1e-12)
    else:
        assert math.isnan(delong_variance(ranked(rows)))


def test_influence_of_one_side_is_undefined():
    """No AUC, no influence."""
    auc, influence = auc_influence(Ordered.of([True, True], [0.1, 0.2]))
    assert math.isnan(auc)
    assert np.isnan(influence).all()


@given(samples.filter(lambda rows: any(positive for positive, _ in rows)))
def test_influences_on_average_precision_are_its_derivative(rows):
    """They sum to nothing, and each is what a little more of the sample would add."""
    positive, score = arrays(rows)
    area, influence = average_precision_influence(Ordered.of(positive, score))
    n = len(rows)
    assert area == average_precision(ranked(rows)).value
    assert influence.sum() == pytest.approx(0, abs=1e-9 * n)
    for i in range(min(n, 5)):
        more, less = np.ones(n), np.ones(n)
        more[i], less[i] = 1 + 1e-5, 1 - 1e-5
        slope = (weighted_precision(positive, score, more) - weighted_precision(positive, score, less)) / 2e-5
        assert n * slope == pytest.approx(influence[i], abs=1e-4 * n)


def weighted_precision(positive, score, weights):
    """Average precision of samples that count by their weights."""
    at_least = score[None, :] >= score[:, None]
    hits, found = (at_least * (weights * positive)).sum(axis=1), (at_least * weights).sum(axis=1)
    return float((weights * positive * hits / found).sum() / (weights * positive).sum())


def test_no_positives_no_influence():
    """Undefined throughout."""
    area, influence = average_precision_influence(Ordered.of([False, False], [0.1, 0.2]))
    assert math.isnan(area)
    assert np.isnan(influence).all()


def test_delong_by_hand():
    """Two and two, placements 1 and 1/2 on both sides: variance 1/8 / 2 + 1/8 / 2."""
    rows = [(True, 4), (False, 3), (True, 2), (False, 1)]
    assert delong_variance(ranked(rows)) == 0.125


def test_variances_agree_with_a_bootstrap():
    """Of the AUC, and by influences of the mean of three one-vs-rest AUCs over the same samples."""
    rng = np.random.default_rng(3)
    n, n_classes = 300, 3
    label = rng.integers(0, n_classes, n)
    score = rng.normal(size=(n, n_classes)) + np.eye(n_classes)[label]
    influence = np.mean(
        [auc_influence(Ordered.of(label == k, score[:, k]))[1] for k in range(n_classes)], axis=0
    )

    def areas(rows):
        return [roc_auc(Ranked.of(label[rows] == k, score[rows, k])).value for k in range(n_classes)]

    replicates = np.array([areas(rng.integers(0, n, n)) for _ in range(1500)])
    assert np.sqrt((influence**2).sum()) / n == pytest.approx(replicates.mean(axis=1).std(), rel=0.08)
    one = np.sqrt(delong_variance(Ranked.of(label == 0, score[:, 0])))
    assert one == pytest.approx(replicates[:, 0].std(), rel=0.08)


def test_delong_on_bins_is_that_of_the_samples():
    """To the width of the bins."""
    positive, score = noisy(50_000, seed=4)
    binned = Ranked.of_bins(ScoreBins.from_scores(positive, score, kind="score"))
    assert delong_variance(binned) == pytest.approx(delong_variance(Ranked.of(positive, score)), rel=1e-3)


@given(samples.filter(both))
def test_short_roc_curves_are_scikit_learns(rows):
    """Every point, none dropped; the first has no threshold."""
    fpr, tpr, thresholds = metrics.roc_curve(*arrays(rows), drop_intermediate=False)
    curve = roc_curve(ranked(rows))
    assert curve["fpr"] == pytest.approx(fpr)
    assert curve["tpr"] == pytest.approx(tpr)
    assert curve["threshold"] == [None, *thresholds[1:]]


@given(samples.filter(both))
def test_short_pr_curves_are_scikit_learns(rows):
    """In falling thresholds, without the point that no threshold gives."""
    precision, recall, thresholds = metrics.precision_recall_curve(*arrays(rows))
    curve = pr_curve(ranked(rows))
    assert curve["precision"] == pytest.approx(precision[:-1][::-1])
    assert curve["recall"] == pytest.approx(recall[:-1][::-1])
    assert curve["threshold"] == thresholds[::-1].tolist()


@pytest.mark.parametrize("share", [0.3, 0.002])
def test_long_curves_keep_true_points_all_along(share):
    """Ends included; no kept neighbours are further apart than a step of the curve, or a straight run."""
    positive, score = noisy(20_000, seed=6, share=share)
    groups = Ranked.of(positive, score)
    roc = metrics.roc_curve(positive, score, drop_intermediate=False)
    precision, recall, _ = metrics.precision_recall_curve(positive, score)
    for curve, (x, y), whole in (
        (roc_curve(groups, max_points=50), ("fpr", "tpr"), (roc[0], roc[1])),
        (pr_curve(groups, max_points=50), ("recall", "precision"), (recall[:-1][::-1], precision[:-1][::-1])),
    ):
        kept = list(zip(curve[x], curve[y], strict=True))
        points = list(zip(whole[0].tolist(), whole[1].tolist(), strict=True))
        assert 20 < len(kept) <= 50
        assert (kept[0], kept[-1]) == (points[0], points[-1])
        assert set(kept) <= set(points)
        step = sum(math.dist(a, b) for a, b in pairwise(points)) / 49
        distance = [
            min(math.dist(point, at) for at in kept) for point in points[:: max(len(points) // 500, 1)]
        ]
        largest = max(abs(b[0] - a[0]) + abs(b[1] - a[1]) for a, b in pairwise(points))
        straight = 0.02  # a run of negatives alone may be as long as it likes
        assert max(distance) <= step + largest + straight


def test_straight_runs_need_no_points():
    """A perfect ranking has one corner."""
    groups = Ranked.of(np.arange(1000) >= 500, np.arange(1000))
    assert roc_curve(groups)["fpr"] == [0.0, 0.0, 1.0]
    assert roc_curve(groups)["tpr"] == [0.0, 1.0, 1.0]


def test_curves_without_a_side_are_empty():
    """And infinite scores have no JSON."""
    assert roc_curve(ranked([(True, 0.5)])) == {"fpr": [], "tpr": [], "threshold": []}
    assert pr_curve(ranked([(False, 0.5)])) == {"recall": [], "precision": [], "threshold": []}
    assert pr_curve(ranked([(True, 0.5), (False, -math.inf)]))["threshold"] == [0.5, None]


@given(samples, st.lists(st.one_of(st.floats(-1, 2), st.integers(0, 6).map(lambda k: k / 8)), max_size=6))
def test_threshold_table_counts_by_the_rule(rows, thresholds):
    """score >= threshold, the threshold itself included."""
    positive, score = arrays(rows)
    table = threshold_table(ranked(rows), thresholds)
    for i, threshold in enumerate(thresholds):
        pairs = list(zip(positive, score >= threshold, strict=True))
        for name, cell in (("tp", (1, 1)), ("fp", (0, 1)), ("fn", (1, 0)), ("tn", (0, 0))):
            assert table[name][i] == pairs.count(cell)


def brute_force(rows, merit):
    """The highest threshold among the best, by trying each."""
    best = None
    for s in sorted({score for _, score in rows}, reverse=True):
        tp = sum(y and v >= s for y, v in rows)
        fp = sum(not y and v >= s for y, v in rows)
        worth = merit(tp, fp)
        if worth is not None and (best is None or worth > best[0]):
            best = (worth, s)
    return best and best[1]


@given(few_scores, st.sampled_from([0.0, 0.5, 0.9, 1.0]), st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_operating_points_are_the_best_ones(rows, least, cost):
    """Each rule against trying every threshold, in fractions."""
    p = sum(y for y, _ in rows)
    n = len(rows) - p
    rules = {"min_cost": lambda tp, fp: -(cost[0] * fp + cost[1] * (p - tp))}
    if p:
        rules["max_f1"] = lambda tp, fp: Fraction(2 * tp, p + tp + fp)
        rules[f"recall>={least}"] = lambda tp, fp: Fraction(tp, tp + fp) if tp / p >= least else None
        rules[f"precision>={least}"] = lambda tp, fp: tp if tp / (tp + fp) >= least else None
    if p and n:
        rules["youden"] = lambda tp, fp: Fraction(tp, p) - Fraction(fp, n)
    expected = {name: brute_force(rows, merit) for name, merit in rules.items()}
    points = operating_points(ranked(rows), cost=cost, min_recall=least, min_precision=least)
    found = {point["name"]: point["threshold"] for point in points}
    assert found == {name: threshold for name, threshold in expected.items() if threshold is not None}
    for point in points:
        table = threshold_table(ranked(rows), [point["threshold"]])
        assert {name: int(cells[0]) for name, cells in table.items()} == {k: point[k] for k in table}


def test_operating_points_that_nothing_reaches_are_left_out():
    """A precision of 0.9 where even the best threshold has 0.5; the plain ones come unasked."""
    points = operating_points(ranked([(True, 0.5), (False, 0.5)]), min_precision=0.9)
    assert [point["name"] for point in points] == ["max_f1", "youden"]
    assert operating_points(ranked([])) == []


@given(samples, st.integers(1, 8))
def test_coarsened_groups_hold_the_same_samples(rows, max_groups):
    """Neighbours are merged, in order; few groups are left alone."""
    groups = ranked(rows)
    table = coarsened(groups, max_groups=max_groups)
    assert len(table) <= max(max_groups, 0)
    assert table.sum(axis=0).tolist() == [groups.n_positives, groups.n_negatives]
    cumulative = set(zip(groups.tp.tolist(), groups.fp.tolist(), strict=True))
    assert set(map(tuple, np.cumsum(table, axis=0).tolist())) <= cumulative
    if len(groups.scores) <= max_groups:
        assert table.tolist() == np.stack([groups.positives, groups.negatives], axis=1).tolist()


@given(samples)
def test_average_precision_of_tables(rows):
    """The same number as of the groups, replicate by replicate."""
    table = coarsened(ranked(rows))
    if not rows:
        return
    values = average_precision_of(np.stack([table, 3 * table]))
    expected = average_precision(ranked(rows)).value
    assert values == pytest.approx([expected, expected], nan_ok=True)


@pytest.mark.parametrize("n", [0, 1, 2, 300])
def test_float32_scores_are_ranked_as_float64(n):
    """One sort of keys gives the groups that unique values give, zeros and infinities among them."""
    rng = np.random.default_rng(n)
    score = np.round(rng.normal(size=n), 1).astype(np.float32)
    score[: n // 3] *= np.float32(0)
    score[n // 2 :: 9] = -np.inf
    truth = rng.random(n) < 0.4
    ours, theirs = Ranked.of(truth, score), Ranked.of(truth, score.astype(np.float64))
    for name in ("scores", "positives", "negatives"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    ordered, place = Ordered.of(truth, score), np.searchsorted(-theirs.scores, -score.astype(np.float64))
    assert np.array_equal(
        ordered.by_sample(ours.scores, -ours.scores), np.where(truth, 1, -1) * ours.scores[place]
    )
