"""The planner: what so many samples can show, and gates to start from."""

import json

import pytest
import yaml
from test_compare import gates_file, saved, two_models

import evalkit as library
from evalkit.gates.suggest import clearable
from evalkit.uncertainty.power import Design, Disagreement


@pytest.fixture
def judged(tmp_path, evalkit):
    """A run that was judged against a baseline."""
    y, old, new = two_models(1000, accuracy=(0.9, 0.9))
    a, b = saved(tmp_path / "old", y, old), saved(tmp_path / "new", y, new)
    path = gates_file(
        tmp_path,
        {"metric": "accuracy", "max_drop": 0.02},
        {"metric": "f1", "average": "macro", "max_drop": 0.03, "judge": "interval"},
        {"metric": "recall", "class": "a", "min_gain": 0.01},
        {"metric": "recall", "class": "*", "max_drop": 0.1},
    )
    assert evalkit("gate", b, "--gates", path, "--baseline", a)[0] in (0, 7)
    return b


def test_every_comparing_check_says_what_it_can_see(judged):
    """In verdict.json, at the flips of this comparison."""
    verdict = json.loads((judged / "verdict.json").read_text())
    share, macro, gain, family = (check["power"] for check in verdict["checks"])
    flips = verdict["comparison"]["flips"]
    disagreement = (flips["only_candidate"] + flips["only_baseline"]) / 1000
    assert (share["n_samples"], share["disagreement"]) == (1000, disagreement)
    models, design = Disagreement(1000, disagreement), Design("guard", 0.025)
    assert share["margin"] == models.smallest_margin(design)
    assert share["drop"] == models.smallest_drop(design, 0.02)
    assert share["most_errors"] == 20
    assert "at most 20 more errors pass" in share["sentence"]
    assert macro["error"] > 0
    assert 0 < macro["margin"] < macro["drop"]
    assert gain["gain"] > 0.01
    assert "Of 3 together the smallest" in family["sentence"]
    assert family["drop"] > 0.1
    page = (judged / "report.html").read_text()
    assert page.count("four times in five") >= 4


def test_plan_prints_what_the_verdict_holds(judged, evalkit):
    """The same figures; at another disagreement, others."""
    checks = json.loads((judged / "verdict.json").read_text())["checks"]
    code, out, err = evalkit("plan", judged, "--json")
    assert code == 0, err
    plans = json.loads(out)["plans"]
    assert [plan["margin"] for plan in plans] == [check["power"]["margin"] for check in checks]
    code, out, _ = evalkit("plan", judged, "--json", "--disagreement", 0.3)
    assert code == 0
    more = json.loads(out)["plans"]
    assert more[0]["margin"] > plans[0]["margin"]
    code, out, _ = evalkit("plan", judged)
    assert code == 0
    assert "gate 1: accuracy max_drop 0.02, by guard" in out
    code, out, _ = evalkit("plan", judged, "--margin", 0.05)
    assert code == 0
    assert "accuracy max_drop 0.05, by interval" in out


def test_plan_without_a_comparison_needs_a_disagreement(tmp_path, evalkit):
    """Exit 2 without either; with the flag a plan for accuracy."""
    y, old, _ = two_models(300)
    a = saved(tmp_path / "old", y, old)
    code, _, err = evalkit("plan", a)
    assert code == 2
    assert "Say --disagreement" in err
    code, out, _ = evalkit("plan", a, "--disagreement", 0.05)
    assert code == 0
    assert "At 5.0% disagreement on 300 samples" in out


