"""Score metrics: scikit-learn's numbers from the stored values, with intervals that keep their word."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

import evalkit
from evalkit.errors import SpecificationError
from evalkit.rows import Measures
from evalkit.samples import Samples, read_samples
from evalkit.score_rows import Rankings, ScoreStates, score_columns
from evalkit.scores import ScoreBins


def multiclass(n=300, n_classes=4, seed=0, strength=1.5):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    logits = rng.normal(size=(n, n_classes)) + strength * np.eye(n_classes)[y]
    return y, logits


def binary(n=300, seed=0, strength=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return y, 1 / (1 + np.exp(-(strength * (2 * y - 1) + rng.normal(size=n))))


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def test_multiclass_equals_scikit_learn():
    """Log loss, Brier, top-k, AUC and average precision; K = 7, so that top 5 means something."""
    y, logits = multiclass(n_classes=7)
    result = evalkit.score(y, y_score=logits, output="logits")
    p = softmax(logits).astype(np.float32).astype(np.float64)
    exact = softmax(logits)
    assert result.value("log_loss") == pytest.approx(sk.log_loss(y, exact, labels=range(7)), abs=1e-9)
    onehot = np.eye(7)[y]
    assert result.value("brier") == pytest.approx(((exact - onehot) ** 2).sum(axis=1).mean(), abs=1e-9)
    assert result.value("top_k_accuracy") == sk.top_k_accuracy_score(y, logits, k=5, labels=range(7))
    for kind in ("macro", "weighted"):
        expected = sk.roc_auc_score(y, softmax(logits), multi_class="ovr", average=kind)
        assert result.value("roc_auc", average=kind) == pytest.approx(expected, abs=1e-6)
        expected = sk.average_precision_score(onehot, p, average=kind)
        assert result.value("average_precision", average=kind) == pytest.approx(expected, abs=1e-12)
    for k in range(7):
        mine = result.value("roc_auc", class_name=str(k))
        assert mine == pytest.approx(sk.roc_auc_score(y == k, p[:, k]), abs=1e-12)
        mine = result.value("average_precision", class_name=str(k))
        assert mine == pytest.approx(sk.average_precision_score(y == k, p[:, k]), abs=1e-12)


@pytest.mark.parametrize("form", ["column", "matrix", "two", "logit", "two logits"])
def test_binary_forms_give_the_same_numbers(form):
    """One probability, two columns, one logit or two: one decision, one loss, one AUC."""
    y, p = binary()
    scores, output = {
        "column": (p, "probabilities"),
        "matrix": (p[:, None], "probabilities"),
        "two": (np.stack([1 - p, p], axis=1), "probabilities"),
        "logit": (np.log(p / (1 - p)), "logits"),
        "two logits": (np.log(np.stack([1 - p, p], axis=1)), "logits"),
    }[form]
    result = evalkit.score(y, y_score=scores, task="binary", output=output, class_names=["no", "yes"])
    assert result.value("accuracy") == sk.accuracy_score(y, p >= 0.5)
    assert result.value("log_loss") == pytest.approx(sk.log_loss(y, p), abs=1e-9)
    assert result.value("brier") == pytest.approx(sk.brier_score_loss(y, p), abs=1e-9)
    assert result.value("roc_auc") == pytest.approx(sk.roc_auc_score(y, p), abs=1e-4)
    assert result.value("average_precision") == pytest.approx(sk.average_precision_score(y, p), abs=1e-4)


def test_the_positive_class_may_be_the_first():
    """Its column is the one that is given alone."""
    y, p = binary()
    arguments = {"task": "binary", "output": "probabilities", "class_names": ["yes", "no"]}
    result = evalkit.score(1 - y, y_score=p, positive_class="yes", **arguments)
    assert result.value("roc_auc") == pytest.approx(sk.roc_auc_score(y, p.astype(np.float32)), abs=1e-12)
    assert result.value("recall", class_name="yes") == sk.recall_score(y, p >= 0.5)


def test_a_threshold_in_the_scores_own_units():
    """Undeclared scores are ranked, and cut where it was said."""
    y, p = binary()
    margin = 10 * np.log(p / (1 - p))
    result = evalkit.score(y, y_score=margin, task="binary", threshold=3.0)
    assert result.value("accuracy") == sk.accuracy_score(y, margin >= 3.0)
    assert result.value("roc_auc") == pytest.approx(sk.roc_auc_score(y, margin), abs=1e-6)
    row = result.row("log_loss")
    assert (row.value, row.undefined) == (None, "no_probabilities")


def test_label_sets_equal_scikit_learn():
    """AUC and average precision by label and averaged, samples averages, subset accuracy, hamming loss."""
    rng = np.random.default_rng(0)
    y = rng.random((200, 5)) < 0.3
    p = 1 / (1 + np.exp(-(rng.normal(size=y.shape) + 2 * y - 1)))
    result = evalkit.score(y.astype(int), y_score=p, task="multilabel", output="probabilities")
    pred = p >= 0.5
    assert result.value("subset_accuracy") == pytest.approx(sk.accuracy_score(y, pred))
    assert result.value("hamming_loss") == pytest.approx(sk.hamming_loss(y, pred))
    stored = p.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in ("micro", "macro", "weighted", "samples"):
            for name, function in (
                ("precision", sk.precision_score),
                ("recall", sk.recall_score),
                ("f1", sk.f1_score),
            ):
                expected = function(y, pred, average=kind, zero_division=0)
                assert result.value(name, average=kind) == pytest.approx(expected), (name, kind)
    for kind in ("macro", "weighted"):
        assert result.value("roc_auc", average=kind) == pytest.approx(
            sk.roc_auc_score(y, stored, average=kind)
        )
        expected = sk.average_precision_score(y, stored, average=kind)
        assert result.value("average_precision", average=kind) == pytest.approx(expected)
    assert result.value("log_loss") == pytest.approx(
        np.mean([sk.log_loss(y[:, k], p[:, k], labels=[False, True]) for k in range(5)])
    )


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 40), st.booleans())
def test_any_scores(seed, n, few):
    """Ties, classes without samples, one class only: scikit-learn's number, or undefined with a reason."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    logits = rng.normal(size=(n, 3))
    logits = np.round(logits) if few else logits
    result = evalkit.score(y, y_score=logits, class_names=["a", "b", "c"], output="logits")
    p = softmax(logits).astype(np.float32)
    for k, name in enumerate("abc"):
        auc = result.row("roc_auc", class_name=name)
        precision = result.row("average_precision", class_name=name)
        if 0 < (y == k).sum() < n:
            assert auc.value == pytest.approx(sk.roc_auc_score(y == k, p[:, k]), abs=1e-12)
            assert auc.low is None or auc.low < auc.high
        else:
            assert (auc.value, auc.undefined) == (None, "one_sided")
        if (y == k).any():
            expected = sk.average_precision_score(y == k, p[:, k])
            assert precision.value == pytest.approx(expected, abs=1e-12)
        else:
            assert (precision.value, precision.undefined) == (None, "no_samples")


