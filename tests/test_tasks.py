"""Tasks through the command: label sets, one column, a subset of the outputs, many classes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import metrics as sk
from test_cli import one_line

from evalkit.binned import log_odds
from evalkit.result import read_result
from evalkit.rows import row_key

LABELS = ["edema", "fracture", "mass"]


def outputs_of(project):
    project.model.eval()
    with torch.no_grad():
        return project.model(torch.from_numpy(project.x)).numpy()


def label_sets(project):
    """Make the toy project one of label sets, whose labels follow its own model."""
    logits = outputs_of(project)
    rng = np.random.default_rng(1)
    project.y = (logits + rng.normal(scale=0.3, size=logits.shape) > 0).astype(np.int64)
    project.spec["task"] = "multilabel"
    project.spec["model"]["classes"] = LABELS
    project.write_data()
    project.write_spec()
    return logits


def test_label_sets_from_an_npz(project, evalkit, tmp_path):
    """The decision, the counts and the table are those of a plain sigmoid."""
    logits = label_sets(project)
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    assert code == 0, err
    result = read_result(tmp_path / "out")
    pred = 1 / (1 + np.exp(-logits.astype(float))) >= 0.5
    expected = sk.multilabel_confusion_matrix(project.y, pred)
    assert np.array(result.counts).tolist() == expected.tolist()
    rows = result.rows()
    value = rows[row_key("subset_accuracy")].value
    assert value == pytest.approx(sk.accuracy_score(project.y, pred))
    table = pq.read_table(tmp_path / "out/predictions.parquet")
    assert table["y_pred"].to_pylist() == [np.flatnonzero(row).tolist() for row in pred]
    assert table["score_1"].to_numpy() == pytest.approx(1 / (1 + np.exp(-logits[:, 1])))
    assert evalkit("report", tmp_path / "out")[0] == 0
    page = (tmp_path / "out/report.html").read_text()
    assert "fracture" in page
    assert "Confusion matrix" not in page


def test_label_sets_from_a_table_are_matched_by_name(project, evalkit, tmp_path):
    """Columns in another order are the same labels."""
    label_sets(project)
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "a")[0] == 0
    frame = pd.DataFrame(project.x, columns=list("abcd"))
    for k in (2, 0, 1):
        frame[LABELS[k]] = project.y[:, k]
    frame.to_csv(project.path / "t.csv", index=False)
    words = ["run", project.path / "eval.yaml", "--data", project.path / "t.csv"]
    words += ["--set", "data.features=[a, b, c, d]"]
    code, _, err = evalkit(*words, "--set", "data.label=[mass, edema, fracture]", "-o", tmp_path / "b")
    assert code == 0, err
    assert read_result(tmp_path / "b").counts == read_result(tmp_path / "a").counts
    code, _, err = evalkit(*words, "--set", "data.label=[mass, edema]", "-o", tmp_path / "c")
    assert code == 4
    assert "label columns and class names differ: 'fracture'" in err
    code, _, err = evalkit(*words, "--set", "data.label=mass", "-o", tmp_path / "c")
    assert code == 2
    assert "list of columns for task: multilabel" in err


def test_label_sets_from_a_dataset(project, evalkit, tmp_path):
    """Multi-hot vectors, as a loss for label sets takes them."""
    label_sets(project)
    (project.path / "sets.py").write_text(
        "import numpy as np, torch\n"
        "from pathlib import Path\n"
        "class Sets(torch.utils.data.Dataset):\n"
        "    def __init__(self):\n"
        "        found = np.load(Path(__file__).parent / 'test.npz')\n"
        "        self.x, self.y = torch.from_numpy(found['x']), torch.from_numpy(found['y']).float()\n"
        "    def __len__(self): return len(self.x)\n"
        "    def __getitem__(self, i): return self.x[i], self.y[i]\n"
    )
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "a")[0] == 0
    code, _, err = evalkit("run", project.path / "eval.yaml", "--data", "sets:Sets", "-o", tmp_path / "b")
    assert code == 0, err
    assert read_result(tmp_path / "b").counts == read_result(tmp_path / "a").counts
    assert read_result(tmp_path / "b").digests["data"] == read_result(tmp_path / "a").digests["data"]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(60, int), "expected label sets of shape (n, 3)"),
        (np.zeros((60, 2), int), "expected label sets of shape (n, 3)"),
        (np.full((60, 3), 2), "60 rows hold other values than 0 and 1 (row 0: [2, 2, 2]"),
    ],
)
def test_what_is_no_label_set(y, message, project, evalkit, tmp_path):
    """Exit 4, with the rows."""
    label_sets(project)
    project.y = y
    project.write_data()
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    assert code == 4
    assert message in err


def test_gates_of_label_sets(project, evalkit, tmp_path):
    """By label, averaged over samples, and with the metrics of the task alone."""
    label_sets(project)
    gates = [
        {"metric": "recall", "class": "mass", "min": 0.1, "min_support": 5},
        {"metric": "f1", "average": "samples", "min": 0.1},
        {"metric": "subset_accuracy", "min": 0.1},
        {"metric": "hamming_loss", "max": 0.5},
        {"metric": "roc_auc", "average": "macro", "min": 0.6},
    ]
    project.spec["gates"] = gates
    project.write_spec()
    code, out, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    assert code == 0, out + err
    assert evalkit("gate", tmp_path / "out")[0] == 0
    project.spec["gates"] = [{"metric": "accuracy", "min": 0.1}]
    project.write_spec()
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    assert code == 2
    assert "accuracy is no row of a multilabel run" in one_line(err)


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_one_threshold(task, project, evalkit, tmp_path):
    """Of probability, for each label or the positive class."""
    label_sets(project)
    if task == "binary":
        project.y = project.y[:, 1]
        project.spec |= {"task": "binary"}
        project.spec["model"] |= {"classes": ["no", "yes"], "args": {"n_out": 1}}
        project.model = project.build(n_out=1)
        project.save(project.model.state_dict())
        project.write_data()
    project.spec["model"]["threshold"] = 0.3
    project.write_spec()
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    assert code == 0, err
    p = 1 / (1 + np.exp(-outputs_of(project).astype(float)))
    result = read_result(tmp_path / "out")
    if task == "binary":
        expected = sk.confusion_matrix(project.y, p[:, 0] >= 0.3, labels=[0, 1])
        table = pq.read_table(tmp_path / "out/predictions.parquet")
        assert table["score_1"].to_numpy() == pytest.approx(p[:, 0])
        assert table["score_0"].to_numpy() == pytest.approx(1 - p[:, 0])
    else:
        expected = sk.multilabel_confusion_matrix(project.y, p >= 0.3)
    assert np.array(result.counts).tolist() == expected.tolist()


def test_outputs_that_do_not_count(project, evalkit, tmp_path):
    """Dropped before softmax and argmax; K is the subset, and other labels are refused."""
    logits = outputs_of(project)
    valid = [0, 2]
    kept = np.isin(project.y, valid)
    project.x, project.y = project.x[kept], project.y[kept]
    project.write_data()
    project.spec["model"]["valid_classes"] = ["class 2", "class 0"]
    project.spec["gates"] = [{"metric": "recall", "class": "class 2", "min": 0.0, "min_support": 5}]
    project.write_spec()
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    assert code == 0, err
    result = read_result(tmp_path / "out")
    assert result.class_names == ("class 0", "class 2")
    inner = logits[kept][:, valid]
    pred = np.array(valid)[inner.argmax(axis=1)]
    expected = sk.confusion_matrix(project.y, pred, labels=valid)
    assert np.array(result.counts).tolist() == expected.tolist()
    shares = np.exp(inner) / np.exp(inner).sum(axis=1, keepdims=True)
    log_loss = sk.log_loss(project.y, shares, labels=valid)
    assert result.rows()[row_key("log_loss")].value == pytest.approx(log_loss, abs=1e-6)
    project.y[:3] = 1
    project.write_data()
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out2")
    assert code == 4
    assert "3 labels are outside model.valid_classes (rows 0, 1, 2)" in err
    project.spec["gates"] = [{"metric": "recall", "class": "class 1", "min": 0.0}]
    project.write_spec()
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out3")
    assert code == 2
    assert "unknown class 'class 1'" in err


@pytest.mark.parametrize("output", ["logits", "scores"])
def test_many_classes_are_binned_where_a_gate_asks(output, tmp_path, evalkit):
    """Above 64 classes: AUC of the gated class from bins, within its bound; the others were not stored."""
    from toys import Project

    project = Project(tmp_path / "p", n_samples=3000, n_classes=70)
    logits = outputs_of(project)
    project.y = (logits + np.random.default_rng(0).normal(size=logits.shape)).argmax(axis=1)
    project.write_data()
    name, k = "class 7", 7
    project.spec["model"]["output"] = output
    project.spec["gates"] = [{"metric": "roc_auc", "class": name, "min": 0.5, "min_support": 1}]
    project.write_spec()
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    assert code == 0, err
    rows = read_result(tmp_path / "out").rows()
    row = rows[row_key("roc_auc", class_name=name)]
    score = log_odds(logits.astype(float), k) if output == "logits" else logits[:, k]
    exact = sk.roc_auc_score(project.y == k, score)
    assert abs(row.value - exact) <= row.bound + 1e-12
    assert row.bound < 1e-2
    assert row.low < row.value < row.high
    assert rows[row_key("roc_auc", class_name="class 8")].undefined == "scores_not_stored"
    with np.load(tmp_path / "out/scores.npz") as found:
        assert found["7.positives"].sum() == (project.y == k).sum()


def test_log_odds_where_probabilities_are_all_one():
    """Two samples that float64 probabilities could not tell apart."""
    found = log_odds(np.array([[50.0, 0.0, 0.0], [60.0, 0.0, 0.0]]), 0)
    assert found == pytest.approx([50 - np.log(2), 60 - np.log(2)])


def test_no_scores_file_where_every_score_is_in_the_table(project, evalkit, tmp_path):
    """Three classes need none."""
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")[0] == 0
    assert not Path(tmp_path / "out/scores.npz").exists()
