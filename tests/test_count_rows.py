"""Rows of counts: every count metric has its row, and its interval keeps its word."""

import numpy as np
import pytest
from documents import MATRIX, NAMES
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evalkit.catalogue import METRICS
from evalkit.count_rows import count_columns, count_rows
from evalkit.counts import ConfusionCounts
from evalkit.metrics import Margins, Policy
from evalkit.metrics.prevalence import reweighted, stated_shares
from evalkit.rows import Measures, asked_metric, row_key
from evalkit.uncertainty import BySample, Independent, smoothed, wilson_effective

COUNTED = [slug for slug, metric in METRICS.items() if metric.needs == "counts" and slug != "hamming_loss"]
COST = ((0, 1, 5), (1, 0, 5), (10, 10, 0))


def measures(*names, **options):
    return Measures(asked=tuple(asked_metric(name) for name in names), **options)


def rows_of(matrix=MATRIX, names=COUNTED, class_names=NAMES, **options):
    rows = count_rows(np.array(matrix), class_names, measures(*names, **options))
    assert len({row.key for row in rows}) == len(rows)
    return {row.key: row for row in rows}


def test_every_count_metric_has_rows_with_an_interval_around_its_value():
    """All of the catalogue's, per class and averaged; none of zero width."""
    rows = rows_of(cost=COST)
    assert {key[0] for key in rows} == set(COUNTED)
    for row in rows.values():
        if METRICS[row.metric].upper is None and row.metric != "expected_cost":
            assert row.no_interval == "count"
        else:
            assert row.low < row.high
            assert row.low <= row.value <= row.high


@pytest.mark.parametrize("matrix", [np.diag([40, 35, 20]), np.eye(3, dtype=int)[[1, 2, 0]] * 30])
def test_perfect_and_hopeless_runs_have_width(matrix):
    """Neither is certain."""
    for row in rows_of(matrix, cost=COST).values():
        if row.low is not None:
            assert row.low < row.high
            assert row.low - 1e-12 <= row.value <= row.high + 1e-12


def test_named_metrics():
    """Average recall is macro recall; expected cost is a mean; beta stands in the key."""
    rows = rows_of(cost=COST)
    assert rows[row_key("average_recall")].value == rows[row_key("recall", average="macro")].value
    total = sum(MATRIX[i][j] * COST[i][j] for i in range(3) for j in range(3))
    assert rows[row_key("expected_cost")].value == total / 100
    beta = rows[row_key("fbeta", params={"beta": 2.0}, class_name="cat")]
    assert beta.value == pytest.approx(5 * 40 / (5 * 40 + 4 * 5 + 6))


@pytest.mark.parametrize("policy", [Policy(), Policy("declared"), Policy("supported", "nan")])
def test_a_class_that_never_occurs(policy):
    """It changes averages as the policy says, and never an interval into nothing."""
    matrix = np.zeros((4, 4), int)
    matrix[:3, :3] = MATRIX
    rows = rows_of(matrix, class_names=(*NAMES, "owl"), policy=policy)
    macro = rows[row_key("f1", average="macro")]
    assert macro.n_classes == (4 if policy.classes == "declared" else 3)
    assert macro.low < macro.value < macro.high
    assert rows[row_key("recall", class_name="owl")].no_interval == "undefined"


def simulated(n, n_classes, accuracy, seed, trials):
    """Count matrices of runs with known metrics: errors go to any other class."""
    rng = np.random.default_rng(seed)
    shares = np.full(n_classes, 1 / n_classes)
    confusion = np.full((n_classes, n_classes), (1 - accuracy) / (n_classes - 1))
    np.fill_diagonal(confusion, accuracy)
    cells = shares[:, None] * confusion
    return cells, rng.multinomial(n, cells.ravel(), trials).reshape(trials, n_classes, n_classes)


