"""Gates: a truth table with equality, NaN and everything that is unknown; nothing unknown passes."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from documents import MATRIX, NAMES, result_of
from hypothesis import given
from hypothesis import strategies as st

from evalkit.compare import pair
from evalkit.errors import SpecificationError
from evalkit.gates import judge, plan_gates
from evalkit.metrics import Policy
from evalkit.rules import clears
from evalkit.spec import GateSpec, SourceMap
from evalkit.verdict import Verdict, worst

SOURCE = SourceMap("eval.yaml")


def gate(**keys):
    return GateSpec(**keys)


def verdict_of(result, *gates, baseline=None, allow_same_model=False):
    planned = plan_gates([gate(**keys) for keys in gates], result.class_names, SOURCE, task=result.task)
    compared = None if baseline is None else pair(result, baseline, allow_same_model=allow_same_model)
    return judge(result, planned, compared=compared, baseline_path="old", result_sha256="0" * 64)


def only(verdict):
    (check,) = verdict.checks
    return check


# value, limit, at_least -> clears
TABLE = [
    (0.95, 0.95, True, True),  # equality clears
    (0.95, 0.95, False, True),
    (0.9499999999999999, 0.95, True, False),
    (0.9500000000000001, 0.95, False, False),
    (1.0, 1.0, True, True),
    (0.99999, 1.0, True, False),
    (0.0, -0.0, True, True),  # signs of zero do not matter
    (-0.0, 0.0, False, True),
    (None, 0.0, True, False),  # unknown never clears
    (None, 1.0, False, False),
    (math.nan, 0.0, True, False),
    (math.nan, 1.0, False, False),
    (math.inf, 0.5, True, False),
    (-math.inf, 0.5, False, False),
    (0.5, math.nan, True, False),
    (0.5, math.nan, False, False),
    (0.5, -math.inf, True, False),
    (0.5, math.inf, False, False),
    (5, 5, True, True),  # counts are integers
    (4, 5, True, False),
]


@pytest.mark.parametrize(("value", "limit", "at_least", "expected"), TABLE)
def test_clears(value, limit, at_least, expected):
    """The one comparison: finite and on the right side."""
    assert clears(value, limit, at_least=at_least) is expected


ACCURACY = 88 / 100


@pytest.mark.parametrize(
    ("keys", "outcome", "reason"),
    [
        ({"metric": "accuracy", "min": ACCURACY}, "passed", "clears"),
        ({"metric": "accuracy", "min": 0.89}, "failed", "beyond_limit"),
        ({"metric": "accuracy", "max": ACCURACY}, "passed", "clears"),
        ({"metric": "accuracy", "max": 0.87}, "failed", "beyond_limit"),
        ({"metric": "recall", "class": "hen", "min": 0.9, "min_support": 20}, "passed", "clears"),
        ({"metric": "recall", "class": "hen", "min": 0.9}, "cannot_judge", "insufficient"),
        ({"metric": "fp", "class": "cat", "max": 6}, "passed", "clears"),
        ({"metric": "fp", "class": "cat", "max": 5}, "failed", "beyond_limit"),
        ({"metric": "support", "class": "cat", "min": 46}, "failed", "beyond_limit"),
        ({"metric": "f1", "average": "macro", "min": 0.8, "judge": "point"}, "passed", "clears"),
    ],
)
def test_floors_and_ceilings(keys, outcome, reason):
    """min and max on the point value of one row."""
    check = only(verdict_of(result_of(), keys))
    assert (check.outcome, check.reason) == (outcome, reason)


@pytest.mark.parametrize("n", [3, 7, 10**6])
def test_exactly_at_the_limit_passes_and_one_count_below_fails(n):
    """Raw ratios are compared, never rounded ones."""
    at, below = result_of(((n - 1, 1), (0, 0)), ("a", "b")), result_of(((n - 2, 2), (0, 0)), ("a", "b"))
    limit = (n - 1) / n
    assert only(verdict_of(at, {"metric": "accuracy", "min": limit})).outcome == "passed"
    assert only(verdict_of(below, {"metric": "accuracy", "min": limit})).outcome == "failed"


def test_a_failing_value_is_shown_with_enough_digits():
    """0.949996 against 0.95 does not print as 0.9500 against 0.95."""
    check = only(
        verdict_of(result_of(((949_996, 50_004), (0, 0)), ("a", "b")), {"metric": "accuracy", "min": 0.95})
    )
    assert check.outcome == "failed"
    assert "0.949996" in check.sentence or "0.94999" in check.sentence
    assert "0.9500" not in check.sentence


def test_undefined_is_not_a_pass():
    """A class that was never predicted has no precision."""
    result = result_of(((5, 0), (5, 0)), ("a", "b"))
    for keys in ({"min": 0.0}, {"max": 1.0}):
        check = only(verdict_of(result, {"metric": "precision", "class": "b", **keys}))
        assert (check.outcome, check.reason) == ("cannot_judge", "undefined")


def test_a_row_that_the_document_lacks_is_missing():
    """Possible by catalogue and names, but an older run does not have it."""
    result = result_of(names=("accuracy",))
    check = only(verdict_of(result, {"metric": "f1", "average": "macro", "min": 0.0}))
    assert (check.outcome, check.reason) == ("cannot_judge", "missing")


@pytest.mark.parametrize(
    ("result", "reason"), [(result_of(valid=False), "invalid_run"), (result_of(limit=500), "partial")]
)
def test_invalid_and_partial_runs_judge_nothing(result, reason):
    """Whatever the number would be."""
    verdict = verdict_of(result, {"metric": "accuracy", "min": 0.0})
    assert (only(verdict).outcome, only(verdict).reason) == ("cannot_judge", reason)
    assert verdict.outcome == "cannot_judge"


WORSE = ((38, 7, 0), (4, 30, 1), (2, 0, 18))


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [(0.02, "passed"), (0.0199, "failed"), (0.03, "passed"), (0.0, "failed"), (-0.01, "failed")],
)
def test_drop_against_a_baseline(limit, outcome):
    """The drop is exact: two of a hundred is 0.02, not 0.020000000000000018."""
    candidate, baseline = result_of(WORSE, weights="w2"), result_of()
    keys = {"metric": "accuracy", "max_drop": limit, "judge": "point"}
    check = only(verdict_of(candidate, keys, baseline=baseline))
    assert (check.outcome, check.drop) == (outcome, 0.02)
    assert check.baseline_value == 0.88


@given(st.integers(1, 400), st.data())
def test_drops_are_correctly_rounded(n, data):
    """At the exact difference of two ratios a drop passes, whatever the denominators."""
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, n))
    baseline = result_of(((a, n - a), (0, 0)), ("a", "b"))
    candidate = result_of(((b, n - b), (0, 0)), ("a", "b"), weights="w2")
    limit = float(Fraction(a - b, n))
    keys = {"metric": "accuracy", "max_drop": limit, "judge": "point"}
    assert only(verdict_of(candidate, keys, baseline=baseline)).outcome == "passed"


def test_lower_is_better_drops_the_other_way():
    """More false positives are a drop; fewer are not."""
    few, many = result_of(), result_of(((40, 5, 0), (9, 25, 1), (2, 0, 18)), weights="w2")
    keys = {"metric": "fp", "class": "cat", "max_drop": 4, "judge": "point"}
    assert only(verdict_of(many, keys, baseline=few)).outcome == "failed"
    assert only(verdict_of(few, keys, baseline=many)).outcome == "passed"


def test_an_improvement_never_fails():
    """max_drop: 0 asks for no loss, not for sameness."""
    keys = {"metric": "accuracy", "max_drop": 0.0, "judge": "point"}
    assert only(verdict_of(result_of(), keys, baseline=result_of(WORSE, weights="w2"))).outcome == "passed"
    assert only(verdict_of(result_of(weights="w3"), keys, baseline=result_of())).outcome == "passed"


@pytest.mark.parametrize(
    ("baseline", "difference"),
    [
        (result_of(data="other"), "samples and labels"),
        (result_of(class_names=("cat", "dog", "cow")), "class names"),
        (result_of(policy=Policy("declared")), "averaging policy"),
        (result_of(valid=False), "invalid run"),
        (result_of(limit=900), "partial run"),
        (result_of(((1, 2), (3, 4)), ("a", "b"), positive="b", threshold=0.5), "task"),
    ],
)
def test_another_question_cannot_be_compared_but_floors_are_judged(baseline, difference):
    """Only the comparing checks are affected."""
    verdict = verdict_of(
        result_of(WORSE, weights="w2"),
        {"metric": "accuracy", "max_drop": 0.5, "judge": "point"},
        {"metric": "accuracy", "min": 0.5},
        baseline=baseline,
    )
    assert [check.outcome for check in verdict.checks] == ["cannot_judge", "passed"]
    assert verdict.checks[0].reason == "incomparable"
    assert difference in verdict.checks[0].sentence


def test_undefined_or_missing_in_the_baseline():
    """A number that the baseline does not have is not zero."""
    keys = {"metric": "precision", "class": "hen", "max_drop": 0.5, "judge": "point", "min_support": 1}
    never = result_of(((45, 0, 0), (5, 30, 0), (10, 10, 0)), weights="w2")
    assert only(verdict_of(result_of(), keys, baseline=never)).reason == "undefined"
    assert only(verdict_of(never, keys, baseline=result_of())).reason == "undefined"
    keys = {"metric": "f1", "average": "macro", "max_drop": 0.5, "judge": "point"}
    lacking = result_of(names=("accuracy",), weights="w2")
    assert only(verdict_of(result_of(), keys, baseline=lacking)).reason == "missing"


def test_classes_are_matched_by_name():
    """Another output order of the baseline's head changes no comparison."""
    order = [2, 0, 1]
    moved = np.array(MATRIX)[np.ix_(order, order)]
    baseline = result_of(moved, tuple(NAMES[i] for i in order), weights="w2")
    for keys in (
        {"metric": "recall", "class": "hen", "min_support": 20},
        {"metric": "f1", "average": "macro"},
        {"metric": "precision", "average": "weighted"},
    ):
        check = only(verdict_of(result_of(), {**keys, "max_drop": 0.0, "judge": "point"}, baseline=baseline))
        assert (check.outcome, check.drop) == ("passed", 0.0), keys


