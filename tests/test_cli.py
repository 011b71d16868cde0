"""The command line: what a user types, what is printed, what the process ends with."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from conftest import DIGITS
from toys import MODEL, Project

from evalkit.cli.exits import decide_exit
from evalkit.errors import ExitCode
from evalkit.result import read_result
from evalkit.usercode import find_object

DOCUMENTS = {
    "predictions.parquet", "gallery.parquet", "result.json", "verdict.json", "report.html", "run.json",
}  # fmt: skip


def one_line(stderr):
    lines = [line for line in stderr.splitlines() if line.startswith("evalkit: ")]
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    return lines[0]


def test_digits_from_checkpoint_to_verdict(digits_run):
    """449 samples, and the counts of a plain torch loop."""
    result = read_result(digits_run)
    assert {path.name for path in digits_run.iterdir()} == DOCUMENTS
    assert result.n_samples == 449
    model = find_object("model:build", base=DIGITS)()
    model.load_state_dict(torch.load(DIGITS / "checkpoints/digits_cnn.pt", weights_only=True))
    model.eval()
    with np.load(DIGITS / "data/test.npz") as data, torch.no_grad():
        expected = np.zeros((10, 10), int)
        for x, y in zip(data["x"], data["y"], strict=True):
            expected[y, model(torch.from_numpy(x[None])).argmax()] += 1
    assert result.confusion.matrix.tolist() == expected.tolist()


@pytest.mark.parametrize("file", ["digits_cnn.safetensors", "digits_training.pt"])
def test_the_same_weights_in_other_files(file, digits_run, evalkit, tmp_path):
    """safetensors and a whole training checkpoint give the same counts."""
    spec, setting = DIGITS / "eval.yaml", f"model.checkpoint={DIGITS}/checkpoints/{file}"
    assert evalkit("run", spec, "-o", tmp_path / "o", "--set", setting)[0] == 0
    assert read_result(tmp_path / "o").counts == read_result(digits_run).counts


def test_ledger(digits_run, project, evalkit, tmp_path):
    """One row a sample in index order, from the same arrays as the counts."""
    result, table = read_result(digits_run), pq.read_table(digits_run / "predictions.parquet")
    columns = table.to_pydict()
    assert columns["index"] == list(range(449))
    assert "ink" in columns
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (columns["y_true"], columns["y_pred"]), 1)
    assert matrix.tolist() == result.confusion.matrix.tolist()
    scores = np.stack([columns[f"score_{k}"] for k in range(10)], axis=1)
    assert np.allclose(scores.sum(1), 1, atol=1e-6)
    assert scores.argmax(1).tolist() == columns["y_pred"]
    right = np.array(columns["y_true"]) == np.array(columns["y_pred"])
    assert ((np.array(columns["true_rank"]) == 0) == right).all()
    p_true = np.array(columns["p_true"], dtype=np.float64)
    assert np.allclose(columns["logloss"], -np.log(p_true), atol=1e-3)
    project.write_data(id=np.array([f"s{i}" for i in range(60)]))
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")[0] == 0
    assert pq.read_table(tmp_path / "o/predictions.parquet")["sample_id"].to_pylist()[59] == "s59"


# What is done to a project -> (exit code, slug, words of the error line).
def gate(project, **keys):
    project.write_spec(gates=[keys])


def bad_weights(project, content):
    (project.path / "weights.pt").write_bytes(content)


def nan_model(project):
    project.write_model(MODEL.replace("return self.head(self.body(x))", "return self.head(self.body(x)) / 0"))


def hostile(project):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {project.path}/marker",)

    project.save({"model": project.model.state_dict(), "x": Evil()})


def flipped(project):
    content = bytearray((project.path / "weights.pt").read_bytes())
    content[content.index(project.model.head.weight.detach().numpy().tobytes())] ^= 4
    bad_weights(project, bytes(content))


def truncated(project):
    bad_weights(project, (project.path / "weights.pt").read_bytes()[:900])


def unknown_output(project):
    project.write_model(MODEL.replace("return self.head(self.body(x))", "return x, self.head(self.body(x))"))


CASES = {
    "passed": (lambda p: gate(p, metric="accuracy", min=0.0), 0, None, ""),
    "no gates": (lambda p: None, 0, None, ""),
    "failed": (lambda p: gate(p, metric="accuracy", min=1.0), 3, "gate-failed", "a gate failed"),
    "advisory": (
        lambda p: p.write_spec(
            gates=[{"metric": "accuracy", "min": 0.0}, {"metric": "accuracy", "min": 1.0, "advisory": True}]
        ),
        0,
        None,
        "",
    ),
    "undefined": (
        lambda p: (p.write_spec(model__classes=["a", "b", "c", "d"], model__args={"n_out": 4}, gates=[
            {"metric": "recall", "class": "d", "min": 0.0}]), p.save(p.build(n_out=4).state_dict())),
        5, "cannot-judge", "cannot be judged",
    ),
    "unknown metric": (lambda p: gate(p, metric="acuracy", min=0.5), 2, "specification", "did you mean 'accuracy'"),
    "impossible row": (lambda p: gate(p, metric="recall", min=0.5), 2, "specification", "no row of a multiclass run"),
    "unknown key": (lambda p: p.write_spec(model__factori="x"), 2, "specification", "did you mean 'factory'"),
    "no factory": (lambda p: p.write_spec(model__factory=None), 2, "specification", "model.factory: is required"),
    "no module": (lambda p: p.write_spec(model__factory="modle:build"), 2, "model", "no module 'modle'"),
    "no callable": (lambda p: p.write_spec(model__factory="model:biuld"), 2, "model", "did you mean 'build'"),
    "no colon": (lambda p: p.write_spec(model__factory="model"), 2, "model", "expected module:callable"),
    "factory raises": (lambda p: p.write_spec(model__args={"wrong": 1}), 2, "model", "TypeError"),
    "factory exits": (lambda p: p.write_model("import sys; sys.exit(7)"), 2, "model", "SystemExit"),
    "constructor exits": (lambda p: p.write_model("import sys\ndef build(**a):\n    sys.exit(0)"), 2, "model", "SystemExit"),
    "odd attribute": (lambda p: p.write_model("def __getattr__(name):\n    raise RuntimeError('no')"), 2, "model", "looking 'build' up raised"),
    "no module returned": (lambda p: p.write_model("def build(**a):\n    return 3"), 2, "model", "returned a int"),
    "import error": (lambda p: p.write_model("import nonexistent_thing"), 2, "model", "nonexistent_thing"),
    "width": (lambda p: p.write_spec(model__classes=["a", "b"]), 2, "model", "has 3 outputs, but 2 class names"),
    "select": (unknown_output, 2, "model", "index from 0 to 1"),
    "missing checkpoint": (lambda p: (p.path / "weights.pt").unlink(), 4, "checkpoint", "No such file"),
    "empty": (lambda p: bad_weights(p, b""), 4, "checkpoint", "empty"),
    "text": (lambda p: bad_weights(p, b"not weights\n"), 4, "checkpoint", "text file"),
    "html": (lambda p: bad_weights(p, b"<html>404</html>"), 4, "checkpoint", "web page"),
    "lfs": (lambda p: bad_weights(p, b"version https://git-lfs.github.com/spec/v1"), 4, "checkpoint", "git lfs pull"),
    "truncated": (truncated, 4, "checkpoint", "truncated"),
    "flipped": (flipped, 4, "checkpoint", "CRC mismatch"),
    "hostile": (hostile, 4, "checkpoint", "hostile"),
    "architecture": (lambda p: p.write_spec(model__args={"n_in": 5, "n_out": 3}), 4, "checkpoint", "do not fit"),
    "pin": (lambda p: p.write_spec(model__sha256="0" * 64), 4, "checkpoint", "pins"),
    "labels": (lambda p: p.write_data(y=p.y + 1), 4, "data", "labels outside 0 to 2"),
    "no data": (lambda p: (p.path / "test.npz").unlink(), 4, "data", "No such file"),
    "empty data": (lambda p: p.write_data(x=p.x[:0], y=p.y[:0]), 4, "data", "no samples"),
    "ids": (lambda p: p.write_data(id=np.zeros(60, int)), 4, "data", "unique"),
    "nan outputs": (nan_model, 5, "invalid-run", "NaN or infinite for samples 0"),
    "forward raises": (lambda p: p.write_data(x=p.x[:, :3]), 5, "invalid-run", "the model raised on batch 0"),
    "forward exits": (
        lambda p: p.write_model(MODEL.replace("        return self.head", "        raise SystemExit(0)\n        return self.head")),
        5, "invalid-run", "SystemExit",
    ),
    "probabilities": (lambda p: p.write_spec(model__output="probabilities"), 5, "invalid-run", "probabilities"),
    "baseline missing": (
        lambda p: p.write_spec(baseline="old", gates=[{"metric": "accuracy", "max_drop": 0.1, "judge": "point"}]),
        4, "document", "no such run directory",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_exit_codes(case, project, evalkit, tmp_path):
    """The right code, one line that names the fault, and never a report that is half-written."""
    prepare, code, slug, words = CASES[case]
    prepare(project)
    out = tmp_path / "out"
    found, stdout, stderr = evalkit("run", project.path / "eval.yaml", "-o", out, "--quiet")
    assert found == code, stderr
    if slug:
        line = one_line(stderr)
        assert line.startswith(f"evalkit: error[{slug}]: ")
        assert words in line
    if slug == "invalid-run":
        assert {path.name for path in out.iterdir()} == DOCUMENTS - {"predictions.parquet", "gallery.parquet"}
        result = read_result(out)
        assert not result.valid
        assert result.counts is None
        assert any(row.status == "fail" for row in result.integrity)
        assert "INVALID" in stdout.splitlines()[0]
    elif code in (0, 3, 5):
        assert {path.name for path in out.iterdir()} == DOCUMENTS
    else:
        assert not out.exists()
        assert stdout == ""
    assert not (project.path / "marker").exists()


SUBPROCESS = {
    0: "passed", 2: "unknown metric", 3: "failed", 4: "hostile", 5: "nan outputs",
}  # fmt: skip


@pytest.mark.parametrize("code", SUBPROCESS)
def test_exit_codes_of_a_process(code, project, process, tmp_path):
    """What CI sees."""
    CASES[SUBPROCESS[code]][0](project)
    done = process("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_exit_6_before_inference(project, process, tmp_path):
    """A folder of somebody else's is refused before the model is even built."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    (project.path / "model.py").write_text("raise RuntimeError")
    done = process("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    assert done.returncode == 6
    assert "error[output]" in one_line(done.stderr)
    assert (tmp_path / "out/thesis.tex").read_text() == "years of work"


def test_exit_1_is_a_bug_of_ours(evalkit, monkeypatch, project, tmp_path):
    """An exception in evalkit's own frames: one line, the traceback on request."""

    def broken(*_args, **_keywords):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("evalkit.cli.evaluating.plan_gates", broken)
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")
    assert code == 1
    assert "bug in evalkit" in one_line(err)
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o", "--debug")
    assert code == 1
    assert "ZeroDivisionError" in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "Usage"),
        (["fly"], "No such command"),
        (["run"], "Missing option"),
        (["run", "x.yaml"], "Missing option"),
        (["run", "x.yaml", "-o", "o", "--set", "a"], "expected KEY=VALUE"),
        (["run", "x.yaml", "-o", "o", "--limit", "0"], "--limit"),
        (["run", "none.yaml", "-o", "o"], "No such file"),
        (["gate"], "Missing argument"),
    ],
)
def test_usage_errors(words, text, evalkit):
    """Exit 2, one line."""
    code, out, err = evalkit(*words)
    assert code == 2
    assert text in err
    assert out == ""