@pytest.mark.parametrize(("n", "n_classes", "accuracy"), [(200, 2, 0.9), (500, 5, 0.97), (2000, 10, 0.9)])
def test_coverage(n, n_classes, accuracy):
    """95 % intervals cover the truth in 92 to 99 % of 600 simulated runs, for metrics of every kind."""
    names = ("balanced_accuracy", "f1", "precision", "mcc", "cohen_kappa", "g_mean", "informedness")
    cells, matrices = simulated(n, n_classes, accuracy, 7, 600)
    asked = measures(*names, averages=("macro",))
    truth = [column.value[0] for column in count_columns(cells[None] * 1e9, asked, by_class=False)]
    found = count_columns(matrices, asked, by_class=False)
    for column, true in zip(found, truth, strict=True):
        low, high = column.interval
        covered = np.mean((low <= true) & (true <= high))
        assert 0.92 <= covered <= 0.99, (column.metric.slug, covered)


def test_coverage_of_a_wrong_interval_is_found():
    """The tester is tested: half the width covers far less."""
    cells, matrices = simulated(500, 5, 0.9, 7, 600)
    asked = measures("f1", averages=("macro",))
    (column,) = count_columns(matrices, asked, by_class=False)
    middle, half = sum(column.interval) / 2, (column.interval[1] - column.interval[0]) / 4
    assert np.mean(np.abs(middle - 0.9) <= half) < 0.8


def test_structured_variance_equals_the_dense_one():
    """Row, column and diagonal parts give the sums over all cells."""
    rng = np.random.default_rng(2)
    matrix = rng.integers(0, 30, (3, 6, 6))
    sampling = Independent.of(matrix)
    from evalkit.metrics import OVERALL

    for slug, (_, gradient) in OVERALL.items():
        derivative = gradient(sampling.margins)
        dense = derivative.dense()
        squares, mean = (sampling.margins.matrix * dense**2), (sampling.margins.matrix * dense)
        expected = squares.sum((1, 2)) - mean.sum((1, 2)) ** 2 / sampling.margins.n[:, 0]
        assert np.allclose(sampling.variance(derivative), expected, rtol=1e-6), slug


def test_smoothed_counts_keep_their_rows():
    """Sizes of true classes stay, and nothing is certain any more."""
    calm = smoothed(np.diag([40, 0, 20]))
    assert calm.sum(axis=1) == pytest.approx([40, 0, 20])
    assert (calm[0] > 0).all()
    assert (calm[1] == 0).all()


def test_slices_are_computed_together():
    """A stack gives what each of its matrices gives alone, but for the class set, which is the run's."""
    rng = np.random.default_rng(5)
    stack = rng.integers(1, 20, (7, 3, 3))
    asked = measures(*COUNTED, cost=COST)
    together = list(count_columns(stack, asked))
    for position, matrix in enumerate(stack):
        alone = count_rows(matrix, NAMES, asked)
        rows = [
            row
            for column in together
            for row in column.rows(position, NAMES, n_samples=int(matrix.sum()), level=0.95)
        ]
        assert [row.key for row in rows] == [row.key for row in alone]
        for mine, other in zip(rows, alone, strict=True):
            assert mine.value == pytest.approx(other.value)
            assert mine.low == pytest.approx(other.low)


def test_prevalence():
    """At the data's own shares nothing changes; a rare class halves its precision."""
    matrix = np.array([[80, 20], [10, 90]])
    own = matrix.sum(axis=1) / matrix.sum()
    assert reweighted(matrix, own, "accuracy").value == pytest.approx(170 / 200)
    assert reweighted(matrix, own, "precision").value == pytest.approx([80 / 90, 90 / 110])
    assert reweighted(matrix, own, "npv").value == pytest.approx([90 / 110, 80 / 90])
    rare = reweighted(matrix, np.array([0.99, 0.01]), "precision")
    assert rare.value[1] == pytest.approx(0.01 * 0.9 / (0.01 * 0.9 + 0.99 * 0.2))
    rows = rows_of(matrix, ("accuracy",), ("no", "yes"), prevalence=(0.99, 0.01))
    row = rows[row_key("precision", params={"prevalence": "stated"}, class_name="yes")]
    assert row.low < row.value < row.high


def test_prevalence_covers():
    """The interval of re-weighted precision covers in 92 to 99 % of 1,000 runs."""
    rng = np.random.default_rng(3)
    shares, rates = np.array([0.95, 0.05]), np.array([[0.9, 0.1], [0.2, 0.8]])
    truth = reweighted(rates * 1e6, shares, "precision").value[1]
    covered = 0
    for _ in range(1000):
        matrix = np.stack([rng.multinomial(150, rates[0]), rng.multinomial(150, rates[1])])
        found, calm = (
            reweighted(matrix, shares, "precision"),
            reweighted(smoothed(matrix), shares, "precision"),
        )
        low, high = wilson_effective(found.value[1], calm.value[1], calm.variance[1], level=0.95)
        covered += low <= truth <= high
    assert 920 <= covered <= 990