def test_averages_are_compared_over_the_union_of_classes():
    """A model that stops predicting a class that never occurs is not better by that."""
    with_hen = result_of(((9, 0, 1), (0, 10, 0), (0, 0, 0)), weights="w2")
    without = result_of(((9, 1, 0), (0, 10, 0), (0, 0, 0)))
    keys = {"metric": "recall", "average": "macro", "max_drop": 0.0, "judge": "point"}
    check = only(verdict_of(with_hen, keys, baseline=without))
    assert (check.value, check.baseline_value) == (pytest.approx(1.9 / 3), pytest.approx(1.9 / 3))
    assert check.outcome == "passed"


def test_the_baseline_is_not_the_candidate():
    """Equal weights and inputs: nothing to compare, unless it is said; other inputs are a warning."""
    keys = {"metric": "accuracy", "max_drop": 0.0, "judge": "point"}
    assert only(verdict_of(result_of(), keys, baseline=result_of())).reason == "same_model"
    allowed = verdict_of(result_of(), keys, baseline=result_of(), allow_same_model=True)
    assert only(allowed).outcome == "passed"
    assert "Nothing was compared" in allowed.warnings[0]
    scaled = verdict_of(result_of(inputs="i2"), keys, baseline=result_of())
    assert only(scaled).outcome == "passed"
    assert "other inputs" in scaled.warnings[0]