PRECEDENCE = [
    ExitCode.OUTPUT,
    ExitCode.INPUT,
    ExitCode.GATE_FAILED,
    ExitCode.CANNOT_JUDGE,
    ExitCode.INCONCLUSIVE,
    ExitCode.OK,
]


@pytest.mark.parametrize("i", range(6))
@pytest.mark.parametrize("j", range(6))
def test_precedence(i, j):
    """6, then 4, 3, 5, 7, 0; an invalid run's 5 goes before 4 and 3 but not before 6."""
    first = PRECEDENCE[min(i, j)]
    assert decide_exit({PRECEDENCE[i], PRECEDENCE[j]}) is first
    invalid = decide_exit({PRECEDENCE[i], ExitCode.CANNOT_JUDGE}, valid=False)
    assert invalid is (ExitCode.OUTPUT if i == 0 else ExitCode.CANNOT_JUDGE)


def test_regressed_sample_fails(evalkit, tmp_path):
    """The earlier epoch does not pass."""
    assert evalkit("run", DIGITS / "eval-regressed.yaml", "-o", tmp_path / "o")[0] == 3


def test_a_refused_run_leaves_the_last_report(project, evalkit, tmp_path):
    """Whatever goes wrong before the documents are complete."""
    out = tmp_path / "out"
    assert evalkit("run", project.path / "eval.yaml", "-o", out)[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    bad_weights(project, b"")
    assert evalkit("run", project.path / "eval.yaml", "-o", out)[0] == 4
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_same_inputs_same_bytes(project, process, tmp_path):
    """Law 4: result.json without `run` and `provenance`, in fresh processes, whatever the hash seed."""
    parts = []
    for seed in ("1", "2"):
        done = process(
            "run",
            project.path / "eval.yaml",
            "-o",
            tmp_path / seed,
            env={"PYTHONHASHSEED": seed, "LANG": "C"},
        )
        assert done.returncode == 0
        document = json.loads((tmp_path / seed / "result.json").read_text())
        for key in ("run", "provenance"):
            del document[key]
        parts.append((json.dumps(document), (tmp_path / seed / "predictions.parquet").read_bytes()))
    assert parts[0] == parts[1]


def test_batch_size_and_workers_change_no_count(project, evalkit, tmp_path):
    """Predictions are promised for the same batch list; here they agree for all of these."""
    found = []
    for name, words in {
        "a": ["--batch-size", "7"],
        "b": ["--set", "run.workers=2"],
        "c": ["--batch-size", "1"],
    }.items():
        assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / name, *words)[0] == 0
        found.append(read_result(tmp_path / name))
    assert found[0].counts == found[1].counts == found[2].counts
    assert found[0].digests == found[1].digests == found[2].digests


