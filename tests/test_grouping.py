"""Slices, clusters and units, from Python and from a specification."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk
from test_cli import one_line

import evalkit as library
from evalkit.errors import DataError
from evalkit.result import read_result
from evalkit.rows import bin_names, row_key

ROOT = Path(__file__).parents[1]


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 3, 400)
    y_pred = np.where(rng.random(400) < 0.8, y_true, rng.integers(0, 3, 400))
    return rng, y_true, y_pred


def test_slices_are_what_scikit_learn_gives_on_their_rows(labels):
    """A column, a crossing, bins with their ends, and what is missing."""
    rng, y_true, y_pred = labels
    site = rng.choice(["a", "b"], 400)
    age = rng.integers(10, 80, 400).astype(float)
    age[:7] = np.nan
    result = library.score(
        y_true,
        y_pred,
        attributes={"site": site, "age": age},
        slices=["site", ["site", "age"][:1], {"age": [18, 65]}],
    )
    groups = {
        ("site", "a"): site == "a",
        ("site", "b"): site == "b",
        ("age", "< 18"): age < 18,
        ("age", "[18, 65)"): (age >= 18) & (age < 65),
        ("age", ">= 65"): age >= 65,
        ("age", "missing"): np.isnan(age),
    }
    for (column, value), rows in groups.items():
        found = result.row("accuracy", slice_={column: value})
        assert found.value == sk.accuracy_score(y_true[rows], y_pred[rows])
        assert found.n_samples == rows.sum()
        assert found.low < found.value < found.high or found.value == 1
        macro = result.value("f1", average="macro", slice_={column: value})
        expected = sk.f1_score(y_true[rows], y_pred[rows], average="macro", labels=range(3), zero_division=0)
        assert macro == pytest.approx(expected)
    slices = {tuple(row.slice.items())[0]: row for row in result.document.slices if len(row.slice) == 1}
    assert slices["age", "missing"].insufficient
    assert not slices["site", "a"].insufficient
    rest = ~groups["site", "a"]
    gap = next(one for one in slices["site", "a"].differences if one.metric == "accuracy")
    expected = (y_true == y_pred)[~rest].mean() - (y_true == y_pred)[rest].mean()
    assert gap.value == pytest.approx(expected)
    assert gap.low < gap.value < gap.high


def test_crossings_hold_only_what_occurs(labels):
    """Not every pair of values is a slice."""
    _, y_true, y_pred = labels
    a, b = np.repeat([0, 1], 200), np.repeat([0, 1, 2, 3], 100)
    result = library.score(y_true, y_pred, attributes={"a": a, "b": b}, slices=[["a", "b"]])
    assert [row.slice for row in result.document.slices] == [
        {"a": 0, "b": 0},
        {"a": 0, "b": 1},
        {"a": 1, "b": 2},
        {"a": 1, "b": 3},
    ]


def test_a_thousand_slices(labels):
    """In one pass; each adds up."""
    rng, _, _ = labels
    n = 100_000
    y_true, y_pred = rng.integers(0, 10, n), rng.integers(0, 10, n)
    code = rng.integers(0, 1000, n)
    result = library.score(y_true, y_pred, attributes={"code": code}, slices=["code"])
    assert len(result.document.slices) == 1000
    assert sum(row.n_samples for row in result.document.slices) == n
    total = sum(np.array(row.counts) for row in result.document.slices)
    assert (total == np.array(result.document.counts)).all()


def test_difference_intervals_cover(labels):
    """A slice that is as good as the rest: 93 to 99 % of 300 runs cover 0."""
    covered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        right = rng.random(300) < 0.85
        result = library.score(
            np.zeros(300, int),
            np.where(right, 0, 1),
            class_names=["a", "b"],
            attributes={"s": np.arange(300) % 3 == 0},
            slices=["s"],
        )
        gap = next(one for one in result.document.slices[0].differences if one.metric == "accuracy")
        covered += gap.low <= 0 <= gap.high
    assert 0.93 * 300 <= covered <= 0.99 * 300


def test_too_many_slices_are_refused(labels):
    """An id is no slice."""
    n = 10_001
    zeros = np.zeros(n, int)
    with pytest.raises(DataError, match="10001 slices by id"):
        library.score(zeros, zeros, attributes={"id": np.arange(n)}, slices=["id"])
    with pytest.raises(DataError, match="no attribute 'sight'"):
        library.score(zeros, zeros, attributes={"id": zeros}, slices=["sight"])
    with pytest.raises(DataError, match="holds no numbers that could be binned"):
        library.score(zeros, zeros, attributes={"t": np.array(["x"] * n)}, slices=[{"t": [1]}])


def test_bin_names():
    """Below, between, from the last edge on, and missing."""
    assert bin_names([0, 18, 65.5]) == ["< 0", "[0, 18)", "[18, 65.5)", ">= 65.5", "missing"]


def units(rng, n_units=60, size=5, n_classes=3):
    """Images of patients, one label a patient."""
    patient = np.repeat([f"p{k}" for k in range(n_units)], size)
    y_true = np.repeat(rng.integers(0, n_classes, n_units), size)
    scores = rng.normal(size=(len(y_true), n_classes)) + 0.8 * np.eye(n_classes)[y_true]
    return patient, y_true, scores


@pytest.mark.parametrize("combine", ["mean", "majority"])
def test_units_of_many_classes(combine):
    """214 patients, not 1,930 images: counted, averaged and judged as such."""
    patient, y_true, scores = units(np.random.default_rng(1))
    result = library.score(
        y_true,
        y_score=scores,
        output="logits",
        class_names=["a", "b", "c"],
        attributes={"patient": patient},
        metrics={"unit": {"by": "patient", "combine": combine}},
    )
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    p = p.astype(np.float32).astype(float).reshape(60, 5, 3)
    if combine == "mean":
        expected = p.mean(axis=1).argmax(axis=1)
    else:
        votes = scores.argmax(axis=1).reshape(60, 5)
        expected = np.array([np.bincount(row, minlength=3).argmax() for row in votes])
    truth = y_true.reshape(60, 5)[:, 0]
    assert result.document.n_samples == 60
    assert result.document.data["n_evaluated"] == 300
    assert result.value("accuracy") == sk.accuracy_score(truth, expected)
    assert f"unit:patient/{combine}" in result.document.signature
    if combine == "mean":
        names = {name: k for k, name in enumerate(sorted(set(patient)))}
        order = [names[f"p{k}"] for k in range(60)]
        assert sorted(order) == list(range(60))
        log_loss = sk.log_loss(truth, p.mean(axis=1), labels=range(3))
        assert result.value("log_loss") == pytest.approx(log_loss, abs=1e-6)
    assert json.loads(result.document.to_json())["n_samples"] == 60


@pytest.mark.parametrize("combine", ["mean", "max", "any", "majority"])
def test_units_of_two_classes(combine):
    """A patient is ill where the rule says so."""
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(80), 4)
    y_true = np.repeat(rng.integers(0, 2, 80), 4)
    p = 1 / (1 + np.exp(-(rng.normal(size=320) * 1.5 + 1.2 * (2 * y_true - 1) - 1)))
    result = library.score(
        y_true,
        y_score=p,
        task="binary",
        output="probabilities",
        class_names=["no", "yes"],
        attributes={"patient": patient},
        metrics={"unit": {"by": "patient", "combine": combine}},
    )
    table = p.reshape(80, 4)
    expected = {
        "mean": table.mean(axis=1) >= 0.5,
        "max": table.max(axis=1) >= 0.5,
        "any": (table >= 0.5).any(axis=1),
        "majority": (table >= 0.5).mean(axis=1) >= 0.5,
    }[combine]
    truth = y_true.reshape(80, 4)[:, 0]
    assert result.value("accuracy") == sk.accuracy_score(truth, expected)
    assert result.value("recall", class_name="yes") == sk.recall_score(truth, expected)
    if combine in ("mean", "max"):
        score = table.mean(axis=1) if combine == "mean" else table.max(axis=1)
        assert result.value("roc_auc") == pytest.approx(sk.roc_auc_score(truth, score), abs=1e-3)
        assert result.value("log_loss") == pytest.approx(sk.log_loss(truth, score), abs=1e-5)
        assert result.value("brier") == pytest.approx(sk.brier_score_loss(truth, score), abs=1e-5)


def test_labels_must_agree_inside_a_unit():
    """Exit 4, with the units."""
    with pytest.raises(DataError, match="labels differ inside 1 units of 'p': 1"):
        library.score(
            [0, 0, 0, 1],
            [0, 0, 1, 1],
            attributes={"p": [0, 0, 1, 1]},
            metrics={"unit": {"by": "p", "combine": "majority"}},
        )


def test_units_have_slices_of_their_own():
    """An attribute of the unit slices units."""
    patient, y_true, scores = units(np.random.default_rng(3))
    site = np.repeat(np.arange(60) % 2, 5)
    result = library.score(
        y_true,
        y_score=scores,
        attributes={"patient": patient, "site": site},
        slices=["site"],
        metrics={"unit": {"by": "patient", "combine": "majority"}},
    )
    assert [row.n_samples for row in result.document.slices] == [30, 30]


def test_documents_of_groups_survive_their_file(tmp_path, labels):
    """Written, read, recomputed from the counts of every slice; an edited one is refused."""
    rng, y_true, y_pred = labels
    result = library.score(y_true, y_pred, attributes={"site": rng.choice(["a", "b"], 400)}, slices=["site"])
    result.save(tmp_path / "run")
    assert read_result(tmp_path / "run") == result.document
    path = tmp_path / "run/result.json"
    key = row_key("accuracy", slice_={"site": "a"})
    value = result.document.rows()[key].value
    path.write_text(path.read_text().replace(f'"value": {value!r}', '"value": 0.99'))
    with pytest.raises(Exception, match="is not what the counts give"):
        read_result(tmp_path / "run")


def test_slices_of_label_sets():
    """Each slice's tables sum to its size."""
    rng = np.random.default_rng(0)
    y, pred = rng.random((200, 3)) < 0.4, rng.random((200, 3)) < 0.4
    result = library.score(
        y.astype(int),
        pred.astype(int),
        task="multilabel",
        attributes={"s": np.arange(200) % 2},
        slices=["s"],
    )
    for value in (0, 1):
        rows = np.arange(200) % 2 == value
        mine = result.row("f1", average="macro", slice_={"s": value})
        assert mine.value == pytest.approx(sk.f1_score(y[rows], pred[rows], average="macro"))
        assert mine.low < mine.value < mine.high