def test_rankings_do_not_depend_on_how_scores_come_in_batches():
    """Logits guessed per batch would: here the declaration holds for all of them."""
    y, logits = multiclass()
    whole = evalkit.score(y, y_score=logits, class_names=list("abcd"), output="logits")
    loop = evalkit.Accumulator(list("abcd"), output="logits")
    for start in range(0, 300, 7):
        loop.add(y[start : start + 7], y_score=logits[start : start + 7])
    assert loop.result().document.metrics == whole.document.metrics


@pytest.mark.parametrize("kind", ["probability", "score"])
def test_binned_scores_are_near_and_say_how_near(kind):
    """Where scores do not fit in memory, each value carries its bound, and the exact one lies inside."""
    y, logits = multiclass(2000)
    scores = softmax(logits) if kind == "probability" else logits
    exact = Samples(y, y, scores.astype(np.float32), probable=kind == "probability")
    bins = {k: ScoreBins.from_scores(y == k, scores[:, k], kind=kind) for k in range(4)}
    binned = Samples(y, y, None, probable=kind == "probability", bins=bins)
    asked = Measures(asked=(("roc_auc", {}), ("average_precision", {})))
    pairs = zip(*(columns_of(samples, asked) for samples in (exact, binned)), strict=True)
    for mine, other in pairs:
        if mine.metric.slug in ("roc_auc", "average_precision"):
            assert other.bound is not None
            assert (np.abs(mine.value - other.value) <= other.bound + 1e-12).all()
            assert (other.bound < 2e-3).all()


