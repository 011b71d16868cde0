"""Families: is any class, or any slice, demonstrably outside its limit?"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from test_compare import gates_file, saved, two_models

import evalkit as library
from evalkit.gates.families import holm, p_of_row
from evalkit.uncertainty import wilson, wilson_f1


def slices_of(correct, code):
    """A run whose errors are where they are said to be."""
    y = np.zeros(len(correct), int)
    return library.score(
        y, np.where(correct, 0, 1), class_names=["a", "b"], attributes={"site": code}, slices=["site"]
    )


def judged(result, tmp_path, evalkit, **gate):
    result.save(tmp_path / "run")
    path = gates_file(tmp_path, {"metric": "accuracy", "slice": {"site": "*"}, **gate})
    code, out, err = evalkit("gate", tmp_path / "run", "--gates", path)
    verdict = json.loads((tmp_path / "run/verdict.json").read_text()) if code in (0, 3, 5, 7) else None
    return code, out + err, verdict


def test_holm():
    """Step down, never below a smaller one's."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.01, 0.99))
def test_p_values_invert_the_intervals(drawn, limit):
    """p <= alpha only where the interval of level 1 - 2 alpha lies below the floor, and the exact tail agrees."""
    k, n = drawn
    result = library.score([0] * n, [0] * k + [1] * (n - k), class_names=["a", "b"])
    row = result.row("accuracy")
    p_value = p_of_row(row, limit, at_least=True)
    for alpha in (0.005, 0.025, 0.2):
        high = float(wilson(k, n, level=1 - 2 * alpha)[1])
        exact = binom.cdf(k, n, limit)
        if abs(high - limit) > 1e-6 and abs(exact - alpha) > 1e-9:
            assert (p_value <= alpha) == (high < limit and exact <= alpha), (alpha, p_value, high)


def test_p_values_of_the_other_methods():
    """F1 through Jaccard, averages with their effective size, cost by the normal."""
    y, pred, _ = two_models(500, accuracy=(0.8, 0.8))
    result = library.score(
        y, pred, class_names=["a", "b", "c"], metrics={"cost": [[0, 1, 1], [1, 0, 1], [1, 1, 0]]}
    )
    f1 = result.row("f1", class_name="b")
    counts = result.document.confusion
    tp, union = int(counts.tp[1]), int((counts.support + counts.n_predicted - counts.tp)[1])
    limit = float(wilson_f1(tp, union, level=0.9)[1])
    assert p_of_row(f1, limit, at_least=True) == pytest.approx(0.05, abs=1e-6)
    macro = result.row("f1", average="macro")
    wide = library.score(y, pred, class_names=["a", "b", "c"], metrics={"interval": 0.99}).row(
        "f1", average="macro"
    )
    assert p_of_row(macro, wide.high, at_least=True) == pytest.approx(0.005, abs=1e-6)
    assert p_of_row(macro, wide.low, at_least=False) == pytest.approx(0.005, abs=1e-6)
    cost = result.row("expected_cost")
    assert p_of_row(cost, cost.low, at_least=False) == pytest.approx(0.025, abs=1e-6)
    assert p_of_row(macro, macro.value, at_least=True) == 1.0


def test_false_alarms_over_fifty_equal_slices(tmp_path, evalkit):
    """All slices are exactly at the limit: a family of 50 alarms in at most alpha + 3 SE of 200 runs."""
    from evalkit.gates.case import Case
    from evalkit.gates.families import Limit, judge_family
    from evalkit.rows import row_key

    rng = np.random.default_rng(0)
    alarms, n = 0, 120
    code = np.repeat(np.arange(50), 60)
    for _ in range(n):
        result = slices_of(rng.random(3000) < 0.9, code).document
        keys = [row_key("accuracy", slice_={"site": k}) for k in range(50)]
        found = judge_family(Case(result, None), keys, Limit(0.9, True, None, 30, 0.025))
        alarms += found["outcome"] == "failed"
    assert alarms / n <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / n)


def test_a_planted_bad_slice_is_found(tmp_path, evalkit):
    """One of twenty, with its name."""
    rng = np.random.default_rng(1)
    code = np.array([f"s{k}" for k in np.repeat(np.arange(20), 100)])
    correct = rng.random(2000) < np.where(code == "s7", 0.6, 0.95)
    found, out, verdict = judged(slices_of(correct, code), tmp_path, evalkit, min=0.85)
    assert found == 3
    assert "accuracy where site = s7" in out
    members = {one["slice"]["site"]: one for one in verdict["checks"][0]["members"]}
    assert members["s7"]["outcome"] == "failed"
    assert members["s7"]["adjusted"] >= members["s7"]["p_value"]
    assert sum(one["outcome"] == "failed" for one in members.values()) == 1


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        ({"min": 0.85}, 0),
        ({"min": 0.87, "judge": "point"}, 3),
        ({"min": 0.87, "require": "each"}, 3),
        ({"min": 0.5, "require": "each", "judge": "lower"}, 0),
        ({"min": 0.85, "require": "each", "judge": "interval"}, 7),
        ({"min": 0.85, "min_support": 1000}, 5),
        ({"min": 0.85, "judge": "lower"}, 2),
        ({"min": 0.85, "max": 0.99}, 2),
    ],
)
def test_questions_to_a_family(gate, code, tmp_path, evalkit):
    """Demonstrably outside, by point, or each for itself."""
    rng = np.random.default_rng(3)
    code_of = np.repeat(np.arange(10), 50)
    correct = rng.random(500) < 0.88
    found, out, _ = judged(slices_of(correct, code_of), tmp_path, evalkit, **gate)
    assert found == code, out


def test_small_members_are_listed_and_outside(tmp_path, evalkit):
    """Ten samples fail nothing."""
    code = np.repeat(["big", "small"], [400, 10])
    correct = np.ones(410, bool)
    correct[-9:] = False
    found, out, verdict = judged(slices_of(correct, code), tmp_path, evalkit, min=0.85)
    assert found == 0
    assert "too few samples: 1" in out
    small = verdict["checks"][0]["members"][1]
    assert (small["slice"], small["outcome"], small["reason"]) == ({"site": "small"}, None, "insufficient")


@pytest.mark.parametrize(("accuracy", "code"), [((0.85, 0.85), 0), ((0.9, 0.6), 3)])
def test_drops_of_every_class(accuracy, code, tmp_path, evalkit):
    """Paired, per class, corrected for their number."""
    y, old, new = two_models(600, accuracy=accuracy)
    a, b = saved(tmp_path / "old", y, old), saved(tmp_path / "new", y, new)
    path = gates_file(tmp_path, {"metric": "recall", "class": "*", "max_drop": 0.05})
    found, out, err = evalkit("gate", b, "--gates", path, "--baseline", a)
    assert found == code, out + err
    members = json.loads((b / "verdict.json").read_text())["checks"][0]["members"]
    assert [one["class_name"] for one in members] == ["a", "b", "c"]


def test_a_class_without_samples_blocks_nothing(tmp_path, evalkit):
    """It is the smallest member there is."""
    y, _, new = two_models(300)
    result = library.score(y, new, class_names=["a", "b", "c", "never"])
    result.save(tmp_path / "run")
    path = gates_file(tmp_path, {"metric": "recall", "class": "*", "min": 0.5})
    assert evalkit("gate", tmp_path / "run", "--gates", path)[0] == 0
