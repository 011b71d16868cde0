"""Comparisons in which something beside the predictions changed: slices, units, costs, orders, tables."""

import json
import shutil

import numpy as np
import pytest
import yaml
from sklearn.metrics import cohen_kappa_score
from test_compare import NAMES, compared, gates_file, saved, two_models

import evalkit as library
from evalkit.compare import pair
from evalkit.errors import DocumentError
from evalkit.rows import row_key

IDS = [f"s{i}" for i in range(400)]


def test_a_slice_is_the_candidates_in_both_runs(tmp_path, evalkit):
    """The baseline's column said something else: the paired drop on the candidate's slice is judged."""
    y, old, _ = two_models(400, accuracy=(0.9, 0.9))
    site = np.arange(400) % 4 == 0
    new = np.where(site, (y + 1) % 3, y)
    options = {"slices": ["site"]}
    a = saved(tmp_path / "old", y, old, IDS, attributes={"site": ~site}, **options)
    b = saved(tmp_path / "new", y, new, IDS, attributes={"site": site}, **options)
    path = gates_file(tmp_path, {"metric": "accuracy", "slice": {"site": True}, "max_drop": 0.02})
    code, out, err = evalkit("gate", b, "--gates", path, "--baseline", a)
    assert code == 3, out + err
    check = json.loads((b / "verdict.json").read_text())["checks"][0]
    assert check["drop"] == pytest.approx((old == y)[site].mean() - (new == y)[site].mean())
    assert check["low"] <= check["drop"] <= check["high"]
    (a / "predictions.parquet").unlink()  # without tables another slice is no slice of the same name
    code, out, _ = evalkit("gate", b, "--gates", path, "--baseline", a)
    assert code == 5
    assert "the baseline does not have this row" in out


def test_units_are_the_candidates_in_both_runs(tmp_path, evalkit):
    """Value, interval and flips speak of the same units."""
    rng = np.random.default_rng(0)
    y = np.repeat(rng.integers(0, 2, 80), 5)
    scores = [1 / (1 + np.exp(-(1.5 * (2 * y - 1) + rng.normal(scale=2, size=400)))) for _ in range(2)]
    unit = np.repeat(np.arange(80), 5)
    other = np.where(y == 1, unit, 1000 + np.arange(400))
    for name, p, by in (("old", scores[0], other), ("new", scores[1], unit)):
        library.score(
            y, y_score=p, ids=IDS, task="binary", output="probabilities", class_names=["n", "y"],
            attributes={"patient": by}, metrics={"unit": {"by": "patient", "combine": "mean"}},
        ).save(tmp_path / name)  # fmt: skip
    found = compared(tmp_path / "old", tmp_path / "new")
    mine, theirs = found.rows(row_key("accuracy"))
    assert theirs.n_samples == mine.n_samples == 80
    low, high = found.gap(row_key("accuracy"), level=0.95).bounds
    assert low <= mine.value - theirs.value <= high


@pytest.mark.parametrize("tables", [True, False])
def test_costs_and_orders_are_the_candidates(tables, tmp_path):
    """The baseline's cost matrix and class order do not matter: both are asked the candidate's question."""
    y, old, new = two_models(400, accuracy=(0.8, 0.8))
    cost = [[0, 1, 5], [2, 0, 1], [9, 1, 0]]
    other = [[10 * value for value in row] for row in cost]
    names = ["cohen_kappa_quadratic"]
    a = saved(
        tmp_path / "old", y, old, IDS, class_names=["c", "a", "b"], metrics={"cost": other, "names": names}
    )
    b = saved(tmp_path / "new", y, new, IDS, metrics={"cost": cost, "names": names})
    if not tables:
        (a / "predictions.parquet").unlink()
    found = compared(a, b)
    for pred, row in zip((new, old), found.rows(row_key("expected_cost")), strict=True):
        assert row.value == pytest.approx(np.array(cost)[y, pred].mean())
    for pred, row in zip((new, old), found.rows(row_key("cohen_kappa_quadratic")), strict=True):
        assert row.value == pytest.approx(cohen_kappa_score(y, pred, weights="quadratic"))


