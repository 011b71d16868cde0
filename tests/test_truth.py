"""Fail closed, through the command line: whatever is unknown, under every rule, is never exit code 0."""

import itertools
import json
import math

import numpy as np
import pytest
import yaml
from test_compare import saved, two_models

RULES = ("min", "max", "max_drop", "min_gain")
LENIENT = {"min": 0.0, "max": 1.0, "max_drop": 1.0, "min_gain": -1.0}
JUDGES = {
    "min": ("point", "lower", "upper", "interval"),
    "max": ("point", "lower", "upper", "interval"),
    "max_drop": ("point", "guard", "interval"),
    "min_gain": ("point", "guard", "interval"),
}
EVERY = [(rule, judge) for rule in RULES for judge in JUDGES[rule]]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A baseline and a candidate that pass every lenient rule by every judge."""
    folder = tmp_path_factory.mktemp("truth")
    y, old, new = two_models(400, accuracy=(0.85, 0.85))
    options = {"attributes": {"site": np.arange(400) % 2}, "slices": ["site"]}
    return saved(folder / "old", y, old, **options), saved(folder / "new", y, new, **options)


class Case:
    """A copy of both runs that can be damaged, and a file of one gate."""

    def __init__(self, folder, originals, evalkit):
        import shutil

        self.folder, self.evalkit = folder, evalkit
        self.old, self.new = (
            shutil.copytree(path, folder / name) for path, name in zip(originals, ("old", "new"), strict=True)
        )
        (self.new / "verdict.json").unlink()

    def edit(self, which, change):
        path = getattr(self, which) / "result.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    def judge(self, *gates, baseline=True, words=()):
        path = self.folder / "gates.yaml"
        document = {"gates": list(gates)}
        if baseline:
            document["baseline"] = "old" if baseline is True else baseline
        path.write_text(yaml.safe_dump(document))
        return self.evalkit("gate", self.new, "--gates", path, *words)


@pytest.fixture
def case(tmp_path, originals, evalkit):
    return Case(tmp_path, originals, evalkit)


def gate(rule, judge, **keys):
    return {"metric": "accuracy", rule: LENIENT[rule], "judge": judge, **keys}


def row_of(document, metric, **keys):
    wanted = {"average": None, "class_name": None, "slice": None, **keys}
    return next(
        row
        for row in document["metrics"]
        if row["metric"] == metric and all(row[name] == value for name, value in wanted.items())
    )


def put(metric, field, value):
    def change(document):
        row_of(document, metric)[field] = value

    return change


def drop(metric):
    def change(document):
        document["metrics"] = [row for row in document["metrics"] if row["metric"] != metric]

    return change


@pytest.mark.parametrize(("rule", "judge"), EVERY)
def test_the_lenient_rules_pass(rule, judge, case):
    """The tester: what follows does not fail for another reason."""
    code, out, err = case.judge(gate(rule, judge))
    assert code == 0, out + err


@pytest.mark.parametrize(("rule", "judge"), EVERY)
@pytest.mark.parametrize("which", ["old", "new"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, 2.0])
def test_no_number_that_is_none(value, which, rule, judge, case):
    """NaN, infinities, null without a reason, an edited value: the document is refused, exit 4."""
    case.edit(which, put("accuracy", "value", value))
    code, out, err = case.judge(gate(rule, judge))
    assert code == 4, out + err


@pytest.mark.parametrize(("rule", "judge"), EVERY)
def test_missing_and_undefined(rule, judge, case):
    """A row that the run, or the baseline, lacks; a class that was never seen: 5."""
    comparing = rule in ("max_drop", "min_gain")
    for which in ("new", "old") if comparing else ("new",):
        case.edit(which, drop("mcc"))
        code, out, _ = case.judge(gate(rule, judge, metric="mcc") | ({"min": -1} if rule == "min" else {}))
        assert code == 5, out
        assert "does not have this row" in out
    code, out, _ = case.judge(gate(rule, judge, slice={"site": 7}))
    assert code == 5, out
    code, out, _ = case.judge(gate(rule, judge, metric="recall", **{"class": "a", "min_support": 1000}))
    assert code == 5, out
    assert "too few" in out


@pytest.mark.parametrize(("rule", "judge"), EVERY)
def test_runs_that_judge_nothing(rule, judge, case):
    """Invalid and partial candidates; invalid, partial and foreign baselines: 5."""
    comparing = rule in ("max_drop", "min_gain")

    def partial(document):
        document["partial"] = {"limit": 400, "of": 800}

    def invalid(document):
        document.update(valid=False, metrics=[], counts=None, slices=[])

    def foreign(document):
        document["digests"]["data"] = "f" * 64

    expected = 5 if comparing else 0
    for change in (foreign, partial, invalid):
        case.edit("old", change)
        code, out, err = case.judge(gate(rule, judge))
        assert code == expected, out + err
    case.edit("new", partial)
    assert case.judge(gate(rule, judge))[0] == 5
    case.edit("new", invalid)
    assert case.judge(gate(rule, judge))[0] == 5


@pytest.mark.parametrize(("rule", "judge"), EVERY)
def test_gates_that_could_never_judge(rule, judge, case):
    """NaN and infinite limits, unknown names, all advisory, nothing at all, no baseline: 2."""
    for keys in (
        {rule: math.nan},
        {rule: math.inf},
        {rule: -math.inf},
        {"metric": "acuracy"},
        {"class": "nobody"},
        {"advisory": True},
        {"judge": "hope"},
        {"slice": {"nothing": 1}},
    ):
        code, _, err = case.judge(gate(rule, judge) | keys)
        assert code == 2, (keys, err)
    assert case.judge()[0] == 2
    if rule in ("max_drop", "min_gain"):
        assert case.judge(gate(rule, judge), baseline=None)[0] == 2
        assert case.judge(gate(rule, judge), baseline="none")[0] == 5
        assert case.judge(gate(rule, judge), baseline="nowhere")[0] == 4


def test_at_the_limit_and_one_count_below(tmp_path, evalkit):
    """Equality clears, the next count does not; the sign of zero does not matter."""
    y = np.repeat([0, 1], 60)
    for wrong, limit, code in (
        (12, 108 / 120, 0),
        (13, 108 / 120, 3),
        (0, 1.0, 0),
        (1, 1.0, 3),
        (60, -0.0, 0),
    ):
        pred = y.copy()
        pred[:wrong] = 1
        folder = saved(tmp_path / f"{wrong}-{limit}", y, pred, class_names=["a", "b"])
        path = tmp_path / "gates.yaml"
        path.write_text(yaml.safe_dump({"gates": [{"metric": "accuracy", "min": limit}]}))
        assert evalkit("gate", folder, "--gates", path)[0] == code
    base = saved(tmp_path / "base", y, y, class_names=["a", "b"])
    for wrong, code in ((12, 0), (13, 3)):
        gates = [{"metric": "accuracy", "max_drop": 0.1, "judge": "point"}]
        path.write_text(yaml.safe_dump({"gates": gates, "baseline": str(base)}))
        pred = y.copy()
        pred[:wrong] = 1
        folder = saved(tmp_path / f"drop-{wrong}", y, pred, class_names=["a", "b"])
        assert evalkit("gate", folder, "--gates", path)[0] == code


OUTCOMES = {
    "failed": (3, {"metric": "accuracy", "min": 0.99}),
    "cannot": (5, {"metric": "recall", "class": "a", "min": 0.1, "min_support": 1000}),
    "inconclusive": (7, {"metric": "accuracy", "min": 0.85, "judge": "interval"}),
    "passed": (0, {"metric": "accuracy", "min": 0.1}),
}


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(OUTCOMES, 2)))
def test_precedence_of_outcomes(one, other, case):
    """Pairwise, in both orders, through the command; an output that fails goes before all of them."""
    gates = [OUTCOMES[one][1], OUTCOMES[other][1]]
    for order in (gates, gates[::-1]):
        code, out, err = case.judge(*order)
        assert code == OUTCOMES[one][0], out
        assert code == 0 or "evalkit: error[" in err
    gates[0] = {**gates[0], "advisory": True}
    assert case.judge(*gates)[0] == OUTCOMES[other][0]


def test_the_candidate_itself_goes_before_a_failed_gate(case):
    """Exit 4 before 3; 6 before 4."""

    def alike(document):
        document["digests"].update(weights="w" * 64, inputs="i" * 64)

    case.edit("old", alike)
    case.edit("new", alike)
    gates = [OUTCOMES["failed"][1], {"metric": "accuracy", "max_drop": 0.5}]
    code, _, err = case.judge(*gates)
    assert code == 4
    assert "error[same-model]" in err
    code, out, _ = case.judge(*gates, words=["--allow-same-model"])
    assert code == 3
    assert "Nothing was compared" in out
    (case.new / "thesis.txt").write_text("")
    (case.new / "verdict.json").unlink()
    (case.new / "verdict.json").mkdir()
    (case.new / "verdict.json/x").write_text("")
    assert case.judge(*gates)[0] == 6
