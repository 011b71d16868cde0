"""Specifications: every key of the skeleton is parsed, and nothing is ignored."""

import pytest
import yaml

from evalkit.errors import SpecificationError
from evalkit.spec import Override, load_gate_file, load_specification

FULL = """\
name: digits
task: multiclass
model:
  factory: model:build
  args: {}
  checkpoint: checkpoints/digits_cnn.pt
  weights: null
  sha256: null
  output: logits
  select: null
  classes: ["0", "1", "2"]
  valid_classes: null
  threshold: null
data:
  source: npz
  path: data/test.npz
  preprocess: null
  attributes: null
  on_unreadable: refuse
run: {batch_size: 256, device: auto, workers: 0, precision: exact, seed: 0}
metrics: {names: default, averages: [micro, macro, weighted], interval: 0.95, cluster: null, cost: null, prevalence: null}
baseline: null
gates:
  - {metric: accuracy, min: 0.95}
  - {metric: recall, class: "1", min: 0.80, judge: point}
report: {samples: ids, terms: ml}
"""


def load(tmp_path, text, overrides=()):
    path = tmp_path / "eval.yaml"
    path.write_text(text)
    return load_specification(path, overrides=overrides)


def test_the_skeleton_is_read(tmp_path):
    """Every key of a full specification, with its defaults written out."""
    spec = load(tmp_path, FULL).spec
    assert spec.gates[1].class_ == "1"
    assert spec.metrics.averages == ("micro", "macro", "weighted")
    assert spec.model.classes == ("0", "1", "2")


