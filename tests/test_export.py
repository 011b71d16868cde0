"""`evalkit export`: a run for spreadsheets, model cards and DVC, and nothing of a run without numbers."""

import csv
import json
from io import StringIO

import pytest
from documents import result_of
from huggingface_hub import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results
from test_gates import verdict_of
from told import github_commands

from evalkit.cli import console
from evalkit.render.exports import Card, render_csv, render_dvc, render_model_index
from evalkit.result import read_result
from evalkit.rows import row_key


def saved(folder, result):
    folder.mkdir()
    (folder / "result.json").write_bytes(result.to_json())
    return folder


def test_csv_holds_every_row(digits_run, evalkit):
    """Numbers come back as they were, what is undefined is empty with its reason."""
    code, out, _ = evalkit("export", "csv", digits_run)
    rows, metrics = list(csv.DictReader(StringIO(out))), read_result(digits_run).metrics
    assert code == 0
    assert [row["metric"] for row in rows] == [row.metric for row in metrics]
    assert [float(row["value"]) for row in rows] == [row.value for row in metrics]
    assert [row["class_name"] or None for row in rows] == [row.class_name for row in metrics]
    (empty,) = [
        row
        for row in csv.DictReader(StringIO(render_csv(result_of(((5, 0), (7, 0)), ("a", "b")))))
        if (row["metric"], row["class_name"]) == ("precision", "b")
    ]
    assert (empty["value"], empty["undefined"]) == ("", "never_predicted")


def test_model_card(digits_run, evalkit, tmp_path):
    """The Hub's own reader finds task, data, numbers with their interval, and the source."""
    words = (
        "--dataset-name",
        "Digits",
        "--dataset-type",
        "me/digits",
        "--split",
        "test",
        "--url",
        "https://x.org/r",
    )
    path = tmp_path / "README.md"
    assert evalkit("export", "model-index", digits_run, "-o", path, *words)[:2] == (0, "")
    name, found = model_index_to_eval_results(metadata_load(path)["model-index"])
    result, first = read_result(digits_run), found[0]
    assert (name, first.task_type) == ("digits", "image-classification")
    assert (first.dataset_name, first.dataset_type, first.dataset_split) == ("Digits", "me/digits", "test")
    assert first.dataset_revision == result.digests["data"]
    assert (first.metric_type, first.metric_value) == ("accuracy", result.rows()[row_key("accuracy")].value)
    assert first.metric_name == "Accuracy (95% CI 0.971 to 0.994)"
    assert (first.source_url, first.source_name) == ("https://x.org/r", "evalkit 0.1.0")


def test_model_card_says_what_is_known():
    """Without flags the data are called by their file, and no source is claimed."""
    written = render_model_index(result_of(), Card())
    assert 'name: test\n      type: npz\n      revision: "d1"\n' in written
    assert "source" not in written
    assert "split" not in written
    assert "tabular-classification" in written


def test_dvc(digits_run, evalkit):
    """Numbers by path, no lists."""
    document = json.loads(evalkit("export", "dvc", digits_run)[1])
    result = read_result(digits_run)
    assert document["overall"]["macro"]["f1"] == result.rows()[row_key("f1", average="macro")].value
    assert document["classes"]["8"]["tp"] == 44
    assert document["overall"]["top_k_accuracy_k_5"] == 1.0
    assert document["gates"] == {"passed": 3, "failed": 0, "inconclusive": 0, "cannot_judge": 0}


def test_dvc_leaves_out_what_has_no_value():
    """Not 0, not null."""
    result = result_of(((5, 0), (7, 0)), ("a", "b"))
    classes = json.loads(render_dvc(result, verdict_of(result)))["classes"]
    assert "precision" in classes["a"]
    assert "precision" not in classes["b"]


def test_markdown_is_the_reports(digits_run, evalkit, tmp_path):
    """One summary, by whichever command."""
    assert evalkit("report", digits_run, "-o", tmp_path / "r.html", "--markdown", tmp_path / "r.md")[0] == 0
    assert evalkit("export", "md", digits_run)[1] == (tmp_path / "r.md").read_text()


@pytest.mark.parametrize("kind", ["csv", "md", "model-index", "dvc"])
def test_an_invalid_run_exports_nothing(kind, evalkit, tmp_path):
    """Exit code 5, and no file."""
    run = saved(tmp_path / "run", result_of(valid=False))
    code, out, err = evalkit("export", kind, run, "-o", tmp_path / "file")
    assert (code, out) == (5, "")
    assert "error[invalid-run]" in err
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("kind", ["csv", "md", "model-index", "dvc"])
def test_a_partial_run_says_so(kind, evalkit, tmp_path):
    """On stderr, and in what is written."""
    run = saved(tmp_path / "run", result_of(limit=900))
    code, out, err = evalkit("export", kind, run)
    assert code == 0
    assert "partial run, 100 of 900 samples only" in err
    assert "900" in out


def test_what_cannot_be_exported(digits_run, evalkit, tmp_path):
    """Another format is a usage error, no run is a document's, a folder that is missing is the output's."""
    assert evalkit("export", "xml", digits_run)[0] == 2
    assert evalkit("export", "csv", tmp_path / "nothing")[0] == 4
    assert evalkit("export", "csv", digits_run, "-o", tmp_path / "no/file.csv")[0] == 6


@pytest.mark.parametrize("kind", ["csv", "md", "dvc", "model-index"])
@pytest.mark.parametrize("job", [False, True])
def test_stdout_in_a_file_is_the_file(kind, job, evalkit, tmp_path, monkeypatch):
    """Byte for byte, whatever names hold; only what a runner reads is kept from giving it commands."""
    names = ("a ##[error]b", "::add-mask::c", "\udcff")
    run = saved(tmp_path / "run", result_of(class_names=names, name="##[error]x"))
    if job:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert evalkit("export", kind, run, "-o", tmp_path / "file")[0] == 0
    written = (tmp_path / "file").read_text()
    assert evalkit("export", kind, run)[1] == written
    monkeypatch.setattr(console.stat, "S_ISREG", lambda _: False)  # the log of a job is a pipe
    printed = evalkit("export", kind, run)[1]
    assert printed == (console.harmless(written) if job else written)
    assert github_commands(printed) == [] or not job