def test_limit_is_partial_and_judges_nothing(project, evalkit, tmp_path):
    """A quick look is no verdict: exit 5 with gates, 0 without."""
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "a", "--limit", "10")[0] == 0
    result = read_result(tmp_path / "a")
    assert (result.n_samples, result.partial.of) == (10, 60)
    gate(project, metric="accuracy", min=0.0)
    code, out, _ = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "b", "--limit", "10")
    assert code == 5
    assert "only 10 of 60 samples" in out


def test_json_is_the_only_output(project, evalkit, tmp_path):
    """stdout is data."""
    gate(project, metric="accuracy", min=1.0)
    code, out, _ = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o", "--json")
    document = json.loads(out)
    assert document["exit_code"] == code == 3
    assert document["checks"][0]["outcome"] == "failed"
    assert document["n_samples"] == 60


def test_what_a_model_prints_is_no_data(project, evalkit, tmp_path):
    """A print in forward goes to stderr, and --json stays one document."""
    project.write_model(
        MODEL.replace("        return self.head", "        print('hello')\n        return self.head")
    )
    code, out, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o", "--json")
    assert code == 0
    assert json.loads(out)["valid"]
    assert "hello" in err


def test_debug_shows_the_users_traceback(project, evalkit, tmp_path):
    """On request only."""
    project.write_model("def build(**args):\n    raise KeyError('mine')\n")
    assert "Traceback" not in evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")[2]
    assert "in build" in evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o", "--debug")[2]