SAMPLE = str(ROOT / "samples/breast_cancer")


def test_the_binary_sample(tmp_path, evalkit):
    """One logit, bins, a cost matrix, a stated prevalence, a gate on a slice; judged again from documents."""
    code, out, err = evalkit("run", f"{SAMPLE}/eval.yaml", "-o", tmp_path / "a")
    assert code == 0, err
    assert "passed  accuracy where radius in [12, 15)" in out
    result = read_result(tmp_path / "a")
    table = np.load(f"{SAMPLE}/data/test.npz")
    assert result.confusion.support.tolist() == np.bincount(table["y"]).tolist()
    assert [row.slice["radius"] for row in result.slices] == ["< 12", "[12, 15)", ">= 15"]
    assert evalkit("gate", tmp_path / "a")[0] == 0
    page = (tmp_path / "a/report.html").read_text()
    assert "Named thresholds are best on these very samples" in page
    assert "radius in [12, 15)" in page


def test_a_threshold_from_another_run(tmp_path, evalkit):
    """Chosen on validation rows; refused on the rows that it was chosen on."""
    assert evalkit("run", f"{SAMPLE}/validate.yaml", "-o", tmp_path / "v")[0] == 0
    chosen = f"model.threshold={{from: {tmp_path / 'v'}, choose: max_f1}}"
    words = ("run", f"{SAMPLE}/eval-chosen.yaml", "--set", chosen)
    code, _, err = evalkit(*words, "-o", tmp_path / "t")
    assert code == 0, err
    points = read_result(tmp_path / "v").curves["operating_points"]
    assert read_result(tmp_path / "t").threshold == points[0]["threshold"]
    code, _, err = evalkit(*words, "--data", f"{SAMPLE}/data/validation.npz", "-o", tmp_path / "u")
    assert code == 4
    assert "chosen on these very samples" in one_line_after(err)


