"""The document: it survives its own file, contradicts itself nowhere, and never holds NaN."""

import json

import numpy as np
import pytest
from documents import NAMES, result_of

from evalkit.count_rows import count_rows
from evalkit.documents import format_json, read_json
from evalkit.errors import DocumentError
from evalkit.metrics import Policy
from evalkit.render.html import render_html
from evalkit.result import EvalResult, read_result
from evalkit.signature import question


def write(tmp_path, change=lambda document: None, result=None):
    document = json.loads((result or result_of()).to_json())
    change(document)
    (tmp_path / "result.json").write_text(json.dumps(document))
    return tmp_path


def test_round_trip(tmp_path):
    """from_json(to_json(r)) == r, and the bytes are stable."""
    result = result_of()
    assert read_result(write(tmp_path)) == result
    assert read_result(tmp_path).to_json() == result.to_json()


def test_invalid_round_trip(tmp_path):
    """An invalid run has neither counts nor metrics."""
    result = result_of(valid=False)
    assert read_result(write(tmp_path, result=result)) == result
    assert json.loads(result.to_json())["counts"] is None


def test_metrics_can_be_recomputed_from_counts():
    """The rows are a function of the counts."""
    result = result_of(policy=Policy("declared", "nan"))
    again = count_rows(result.confusion.matrix, result.class_names, result.measures)
    assert tuple(again) == result.metrics


def test_many_classes_are_stored_sparsely(tmp_path):
    """Above 256 classes as (true, predicted, count) triples."""
    matrix = np.zeros((300, 300), int)
    matrix[0, 0], matrix[299, 3], matrix[7, 299] = 5, 2, 1
    result = result_of(matrix, tuple(f"c{i}" for i in range(300)))
    document = json.loads(result.to_json())
    assert document["counts"] is None
    assert document["counts_sparse"] == [[0, 0, 5], [7, 299, 1], [299, 3, 2]]
    assert read_result(write(tmp_path, result=result)).confusion.matrix.tolist() == matrix.tolist()


def test_hostile_names_survive(tmp_path):
    """Any text is a class name, lone surrogates included."""
    names = ("</script>", "a\u202eb\n", "\udcff")
    assert read_result(write(tmp_path, result=result_of(class_names=names))).class_names == names


def cut_row(document):
    document["counts"][0].pop()


def negative(document):
    document["counts"][0][0] = -1


def other_sum(document):
    document["counts"][0][0] += 1


def doubled(document):
    document["metrics"].append(document["metrics"][0])


def number_in_invalid(document):
    document["valid"] = False


def text_value(document):
    document["metrics"][0]["value"] = "high"


def row_of(document, metric, **key):
    return next(
        row
        for row in document["metrics"]
        if row["metric"] == metric and all(row[k] == v for k, v in key.items())
    )


def better_accuracy(document):
    row_of(document, "accuracy")["value"] = 0.999


def other_denominator(document):
    row_of(document, "recall", class_name="hen")["denominator"] = 0


def narrower(document):
    row_of(document, "accuracy")["low"] = 0.87


def other_macro(document):
    row_of(document, "f1", average="macro")["value"] += 0.001


def reversed_counts(document):
    document["counts"].reverse()


def infinite(document):
    row_of(document, "accuracy")["value"] = 12345.5


def no_spec(document):
    document["spec"]["metrics"] = 3


def no_casts(document):
    document["model"]["casts"] = 3


def no_seconds(document):
    document["run"]["seconds"] = []


def odd_policy(document):
    document["spec"]["metrics"]["classes"] = "some"


def one_class(document):
    document["class_names"] = ["cat"]


def foreign_class(document):
    row_of(document, "tp", class_name="hen")["class_name"] = "cow"


def lacking(document):
    del document["class_names"]


def newer(document):
    document["schema"] = "evalkit.result/2"


def other_schema(document):
    document["schema"] = "coverage/1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_row, "counts: expected 3 x 3"),
        (negative, "counts"),
        (other_sum, "do not sum"),
        (doubled, "twice"),
        (number_in_invalid, "invalid run"),
        (text_value, "metrics"),
        (lacking, "class_names"),
        (better_accuracy, "accuracy is not what the counts give"),
        (other_denominator, "recall of 'hen' is not what the counts give"),
        (narrower, "accuracy is not what"),
        (other_macro, "macro f1 is not what"),
        (reversed_counts, "is not what the counts give"),
        (infinite, "is not what the counts give"),
        (no_spec, "spec.metrics: expected a dict"),
        (no_casts, "model.casts: expected a dict"),
        (no_seconds, "run.seconds: expected a dict"),
        (odd_policy, "averaging policy"),
        (one_class, "two or more"),
        (foreign_class, "not declared"),
        (newer, "newer evalkit"),
        (other_schema, "expected schema evalkit.result/1"),
    ],
)
def test_documents_that_cannot_be_read(change, message, tmp_path):
    """Each is one line with the file's name."""
    with pytest.raises(DocumentError, match=message) as caught:
        read_result(write(tmp_path, change))
    assert "result.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": NaN}', '{"schema": "evalkit.result/1", "x": Infinity}', "[" * 99999]
)
def test_what_is_no_json(text, tmp_path):
    """NaN and Infinity are not JSON, whatever Python's parser thinks."""
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(DocumentError):
        read_result(tmp_path)