def test_closed_stdout_keeps_the_code(project, tmp_path):
    """`| head -c 0` is not an error of the run."""
    gate(project, metric="accuracy", min=1.0)
    command = [
        sys.executable,
        "-m",
        "evalkit",
        "run",
        str(project.path / "eval.yaml"),
        "-o",
        str(tmp_path / "o"),
    ]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


@pytest.mark.parametrize("positive", ["class 0", "class 1", None])
def test_binary(positive, tmp_path, evalkit):
    """Threshold on the positive class's probability; the second name unless said."""
    project = Project(tmp_path / "p", n_classes=2)
    project.write_spec(
        task="binary",
        model__positive_class=positive,
        model__threshold=0.7,
        gates=[{"metric": "accuracy", "min": 0}],
    )
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")[0] == 0
    result = read_result(tmp_path / "o")
    k = 0 if positive == "class 0" else 1
    assert result.positive_class == f"class {k}"
    logits = project.plain_outputs(256).astype(np.float64)
    p = np.exp(logits[:, k]) / np.exp(logits).sum(1)
    y_pred = np.where(p >= 0.7, k, 1 - k)
    expected = [[int(((project.y == i) & (y_pred == j)).sum()) for j in (0, 1)] for i in (0, 1)]
    assert result.confusion.matrix.tolist() == expected
    assert f"positive:class {k}|decide:threshold(0.7)" in result.signature


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model__output": "scores"}, "threshold: is required for output: scores"),
        ({"model__threshold": 70}, "must be between 0 and 1"),
        ({"model__positive_class": "ill"}, "'ill' is not a class name"),
        ({"model__classes": ["a", "b", "c"]}, "binary has 2 classes"),
    ],
)
def test_binary_specifications(changes, words, tmp_path, evalkit):
    """What a threshold needs is asked for before anything is measured."""
    project = Project(tmp_path / "p", n_classes=2)
    project.write_spec(task="binary", **changes)
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")
    assert code == 2
    assert words in one_line(err)