def test_advisory_checks_have_no_say():
    """They are judged, printed and counted out of the outcome."""
    verdict = verdict_of(
        result_of(), {"metric": "accuracy", "min": 0.5}, {"metric": "accuracy", "min": 0.99, "advisory": True}
    )
    assert [check.outcome for check in verdict.checks] == ["passed", "failed"]
    assert verdict.outcome == "passed"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"metric": "recall", "min": 0.5},
            r"gates\[0\]: recall is no row.*average: micro \| macro \| weighted, or class",
        ),
        ({"metric": "recall", "class": "cta", "min": 0.5}, r"unknown class 'cta' \(did you mean 'cat'"),
        ({"metric": "accuracy", "class": "cat", "min": 0.5}, "one value for the whole run"),
        ({"metric": "accuracy", "average": "macro", "min": 0.5}, "one value for the whole run"),
        ({"metric": "recall", "class": "cat", "average": "macro", "min": 0.5}, "no row"),
        ({"metric": "tp", "average": "micro", "min": 5}, "tp is no row|micro tp"),
        ({"metric": "tp", "min": 5}, "class: one of 'cat', 'dog', 'hen'"),
    ],
)
def test_a_gate_names_exactly_one_possible_row(keys, message):
    """What no run could have is a usage error before inference, with the candidates."""
    with pytest.raises(SpecificationError, match=message):
        plan_gates([gate(**keys)], NAMES, SOURCE, task="multiclass")