def test_less_information_never_helps(tmp_path, evalkit):
    """Ten clusters cannot judge macro F1; without the baseline's table they still cannot."""
    y, old, new = two_models(400, accuracy=(0.85, 0.85))
    options = {"attributes": {"p": np.arange(400) // 40}, "metrics": {"cluster": "p"}}
    a = saved(tmp_path / "old", y, old, IDS, **options)
    b = saved(tmp_path / "new", y, new, IDS, **options)
    path = gates_file(tmp_path, {"metric": "f1", "average": "macro", "max_drop": 0.5})
    for _ in range(2):
        assert evalkit("gate", b, "--gates", path, "--baseline", a)[0] == 5
        (a / "predictions.parquet").unlink(missing_ok=True)


def test_a_run_is_no_baseline_of_its_own(tmp_path, evalkit):
    """The very folder, or the same table saved twice: exit 4 unless it is meant."""
    y, old, _ = two_models(400)
    a, b = saved(tmp_path / "a", y, old, IDS), saved(tmp_path / "b", y, old, IDS)
    path = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.0})
    for baseline in (a, b):
        code, _, err = evalkit("gate", a, "--gates", path, "--baseline", baseline)
        assert code == 4
        assert "error[same-model]" in err
        assert evalkit("gate", a, "--gates", path, "--baseline", baseline, "--allow-same-model")[0] == 0
    result = library.score(y, old, class_names=NAMES)
    with pytest.raises(AssertionError, match="same model"):
        library_assert(result, result)


def library_assert(result, baseline):
    from evalkit.testing import assert_gates

    assert_gates(result, [{"metric": "accuracy", "max_drop": 0.0}], baseline)


def test_a_table_of_another_result_is_refused(tmp_path, evalkit):
    """Same ids and labels, other predictions; and a sample that stands twice."""
    y, old, new = two_models(400, accuracy=(0.9, 0.6))
    a, b = saved(tmp_path / "old", y, old, IDS), saved(tmp_path / "new", y, new, IDS)
    c = saved(tmp_path / "other", y, y, IDS)
    path = gates_file(tmp_path, {"metric": "negative_flips", "max": 3})
    assert evalkit("gate", b, "--gates", path, "--baseline", a)[0] == 3
    for victim in (b, a):
        kept = (victim / "predictions.parquet").read_bytes()
        shutil.copy(c / "predictions.parquet", victim / "predictions.parquet")
        code, _, err = evalkit("gate", b, "--gates", path, "--baseline", a)
        assert code == 4
        assert "does not hold the samples that" in err
        (victim / "predictions.parquet").write_bytes(kept)
    import pyarrow.parquet as pq

    table = pq.read_table(a / "predictions.parquet")
    ids = table["sample_id"].to_pylist()
    ids[1] = ids[0]
    pq.write_table(table.set_column(1, "sample_id", [ids]), a / "predictions.parquet")
    with pytest.raises(DocumentError, match="holds other samples"):
        compared(a, b).tables.joined()


def test_a_family_counts_what_is_common(tmp_path, evalkit):
    """A class with three common samples is too small, whatever the whole set holds."""
    y = np.repeat([0, 1, 2], 100)
    ids = np.array([f"s{i}" for i in range(300)])
    fresh = np.where((y == 2) & (np.arange(300) >= 203), [f"t{i}" for i in range(300)], ids)
    new = y.copy()
    new[200:203] = 0
    a, b = saved(tmp_path / "old", y, y, ids), saved(tmp_path / "new", y, new, fresh)
    path = gates_file(tmp_path, {"metric": "recall", "class": "*", "max_drop": 0.01})
    document = {"on_changed_data": "common", "min_common": 0.5}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "compare": document}))
    code, out, _ = evalkit("gate", b, "--gates", path, "--baseline", a)
    assert code == 0
    assert "too few samples: 1" in out
    members = json.loads((b / "verdict.json").read_text())["checks"][0]["members"]
    assert [one["support"] for one in members] == [100, 100, 3]


def test_a_small_class_cannot_be_judged_by_any_metric(tmp_path, evalkit):
    """Three samples have no AUC that a gate could trust, as they have no recall."""
    rng = np.random.default_rng(0)
    y = np.r_[np.zeros(200, int), np.ones(200, int), [2, 2, 2]]
    scores = rng.dirichlet(np.ones(3), 403)
    result = library.score(y, y_score=scores, class_names=NAMES, output="probabilities")
    result.save(tmp_path / "run")
    for metric in ("recall", "roc_auc", "average_precision", "informedness"):
        path = gates_file(tmp_path, {"metric": metric, "class": "c", "min": -0.0})
        code, out, _ = evalkit("gate", tmp_path / "run", "--gates", path)
        assert code == 5, metric
        assert "3 samples are too few" in out or "does not have this row" in out