def test_missing(tmp_path):
    """No folder, and a folder without a result."""
    with pytest.raises(DocumentError, match="no such run directory"):
        read_result(tmp_path / "none")
    with pytest.raises(DocumentError, match="No such file"):
        read_result(tmp_path)


def test_nan_is_never_written():
    """A NaN that reached the writer is a bug, not a document."""
    with pytest.raises(ValueError, match="not JSON compliant|Out of range"):
        format_json({"value": float("nan")})


def test_unknown_keys_of_the_same_schema_are_tolerated(tmp_path):
    """A later minor version may add keys."""

    def add(document):
        document["extra"] = 1

    assert read_result(write(tmp_path, add)) == result_of()


def test_question_ignores_thresholds_inputs_and_order_of_classes():
    """What may differ between two models that are compared, and what may not."""
    base = question(result_of())
    matrix = np.array([[18, 2, 0], [0, 40, 5], [1, 4, 30]])
    moved = question(result_of(matrix, ("hen", "cat", "dog"), weights="w2", inputs="i2"))
    assert base == moved
    assert question(result_of(data="d2")) != base


def test_signature_is_in_one_line():
    """Twelve digits of each digest."""
    assert result_of(data="a" * 64).signature == (
        "evalkit:1|task:multiclass|k:3|decide:argmax|avg:present|zd:0|n:100|"
        "data:aaaaaaaaaaaa|inputs:i1|weights:w1|torch:2.14.1|dtype:float32"
    )


def test_no_interval_has_zero_width_and_none_lacks_a_reason():
    """Perfect, empty and ordinary classes."""
    result = result_of(((5, 0, 0), (0, 7, 0), (0, 0, 0)))
    for row in result.metrics:
        if row.low is None:
            assert row.no_interval
            assert row.high is row.level is row.method is None
        else:
            assert row.low < row.high
            assert row.low <= row.value <= row.high
            assert row.no_interval is None
        assert (row.value is None) == (row.undefined is not None)


def test_undefined_cells_and_averages():
    """A class that never occurs: its cells are null with a reason, averages say how many went in."""
    result = result_of(((5, 1, 0), (0, 7, 0), (0, 0, 0)))
    rows = result.rows()
    cells = {row.metric: row for row in result.metrics if row.class_name == "hen"}
    assert cells["precision"].undefined == "never_predicted"
    assert cells["recall"].undefined == "no_samples"
    assert cells["f1"].undefined == "never_seen"
    assert cells["specificity"].value == 1.0
    macro = rows[("f1", (), "macro", None, None)]
    assert macro.n_classes == 2
    assert {row.class_name for row in result.metrics if row.class_name} == set(NAMES)


def test_micro_intervals_have_the_size_of_the_run():
    """Micro F1 counts each sample twice, micro specificity K - 1 times; neither narrows the interval."""
    rows = result_of().rows()
    accuracy, f1 = rows[("accuracy", (), None, None, None)], rows[("f1", (), "micro", None, None)]
    assert (f1.low, f1.high) == (accuracy.low, accuracy.high)
    specificity = rows[("specificity", (), "micro", None, None)]
    assert specificity.method == "wilson-effective"
    # Two classes wrong of three in each error: twice 0.06, so a standard error of about 1/2 of accuracy's.
    assert specificity.high - specificity.low == pytest.approx((accuracy.high - accuracy.low) / 2, rel=0.05)


def test_read_json_refuses_huge_files(tmp_path, monkeypatch):
    """The size is looked at before anything is read."""
    monkeypatch.setattr("evalkit.documents.MAX_BYTES", 10)
    with pytest.raises(DocumentError, match="larger than 10 bytes"):
        read_json(write(tmp_path) / "result.json", schema="evalkit.result/1")


def test_model_validate_is_strict_about_numbers():
    """A document's value is a number, never a text that looks like one."""
    document = json.loads(result_of().to_json())
    document["n_samples"] = "100"
    with pytest.raises(ValueError, match="n_samples"):
        EvalResult.model_validate(document)


def test_rows_of_a_later_metric_are_shown_not_trusted(tmp_path):
    """The same schema may know more metrics; a page shows them by their slug."""

    def add(document):
        row = dict(
            row_of(document, "accuracy"), metric="tomorrow", value=0.8, numerator=None, denominator=None
        )
        document["metrics"].append(row)

    result = read_result(write(tmp_path, add))
    assert b"tomorrow" in render_html(result, None)
