"""``evalkit score``: predictions that somebody else wrote give the same numbers, documents and gates."""

import json

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn import metrics
from toys import Project

NAMES = ["ant", "bee", "cat"]
CSV = ("--label", "label", "--prediction", "said")


def predictions(n=500, seed=0, k=3):
    """Labels, probabilities that mostly agree, a camera with missing values, ages and ids."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    p = rng.dirichlet(np.ones(k), n) * 0.5 + 0.5 * np.eye(k)[np.where(rng.random(n) < 0.8, y, (y + 1) % k)]
    camera = np.array(["day", "night", None], object)[rng.integers(0, 3, n)]
    return y, p.astype(np.float32), camera, rng.integers(0, 90, n), [f"s{i}" for i in range(n)]


def frame(n=500, seed=0):
    y, p, camera, age, ids = predictions(n, seed)
    table = pd.DataFrame(
        {"label": np.array(NAMES)[y], "said": np.array(NAMES)[p.argmax(1)], "camera": camera, "age": age}
    )
    return table.assign(**{f"p_{name}": p[:, k] for k, name in enumerate(NAMES)}, id=ids)


def write(table, path):
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path


def result_of(folder):
    return json.loads((folder / "result.json").read_bytes())


def rows_of(document):
    keys = ("metric", "params", "average", "class_name", "slice")
    return {json.dumps([row[key] for key in keys]): row for row in document["metrics"]}


def value(document, metric, average=None, class_name=None, **params):
    return rows_of(document)[json.dumps([metric, params, average, class_name, None])]["value"]


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".npz", "folder"])
def test_numbers_are_scikit_learns(kind, tmp_path, evalkit):
    """Whatever the file: the same counts, averages, losses and areas, the same ids and slices."""
    table = frame()
    y, p = table.label, table[[f"p_{name}" for name in NAMES]].to_numpy(float)
    scores = ("--scores", "p_*")
    path = tmp_path / f"t{kind}" if kind != "folder" else tmp_path / "t"
    if kind == ".npz":
        columns = {name: table[name].fillna("").to_numpy(str) for name in ("label", "said", "camera", "id")}
        np.savez(path, y_score=p.astype(np.float32), age=table.age.to_numpy(), **columns)
        scores = ("--classes", json.dumps(NAMES))
    elif kind == "folder":
        path.mkdir()
        write(table[:200], path / "part-0.parquet")
        write(table[200:], path / "part-1.parquet")
    else:
        write(table, path)
    words = (
        *CSV,
        *scores,
        "--id",
        "id",
        "--output-kind",
        "probabilities",
        "--slices",
        "[camera, {age: [18, 65]}]",
    )
    code, out, err = evalkit("score", path, "-o", tmp_path / "out", *words)
    assert code == 0, err
    assert "500 samples" in out
    document = result_of(tmp_path / "out")
    assert document["counts"] == metrics.confusion_matrix(y, table.said, labels=NAMES).tolist()
    for average in ("micro", "macro", "weighted"):
        expected = metrics.f1_score(y, table.said, average=average)
        assert value(document, "f1", average) == pytest.approx(expected, abs=1e-12)
    shares = p / p.sum(axis=1, keepdims=True)
    assert value(document, "log_loss") == pytest.approx(metrics.log_loss(y, shares), rel=1e-6)
    expected = metrics.roc_auc_score(y, shares, multi_class="ovr", average="macro")
    assert value(document, "roc_auc", "macro") == pytest.approx(expected, abs=1e-5)
    for one in document["slices"]:
        inside = table.camera.fillna("missing") == one["slice"].get("camera")
        if "camera" in one["slice"]:
            expected = metrics.confusion_matrix(y[inside], table.said[inside], labels=NAMES).tolist()
            assert one["counts"] == expected
    assert len(document["slices"]) == 6
    assert document["data"]["ids"] == "explicit"
    found = pq.read_table(tmp_path / "out/predictions.parquet")
    assert found["sample_id"].to_pylist() == table.id.tolist()
    assert document["digests"]["data"] == "".join(known_digest(table))


def known_digest(table):
    """The digest of the same samples from Python code, in another order of rows and classes."""
    import evalkit

    shuffled = table.sample(frac=1, random_state=0)
    found = evalkit.score(
        shuffled.label.tolist(), shuffled.said.tolist(), class_names=NAMES[::-1], ids=shuffled.id.tolist()
    )
    return found.document.digests["data"]


def test_the_documents_are_those_of_a_run(tmp_path, evalkit):
    """Page, verdict and table are there, gates are judged, and compare and gate read them again."""
    old, new = frame(seed=0), frame(seed=0)
    new.loc[:40, "said"] = new.label[:41]
    for name, table in (("old", old), ("new", new)):
        write(table, tmp_path / f"{name}.csv")
    assert evalkit("score", tmp_path / "old.csv", "-o", tmp_path / "old", *CSV, "--id", "id")[0] == 0
    words = (
        "--id",
        "id",
        "--baseline",
        tmp_path / "old",
        "--set",
        "gates=[{metric: accuracy, max_drop: 0.01}]",
    )
    code, out, err = evalkit("score", tmp_path / "new.csv", "-o", tmp_path / "new", *CSV, *words)
    assert (code, "the gate passed" in out) == (0, True), err
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert {"result.json", "verdict.json", "report.html", "predictions.parquet"} <= names
    assert evalkit("gate", tmp_path / "new")[0] == 0
    code, out, _ = evalkit("compare", tmp_path / "old", tmp_path / "new")
    assert (code, "tango" in out) == (0, True)
    assert (
        evalkit("score", tmp_path / "new.csv", "-o", tmp_path / "new", *CSV, "--min", "accuracy=0.99")[0] == 3
    )
    again = result_of(tmp_path / "new")
    evalkit("score", tmp_path / "new.csv", "-o", tmp_path / "new", *CSV, "--min", "accuracy=0.99")
    assert {**result_of(tmp_path / "new"), "provenance": 0} == {**again, "provenance": 0}


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "many"])
def test_a_runs_own_table_gives_the_same_bits(task, tmp_path, evalkit):
    """Every row, slice, curve and digest; above 64 classes those of gated classes, from scores.npz beside."""
    project = own_project(task, tmp_path)
    assert evalkit("run", project, "-o", tmp_path / "run", "--quiet")[0] in (0, 3)
    before = result_of(tmp_path / "run")
    for table in (tmp_path / "run", tmp_path / "run/predictions.parquet"):
        code, _, err = evalkit("score", table, "-o", tmp_path / "again", "--quiet")
        assert code == 0, err
        after = result_of(tmp_path / "again")
        for key in ("metrics", "slices", "curves", "calibration", "n_samples", "class_names", "threshold"):
            assert after[key] == before[key], key
        assert after["digests"]["data"] == before["digests"]["data"]
        copied = tmp_path / "again/predictions.parquet"
        assert pq.read_table(copied).equals(pq.read_table(tmp_path / "run/predictions.parquet"))
        code, _, err = evalkit("score", tmp_path / "again", "-o", tmp_path / "third", "--quiet")
        assert (code, result_of(tmp_path / "third")["metrics"]) == (0, before["metrics"]), err
    if task == "many":
        other = dict(np.load(tmp_path / "run/scores.npz"))
        other["7.positives"] = other["7.positives"] + 1
        known = [row for row in before["metrics"] if row["metric"] == "roc_auc" and row["value"] is not None]
        assert [row["class_name"] for row in known] == ["class 7"]
        np.savez(tmp_path / "run/scores.npz", **other)
        code, _, err = evalkit("score", tmp_path / "run", "-o", tmp_path / "again", "--quiet")
        assert (code, "scores.npz: is not what" in err) == (4, True), err
        (tmp_path / "run/scores.npz").unlink()
        evalkit("score", tmp_path / "run", "-o", tmp_path / "again", "--quiet")
        found = [row for row in result_of(tmp_path / "again")["metrics"] if row["metric"] == "roc_auc"]
        assert {row["undefined"] for row in found} == {"scores_not_stored"}


def own_project(task, tmp_path):
    n_classes = {"binary": 2, "many": 70}.get(task, 3)
    project = Project(tmp_path / "project", n_samples=300, n_classes=n_classes)
    ink = np.array(["low", "high"])[np.arange(300) % 2]
    y = project.rng.integers(0, 2, (300, 3)) if task == "multilabel" else project.y
    np.savez(project.path / "test.npz", x=project.x, y=y, ink=ink, id=np.array([f"s{i}" for i in range(300)]))
    project.spec["data"]["slices"] = ["ink"]
    project.spec["task"] = "multiclass" if task == "many" else task
    if task == "binary":
        project.spec["model"] |= {"threshold": 0.4, "positive_class": "class 0"}
    if task == "many":
        project.spec["gates"] = [
            {"metric": "roc_auc", "class": "class 7", "min": 0.1, "judge": "point", "min_support": 1}
        ]
        project.spec["metrics"] = {"names": ["roc_auc", "average_precision"]}
    (project.path / "eval.yaml").write_text(yaml.safe_dump(project.spec))
    return project.path / "eval.yaml"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y_pred": lambda c: pa.array(np.full(len(c), 9, np.int32))}, "labels are no classes"),
        ({"logloss": lambda c: pa.array(np.full(len(c), np.nan))}, "logloss: 300 values"),
        ({"p_pred": lambda c: pa.array(np.full(len(c), 2, np.float32))}, "p_pred: 300 values"),
        ({"true_rank": lambda c: pa.array(np.full(len(c), 1, np.int32))}, "contradicts y_true and y_pred"),
        ({"score_1": lambda c: pa.array(np.full(len(c), np.nan, np.float32))}, "score_1: 300 values"),
        ({"score_1": lambda c: pa.array(np.full(len(c), 7, np.float32))}, "score_1: 300 values"),
        ({"true_rank": lambda c: pa.array(np.full(len(c), -3, np.int32))}, "true_rank: 300 values"),
        ({"sample_id": lambda c: pa.array(["x"] * len(c))}, "ids must be unique, 299 repeated"),
    ],
)
def test_an_own_table_that_was_changed_is_refused(change, said, tmp_path, evalkit):
    """What evalkit would not have written is not taken over."""
    evalkit("run", own_project("multiclass", tmp_path), "-o", tmp_path / "run", "--quiet")
    path = tmp_path / "run/predictions.parquet"
    table = pq.read_table(path)
    for name, make in change.items():
        table = table.set_column(table.column_names.index(name), name, make(table[name]))
    pq.write_table(table, path)
    code, _, err = evalkit("score", path, "-o", tmp_path / "again", "--quiet")
    assert (code, said in err) == (4, True), err
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("names", "kind", "labels", "words", "expected"),
    [
        (["b", "a"], ".csv", ["a", "b", "b"], (), [1, 0, 0]),
        (["b", "a"], ".csv", ["1", "0", "0"], (), [1, 0, 0]),
        (["0", "1"], ".csv", ["1", "0", "0"], (), [1, 0, 0]),
        (["1", "0"], ".csv", ["1", "0", "0"], (), "error[specification]"),
        (["1", "0"], ".csv", ["1", "0", "0"], ("--labels-are", "names"), [0, 1, 1]),
        (["1", "0"], ".csv", ["1", "0", "0"], ("--labels-are", "indices"), [1, 0, 0]),
        (["1", "0"], ".parquet", ["1", "0", "0"], (), [0, 1, 1]),
        (["1", "0"], ".parquet", [1, 0, 0], (), [1, 0, 0]),
        (["1", "0"], ".parquet", [1, 0, 0], ("--labels-are", "names"), [0, 1, 1]),
        (["1", "2"], ".csv", ["2", "2", "1"], (), "error[specification]"),
        (["a", "b"], ".csv", ["a", "1", "0"], (), "holds names and indices of classes"),
        (["no", "NA"], ".csv", ["NA", "no", "no"], (), [1, 0, 0]),
        (["a", "b"], ".parquet", [0.0, 1.0, 1.0], (), "expected class names or indices, got double"),
        (["a", "b"], ".parquet", [True, False, False], (), [1, 0, 0]),
        (["a", "b"], ".parquet", [1, 0, 2], (), "1 labels are no classes (row 2: '2')"),
        (["a", "b"], ".parquet", [1, 0, -1], (), "1 labels are no classes (row 2: '-1')"),
        (["a", "b"], ".csv", ["a", "b", "aa"], (), "(row 2: 'aa' (did you mean 'a'?))"),
        (["a", "b"], ".csv", ["a", "", "b"], (), "said: 1 values are missing (rows 1)"),
        (["a", "b"], ".parquet", ["a", None, None], (), "said: 2 values are missing (rows 1, 2)"),
        (["01", "1"], ".csv", ["01", "1", "01"], ("--labels-are", "names"), [0, 1, 0]),
    ],
)
def test_labels_are_names_or_indices(names, kind, labels, words, expected, tmp_path, evalkit):
    """A text column holds names and an integer column indices; what could be either has to be said."""
    table = pd.DataFrame({"label": labels[:1] * 3, "said": labels})
    path = write(table, tmp_path / f"t{kind}")
    code, _, err = evalkit(
        "score", path, "-o", tmp_path / "out", *CSV, "--classes", json.dumps(names), *words
    )
    if isinstance(expected, str):
        assert expected in err
        assert code == (2 if "specification" in expected else 4)
        return
    assert code == 0, err
    assert pq.read_table(tmp_path / "out/predictions.parquet")["y_pred"].to_pylist() == expected


@pytest.mark.parametrize(
    ("change", "words", "code", "said"),
    [
        (lambda t: t.assign(p_ant="x"), (), 4, "p_ant: 500 cells are no numbers (row 0: 'x', "),
        (
            lambda t: t.assign(p_ant=t.p_ant.where(t.index != 7)),
            (),
            4,
            "p_ant: 1 values are missing (rows 7)",
        ),
        (lambda t: t.assign(p_ant=np.where(t.index == 7, np.inf, t.p_ant)), (), 4, "in 1 rows (rows 7)"),
        (
            lambda t: t.assign(p_ant=np.where(t.index == 7, 0.9, t.p_ant)),
            (),
            4,
            "one row is no probability distribution (row 7)",
        ),
        (lambda t: t.assign(id=t.id.where(t.index != 3)), (), 4, "id: 1 values are missing (rows 3)"),
        (lambda t: t.assign(id=["a", *t.id[1:-1], "a"]), (), 4, "1 repeated (rows 0 and 499: 'a')"),
        (lambda t: t.assign(id="a"), (), 4, "499 repeated (rows 0 and 1: 'a')"),
        (lambda t: t.drop(columns="said"), ("--prediction", "saying"), 4, "no column 'saying'"),
        (lambda t: t[:0], (), 4, "holds no"),
        (lambda t: t.rename(columns={"p_cat": "p_dog"}), (), 2, "the columns and the class names differ"),
        (lambda t: t.drop(columns="p_cat"), (), 2, "the columns and the class names differ: 'cat'"),
        (lambda t: t, ("--scores", "q_*"), 2, "no column is named q_*"),
        (lambda t: t, ("--scores", "p_ant,p_bee"), 2, "2 columns for 3 classes"),
        (lambda t: t, ("--slices", "[nothing]"), 4, "has no column 'nothing'"),
        (lambda t: t, ("--slices", "[{camera: [1]}]"), 4, "camera: "),
        (lambda t: t, ("--set", "model.factory=model:build"), 2, "belongs to a model that is run"),
        (lambda t: t, ("--set", "gates=[{metric: recall, class: dog, min: 0.1}]"), 2, "unknown class 'dog'"),
        (lambda t: t, ("--threshold", "0.5"), 2, "belongs to task: binary"),
    ],
)
def test_broken_rows_and_words(change, words, code, said, tmp_path, evalkit):
    """One line with the rows, the right exit code, and no folder left behind."""
    path = write(change(frame()), tmp_path / "t.csv")
    usual = (*CSV, "--scores", "p_*", "--id", "id", "--output-kind", "probabilities")
    found = evalkit("score", path, "-o", tmp_path / "out", *usual, "--classes", json.dumps(NAMES), *words)
    assert (found[0], said in found[2]) == (code, True), found[2]
    assert not (tmp_path / "out").exists()


def test_what_the_scores_are_has_to_be_said(tmp_path, evalkit):
    """Probabilities taken for logits would be silently wrong numbers."""
    path = write(frame(), tmp_path / "t.csv")
    code, _, err = evalkit("score", path, "-o", tmp_path / "out", *CSV, "--scores", "p_*")
    assert (code, "what are the scores?" in err) == (2, True)


def test_scores_without_names_need_classes(tmp_path, evalkit):
    """Nothing says whose column comes first: class order by position is a silent error elsewhere."""
    path = write(frame(), tmp_path / "t.csv")
    listed = ("--scores", "p_ant,p_bee,p_cat", "--output-kind", "probabilities")
    code, _, err = evalkit("score", path, "-o", tmp_path / "out", *CSV, *listed)
    assert (code, "nothing says which column of scores is whose" in err) == (2, True)
    assert (
        evalkit("score", path, "-o", tmp_path / "out", *CSV, *listed, "--classes", json.dumps(NAMES))[0] == 0
    )


def test_columns_are_matched_by_name(tmp_path, evalkit):
    """Columns in another order than the class names give the same numbers; decisions come from the scores."""
    table = frame()
    path = write(table[["label", "p_cat", "p_ant", "p_bee"]], tmp_path / "t.parquet")
    words = ("--label", "label", "--scores", "p_*", "--output-kind", "probabilities")
    for classes in (NAMES, NAMES[::-1]):
        code, _, err = evalkit(
            "score", path, "-o", tmp_path / "out", *words, "--classes", json.dumps(classes)
        )
        assert code == 0, err
        expected = metrics.confusion_matrix(table.label, table.said, labels=classes).tolist()
        assert result_of(tmp_path / "out")["counts"] == expected


def test_trusted_ids_are_not_looked_at_and_the_result_says_so(tmp_path, evalkit):
    """--ids trust skips the search for repeated ids."""
    path = write(frame().assign(id="a"), tmp_path / "t.csv")
    code, _, err = evalkit("score", path, "-o", tmp_path / "out", *CSV, "--id", "id", "--ids", "trust")
    assert code == 0, err
    assert result_of(tmp_path / "out")["data"]["ids"] == "trusted"


def test_a_binary_table_with_one_column_of_scores(tmp_path, evalkit):
    """The positive class is the second name unless said, and the threshold decides."""
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 300), rng.random(300)
    write(pd.DataFrame({"y_true": np.array(["no", "yes"])[y], "p": p}), tmp_path / "t.csv")
    words = ("--task", "binary", "--scores", "p", "--output-kind", "probabilities", "--threshold", "0.3")
    code, out, err = evalkit("score", tmp_path / "t.csv", "-o", tmp_path / "out", *words)
    assert (code, "positive is yes at 0.3 or above" in out) == (0, True), err
    document = result_of(tmp_path / "out")
    assert document["counts"] == metrics.confusion_matrix(y, p >= 0.3).tolist()
    assert value(document, "roc_auc") == pytest.approx(metrics.roc_auc_score(y, p.astype(np.float32)))


def test_label_sets(tmp_path, evalkit):
    """A column a label, matched by name, with scores and a threshold."""
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, (200, 3)), rng.random((200, 3))
    columns = {f"true_{name}": y[:, k] for k, name in enumerate(NAMES)}
    columns |= {f"p_{name}": p[:, k] for k, name in reversed(list(enumerate(NAMES)))}
    write(pd.DataFrame(columns), tmp_path / "t.csv")
    words = ("--task", "multilabel", "--label", "true_*", "--scores", "p_*", "--output-kind", "probabilities")
    code, _, err = evalkit("score", tmp_path / "t.csv", "-o", tmp_path / "out", *words)
    assert code == 0, err
    document = result_of(tmp_path / "out")
    expected = metrics.multilabel_confusion_matrix(y, p >= 0.5)
    assert document["counts"] == expected.tolist()
    assert value(document, "f1", "samples") == pytest.approx(
        metrics.f1_score(y, p >= 0.5, average="samples", zero_division=0)
    )


QUERY = """
SELECT label AS y_true, said AS y_pred, camera, count(*) AS n
FROM read_parquet('{path}') GROUP BY ALL
"""


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_counts_from_sql(kind, tmp_path, evalkit):
    """What GROUP BY gives has the counts, count metrics and slices of the samples themselves."""
    path = write(frame(3000), tmp_path / "t.parquet")
    counted = duckdb.sql(QUERY.format(path=path)).df()
    write(counted, tmp_path / f"counts{kind}")
    slices = ("--slices", "[camera]")
    assert evalkit("score", path, "-o", tmp_path / "samples", *CSV, *slices)[0] == 0
    words = ("--count", "n", *slices, "--min", "accuracy=0.5")
    code, out, err = evalkit("score", tmp_path / f"counts{kind}", "-o", tmp_path / "counts", *words)
    assert (code, "3,000 samples" in out) == (0, True), err
    samples, counts = result_of(tmp_path / "samples"), result_of(tmp_path / "counts")
    assert counts["counts"] == samples["counts"]
    assert rows_of(counts) == rows_of(samples)
    assert counts["slices"] == samples["slices"]
    assert counts["data"]["ids"] == "counted"
    assert not (tmp_path / "counts/predictions.parquet").exists()
    assert evalkit("compare", tmp_path / "counts", tmp_path / "counts")[0] == 0
    assert evalkit("compare", tmp_path / "samples", tmp_path / "counts")[0] == 5  # another set of samples


@pytest.mark.parametrize(
    ("n", "words", "code", "said"),
    [
        ([1, -1], (), 4, "1 cells are no counts (row 1: -1)"),
        ([1, 1.5], (), 4, "1 cells are no counts (row 1: 1.5)"),
        ([1, None], (), 4, "n: 1 values are missing (rows 1)"),
        ([0, 0], (), 4, "holds no samples"),
        ([2**52, 2**52], (), 0, ""),
        ([1, 1], ("--cluster", "c"), 2, "needs a row a sample, not counts"),
        ([1, 1], ("--task", "multilabel"), 2, "counts are of one class"),
    ],
)
def test_counts_that_are_none(n, words, code, said, tmp_path, evalkit):
    """Counts are whole numbers; large ones stay exact."""
    table = pd.DataFrame({"y_true": ["a", "b"], "y_pred": ["a", "a"], "n": n, "c": [1, 2]})
    path = write(table, tmp_path / "t.csv")
    found = evalkit("score", path, "-o", tmp_path / "out", "--count", "n", *words)
    assert (found[0], said in found[2]) == (code, True), found[2]
    if not code:
        assert result_of(tmp_path / "out")["counts"] == [[2**52, 0], [2**52, 0]]


def test_a_specification_says_the_rest(tmp_path, evalkit):
    """Columns, classes, gates and slices from a file; a flag overrides; the file can be written."""
    write(frame(), tmp_path / "t.csv")
    spec = {
        "name": "insects",
        "model": {"classes": NAMES, "output": "probabilities"},
        "data": {
            "source": "predictions",
            "path": "t.csv",
            "label": "label",
            "scores": "p_*",
            "slices": ["camera"],
        },
        "gates": [{"metric": "accuracy", "min": 0.99}],
    }
    (tmp_path / "eval.yaml").write_text(yaml.safe_dump(spec))
    code, out, _ = evalkit("score", "--spec", tmp_path / "eval.yaml", "-o", tmp_path / "out")
    assert (code, "insects on t.csv: 1 of 1 gates failed" in out) == (3, True)
    words = ("--set", "gates.0.min=0.5", "--write-spec", tmp_path / "said.yaml")
    assert evalkit("score", "--spec", tmp_path / "eval.yaml", "-o", tmp_path / "out", *words)[0] == 0
    assert evalkit("score", "--spec", tmp_path / "said.yaml", "-o", tmp_path / "out")[0] == 0
    assert evalkit("run", tmp_path / "eval.yaml", "-o", tmp_path / "out")[0] == 3
    code, _, err = evalkit("run", tmp_path / "eval.yaml", "-o", tmp_path / "out", "--limit", "3")
    assert (code, "cannot be said of predictions" in err) == (2, True)
    assert evalkit("score", "-o", tmp_path / "out")[0] == 2


def test_a_file_that_changes_while_it_is_read(tmp_path, evalkit, monkeypatch):
    """Two halves of two files are no table."""
    from evalkit.scoring import table as room

    path = write(frame(), tmp_path / "t.csv")
    stamps = iter([(1, 1), (1, 2)])
    monkeypatch.setattr(room, "_stamp", lambda _: next(stamps))
    code, _, err = evalkit("score", path, "-o", tmp_path / "out", *CSV)
    assert (code, "changed while it was read" in err) == (4, True)


def test_a_full_disk_loses_nothing(tmp_path, evalkit, monkeypatch):
    """Exit 6, and the run that was there is as it was."""
    from evalkit import files

    path = write(frame(), tmp_path / "t.csv")
    evalkit("score", path, "-o", tmp_path / "out", *CSV)
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    code, _, err = evalkit("score", path, "-o", tmp_path / "out", *CSV)
    assert (code, "No space left" in err) == (6, True)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            'y_true,y_pred,id\na,a,1\nb,b,"2\n' + "a,b,3\n" * 30,
            "the quote in line 3 holds more than 20 lines",
        ),
        ('y_true,y_pred,id\na,a,1\nb,b,"2\n' + "a,b,3\n" * 3, "the quote in line 3 is never closed"),
        ("y_true,y_pred,id\na,a,1\n" * 1 + 'b,b,"2\n' + "a,b,3\n" * 2_000_000, "the quote in line 3 holds"),
    ],
)
def test_a_quote_that_nobody_closed(content, said, tmp_path, evalkit):
    """It would swallow rows without a word: the wrong half of them, perhaps."""
    (tmp_path / "t.csv").write_text(content)
    code, _, err = evalkit("score", tmp_path / "t.csv", "-o", tmp_path / "out", "--id", "id")
    assert (code, said in err) == (4, True), err


def test_a_matrix_is_in_class_order(tmp_path, evalkit):
    """Columns of an array have no names: they are matched by position, whatever the classes are called."""
    y, p, *_ = predictions()
    np.savez(tmp_path / "t.npz", y_true=y, y_score=p)
    for names in (["2", "0", "1"], ["a", "b", "c"]):
        words = ("--output-kind", "probabilities", "--classes", json.dumps(names))
        assert evalkit("score", tmp_path / "t.npz", "-o", tmp_path / "out", *words)[0] == 0
        assert result_of(tmp_path / "out")["counts"] == metrics.confusion_matrix(y, p.argmax(1)).tolist()
    table = pd.DataFrame({"y_true": y, **{f"p_{k}": p[:, k] for k in range(3)}})
    words = ("--scores", "p_*", "--output-kind", "probabilities", "--classes", '["2", "0", "1"]')
    path = write(table, tmp_path / "t.parquet")
    code, _, err = evalkit("score", path, "-o", tmp_path / "out", *words)
    assert (code, "the columns are numbered" in err) == (2, True)
    assert evalkit("score", path, "-o", tmp_path / "out", *words, "--labels-are", "indices")[0] == 0
    assert result_of(tmp_path / "out")["counts"] == metrics.confusion_matrix(y, p.argmax(1)).tolist()


def test_the_same_table_is_the_same_model(tmp_path, evalkit):
    """Counts are recognised by their table; other predictions of the same table are another model."""
    counts = pd.DataFrame(
        {"y_true": ["a", "a", "b"], "y_pred": ["a", "b", "b"], "other": ["a", "a", "b"], "n": [50, 9, 60]}
    )
    path = write(counts, tmp_path / "t.csv")
    assert evalkit("score", path, "-o", tmp_path / "old", "--count", "n")[0] == 0
    gate = ("--baseline", tmp_path / "old", "--set", "gates=[{metric: accuracy, max_drop: 0.01}]")
    code, _, err = evalkit("score", path, "-o", tmp_path / "new", "--count", "n", *gate)
    assert (code, "error[same-model]" in err) == (4, True)
    words = ("--count", "n", "--prediction", "other", *gate)
    assert evalkit("score", path, "-o", tmp_path / "new", *words)[0] == 0


def test_rows_without_ids_are_compared(tmp_path, evalkit):
    """Samples that are known by position are paired by it, blessed ones too."""
    table = frame()[["label", "said"]]
    write(table, tmp_path / "old.csv")
    table.loc[:30, "said"] = table.label[:31]
    write(table, tmp_path / "new.csv")
    assert evalkit("score", tmp_path / "old.csv", "-o", tmp_path / "old", *CSV)[0] == 0
    assert evalkit("bless", tmp_path / "old", "-o", tmp_path / "kept")[0] == 0
    for baseline in ("old", "kept"):
        words = ("--baseline", tmp_path / baseline, "--set", "gates=[{metric: accuracy, max_drop: 0.01}]")
        code, out, err = evalkit("score", tmp_path / "new.csv", "-o", tmp_path / "new", *CSV, *words)
        assert (code, "the gate passed" in out) == (0, True), err
    assert "tango" in evalkit("compare", tmp_path / "kept", tmp_path / "new")[1]


@pytest.mark.parametrize("name", ["n", "count_all", "by 0", "missing"])
def test_attributes_of_any_name(name, tmp_path, evalkit):
    """A column may be called what evalkit calls its own, streamed or counted."""
    table = pd.DataFrame(
        {"y_true": ["a", "b"] * 50, "y_pred": ["a", "a"] * 50, name: ["x", "y"] * 50, "c": 1}
    )
    path = write(table, tmp_path / "t.parquet")
    slices = ("--slices", json.dumps([name]))
    for words in (("--set", "metrics.score_memory=10"), ("--count", "c"), ()):
        code, _, err = evalkit("score", path, "-o", tmp_path / "out", *slices, *words)
        assert code == 0, err
        assert [one["n_samples"] for one in result_of(tmp_path / "out")["slices"]] == [50, 50]


def test_a_slice_called_missing(tmp_path, evalkit):
    """The word and missing values cannot share a name: a gate would judge one of the two."""
    table = pd.DataFrame({"y_true": ["a", "b"], "y_pred": ["a", "a"], "s": ["missing", None]})
    path = write(table, tmp_path / "t.parquet")
    code, _, err = evalkit("score", path, "-o", tmp_path / "out", "--slices", "[s]")
    assert (code, "holds the word 'missing' and missing values" in err) == (4, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--label", "y_pred"), 2, "the column 'y_pred' cannot mean two things"),
        (("--set", "data.label=[y_true, y_pred]", "--prediction", "p"), 2, "several columns belong to task"),
        (("--set", "data.label=[]"), 2, "names no column"),
        (("--task", "binary", "--threshold", "0.4"), 2, "decides nothing: there are no scores"),
        (("--set", "metrics.names=[roc_auc]"), 2, "roc_auc needs scores"),
        (("--count", "count", "--id", "p"), 2, "counts have no ids"),
        ((), 0, "count is not used: --count count"),
    ],
)
def test_nothing_is_ignored(words, code, said, tmp_path, evalkit):
    """What cannot be meant is refused; what is left aside is said."""
    table = pd.DataFrame({"y_true": ["a", "b"], "y_pred": ["a", "a"], "p": ["a", "b"], "count": [3, 4]})
    path = write(table, tmp_path / "t.csv")
    found = evalkit("score", path, "-o", tmp_path / "out", *words)
    assert (found[0], said in found[2]) == (code, True), found[2]


def test_mixed_columns_of_a_csv(tmp_path, evalkit):
    """Indices in one column and names in the other are no four classes."""
    path = write(pd.DataFrame({"y_true": [1, 0], "y_pred": ["a", "b"]}), tmp_path / "t.csv")
    code, _, err = evalkit("score", path, "-o", tmp_path / "out")
    assert (code, "mix names and indices" in err) == (4, True)


def test_a_folder_says_what_it_means(tmp_path, evalkit):
    """Any suffix of Parquet is read, Hive's word for missing is missing, and escapes are undone."""
    for folder, name in (("s=a%20b", "a.pq"), ("s=__HIVE_DEFAULT_PARTITION__", "b.PARQUET")):
        (tmp_path / "t" / folder).mkdir(parents=True)
        pq.write_table(pa.table({"y_true": ["a", "b"], "y_pred": ["a", "a"]}), tmp_path / "t" / folder / name)
    assert evalkit("score", tmp_path / "t", "-o", tmp_path / "out", "--slices", "[s]")[0] == 0
    document = result_of(tmp_path / "out")
    assert (document["n_samples"], document["data"]["n_files"]) == (4, 2)
    assert [one["slice"]["s"] for one in document["slices"]] == ["a b", "missing"]