@pytest.mark.parametrize(
    ("prevalence", "message"),
    [(0.1, "single number"), ({"a": 1.0}, "share of each"), ({"a": 0.5, "b": 0.4}, "sum to 1")],
)
def test_prevalences_that_say_nothing(prevalence, message):
    """One number names one class, and shares are shares."""
    with pytest.raises(ValueError, match=message):
        stated_shares(prevalence, ["a", "b"], None)
    assert stated_shares(0.1, ["a", "b"], "a") == (0.1, 0.9)


def clustered(rng, n_clusters, size, accuracy=0.85, spread=0.7):
    """Samples whose errors come in clusters: a beta-distributed accuracy for each."""
    strength = (1 - spread) / spread
    rates = rng.beta(accuracy * strength, (1 - accuracy) * strength, n_clusters)
    codes = np.repeat(np.arange(n_clusters), size)
    y_true = rng.integers(0, 3, len(codes))
    right = rng.random(len(codes)) < rates[codes]
    return y_true, np.where(right, y_true, (y_true + 1) % 3), codes


def test_clusters_widen_intervals_and_cover():
    """Accuracy and macro F1 over 40 clusters of 10: 88 to 99 %, where independent samples cover far less."""
    rng = np.random.default_rng(11)
    asked = measures("accuracy", averages=("macro",))
    covered = naive = 0
    for _ in range(300):
        y_true, y_pred, codes = clustered(rng, 40, 10)
        matrix = ConfusionCounts.from_labels(y_true, y_pred, n_classes=3).matrix
        sampling = BySample.of(matrix[None], y_true, y_pred, clusters=codes)
        row = count_rows(matrix, NAMES, asked, sampling=sampling)[0]
        assert row.method == "wilson-effective-clustered"
        plain = count_rows(matrix, NAMES, asked)[0]
        covered += row.low <= 0.85 <= row.high
        naive += plain.low <= 0.85 <= plain.high
        assert row.high - row.low >= plain.high - plain.low - 1e-9
    assert 0.88 * 300 <= covered <= 0.99 * 300
    assert naive < 0.75 * 300


def test_too_few_clusters_have_no_interval():
    """Under 20 nobody can say."""
    rng = np.random.default_rng(1)
    y_true, y_pred, codes = clustered(rng, 19, 10)
    matrix = ConfusionCounts.from_labels(y_true, y_pred, n_classes=3).matrix
    sampling = BySample.of(matrix[None], y_true, y_pred, clusters=codes)
    rows = count_rows(matrix, NAMES, measures("accuracy", "f1"), sampling=sampling)
    assert {row.no_interval for row in rows} == {"too_few_clusters", "count"}


def test_bootstrap_agrees_where_it_is_valid():
    """An oracle: at n = 2,000 and moderate accuracy both intervals are the same within a tenth."""
    _, matrices = simulated(2000, 3, 0.8, 1, 1)
    names = ("accuracy", "f1", "mcc", "balanced_accuracy")
    closed = rows_of(matrices[0], names)
    for key, row in rows_of(matrices[0], names, method="bootstrap").items():
        if row.low is None:
            continue
        assert row.method == "bootstrap"
        width = closed[key].high - closed[key].low
        assert row.low == pytest.approx(closed[key].low, abs=width / 8), key
        assert row.high == pytest.approx(closed[key].high, abs=width / 8), key


def test_bootstrap_of_a_perfect_run_has_no_width_and_is_not_printed():
    """Null, not [1, 1]."""
    row = rows_of(np.diag([40, 35, 20]), ("accuracy",), method="bootstrap")[row_key("accuracy")]
    assert (row.low, row.high, row.no_interval) == (None, None, "zero_variance")


def multilabel(rng, n, rates, shares):
    """Labels with errors that hang together within a sample."""
    y_true = rng.random((n, len(shares))) < shares
    hard = rng.random((n, 1)) < 0.3
    wrong = rng.random(y_true.shape) < np.where(hard, 3 * rates, rates)
    return y_true, y_true ^ wrong


