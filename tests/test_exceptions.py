"""Where numbers are meant to differ from scikit-learn's: each line of the table, and nothing else."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

import evalkit
from evalkit.catalogue import METRICS
from evalkit.reasons import EXCEPTIONS


def test_the_table_speaks_of_metrics():
    """Of slugs of the catalogue, or of a group in words."""
    for names, _, _ in EXCEPTIONS:
        slugs = names.split(", ")
        assert all(slug in METRICS for slug in slugs) or len(slugs) == 1


def test_kappa_keeps_the_declared_distances():
    """Classes 0 and 2 of three are two apart, also where 1 never occurs."""
    y_true, y_pred = [0, 2, 2, 0, 2], [0, 2, 0, 0, 2]
    result = evalkit.score(
        y_true, y_pred, class_names=["a", "b", "c"], metrics={"names": ["cohen_kappa_quadratic"]}
    )
    expected = sk.cohen_kappa_score(y_true, y_pred, labels=[0, 1, 2], weights="quadratic")
    assert result.value("cohen_kappa_quadratic") == pytest.approx(expected)


def test_top_1_is_accuracy():
    """Of equal scores the lower index is better, for both; scikit-learn's top-k takes the higher."""
    scores = np.array([[1.0, 1, 0], [0, 1, 1], [0, 0, 1]])
    y = [0, 1, 2]
    loop = evalkit.Accumulator(["a", "b", "c"], metrics={"names": ["top_k_accuracy"]})
    result = loop.add(y, y_score=scores).result()
    assert result.value("accuracy") == 1.0
    assert sk.top_k_accuracy_score(y, scores, k=1) < 1


def test_log_loss_at_certainty():
    """A wrong prediction at probability 1 costs -log(eps) of float64."""
    result = evalkit.score(
        [0, 1], y_score=np.array([[0.0, 1.0], [0.0, 1.0]]), output="probabilities", class_names=["a", "b"]
    )
    assert result.value("log_loss") == pytest.approx(-np.log(np.finfo(float).eps) / 2)
    logits = evalkit.score(
        [0, 1], y_score=np.array([[0.0, 1e4], [0.0, 1e4]]), output="logits", class_names=["a", "b"]
    )
    assert logits.value("log_loss") == pytest.approx(5000)


def test_one_class_alone():
    """Nothing varies, so nothing correlates."""
    result = evalkit.score([1, 1], [1, 1], class_names=["a", "b"])
    assert result.row("mcc").undefined == "one_class"
    assert result.row("cohen_kappa").undefined == "one_class"
    assert result.value("accuracy") == 1.0


SETS = {
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "f1": sk.f1_score,
    "jaccard": sk.jaccard_score,
}
sets = st.integers(1, 12).flatmap(
    lambda n: st.tuples(arrays(bool, (n, 3), elements=st.booleans()), arrays(bool, (n, 3)))
)


@settings(max_examples=40)
@given(sets, st.sampled_from([0, "nan"]))
def test_label_sets_equal_scikit_learn(drawn, zero):
    """micro, macro, weighted and samples, labels that never occur among them."""
    y_true, y_pred = drawn
    result = evalkit.score(
        y_true.astype(int),
        y_pred.astype(int),
        task="multilabel",
        class_names=["a", "b", "c"],
        metrics={"zero_division": zero, "names": ["jaccard"]},
    )
    value = np.nan if zero == "nan" else 0
    for name, function in SETS.items():
        for kind in ("micro", "macro", "weighted", "samples"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if name == "jaccard" and zero == "nan":
                    continue  # scikit-learn's takes no nan
                expected = function(y_true, y_pred, average=kind, zero_division=value)
            mine = result.row(name, average=kind)
            if mine.value is None:
                assert np.isnan(expected) or expected == 0, (name, kind)
            else:
                assert mine.value == pytest.approx(expected), (name, kind)
                assert mine.low is None or mine.low < mine.high
