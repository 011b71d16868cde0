"""A test set that changed since the baseline: refused, or judged over what both hold."""

import json

import numpy as np
import pytest
import yaml
from test_compare import compared, gates_file, saved, two_models

import evalkit as library
from evalkit.result import read_result
from evalkit.rows import row_key
from evalkit.spec import CompareSpec

COMMON = CompareSpec(on_changed_data="common")
CHANGED = ["--on-changed-data", "common"]


@pytest.fixture
def runs(tmp_path):
    """500 samples; the newer set has 12 new ones, lacks 4, and 3 have another label; other orders, too."""
    y, old, new = two_models(516, accuracy=(0.85, 0.8))
    ids = np.array([f"s{i}" for i in range(516)])
    before, after = np.arange(504), np.r_[np.arange(4, 516)]
    fixed = y.copy()
    fixed[[10, 20, 30]] = (fixed[[10, 20, 30]] + 1) % 3
    shuffled = np.random.default_rng(2).permutation(after)
    attributes = np.arange(516) % 2
    options = {"slices": ["site"]}
    a = saved(
        tmp_path / "old",
        y[before],
        old[before],
        ids[before],
        class_names=["c", "a", "b"],
        attributes={"site": attributes[before]},
        **options,
    )
    b = saved(
        tmp_path / "new",
        fixed[shuffled],
        new[shuffled],
        ids[shuffled],
        attributes={"site": attributes[shuffled]},
        **options,
    )
    common = np.setdiff1d(np.arange(4, 504), [10, 20, 30])
    return a, b, y, old, new, common


def test_changed_data_are_refused_unless_said(runs, tmp_path, evalkit):
    """Exit 5; floors are judged all the same."""
    a, b, *_ = runs
    path = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.5}, {"metric": "accuracy", "min": 0.1})
    code, out, _ = evalkit("gate", b, "--gates", path, "--baseline", a)
    assert code == 5
    assert "another set of samples and labels" in out
    assert "passed" in out
    assert evalkit("compare", a, b)[0] == 5
    assert evalkit("gate", b, "--gates", path, "--baseline", a, *CHANGED)[0] == 0


def test_common_samples_are_compared(runs, tmp_path, evalkit):
    """What both hold with the same id and label; the floor is over the whole set; ids are listed."""
    a, b, y, old, new, common = runs
    drop = (old == y)[common].mean() - (new == y)[common].mean()
    path = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.2}, {"metric": "accuracy", "min": 0.1})
    code, out, err = evalkit("gate", b, "--gates", path, "--baseline", a, *CHANGED)
    assert code == 0, out + err
    assert "497 of 516 samples are the same: 12 new, 4 gone, 3 relabelled" in out
    verdict = json.loads((b / "verdict.json").read_text())
    paired, floor = verdict["checks"]
    assert paired["drop"] == pytest.approx(drop, abs=1e-12)
    assert paired["value"] == pytest.approx((new == y)[common].mean())
    assert floor["value"] == pytest.approx(read_result(b).rows()[row_key("accuracy")].value)
    assert floor["value"] != paired["value"]
    found = verdict["comparison"]["common"]
    assert (found["n_common"], found["n_all"]) == (497, 516)
    assert sorted(found["gone_ids"]) == ["s0", "s1", "s2", "s3"]
    assert sorted(found["relabelled_ids"]) == ["s10", "s20", "s30"]
    assert len(found["new_ids"]) == 12
    assert verdict["comparison"]["flips"]["n_samples"] == 497
    code, out, _ = evalkit("compare", a, b, *CHANGED)
    assert code == 0
    assert "Relabelled: s" in out


def test_every_row_is_that_of_the_common_samples(runs, tmp_path):
    """As two runs over them alone would be compared, classes, slices and averages too."""
    a, b, y, old, new, common = runs
    found = compared(a, b, compare=COMMON)
    ids = [f"s{i}" for i in common]
    options = {"attributes": {"site": common % 2}, "slices": ["site"]}
    c = saved(tmp_path / "c", y[common], old[common], ids, **options)
    d = saved(tmp_path / "d", y[common], new[common], ids, **options)
    expected = compared(c, d)
    for key in (
        row_key("accuracy"),
        row_key("f1", average="macro"),
        row_key("recall", class_name="b"),
        row_key("mcc"),
        row_key("accuracy", slice_={"site": 1}),
        row_key("f1", average="macro", slice_={"site": 0}),
    ):
        mine, theirs = found.rows(key), expected.rows(key)
        assert [row.value for row in mine] == pytest.approx([row.value for row in theirs]), key
        gaps = [pair.gap(key, level=0.95).bounds for pair in (found, expected)]
        assert gaps[0] == pytest.approx(gaps[1]), key