def columns_of(samples, measures, n_classes=4):
    states = ScoreStates.of(samples, n_classes, None)
    rankings = Rankings(states, measures, n_classes, None, positive=None)
    return list(score_columns(states, measures, rankings, positive=None, clusters=None))


def test_memory_decides_what_is_binned(tmp_path):
    """The same table, read with and without room for its scores."""
    y, logits = multiclass()
    result = evalkit.score(y, y_score=logits, output="logits")
    result.save(tmp_path / "run")
    path = tmp_path / "run/predictions.parquet"
    arguments = {"task": "multiclass", "n_classes": 4}
    assert read_samples(path, memory=300 * 4 * 4, **arguments).scores.shape == (300, 4)
    binned = read_samples(path, memory=300 * 4 * 4 - 1, **arguments)
    assert binned.scores is None
    assert sorted(binned.bins) == [0, 1, 2, 3]
    assert sum(int(bins.n_samples.sum()) for bins in binned.bins.values()) == 4 * 300


def test_many_classes_have_no_ranking_unless_asked_for():
    """Above 64 classes the table holds the best five scores; top-k and losses stay exact."""
    y, logits = multiclass(400, 70)
    result = evalkit.score(y, y_score=logits, output="logits")
    assert result.value("top_k_accuracy") == sk.top_k_accuracy_score(y, logits, k=5, labels=range(70))
    assert result.value("log_loss") == pytest.approx(sk.log_loss(y, softmax(logits), labels=range(70)))
    assert result.row("roc_auc", average="macro").undefined == "scores_not_stored"
    assert result.row("roc_auc", class_name="3").undefined == "scores_not_stored"


def test_intervals_of_losses_and_auc_cover():
    """t for log loss and Brier, DeLong for AUC, bootstrap for average precision: 90 to 99 % of 200 runs."""
    y, p = binary(200_000, seed=99)
    truth = {
        "log_loss": sk.log_loss(y, p),
        "brier": sk.brier_score_loss(y, p),
        "roc_auc": sk.roc_auc_score(y, p),
        "average_precision": sk.average_precision_score(y, p),
    }
    covered = dict.fromkeys(truth, 0)
    for seed in range(200):
        y, p = binary(250, seed=seed)
        result = evalkit.score(y, y_score=p, task="binary", output="probabilities")
        for name, value in truth.items():
            row = result.row(name)
            covered[name] += row.low <= value <= row.high
    assert all(0.9 * 200 <= count <= 0.99 * 200 for count in covered.values()), covered


def test_macro_auc_interval_covers():
    """By influence functions over the classes' AUCs, which share their samples."""
    y, logits = multiclass(60_000, 3, seed=5)
    truth = sk.roc_auc_score(y, softmax(logits), multi_class="ovr")
    measures = Measures(asked=(("roc_auc", {}),), averages=("macro",))
    covered = 0
    for seed in range(200):
        y, logits = multiclass(200, 3, seed=1000 + seed)
        samples = Samples(y, y, softmax(logits).astype(np.float32), probable=True)
        column = columns_of(samples, measures, 3)[0]
        covered += column.interval[0][0] <= truth <= column.interval[1][0]
    assert 0.9 * 200 <= covered <= 0.99 * 200


def test_a_perfect_ranking_has_no_interval_of_zero_width():
    """Null, with the reason."""
    y = np.array([0, 1] * 20)
    result = evalkit.score(y, y_score=y * 0.8 + 0.1, task="binary", output="probabilities")
    row = result.row("roc_auc")
    assert (row.value, row.low, row.no_interval) == (1.0, None, "zero_variance")
    assert result.row("log_loss").no_interval == "zero_variance"


def test_calibration_counts_confidence_one():
    """Confidence 1.0 belongs to the last bin, and right predictions at 1.0 are no error."""
    y = np.array([1, 1, 1, 0])
    p = np.array([1.0, 1.0, 1.0, 0.0])
    result = evalkit.score(y, y_score=p, task="binary", output="probabilities", metrics={"names": ["mce"]})
    assert result.value("mce") == 0.0
    assert result.value("ece") == 0.0
    assert result.document.calibration["width"]["n"] == [1, 3]