outcomes = ("passed", "failed", "inconclusive", "cannot_judge")


def test_the_worst_outcome_decides():
    """failed, cannot_judge, inconclusive, passed; none without checks."""
    template = only(verdict_of(result_of(), {"metric": "accuracy", "min": 0.5}))

    def decided(*names):
        return worst(tuple(template.model_copy(update={"outcome": name}) for name in names))

    assert decided() == "none"
    for i, better in enumerate(("passed", "inconclusive", "cannot_judge", "failed")):
        for worse in ("passed", "inconclusive", "cannot_judge", "failed")[i:]:
            assert decided(better, worse) == decided(worse, better) == worse


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0, 1), st.floats(0, 1))
def test_a_stricter_limit_never_turns_a_fail_into_a_pass(right, wrong, one, other):
    """Monotone for min, max and max_drop."""
    loose, strict = sorted((one, other))
    result = result_of(((right, wrong), (0, 0)), ("a", "b"), weights="w2")
    baseline = result_of(((20, 20), (0, 0)), ("a", "b"))
    for rule, limits in (("min", (loose, strict)), ("max", (strict, loose)), ("max_drop", (strict, loose))):
        found = [
            only(
                verdict_of(result, {"metric": "accuracy", rule: limit, "judge": "point"}, baseline=baseline)
            ).outcome
            for limit in limits
        ]
        if found[0] != "passed":
            assert found[1] != "passed", (rule, limits)


def test_verdicts_survive_their_own_file():
    """What is written is what is read."""
    verdict = verdict_of(result_of(), {"metric": "accuracy", "min": 0.5})
    import json

    assert Verdict.model_validate(json.loads(verdict.to_json())) == verdict


@pytest.mark.parametrize(("unreadable", "outcome"), [(0, "passed"), (1, "passed"), (2, "cannot_judge")])
def test_over_one_percent_unreadable_judges_nothing(unreadable, outcome):
    """A number over what happened to be readable is another number."""
    result = result_of()
    result = result.model_copy(update={"data": {**result.data, "n_samples": 100, "n_unreadable": unreadable}})
    assert only(verdict_of(result, {"metric": "accuracy", "min": 0.0})).outcome == outcome


@pytest.mark.parametrize(
    ("limit", "judge", "outcome"),
    [(0.88, "point", "cannot_judge"), (0.8795, "point", "cannot_judge"), (0.87, "point", "passed"),
     (0.89, "point", "failed"), (0.802, "lower", "cannot_judge"), (0.79, "lower", "passed")],
)  # fmt: skip
def test_a_limit_inside_what_bins_hide_is_not_judged(limit, judge, outcome):
    """A value of 0.88 that is known within 0.001."""
    result = result_of()
    rows = tuple(replace(row, bound=0.001) if row.metric == "accuracy" else row for row in result.metrics)
    check = only(
        verdict_of(
            result.model_copy(update={"metrics": rows}), {"metric": "accuracy", "min": limit, "judge": judge}
        )
    )
    assert check.outcome == outcome
    assert outcome != "cannot_judge" or check.reason == "binned"