def one_line_after(err):
    return one_line("\n".join(line for line in err.splitlines() if not line.startswith("preprocessing:")))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.slices=[colour, {radius: [12, 15]}]", "no attribute 'colour'"),
        ("metrics.cluster=colour", "no attribute 'colour'"),
        ("metrics.cost=[[0, 1]]", "expected 2 rows of 2 numbers"),
        ("metrics.prevalence={benign: 1}", "expected a share of each"),
        ("metrics.score_memory=lots", "a size such as 512 MiB"),
        ("gates.3.slice={radius: big}", "expected one of < 12, [12, 15), >= 15, missing"),
        ("gates.3.slice={colour: big}", "is no declared slice"),
        ("gates.0.k=3", "roc_auc has no parameter k"),
        ("gates.0.slice={radius: missing}", "roc_auc is not computed in slices"),
        ("model.valid_classes=[benign, malignant]", "belongs to task: multiclass"),
    ],
)
def test_what_cannot_be_grouped(setting, message, tmp_path, evalkit):
    """One line with the key, and no output folder."""
    code, _, err = evalkit("run", f"{SAMPLE}/eval.yaml", "--set", setting, "-o", tmp_path / "out")
    assert code in (2, 4)
    assert message in one_line_after(err)
    assert not (tmp_path / "out").exists()


def test_a_small_slice_is_not_judged(tmp_path, evalkit):
    """Three samples prove nothing."""
    code, out, _ = evalkit(
        "run",
        f"{SAMPLE}/eval.yaml",
        "--set",
        "data.slices=[{radius: [21]}]",
        "--set",
        "gates.3.slice={radius: '>= 21'}",
        "-o",
        tmp_path / "out",
    )
    assert code == 5
    assert "samples are too few, 30 are needed" in out


def test_a_gates_own_level_keeps_the_runs_class_set():
    """A slice without one class: its macro average is over the run's classes, at whatever level."""
    from evalkit.gates.case import Case

    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [60, 60, 60])
    pred = np.where(rng.random(180) < 0.8, y, (y + 1) % 2)
    arguments = {"attributes": {"s": (y == 2).astype(int)}, "slices": ["s"], "class_names": ["a", "b", "c"]}
    usual = library.score(y, pred, **arguments).document
    wide = library.score(y, pred, metrics={"interval": 0.99}, **arguments).document
    key = row_key("f1", average="macro", slice_={"s": 0})
    found, expected = Case(usual, None).interval(usual.rows()[key], 0.99), wide.rows()[key]
    assert found == pytest.approx((expected.low, expected.high))