# What is changed in FULL -> what the error says.
WRONG = {
    "unknown key": (
        "name: digits",
        "nmae: digits",
        r"eval.yaml:1: nmae: unknown key \(did you mean 'name'\?\)",
    ),
    "unknown inner key": (
        "  args: {}",
        "  arsg: {}",
        r"eval.yaml:5: model.arsg: unknown key \(did you mean 'args'",
    ),
    "unknown gate key": ("min: 0.95}", "min: 0.95, minn: 1}", r"eval.yaml:24: gates\[0\].minn: unknown key"),
    "missing": ("  path: data/test.npz\n", "", r"eval.yaml:14: data.path: is required"),
    "literal": (
        "output: logits",
        "output: logit",
        r"eval.yaml:9: model.output: must be .*did you mean 'logits'",
    ),
    "class name not text": (
        '["0", "1", "2"]',
        "[no, yes]",
        r"model.classes\[0\]: must be text, got False \(quote it\)",
    ),
    "class number": ('["0", "1", "2"]', "[0, 1]", r"model.classes\[0\]: must be text, got 0 \(quote it\)"),
    "percent": (
        "min: 0.95}",
        "min: 95}",
        r"gates\[0\].min: must be between 0 and 1, got 95 \(did you mean 0.95\?\)",
    ),
    "nan limit": ("min: 0.95}", "min: .nan}", r"gates\[0\].min: .*finite"),
    "inf limit": ("min: 0.95}", "min: .inf}", r"gates\[0\].min: "),
    "text limit": ("min: 0.95}", 'min: "0,9"}', r"gates\[0\].min: "),
    "bool limit": ("min: 0.95}", "min: true}", r"gates\[0\].min: .*number"),
    "no limit": ("min: 0.95}", "advisory: false}", r"gates\[0\]: expected a limit"),
    "unknown metric": (
        "metric: accuracy",
        "metric: acuracy",
        r"gates\[0\].metric: unknown metric 'acuracy' \(did you mean 'accuracy'",
    ),
    "how fast, compared": ("metric: accuracy, min: 0.95", "metric: throughput, max_drop: 1", "throughput"),
    "guard without a baseline": ("min: 0.95}", "max_drop: 0.01}", r"gates\[0\].max_drop: needs a baseline"),
    "guard of a floor": ("judge: point", "judge: guard", r"gates\[1\].judge: guard cannot judge min"),
    "no baseline": ("min: 0.95}", "max_drop: 0.01, judge: point}", r"gates\[0\].max_drop: needs a baseline"),
    "other judge": ("judge: point", "judge: median", r"gates\[1\].judge: must be 'point', "),
    "family": ("judge: point", "require: each", r"gates\[1\].require: belongs to a family"),
    "slices": (
        "  on_unreadable",
        "  slices: [{age: [3, 1]}]\n  on_unreadable",
        r"slices\[0\]: expected increasing",
    ),
    "source": ("source: npz", "source: webdataset", r"data.source: must be"),
    "task": ("task: multiclass", "task: regression", r"eval.yaml:2: task: must be"),
    "threshold": ("threshold: null", "threshold: 0.5", r"model.threshold: belongs to task: binary"),
    "precision": ("precision: exact", "precision: half", r"run.precision: must be"),
    "batch size": ("batch_size: 256", "batch_size: 0", r"eval.yaml:20: run.batch_size: .*greater than 0"),
    "interval": ("interval: 0.95", "interval: 95", r"metrics.interval: .*less than or equal to 0.99"),
    "written twice": ("baseline: null", "name: again", r"eval.yaml:22: name: written twice"),
    "no gates in the list": ("report:", "gates_: 1\nreport:", r"gates_: unknown key"),
    "pin": ("sha256: null", "sha256: abc", r"model.sha256: "),
    "seed": ("seed: 0", "seed: -1", r"run.seed: .*greater than or equal to 0"),
    "huge seed": ("seed: 0", "seed: 99999999999999999999999", r"run.seed: "),
    "certain": ("interval: 0.95", "interval: 0.9999999999999999", r"metrics.interval: "),
    "bytes": ("args: {}", "args: {a: !!binary /w==}", r"model.args.a: .*got a bytes"),
    "date": ("args: {}", "args: {a: [2024-01-01]}", r"model.args.a: .*got a date .quote it"),
    "nan argument": ("args: {}", "args: {a: {b: .nan}}", r"model.args.a: must be finite"),
    "text that looks like a number": (
        "min: 0.95}",
        "min: 1e-3}",
        r"gates\[0\].min: .*YAML reads 1e-3 as text \(write 0.001\)",
    ),
    "key that is no text": ("name: digits", "1: digits", r"eval.yaml:1: a key must be text"),
    "mean of two": (
        "preprocess: null",
        "preprocess: {mean: [1, 2]}",
        r"data.preprocess.mean: expected 3 numbers",
    ),
    "std of zero": (
        "preprocess: null",
        "preprocess: {std: [0.0]}",
        r"data.preprocess.std: must be greater than 0",
    ),
    "mode": ("preprocess: null", "preprocess: {mode: rgb}", r"data.preprocess.mode: .*RGB"),
    "names": ("names: default", "names: [accuracy, f2]", r"metrics.names\[1\]: unknown metric 'f2'"),
    "support has no direction": (
        "{metric: accuracy, min: 0.95}",
        '{metric: support, class: "1", max_drop: 3, judge: point}',
        r"support has no direction",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_name_file_line_and_key(case, tmp_path):
    """One line: file, line, key, what was expected, and the nearest right word."""
    old, new, message = WRONG[case]
    assert old in FULL
    with pytest.raises(SpecificationError, match=message) as caught:
        load(tmp_path, FULL.replace(old, new, 1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping"),
        ("- a\n", "expected a mapping"),
        ("a: [1\n", r"eval.yaml:2: not YAML"),
        ("a: &x [*x]\n", "unknown key|not YAML|required"),
        ("? {a: 1}\n: b\n", "must be text"),
        ("a: 2020-99-99\n", "not YAML|unknown"),
    ],
)
def test_what_is_no_specification(text, message, tmp_path):
    """Broken YAML is a usage error with its line."""
    with pytest.raises(SpecificationError, match=message):
        load(tmp_path, text)


def test_gates_that_could_never_fail(tmp_path):
    """An empty list, and a list of advisory gates only."""
    head = FULL[: FULL.index("gates:")]
    with pytest.raises(SpecificationError, match="at least one gate"):
        load(tmp_path, head + "gates: []\n")
    with pytest.raises(SpecificationError, match="advisory"):
        load(tmp_path, head + "gates: [{metric: accuracy, min: 0.5, advisory: true}]\n")


def test_overrides(tmp_path):
    """`--set` reads its value as YAML, reaches into lists, and is named in errors."""
    spec = load(
        tmp_path,
        FULL,
        [Override("run.batch_size", "8", "--batch-size"), Override("gates.0.min", "0.5", "--set")],
    ).spec
    assert (spec.run.batch_size, spec.gates[0].min) == (8, 0.5)
    with pytest.raises(SpecificationError, match=r"--batch-size: run.batch_size: "):
        load(tmp_path, FULL, [Override("run.batch_size", "x", "--batch-size")])
    with pytest.raises(SpecificationError, match=r"--set: run.bath_size: unknown key"):
        load(tmp_path, FULL, [Override("run.bath_size", "1", "--set")])
    with pytest.raises(SpecificationError, match="there is no"):
        load(tmp_path, FULL, [Override("gates.7.min", "1", "--set")])


def test_paths_in_flags_start_here(tmp_path, monkeypatch):
    """A path in a file is relative to it, a path in a flag to the current folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    loaded = load(tmp_path, FULL, [Override("data.path", "other.npz", "--set")])
    assert loaded.resolve(loaded.spec.data.path).resolve() == elsewhere / "other.npz"
    assert loaded.resolve(loaded.spec.model.checkpoint) == tmp_path / "checkpoints/digits_cnn.pt"


def test_documents_hold_no_home(tmp_path, monkeypatch):
    """A path in the home folder stands in the document as ~, and can still be opened."""
    monkeypatch.setenv("HOME", str(tmp_path))
    loaded = load(tmp_path, FULL.replace("data/test.npz", f"{tmp_path}/data/test.npz"))
    assert loaded.document()["data"]["path"] == "~/data/test.npz"
    assert loaded.resolve("~/data/test.npz") == tmp_path / "data/test.npz"
    assert "run" not in loaded.document()


def test_gate_files(tmp_path):
    """A file of gates holds `gates:` and optionally `baseline:`, nothing else."""
    path = tmp_path / "gates.yaml"
    path.write_text(yaml.safe_dump({"gates": [{"metric": "accuracy", "min": 0.5}], "baseline": "old"}))
    assert load_gate_file(path)[0].baseline == "old"
    path.write_text(yaml.safe_dump({"gates": [{"metric": "accuracy", "min": 0.5}], "name": "x"}))
    with pytest.raises(SpecificationError, match="name: unknown key"):
        load_gate_file(path)
    path.write_text("gates: []\n")
    with pytest.raises(SpecificationError, match="at least one gate"):
        load_gate_file(path)


def test_variables_in_paths(tmp_path, monkeypatch):
    """${NAME} is filled in when a path is opened, and stays as written in the document."""
    loaded = load(tmp_path, FULL.replace("data/test.npz", "${DATA}/test.npz"))
    monkeypatch.setenv("DATA", "/somewhere")
    assert str(loaded.resolve(loaded.spec.data.path)) == "/somewhere/test.npz"
    assert loaded.document()["data"]["path"] == "${DATA}/test.npz"
    monkeypatch.delenv("DATA")
    with pytest.raises(SpecificationError, match=r"\$\{DATA\} in a path is not set"):
        loaded.resolve(loaded.spec.data.path)


def test_a_written_specification_says_the_same(tmp_path):
    """What flags said becomes a file elsewhere whose paths still lead to the same places."""
    flags = [
        Override("model.factory", "torchvision:resnet18", "--model", literal=True),
        Override("model.checkpoint", str(tmp_path / "best.pth"), "--checkpoint", literal=True),
        Override("model.classes", f"folder:{tmp_path}/train", "--classes", literal=True),
        Override("data.source", "folder", "--data", literal=True),
        Override("data.path", str(tmp_path / "val"), "--data", literal=True),
        Override("data.preprocess", "{resize: 256, crop: 224}", "--preprocess"),
    ]
    loaded = load_specification(None, overrides=flags, gates=[{"metric": "accuracy", "min": 0.9}])
    path = tmp_path / "ci" / "eval.yaml"
    path.parent.mkdir()
    path.write_text(loaded.to_yaml(path))
    again = load_specification(path)
    assert again.spec.gates == loaded.spec.gates
    assert again.spec.data.preprocess == loaded.spec.data.preprocess
    assert again.spec.model.classes == "folder:../train"
    assert again.resolve(again.spec.data.path).resolve() == tmp_path / "val"
    assert again.resolve(again.spec.model.checkpoint).resolve() == tmp_path / "best.pth"