def test_class_names_from_a_file(project, evalkit, tmp_path):
    """One name a line, in the model's order; CRLF and a byte-order mark are no part of a name."""
    (project.path / "names.txt").write_bytes("\ufeffno\r\nyes\r\nü\r\n".encode())
    project.write_spec(model__classes="names.txt")
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")[0] == 0
    assert read_result(tmp_path / "o").class_names == ("no", "yes", "ü")
    for content, words in (
        (b"a\n\nb\n", "names.txt:2: a class name is blank"),
        (b"a\na\nb\n", "unique"),
        (b"a\n", "2"),
    ):
        (project.path / "names.txt").write_bytes(content)
        code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o2")
        assert code == 2
        assert words in one_line(err)
    project.write_spec(model__classes="none.txt")
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o2")[0] == 2


@pytest.fixture
def two_runs(project, evalkit, tmp_path):
    """A baseline and a worse candidate over the same samples."""
    old, new = tmp_path / "old", tmp_path / "new"
    assert evalkit("run", project.path / "eval.yaml", "-o", old)[0] == 0
    torch.manual_seed(9)
    project.save(project.build(n_out=3).state_dict())
    assert evalkit("run", project.path / "eval.yaml", "-o", new)[0] == 0
    return old, new


def write_gates(tmp_path, *gates, **more):
    path = tmp_path / "gates.yaml"
    path.write_text(yaml.safe_dump({"gates": list(gates), **more}))
    return path


DROP = {"metric": "accuracy", "max_drop": 1.0, "judge": "point"}


def test_gate_judges_again(two_runs, evalkit, tmp_path):
    """Verdict and page are replaced together; the result is untouched."""
    old, new = two_runs
    before = (new / "result.json").read_bytes()
    gates = write_gates(tmp_path, DROP, {"metric": "accuracy", "min": 0.0})
    assert evalkit("gate", new, "--gates", gates, "--baseline", old)[0] == 0
    verdict = json.loads((new / "verdict.json").read_text())
    assert [check["outcome"] for check in verdict["checks"]] == ["passed", "passed"]
    assert b"all 2 gates passed" in (new / "report.html").read_bytes()
    gates = write_gates(tmp_path, {**DROP, "max_drop": -1.0}, baseline="old")
    assert evalkit("gate", new, "--gates", gates)[0] == 3
    assert b"1 of 1 gates failed" in (new / "report.html").read_bytes()
    assert (new / "result.json").read_bytes() == before