@pytest.mark.parametrize("kind", [pa.list_(pa.int32()), pa.large_list(pa.int64()), pa.list_(pa.int8(), 1)])
def test_lists_of_labels(kind, tmp_path, evalkit):
    """Any kind of list; a missing or unknown label is named with its row."""
    for labels, said in (
        ([[0], [1], [1]], ""),
        ([[0], [None], [1]], "(row 1: None)"),
        ([[0], [1], [7]], "(row 2: 7)"),
    ):
        table = pa.table({"y_true": pa.array(labels, kind), "y_pred": pa.array([[0], [1], [0]], kind)})
        pq.write_table(table, tmp_path / "t.parquet")
        words = ("--task", "multilabel", "--classes", '["a", "b"]')
        code, _, err = evalkit("score", tmp_path / "t.parquet", "-o", tmp_path / "out", *words)
        assert (code, said in err) == (4 if said else 0, True), err


def warnings_of(folder):
    """What the verdict warns of."""
    return json.loads((folder / "verdict.json").read_bytes())["warnings"]


@pytest.mark.parametrize(
    ("columns", "words", "warned"),
    [
        ("count", (), True),
        ("N", (), True),
        ("count", ("--count", "count"), False),
        ("count", ("--set", "data.attributes=[count]"), False),
        ("count,sample_id", (), False),
        ("size", (), False),
    ],
)
def test_counts_that_are_not_used(columns, words, warned, tmp_path, evalkit):
    """A gate on the wrong number passes with a warning that every format has; --strict makes it red."""
    cells = ["cat,cat,1,a", "dog,dog,9,b", "cat,dog,3,c"]
    width = 3 + columns.count(",")
    lines = [f"y_true,y_pred,{columns}", *(",".join(line.split(",")[:width]) for line in cells)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    score = ("score", tmp_path / "t.csv", "-o", tmp_path / "out", "--min", "accuracy=0.001", *words)
    assert evalkit(*score)[0] == 0
    found = warnings_of(tmp_path / "out")
    assert (
        any(text.startswith("the column ") and "every row counts as one sample" in text for text in found)
        == warned
    )
    assert evalkit(*score, "--strict")[0] == (3 if warned else 0)


def test_predictions_that_are_not_their_scores(tmp_path, evalkit):
    """Said with their number, also for a threshold; ties and rounding are no contradiction."""
    lines = [
        "a,a,0.5,0.5",
        "b,b,0.5,0.5",
        "a,b,0.4999999,0.5000001",
        "b,a,0.4999999,0.5000001",
        "a,a,0.2,0.8",
    ]
    (tmp_path / "t.csv").write_text("\n".join(["y_true,y_pred,p_a,p_b", *lines]) + "\n")
    score = ("score", tmp_path / "t.csv", "-o", tmp_path / "out", "--output-kind", "probabilities")
    assert evalkit(*score, "--scores", "p_*")[0] == 0
    assert warnings_of(tmp_path / "out") == ["1 of 5 predictions are not what their scores decide."]
    binary = (*score, "--task", "binary", "--scores", "p_b")
    for threshold, n in (("0.5", 1), ("0.9", 2), ("0.8", 2), ("0.1", 3)):
        assert evalkit(*binary, "--threshold", threshold)[0] == 0
        warned = f"{n} of 5 predictions are not what their scores decide at {threshold} or above."
        assert warnings_of(tmp_path / "out") == [warned]
    assert evalkit(*binary, "--threshold", "0.5", "--strict")[0] == 3


def test_scored_again_without_contradiction(tmp_path, evalkit):
    """What scores decide agrees with them, and the page says so."""
    path = write(frame(), tmp_path / "t.csv")
    words = ("--scores", "p_*", "--output-kind", "probabilities", "--id", "id")
    assert evalkit("score", path, "-o", tmp_path / "out", *CSV, *words)[0] == 0
    found = {row["check"]: row["status"] for row in result_of(tmp_path / "out")["integrity"]}
    assert found["predictions_agree"] == "ok"
    assert evalkit("score", path, "-o", tmp_path / "out", *CSV[:2], *words)[0] == 0
    assert "predictions_agree" not in {row["check"] for row in result_of(tmp_path / "out")["integrity"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b'id;y_true;"y_pred"\n1;a;a\n', "The separator seems to be ';': expected commas in .csv"),
        ("t.csv", b"y_true|y_pred\na|a\n", "The separator seems to be '|'"),
        ("t.tsv", b"y_true,y_pred\na,a\n", "The separator seems to be ','"),
        ("t.csv", "y_true,y_pred\na,a\n".encode("utf-16"), "is UTF-16 text, expected UTF-8"),
        ("t.csv.gz", b"\x1f\x8b", "is packed. Unpack it first"),
        ("t.csv", b"y_true,y_pred\ncat,cat\n,\n", "y_true: 1 values are missing (rows 1)"),
        ("t.csv", b"y_true,y_pred\n,\n", "y_true: 1 values are missing (rows 0)"),
    ],
)
def test_what_is_wrong_with_a_table(name, content, message, tmp_path, evalkit):
    """The commonest mistakes are told by name, with the way out."""
    (tmp_path / name).write_bytes(content)
    code, _, err = evalkit("score", tmp_path / name, "-o", tmp_path / "out")
    assert (code, message in err) == (4, True), err
    assert "Error" not in err


def test_a_matrix_is_several_columns(tmp_path, evalkit):
    """Its name alone is none of them: said with the pattern that is."""
    np.savez(tmp_path / "t.npz", y_true=[0, 1], y_score=[[0.9, 0.1], [0.2, 0.8]])
    words = ("-o", tmp_path / "out", "--output-kind", "probabilities", "--scores")
    code, _, err = evalkit("score", tmp_path / "t.npz", *words, "y_score")
    assert (code, "A matrix is a column a class: say y_score_*" in err) == (4, True)
    assert evalkit("score", tmp_path / "t.npz", *words, "y_score_*")[0] == 0


def test_names_that_differ_by_spaces(tmp_path, evalkit):
    """They stay what they are, and a warning says which; names that differ otherwise are none."""
    (tmp_path / "t.csv").write_text("y_true,y_pred\ncat ,cat\n cat,cat\ndog,dog\nCat,a b\nab,\u00e9\n")
    assert evalkit("score", tmp_path / "t.csv", "-o", tmp_path / "out")[0] == 0
    assert warnings_of(tmp_path / "out") == ["these classes differ by spaces alone: ' cat', 'cat', 'cat '."]
    assert len(result_of(tmp_path / "out")["class_names"]) == 8
