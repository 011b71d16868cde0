"""The ledger's columns: each from its definition, row by row."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evalkit.errors import DataError, OutputError
from evalkit.ledger import PredictionBatch, ledger_columns, open_ledger, reserved

scores = arrays(
    np.float32, st.tuples(st.integers(1, 6), st.integers(2, 5)), elements=st.floats(-30, 30, width=32)
)


def batch_of(outputs, y_true, first=0):
    outputs = np.asarray(outputs)
    index = np.arange(first, first + len(outputs))
    return PredictionBatch(index, np.asarray(y_true), outputs.argmax(1), outputs)


@given(scores, st.data())
def test_columns_of_logits(outputs, data):
    """Softmax in float64, log loss from log-softmax, rank with the lower index first on a tie."""
    y_true = [data.draw(st.integers(0, outputs.shape[1] - 1)) for _ in outputs]
    columns = ledger_columns(batch_of(outputs, y_true), "logits")
    for i, (row, true) in enumerate(zip(outputs.astype(np.float64), y_true, strict=True)):
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        assert [columns[f"score_{k}"][i] for k in range(len(row))] == pytest.approx(p, abs=1e-7)
        assert columns["logloss"][i] == pytest.approx(-np.log(p[true]), abs=1e-9)
        target = np.eye(len(row))[true]
        assert columns["brier"][i] == pytest.approx(((p - target) ** 2).sum(), abs=1e-12)
        rank = sum(s > row[true] or (s == row[true] and k < true) for k, s in enumerate(row))
        assert columns["true_rank"][i] == rank
        assert (rank == 0) == (row.argmax() == true)
        top = sorted(p)[::-1]
        assert columns["margin"][i] == pytest.approx(top[0] - top[1], abs=1e-7)


def test_probabilities_are_stored_as_they_are():
    """No second softmax; a probability of 0 has a finite log loss."""
    outputs = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
    columns = ledger_columns(batch_of(outputs, [1, 1]), "probabilities")
    assert columns["score_1"].tolist() == [0.75, 0.0]
    assert columns["logloss"].tolist() == pytest.approx([-np.log(0.75), -np.log(np.finfo(float).eps)])
    assert columns["brier"].tolist() == pytest.approx([0.125, 2.0])


def test_mere_scores_have_no_probabilities():
    """Null, not a guess."""
    columns = ledger_columns(batch_of([[3.0, 9.0]], [0]), "scores")
    assert columns["score_1"].tolist() == [9.0]
    assert columns["margin"].tolist() == [6.0]
    for name in ("p_pred", "p_true", "logloss", "brier"):
        assert columns[name].null_count == 1


def test_many_classes_keep_the_top_five():
    """In order, the lower index first on a tie."""
    rng = np.random.default_rng(2)
    outputs = rng.normal(size=(20, 100)).astype(np.float32)
    outputs[0, :5] = 9
    columns = ledger_columns(batch_of(outputs, np.zeros(20, int)), "scores")
    expected = np.argsort(-outputs, axis=1, kind="stable")[:, :5]
    assert np.stack([columns[f"top_{r}"] for r in range(5)], 1).tolist() == expected.tolist()
    assert columns["top_0_score"].tolist() == outputs.max(1).tolist()
    assert "score_0" not in columns


@pytest.mark.parametrize("sizes", [[10], [3, 3, 4], [1] * 10])
def test_batches_do_not_change_the_table(sizes, tmp_path, monkeypatch):
    """Whatever the batches, the rows are the same, across row groups too."""
    monkeypatch.setattr("evalkit.ledger.ROW_GROUP", 4)
    outputs = np.random.default_rng(0).normal(size=(10, 3))
    with open_ledger(tmp_path / "l.parquet", "logits") as ledger:
        start = 0
        for size in sizes:
            ledger.write(batch_of(outputs[start : start + size], [0] * size, start))
            start += size
    table = pq.read_table(tmp_path / "l.parquet")
    assert table["index"].to_pylist() == list(range(10))
    whole = ledger_columns(batch_of(outputs, [0] * 10), "logits")
    assert table["score_2"].to_pylist() == whole["score_2"].tolist()


def test_a_ledger_that_cannot_be_written(tmp_path):
    """A missing folder or a full disk is an output error."""
    with (
        pytest.raises(OutputError, match="ledger"),
        open_ledger(tmp_path / "none/l.parquet", "logits") as ledger,
    ):
        ledger.write(batch_of([[1.0, 2.0]], [0]))


def test_reserved_names():
    """An attribute may not pose as one of the ledger's own columns."""
    assert reserved("y_true")
    assert reserved("score_3")
    assert not reserved("ink")


def test_attributes_keep_the_type_of_the_first_batch(tmp_path):
    """1.0 and then 2 is a column of floats; a text among numbers is refused."""

    def batch(first, values):
        index = np.arange(first, first + len(values))
        y = np.zeros(len(values), int)
        return PredictionBatch(index, y, y, np.ones((len(values), 2)), None, {"a": np.array(values)})

    with open_ledger(tmp_path / "l.parquet", "scores") as ledger:
        ledger.write(batch(0, [1.5]))
        ledger.write(batch(1, [2]))
    assert pq.read_table(tmp_path / "l.parquet")["a"].to_pylist() == [1.5, 2.0]
    with (
        pytest.raises(DataError, match="between batches"),
        open_ledger(tmp_path / "m.parquet", "scores") as ledger,
    ):
        ledger.write(batch(0, [1.5]))
        ledger.write(batch(1, ["x"]))