def test_gate_needs_gates_and_a_baseline(two_runs, evalkit, tmp_path):
    """Neither is a pass: exit 2."""
    _, new = two_runs
    assert evalkit("gate", new)[0] == 2
    assert evalkit("gate", new, "--gates", write_gates(tmp_path, DROP))[0] == 2
    assert evalkit("gate", new, "--gates", write_gates(tmp_path))[0] == 2
    assert evalkit("gate", new, "--gates", tmp_path / "none.yaml")[0] == 2
    assert evalkit("gate", tmp_path / "none")[0] == 4
    assert evalkit("gate", new, "--gates", write_gates(tmp_path, DROP), "--baseline", tmp_path)[0] == 4


def test_gate_uses_the_stored_specification(project, evalkit, tmp_path, monkeypatch):
    """Its gates and its baseline, whose path is relative to the specification."""
    monkeypatch.chdir(tmp_path)
    assert evalkit("run", "project/eval.yaml", "-o", "project/old")[0] == 0
    torch.manual_seed(9)
    project.save(project.build(n_out=3).state_dict())
    project.write_spec(baseline="old", gates=[{**DROP, "max_drop": -1.0}])
    assert evalkit("run", "project/eval.yaml", "-o", "new")[0] == 3
    assert evalkit("gate", "new")[0] == 3


def test_gate_finds_the_stored_baseline_from_anywhere(project, evalkit, tmp_path, monkeypatch):
    """The current folder of the day does not matter, nor that of the run."""
    monkeypatch.chdir(tmp_path)
    assert evalkit("run", "project/eval.yaml", "-o", "old")[0] == 0
    torch.manual_seed(9)
    project.save(project.build(n_out=3).state_dict())
    project.write_spec(gates=[{**DROP, "max_drop": -1.0}], baseline="x")
    assert evalkit("run", "project/eval.yaml", "-o", "deep/new", "--baseline", "old")[0] == 3
    monkeypatch.chdir(tmp_path / "deep")
    assert evalkit("gate", "new")[0] == 3
    monkeypatch.chdir("/")
    assert evalkit("gate", tmp_path / "deep/new")[0] == 3


@pytest.mark.parametrize(
    "gates",
    [
        [{"metric": "accuracy", "min": 0.0, "judge": "guard"}],
        [{"metric": "accuracy", "min": 0.0, "slice": {"a": "b"}}],
        [{"metric": "accuracy"}],
        [{"metric": "accuracy", "min": 0.0, "advisory": True}],
        [{"metric": "accuracy", "min": 95}],
        [3],
        [],
    ],
)
def test_stored_gates_are_validated_like_written_ones(gates, two_runs, evalkit):
    """A document of a later version, or an edited one, is not judged by half a rule."""
    _, new = two_runs
    document = json.loads((new / "result.json").read_text())
    document["spec"]["gates"] = gates
    (new / "result.json").write_text(json.dumps(document))
    assert evalkit("gate", new)[0] == 2


def test_an_edited_result_is_not_judged(two_runs, evalkit, tmp_path):
    """A number that the counts do not give is refused, in the candidate and in the baseline."""
    old, new = two_runs
    gates = write_gates(tmp_path, DROP)
    document = json.loads((new / "result.json").read_text())
    document["metrics"][0]["value"] = 0.999
    (new / "result.json").write_text(json.dumps(document))
    assert evalkit("gate", new, "--gates", gates, "--baseline", old)[0] == 4
    assert evalkit("gate", old, "--gates", gates, "--baseline", new)[0] == 4


def test_baseline_is_the_candidate(two_runs, project, evalkit, tmp_path):
    """Exit 4 unless it is said, from `gate` and from `run`."""
    _, new = two_runs
    gates = write_gates(tmp_path, DROP)
    code, _, err = evalkit("gate", new, "--gates", gates, "--baseline", new)
    assert code == 4
    assert "error[same-model]" in one_line(err)
    assert evalkit("gate", new, "--gates", gates, "--baseline", new, "--allow-same-model")[0] == 0
    project.write_spec(gates=[DROP], baseline=str(new))
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "again")[0] == 4
    words = ("run", project.path / "eval.yaml", "-o", tmp_path / "again", "--allow-same-model")
    assert evalkit(*words)[0] == 0