def test_clusters_widen_score_intervals():
    """Copies of a sample are no new evidence."""
    y, p = binary(100, seed=2)
    arguments = {"task": "binary", "output": "probabilities"}
    alone = evalkit.score(y, y_score=p, **arguments)
    copies = evalkit.score(
        np.repeat(y, 10),
        y_score=np.repeat(p, 10),
        attributes={"patient": np.repeat(np.arange(100), 10)},
        metrics={"cluster": "patient"},
        **arguments,
    )
    for name in ("accuracy", "log_loss", "brier", "roc_auc"):
        one, many = alone.row(name), copies.row(name)
        assert many.value == pytest.approx(one.value)
        assert many.high - many.low == pytest.approx(one.high - one.low, rel=0.12), name
    assert copies.row("average_precision").no_interval == "clustered"
    assert "cluster:patient" in copies.document.signature


def test_operating_points_are_marked_and_counted():
    """Thresholds chosen on these samples carry the mark; the counts are those of the rule."""
    y, p = binary()
    result = evalkit.score(
        y, y_score=p, task="binary", output="probabilities", metrics={"cost": [[0, 1], [10, 0]]}
    )
    points = {point["name"]: point for point in result.document.curves["operating_points"]}
    assert set(points) == {"max_f1", "youden", "recall>=0.9", "precision>=0.9", "min_cost"}
    stored = p.astype(np.float32)
    for point in points.values():
        assert point["selected_on_test"]
        said = stored >= np.float32(point["threshold"])
        assert point["tp"] == int((said & (y == 1)).sum())
        assert point["fp"] == int((said & (y == 0)).sum())
    best = max(sk.f1_score(y, stored >= t) for t in np.unique(stored))
    assert points["max_f1"]["tp"] * 2 / (
        2 * points["max_f1"]["tp"] + points["max_f1"]["fp"] + points["max_f1"]["fn"]
    ) == pytest.approx(best)
    table = result.document.curves["thresholds"]
    assert [
        sum(cells) for cells in zip(*(table[name] for name in ("tp", "fp", "fn", "tn")), strict=True)
    ] == [300] * 21


def test_the_trivial_model_stands_beside():
    """The commonest class, and the classes' shares as probabilities."""
    y, logits = multiclass(n_classes=7)
    result = evalkit.score(y, y_score=logits, output="logits")
    counts = np.bincount(y, minlength=7)
    shares = counts / 300
    assert result.row("accuracy").trivial == counts.max() / 300
    constant = np.full(300, counts.argmax())
    assert result.row("f1", average="macro").trivial == pytest.approx(
        sk.f1_score(y, constant, average="macro")
    )
    prior = np.tile(shares, (300, 1))
    assert result.row("log_loss").trivial == pytest.approx(sk.log_loss(y, prior, labels=range(7)))
    assert result.row("brier").trivial == pytest.approx(((prior - np.eye(7)[y]) ** 2).sum(axis=1).mean())
    assert result.row("top_k_accuracy").trivial == pytest.approx(np.sort(shares)[-5:].sum())
    assert result.row("mcc").trivial is None


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"names": ["hamming_loss"]}, "hamming_loss does not belong to task: multiclass"),
        ({"names": ["acuracy"]}, "did you mean 'accuracy'"),
        ({"names": ["expected_cost"]}, "needs metrics.cost"),
        ({"cost": [[0, 1], [1, 0]]}, "expected 4 rows of 4 numbers"),
        ({"prevalence": 0.1}, "single number belongs to task: binary"),
        ({"unit": {"by": "p", "combine": "any"}}, "must be mean or majority"),
        ({"interval": 95}, "interval"),
        ({"averages": ["macrro"]}, "averages"),
        ({"nmes": ["mcc"]}, "unknown key"),
    ],
)
def test_metrics_that_cannot_be_asked_for(metrics, message):
    """One line with the key, before anything is counted."""
    with pytest.raises(SpecificationError, match=message):
        evalkit.Accumulator(list("abcd"), metrics=metrics)