def test_plan_without_a_run(evalkit):
    """From numbers alone."""
    code, out, _ = evalkit("plan", "--n", 1000, "--accuracy", 0.9, "--disagreement", 0.05, "--json")
    assert code == 0
    floor, guard, interval = json.loads(out)["plans"]
    assert "0.9000 (0.8798 to 0.9171)" in floor["sentence"]
    assert (guard["margin"], guard["most_errors"]) == (0.006, 10)
    assert interval["margin"] == 0.021
    for words, message in (
        (("--n", 10, "--accuracy", 0.9), "--disagreement"),
        ((), "expected a run directory"),
        (("--n", 10, "--accuracy", 0.99, "--disagreement", 0.05), "at most 0.02"),
        (("somewhere", "--n", 10), "without a run directory"),
        (("somewhere",), "no such run directory"),
    ):
        code, _, err = evalkit("plan", *words)
        assert code in (2, 4)
        assert message in err


def test_a_floor_is_cleared_99_times_in_100():
    """By the binomial of the smoothed share; never at 1."""
    from scipy.stats import binom

    for hits, n in ((443, 449), (90, 100), (50, 50), (0, 30)):
        limit = clearable(hits, n)
        share = (hits + 1) / (n + 2)
        reached = round(limit * n)
        assert binom.sf(reached - 1, n, share) >= 0.99
        assert binom.sf(reached, n, share) < 0.99
        assert limit < 1


def suggested(folder, evalkit, *words):
    code, out, err = evalkit("plan", folder, "--suggest", *words)
    assert code == 0, err
    return out, yaml.safe_load(out)["gates"]


def test_suggested_gates_pass_as_they_are(judged, tmp_path, evalkit):
    """Pasted into a file they judge this very run; each has its reason."""
    out, gates = suggested(judged, evalkit)
    assert [set(gate) - {"metric"} for gate in gates] == [
        {"min"},
        {"average", "min"},
        {"class", "min", "alpha"},
        {"max_drop"},
    ]
    assert out.count("# ") == len(gates)
    assert "99 times in 100" in out
    (tmp_path / "suggested.yaml").write_text(out)
    code, found, err = evalkit(
        "gate", judged, "--gates", tmp_path / "suggested.yaml", "--baseline", tmp_path / "old"
    )
    assert code == 0, found + err
    assert "warning" not in found


@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
def test_suggestions_for_every_task(task, tmp_path, evalkit):
    """Without a baseline: floors alone, and what is missing."""
    import numpy as np

    rng = np.random.default_rng(0)
    y = rng.random((200, 3)) < 0.4 if task == "multilabel" else rng.integers(0, 2, 200)
    wrong = rng.random(y.shape) < 0.1
    pred = y != wrong if task == "multilabel" else np.where(wrong, 1 - y, y)
    library.score(y, pred, task=task, class_names=["a", "b", "c"][: 3 if y.ndim == 2 else 2]).save(
        tmp_path / "run"
    )
    out, gates = suggested(tmp_path / "run", evalkit)
    assert "a margin for max_drop needs a baseline" in out
    assert all(0 < gate["min"] < 1 for gate in gates)
    (tmp_path / "suggested.yaml").write_text(out)
    code, found, err = evalkit("gate", tmp_path / "run", "--gates", tmp_path / "suggested.yaml")
    assert code == 0, found + err
    assert (
        json.loads(evalkit("plan", tmp_path / "run", "--suggest", "--json")[1])["gates"][0]["gate"]
        == gates[0]
    )


def test_a_run_without_gates_ends_with_the_hint(project, tmp_path, evalkit):
    """On stderr, for people; nothing where they asked for quiet or set gates."""
    words = ("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    _, _, err = evalkit(*words)
    assert f"no gates are set: evalkit plan {tmp_path / 'out'} --suggest" in err
    assert "--suggest" not in evalkit(*words, "--quiet")[2]
    assert "--suggest" not in evalkit(*words, "--min", "accuracy=0.0")[2]
    assert evalkit("plan", tmp_path / "out", "--suggest")[0] == 0


def test_partial_runs_are_not_planned_for(project, tmp_path, evalkit):
    """Their n is not the one that will be judged."""
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out", "--limit", 5)[0] == 0
    assert evalkit("plan", tmp_path / "out", "--suggest")[0] == 5