def test_scores_of_the_common_samples(tmp_path):
    """Losses and AUC, too."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    scores = [1 / (1 + np.exp(-(2 * y - 1 + rng.normal(size=400)))) for _ in range(2)]
    options = {"task": "binary", "output": "probabilities", "class_names": ["n", "y"]}
    ids = np.array([f"s{i}" for i in range(400)])
    rows = {"old": slice(0, 390), "new": slice(10, 400), "c": slice(10, 390), "d": slice(10, 390)}
    for name, p in zip(rows, scores * 2, strict=True):
        of = rows[name]
        library.score(y[of], y_score=p[of], ids=ids[of], **options).save(tmp_path / name)
    found = compared(tmp_path / "old", tmp_path / "new", compare=COMMON)
    expected = compared(tmp_path / "c", tmp_path / "d")
    for metric in ("roc_auc", "log_loss", "brier", "average_precision"):
        key = row_key(metric)
        assert [row.value for row in found.rows(key)] == pytest.approx(
            [row.value for row in expected.rows(key)]
        )
        assert found.gap(key, level=0.95).bounds == pytest.approx(expected.gap(key, level=0.95).bounds)


def test_too_few_common_samples_cannot_be_judged(runs, tmp_path, evalkit):
    """Below min_common, with the figures; at it, judged."""
    a, b, *_ = runs
    for least, code in ((0.97, 5), (497 / 516, 0), (0.9, 0)):
        path = tmp_path / "gates.yaml"
        gates = [{"metric": "accuracy", "max_drop": 0.5}]
        compare = {"on_changed_data": "common", "min_common": least}
        path.write_text(yaml.safe_dump({"gates": gates, "baseline": str(a), "compare": compare}))
        found, out, err = evalkit("gate", b, "--gates", path)
        assert found == code, out + err
        assert ("of them are needed" in out) == (code == 5)
        assert evalkit("compare", a, b, *CHANGED, "--min-common", least)[0] == code


def test_positions_are_no_identity(tmp_path, evalkit):
    """One sample inserted in front shifts all others: with positional ids nothing says which are the same."""
    y, old, new = two_models(300)
    y = np.sort(y)  # where classes stand together, most labels would agree by accident
    a = saved(tmp_path / "old", y, old)
    b = saved(tmp_path / "new", np.r_[0, y], np.r_[0, new])
    path = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.5})
    code, out, _ = evalkit("gate", b, "--gates", path, "--baseline", a, *CHANGED)
    assert code == 5
    assert "ids of their own" in out


def test_without_tables_nothing_tells_what_is_common(runs, tmp_path, evalkit):
    """Unpaired intervals are for the same data only."""
    a, b, *_ = runs
    (a / "predictions.parquet").unlink()
    path = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.5})
    code, out, _ = evalkit("gate", b, "--gates", path, "--baseline", a, *CHANGED)
    assert code == 5
    assert "no per-sample tables" in out


def test_other_questions_stay_other_questions(runs, tmp_path):
    """common is about samples and labels alone."""
    a, b, y, old, _, _ = runs
    c = saved(tmp_path / "c", y, old, [f"s{i}" for i in range(516)], metrics={"classes": "declared"})
    found = compared(c, b, compare=COMMON)
    assert "another averaging policy" in found.differences


def test_a_specification_says_so(project, tmp_path, evalkit):
    """compare: in eval.yaml, through run and gate."""
    ids = np.array([f"i{k}" for k in range(60)])
    project.write_data(id=ids)
    project.write_spec()
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "old")[0] == 0
    for value in project.model.parameters():
        value.data.mul_(0.5)
    project.save(project.model.state_dict())
    labels = project.y.copy()
    labels[3] = (labels[3] + 1) % 3
    project.write_data(id=ids, y=labels)
    project.spec |= {
        "baseline": str(tmp_path / "old"),
        "compare": {"on_changed_data": "common"},
        "gates": [{"metric": "accuracy", "max_drop": 0.9}],
    }
    project.write_spec()
    code, out, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "new")
    assert code == 0, out + err
    assert "59 of 60 samples are the same: 0 new, 0 gone, 1 relabelled" in out
    assert evalkit("gate", tmp_path / "new")[0] == 0