def label_counts(y_true, y_pred):
    counts = np.zeros((y_true.shape[1], 2, 2), int)
    for k in range(y_true.shape[1]):
        np.add.at(counts[k], (y_true[:, k].astype(int), y_pred[:, k].astype(int)), 1)
    return counts


def test_multilabel_values_are_scikit_learns():
    """Micro, macro and weighted over labels, hamming loss."""
    from sklearn import metrics as sk

    y_true, y_pred = multilabel(np.random.default_rng(0), 200, np.full(3, 0.1), np.array([0.5, 0.3, 0.1]))
    asked = measures("f1", "recall", "hamming_loss", task="multilabel")
    sampling = BySample.of(label_counts(y_true, y_pred)[None], y_true, y_pred)
    rows = count_rows(label_counts(y_true, y_pred), NAMES, asked, sampling=sampling)
    found = {row.key: row for row in rows}
    for kind in ("micro", "macro", "weighted"):
        for name, function in (("f1", sk.f1_score), ("recall", sk.recall_score)):
            row = found[row_key(name, average=kind)]
            assert row.value == pytest.approx(function(y_true, y_pred, average=kind))
            assert row.low < row.value < row.high
    assert found[row_key("hamming_loss")].value == pytest.approx(sk.hamming_loss(y_true, y_pred))


def test_multilabel_intervals_cover():
    """Labels of one sample hang together, and the interval knows: 91 to 99 % of 400."""
    rng = np.random.default_rng(4)
    rates, shares = np.full(3, 0.06), np.array([0.5, 0.3, 0.2])
    asked = measures("f1", averages=("macro",), task="multilabel")
    big = label_counts(*multilabel(rng, 400_000, rates, shares))
    (truth, *_) = count_rows(big, NAMES, asked)
    covered = 0
    for _ in range(400):
        y_true, y_pred = multilabel(rng, 300, rates, shares)
        counts = label_counts(y_true, y_pred)
        sampling = BySample.of(counts[None], y_true, y_pred)
        (row, *_) = count_rows(counts, NAMES, asked, sampling=sampling)
        covered += row.low <= truth.value <= row.high
    assert 0.91 * 400 <= covered <= 0.99 * 400


def test_margins_of_labels():
    """One table a label."""
    margins = Margins.of_labels(np.array([[[5, 1], [2, 3]], [[7, 0], [0, 4]]]))
    assert margins.tp.tolist() == [3, 4]
    assert margins.support.tolist() == [5, 4]
    assert margins.predicted.tolist() == [4, 4]
    assert margins.tn.tolist() == [5, 7]


tables = arrays(np.int64, (3, 3), elements=st.integers(0, 6))


@given(tables, st.sampled_from(["present", "declared", "supported"]), st.sampled_from([0, "nan"]))
def test_no_interval_is_a_point_or_misses_its_value(matrix, classes, zero):
    """Any table, small and degenerate ones above all: width, and the value inside its range and bounds."""
    if not matrix.sum():
        return
    for row in rows_of(matrix, cost=COST, policy=Policy(classes, zero)).values():
        metric = METRICS[row.metric]
        if row.value is not None and metric.upper is not None and metric.lower is not None:
            assert metric.lower <= row.value <= metric.upper, row.key
        if row.low is not None:
            assert row.low < row.high, row.key
            assert row.low - 1e-9 <= row.value <= row.high + 1e-9, row.key


@pytest.mark.parametrize("counts", [(1, 4), (7, 11), (123, 4567), (10**8, 3)])
def test_a_perfect_run_is_exactly_perfect(counts):
    """1.0, not 0.9999999999999998, or a gate on perfection would fail."""
    rows = rows_of(np.diag(counts), class_names=("a", "b"), cost=((0, 1), (1, 0)))
    for metric in ("accuracy", "mcc", "cohen_kappa", "g_mean", "balanced_accuracy"):
        assert rows[row_key(metric)].value == 1.0, metric
    for kind in ("macro", "weighted"):
        for metric in ("precision", "recall", "f1", "jaccard", "informedness"):
            assert rows[row_key(metric, average=kind)].value == 1.0, metric