def test_another_question_cannot_be_compared(two_runs, project, evalkit, tmp_path):
    """Other labels under the same ids: exit 5, floors are still judged."""
    old, _ = two_runs
    project.write_data(y=(project.y + 1) % 3)
    project.write_spec(gates=[DROP, {"metric": "accuracy", "min": 0.0}], baseline=str(old))
    code, out, _ = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")
    assert code == 5
    assert "another set of samples and labels" in out
    assert "passed" in out


def test_blessed_runs_are_judged_and_left_alone(two_runs, evalkit, project, tmp_path):
    """Only bless replaces a baseline."""
    old, _ = two_runs
    (old / "bless.json").write_text("{}")
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    assert evalkit("gate", old, "--gates", write_gates(tmp_path, {"metric": "accuracy", "min": 1.0}))[0] == 3
    assert evalkit("report", old)[0] == 6
    assert evalkit("run", project.path / "eval.yaml", "-o", old)[0] == 6
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before
    assert evalkit("report", old, "-o", tmp_path / "page.html")[0] == 0


def test_report_renders_the_same_bytes(digits_run, evalkit, tmp_path):
    """A pure function of the documents."""
    assert evalkit("report", digits_run, "-o", tmp_path / "page.html")[0] == 0
    assert (tmp_path / "page.html").read_bytes() == (digits_run / "report.html").read_bytes()


def test_report_refuses_a_verdict_of_another_result(two_runs, evalkit):
    """A verdict names the result that it judged."""
    old, new = two_runs
    (new / "verdict.json").write_bytes((old / "verdict.json").read_bytes())
    code, _, err = evalkit("report", new)
    assert code == 4
    assert "judges another result.json" in one_line(err)


def test_gate_that_cannot_write_says_so(two_runs, evalkit, tmp_path, monkeypatch):
    """Exit 6 although the gates pass; the outcome is printed all the same."""
    _, new = two_runs

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in new.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    code, out, err = evalkit(
        "gate", new, "--gates", write_gates(tmp_path, {"metric": "accuracy", "min": 0.0})
    )
    assert code == 6
    assert "No space left" in one_line(err)
    assert "the gate passed" in out
    assert {path.name: path.read_bytes() for path in new.iterdir()} == before


@pytest.mark.parametrize("words", [["--help"], ["gate", "RUN"], ["report", "RUN", "-o", "/dev/full"]])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_stdout_is_an_output_error(words, digits_run, tmp_path):
    """Data that nobody got is not a success; the device is still a device."""
    shutil.copytree(digits_run, tmp_path / "run")
    words = [str(tmp_path / "run") if word == "RUN" else word for word in words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "evalkit", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 6, done.stderr
    assert "error[output]" in one_line(done.stderr)
    assert not os.path.isfile("/dev/full")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full"])
def test_closed_streams_keep_the_code(closed, two_runs, tmp_path):
    """A gate that failed has failed, whoever listens."""
    _, new = two_runs
    gates = write_gates(tmp_path, {"metric": "accuracy", "min": 1.0})
    command = f'"{sys.executable}" -m evalkit gate "{new}" --gates "{gates}" {closed}'
    assert subprocess.run(command, shell=True, check=False, stdout=subprocess.DEVNULL).returncode == 3


def test_a_folder_whose_name_is_no_text(project, process, tmp_path):
    """Bytes that are not UTF-8 in a path, and a home that is no folder."""
    out = os.fsdecode(os.fsencode(tmp_path) + b"/g\xff\xfe")
    done = process("run", project.path / "eval.yaml", "-o", out, env={"HOME": "relative"})
    assert done.returncode == 0, done.stderr
    assert set(os.listdir(out)) == DOCUMENTS


def test_imports_inside_forward_are_found(project, evalkit, tmp_path):
    """As in the script that trained the model."""
    (project.path / "tricks.py").write_text("def same(x):\n    return x\n")
    project.write_model(
        MODEL.replace(
            "        return self", "        import tricks\n        x = tricks.same(x)\n        return self"
        )
    )
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "o")[0] == 0
    sys.modules.pop("tricks")