@pytest.mark.parametrize(
    "words",
    [
        ("--accuracy", "nan", "--n", 10, "--disagreement", 0.1),
        ("--accuracy", 0.9, "--n", 10, "--disagreement", "nan"),
        ("--accuracy", 0.9, "--n", 10, "--disagreement", 0.1, "--margin", "nan"),
        ("--accuracy", 0.9, "--n", 10, "--disagreement", 0.1, "--alpha", "1e-300"),
        ("--accuracy", 0.9, "--n", 10**18, "--disagreement", 0.1),
    ],
)
def test_numbers_that_are_none_are_usage_errors(words, evalkit):
    """NaN is in no range."""
    assert evalkit("plan", *words)[0] == 2
    assert evalkit("compare", "a", "b", "--level", "nan")[0] == 2
    assert evalkit("compare", "a", "b", "--min-common", "nan")[0] == 2


def test_a_margin_of_nothing_is_planned_as_such(evalkit):
    """Zero is a number."""
    words = ("plan", "--n", 1000, "--accuracy", 0.9, "--disagreement", 0.05, "--margin", 0)
    assert "accuracy max_drop 0, by guard" in evalkit(*words)[1]


def test_clusters_are_planned_by_the_comparisons_error(tmp_path, evalkit):
    """A share of flips would promise too much: equal models pass the suggested margin 99 times in 100."""
    rng = np.random.default_rng(3)
    n_clusters, size = 40, 15
    y = np.zeros(n_clusters * size, int)

    def answers():
        share = np.clip(rng.normal(0.9, 0.15, n_clusters), 0, 1)
        return (rng.random(y.size) > np.repeat(share, size)).astype(int)

    options = {
        "class_names": ["a", "b"],
        "attributes": {"p": np.repeat(np.arange(n_clusters), size)},
        "metrics": {"cluster": "p"},
    }
    a = saved(tmp_path / "old", y, answers(), **options)
    b = saved(tmp_path / "new", y, answers(), **options)
    assert evalkit("plan", b, "--disagreement", 0.1)[0] == 2
    path = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.5})
    assert evalkit("gate", b, "--gates", path, "--baseline", a)[0] == 0
    plans = json.loads(evalkit("plan", b, "--margin", 0.05, "--json")[1])["plans"]
    assert plans[0]["error"] > 0
    out = evalkit("plan", b, "--suggest")[1]
    margin = float(out.split("max_drop: ")[1].split("}")[0])
    drops = [answers().mean() - answers().mean() for _ in range(2000)]
    assert np.mean(np.array(drops) <= margin) >= 0.97


def test_blessing_replaces_no_run(tmp_path, evalkit):
    """Only another blessing."""
    y, old, _ = two_models(60)
    a, b = saved(tmp_path / "a", y, old), saved(tmp_path / "b", y, y)
    code, _, err = evalkit("bless", a, "-o", b)
    assert code == 6
    assert "not blessed" in err


def test_gate_judges_like_run_where_no_gate_compares(project, tmp_path, evalkit):
    """The baseline of the specification is read, and its warnings are said, in both."""
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "old")[0] == 0
    project.write_data(x=(project.x * 255).astype(np.float32))
    project.spec |= {"baseline": str(tmp_path / "old"), "gates": [{"metric": "accuracy", "min": 0.0}]}
    project.write_spec()
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "new", "--strict")[0] == 3
    assert evalkit("gate", tmp_path / "new", "--strict")[0] == 3
    verdict = json.loads((tmp_path / "new/verdict.json").read_text())
    assert verdict["comparison"]["flips"]["n_samples"] == 60
    shutil.rmtree(tmp_path / "old")
    assert evalkit("gate", tmp_path / "new")[0] == 4
    assert evalkit("gate", tmp_path / "new", "--baseline", "none")[0] == 0


def test_pairs_without_tables_are_not_the_same_because_they_agree():
    """Two results that were never saved: the same object is the same model, equal counts are not."""
    y, old, new = two_models(300)
    first, second = (library.score(y, pred, class_names=NAMES).document for pred in (old, new))
    assert pair(first, first).same_model
    assert not pair(first, second).same_model
