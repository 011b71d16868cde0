"""What per-sample tables decide beside the numbers: same model, foreign units, orders, shares of clusters."""

import json
import shutil

import numpy as np
import pytest
from test_compare import NAMES, compared, gates_file, saved, two_models

import evalkit as library
from evalkit.rows import row_key

IDS = [f"s{i}" for i in range(400)]
RNG = np.random.default_rng(3)
Y = RNG.integers(0, 3, 400)
OLD, NEW = (RNG.dirichlet(np.ones(3), 400) + 0.3 * np.eye(3)[Y] for _ in range(2))
OLD, NEW = (one / one.sum(axis=1, keepdims=True) for one in (OLD, NEW))


def scored(path, scores, order=(0, 1, 2), rows=None, **options):
    """Save a run of scores, with classes and rows in any order."""
    order, rows = list(order), np.arange(400) if rows is None else rows
    library.score(
        np.argsort(order)[Y[rows]], y_score=scores[rows][:, order], ids=[IDS[i] for i in rows],
        class_names=[NAMES[k] for k in order], output="probabilities", **options,
    ).save(path)  # fmt: skip
    return path


def test_slices_scores_and_another_order_of_classes(tmp_path, evalkit):
    """The baseline's table is read as it was written, though its result is found again."""
    site = {"site": np.arange(400) % 2}
    options = {"attributes": site, "slices": ["site"]}
    a = scored(tmp_path / "old", OLD, (2, 0, 1), **options)
    b = scored(tmp_path / "new", NEW, **options)
    plain = compared(scored(tmp_path / "plain-old", OLD, (2, 0, 1)), scored(tmp_path / "plain-new", NEW))
    found = compared(a, b)
    for key in (row_key("accuracy"), row_key("roc_auc", average="macro"), row_key("log_loss")):
        assert found.gap(key, level=0.95).bounds == pytest.approx(plain.gap(key, level=0.95).bounds)
    gates = [{"metric": "accuracy", "max_drop": 0.9}]
    gates += [{"metric": name, "average": "macro", "max_drop": 0.9} for name in ("f1", "roc_auc")]
    path = gates_file(tmp_path, *gates)
    code, out, err = evalkit("gate", b, "--gates", path, "--baseline", a)
    assert code == 0, out + err


def test_a_table_of_other_units_is_refused(tmp_path, evalkit):
    """Its units do not give the result's counts."""
    by = {"patient": np.repeat(np.arange(80), 5)}
    y = np.repeat(np.random.default_rng(0).integers(0, 3, 80), 5)
    _, old, new = two_models(400)
    options = {"attributes": by, "metrics": {"unit": {"by": "patient", "combine": "majority"}}}
    a, b = saved(tmp_path / "a", y, y, IDS, **options), saved(tmp_path / "b", y, new, IDS, **options)
    other = saved(tmp_path / "c", y, old, IDS, **options)
    path = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.9})
    assert evalkit("gate", b, "--gates", path, "--baseline", a)[0] != 4
    shutil.copy(other / "predictions.parquet", a / "predictions.parquet")
    code, _, err = evalkit("gate", b, "--gates", path, "--baseline", a)
    assert code == 4
    assert "does not hold the samples" in err


@pytest.mark.parametrize("change", ["blessed", "attribute", "permuted"])
def test_the_same_answers_are_the_same_model(change, tmp_path, evalkit):
    """A prediction file that was forgotten passes no gate, however its table was written."""
    a = scored(tmp_path / "old", OLD)
    if change == "blessed":
        assert evalkit("bless", a, "-o", tmp_path / "blessed")[0] == 0
        a = tmp_path / "blessed"
    rows = np.random.default_rng(0).permutation(400) if change == "permuted" else None
    attributes = {"attributes": {"site": np.arange(400) % 2}} if change == "attribute" else {}
    b = scored(tmp_path / "new", OLD, rows=rows, **attributes)
    path = gates_file(tmp_path, {"metric": "accuracy", "max_drop": 0.2})
    code, _, err = evalkit("gate", b, "--gates", path, "--baseline", a)
    assert code == 4
    assert "same-model" in err
    assert evalkit("gate", b, "--gates", path, "--baseline", a, "--allow-same-model")[0] == 0
    c = scored(tmp_path / "other", NEW)
    assert evalkit("gate", c, "--gates", path, "--baseline", a)[0] in (0, 3)


def test_shares_of_clusters_have_an_interval(tmp_path, evalkit):
    """Whole sets right: the interval is that of the flips, and what is suggested can be judged."""
    rng = np.random.default_rng(0)
    y = rng.random((400, 3)) < 0.4
    pairs = {"pair": np.repeat(np.arange(200), 2)}
    for name, seed in (("old", 1), ("new", 2)):
        said = y ^ (np.random.default_rng(seed).random(y.shape) < 0.1)
        library.score(
            y, said, ids=IDS, task="multilabel", class_names=NAMES, attributes=pairs,
            metrics={"cluster": "pair"},
        ).save(tmp_path / name)  # fmt: skip
    path = gates_file(tmp_path, {"metric": "subset_accuracy", "max_drop": 0.5})
    words = ("gate", tmp_path / "new", "--baseline", tmp_path / "old", "--gates")
    code, out, _ = evalkit(*words, path)
    assert code == 0, out
    verdict = json.loads((tmp_path / "new/verdict.json").read_text())
    flips, check = verdict["comparison"]["flips"], verdict["checks"][0]
    half = (flips["high"] - flips["low"]) / 2
    assert (check["high"] - check["low"]) / 2 == pytest.approx(half, rel=0.01)
    code, out, _ = evalkit("plan", tmp_path / "new", "--suggest")
    assert "subset_accuracy" in out
    (tmp_path / "suggested.yaml").write_text(out)
    assert evalkit(*words, tmp_path / "suggested.yaml")[0] == 0
    assert evalkit("plan", tmp_path / "new", "--disagreement", 0.1)[0] == 2


def test_f1_is_of_as_many_samples_as_its_class(tmp_path, evalkit):
    """2 TP + FP + FN counts a sample twice: sixteen stay sixteen."""
    y = np.repeat([0, 1, 2], [192, 192, 16])
    run = saved(tmp_path / "run", y, y, IDS)
    path = gates_file(tmp_path, {"metric": "f1", "class": "c", "min": 0.5})
    code, out, _ = evalkit("gate", run, "--gates", path)
    assert code == 5
    assert "16 samples are too few" in out


@pytest.mark.parametrize(
    "words", [("--suggest", "--margin", 0.1), ("--suggest", "--alpha", 0.1), ("--suggest",)]
)
def test_what_a_plan_cannot_heed_is_a_usage_error(words, tmp_path, evalkit):
    """Suggestions have margins of their own, and come from a run."""
    where = (
        (scored(tmp_path / "run", OLD),)
        if len(words) > 1
        else ("--n", 9, "--accuracy", 1, "--disagreement", 0)
    )
    assert evalkit("plan", *where, *words)[0] == 2