IMPORTS = """
import sys
from evalkit.cli import main
code = main(sys.argv[2:])
heavy = sorted(name for name in sys.argv[1].split(",") if name in sys.modules)
print("LOADED", code, heavy, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "forbidden"),
    [
        (["--help"], "torch,sklearn,pandas,scipy,pydantic,numpy,jinja2,rich,pyarrow,yaml"),
        (["--version"], "torch,sklearn,pandas,scipy,pydantic,numpy,jinja2,rich,pyarrow,yaml"),
        (["run", "--help"], "torch,sklearn,pandas,scipy,pyarrow"),
        (["report", "RUN", "-o", "page.html"], "torch,sklearn,pandas,scipy.stats"),
        (["gate", "RUN", "--junit", "j.xml", "--markdown", "c.md"], "torch,sklearn,pandas,scipy.stats"),
        (["compare", "RUN", "RUN"], "torch,sklearn,pandas,scipy.stats"),
        (["score", "RUN", "-o", "again", "--quiet"], "torch,sklearn"),
        (["export", "model-index", "RUN"], "torch,sklearn,pandas,scipy.stats"),
    ],
)
def test_what_a_command_imports(words, forbidden, digits_run, tmp_path):
    """Right of the wall there is no torch, and help needs nothing at all."""
    shutil.copytree(digits_run, tmp_path / "run")
    words = [str(tmp_path / "run") if word == "RUN" else word for word in words]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, forbidden, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.stderr.splitlines()[-1] == "LOADED 0 []", done.stderr


def test_import_evalkit_imports_no_third_party():
    """`import evalkit` costs nothing."""
    script = (
        "import sys; before = set(sys.modules); import evalkit; "
        "print([m for m in set(sys.modules) - before if m.split('.')[0] not in sys.stdlib_module_names"
        " and not m.startswith('evalkit')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_commands_and_exit_codes(evalkit):
    """What a newcomer sees first."""
    code, out, _ = evalkit("--help")
    assert code == 0
    for word in ("run", "report", "gate", "Exit codes", "7  inconclusive"):
        assert word in out


def test_progress_off_a_terminal_is_a_plain_line(capsys):
    """Every ten seconds, with rate and time left; nothing for short runs."""
    from evalkit.cli.console import _plain_lines

    times = iter([0.0, 0.0, 1.0, 10.5, 12.0, 21.0])
    update = _plain_lines("toy", lambda: next(times))
    for done in (0, 10, 105, 120):
        update(done, 420)
    update(210, 420, {"load": 1.0, "forward": 8.0, "account": 1.0})
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "toy: 105 of 420 samples, 10 a second, 32 s left",
        "toy: 210 of 420 samples, 10 a second, 21 s left (load 10%, forward 80%, account 10%)",
    ]


def test_doctor_says_what_is_there(evalkit):
    """Versions, extras, devices."""
    code, out, _ = evalkit("doctor")
    assert code == 0
    for word in ("torch", "[vision]", "devices", "cpu"):
        assert word in out
    assert json.loads(evalkit("doctor", "--json")[1])["python"].startswith("3.")


def test_doctor_lists_what_a_gate_machine_needs(evalkit):
    """The list is what `report` and `gate` import, and no torch is in it."""
    code, out, _ = evalkit("doctor", "--requirements", "gate")
    assert code == 0
    names = {line.partition(">")[0].partition("!")[0].strip() for line in out.splitlines()}
    assert names == {"click", "jinja2", "numpy", "pyarrow", "pydantic", "pyyaml", "scipy"}


def test_doctor_tests_itself(evalkit, tmp_path, monkeypatch):
    """At least 40 rows agree, and the record says so; a number that is wrong is found."""
    monkeypatch.chdir(tmp_path)
    code, out, _ = evalkit("doctor", "--self-test")
    assert code == 0, out
    document = json.loads((tmp_path / "evalkit-self-test.json").read_text())
    assert document["agrees"]
    assert len(document["rows"]) >= 40
    monkeypatch.setattr("evalkit.selftest._WILSON", ((5, 10, 0.2, 0.8),))
    code, out, _ = evalkit("doctor", "--self-test")
    assert code == 1
    assert "wilson low 5/10" in out
