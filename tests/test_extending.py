"""A specification that extends another: what is merged, whose paths are whose, and where a mistake was written."""

import json
from pathlib import Path

import pytest

from evalkit.cli.ci import gates_at
from evalkit.errors import SpecificationError
from evalkit.spec import Override, load_specification

COMMON = """task: binary
model:
  classes: ["no", "yes"]
  positive_class: "yes"
  threshold: 0.3
data:
  source: predictions
  path: tables/a.csv
  attributes: site
metrics: {averages: [macro], interval: 0.9}
gates:
  - {metric: accuracy, min: 0.1}
  - {metric: mcc, min: 0.2}
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write files by name, and load the one called `eval.yaml` as a command beside its folder would."""
    monkeypatch.chdir(tmp_path)

    def write(text, *, common=COMMON, at="eval/common.yaml", **options):
        for name, content in {"eval/eval.yaml": text, at: common}.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(content)
        return load_specification(Path("eval/eval.yaml"), **options)

    return write


def test_what_is_merged(load):
    """Maps at every depth; lists and single values are replaced; what is said nowhere is the default."""
    text = "extends: common.yaml\nname: b\nmodel: {threshold: 0.7}\nmetrics: {averages: [micro, weighted]}\n"
    spec = load(text).spec
    assert (spec.name, spec.task, spec.model.threshold, spec.model.positive_class) == (
        "b",
        "binary",
        0.7,
        "yes",
    )
    assert (spec.metrics.averages, spec.metrics.interval) == (("micro", "weighted"), 0.9)
    assert [gate.metric for gate in spec.gates] == ["accuracy", "mcc"]
    spec = load(
        "extends: common.yaml\ngates: [{metric: f1, class: 'yes', min: 0.4}]\nmodel: {threshold: null}"
    ).spec
    assert [gate.metric for gate in spec.gates] == ["f1"]
    assert spec.model.threshold is None
    assert load("name: a\n" + COMMON).spec == load("extends: common.yaml\nname: a\n").spec


def test_the_document_stands_for_itself(load, tmp_path):
    """It holds what was merged, and names no file that would be merged again."""
    loaded = load("extends: common.yaml\nname: b\n")
    assert loaded.document()["extends"] is None
    assert loaded.document()["model"]["positive_class"] == "yes"
    (tmp_path / "written.yaml").write_text(loaded.to_yaml(tmp_path / "written.yaml"))
    again = load_specification(tmp_path / "written.yaml")
    assert again.resolve(again.spec.data.path).resolve() == tmp_path / "eval/tables/a.csv"
    assert again.spec.data.attributes == "site"


def test_paths_are_of_the_file_that_names_them(load, tmp_path, monkeypatch):
    """The common file's from its folder, the extending file's from its own; columns and variables stay."""
    monkeypatch.setenv("PART", "x")
    monkeypatch.setenv("WHOLE", str(tmp_path / "far"))
    common = (
        "baseline: runs/${PART}\nmodel: {threshold: {from: ../chosen, choose: max_f1}, classes: ./data}\n"
        "data: {source: predictions, path: a.csv, attributes: site}\n"
    )
    loaded = load("extends: ../team/c.yaml\ntask: binary\n", common=common, at="team/c.yaml")
    spec = loaded.spec
    assert loaded.resolve(spec.baseline).resolve() == tmp_path / "team/runs/x"
    assert "${PART}" in spec.baseline
    assert loaded.resolve(spec.model.threshold.from_).resolve() == tmp_path / "chosen"
    assert loaded.resolve(spec.data.path).resolve() == tmp_path / "team/a.csv"
    assert spec.model.classes == "../team/data"
    assert spec.data.attributes == "site"
    text = "extends: ../team/c.yaml\ndata: {path: b.csv}\nbaseline: ${WHOLE}/run\ntask: binary\n"
    loaded = load(text, common=common, at="team/c.yaml")
    assert loaded.resolve(loaded.spec.data.path).resolve() == tmp_path / "eval/b.csv"
    assert loaded.resolve(loaded.spec.baseline) == tmp_path / "far/run"
    here = load("extends: common.yaml\ntask: binary\n", common=common)
    assert here.spec.model.classes == "./data"


@pytest.mark.parametrize(
    ("text", "common", "message"),
    [
        ("extends: common.yaml\nmodel: {treshold: 1}\n", COMMON, "eval/eval.yaml:2: model.treshold: unknown"),
        (
            "extends: common.yaml\n",
            COMMON.replace("threshold", "treshold"),
            "eval/common.yaml:5: model.treshold",
        ),
        (
            "extends: common.yaml\n",
            COMMON.replace("0.2", "90"),
            r"eval/common.yaml:13: gates\[1\].min: must be",
        ),
        (
            "extends: common.yaml\ngates:\n- {metric: mcc, min: 90}\n",
            COMMON,
            r"eval/eval.yaml:3: gates\[0\].min: must be",
        ),
        (
            "extends: common.yaml\n",
            "extends: other.yaml\n" + COMMON,
            "eval/common.yaml:1: extends: .*one level",
        ),
        ("name: x\nextends: eval.yaml\n", COMMON, "eval/eval.yaml:2: extends: .*one level"),
        (
            "name: x\nextends: nowhere.yaml\n",
            COMMON,
            "eval/eval.yaml:2: extends: eval/nowhere.yaml: no such file",
        ),
        (f"extends: {'x' * 300}\n", COMMON, "eval/eval.yaml:1: extends: .*no such file"),
        ("extends: 3\n", COMMON, "eval/eval.yaml:1: extends: must be text"),
        ("extends: common.yaml\n", "- 1\n", "eval/common.yaml: expected a mapping"),
        ("extends: common.yaml\n", "a: [\n", "eval/common.yaml:2: not YAML"),
        ("extends: common.yaml\n", "name: c\n", "data: is required"),
        ("extends: common.yaml\nmodel: null\n", COMMON, "eval/eval.yaml:2: model: .*got None"),
    ],
)
def test_errors_name_the_file_and_line(text, common, message, load):
    """Those of the file in which the key was written."""
    with pytest.raises(SpecificationError, match=message):
        load(text, common=common)


def test_a_flag_cannot_extend(load):
    """It would come too late, and be ignored."""
    with pytest.raises(SpecificationError, match="--set extends=x.yaml: extends is read before any flag"):
        load(COMMON, overrides=[Override("extends", "x.yaml", "--set extends=x.yaml")])


def test_gates_keep_their_lines(load):
    """An annotation stands where the gate was written."""
    assert gates_at(load("extends: common.yaml\n").source, 2) == {
        0: ("eval/common.yaml", 12), 1: ("eval/common.yaml", 13),
    }  # fmt: skip
    own = load("extends: common.yaml\ngates: [{metric: mcc, min: 0.1}]\n")
    assert gates_at(own.source, 1) == {0: ("eval/eval.yaml", 2)}
    flagged = Override("gates", "[{metric: mcc, min: 0.1}]", "--set gates=…")
    assert gates_at(load("extends: common.yaml\n", overrides=[flagged]).source, 1) == {}


def test_from_file_to_verdict(load, evalkit, tmp_path):
    """The command reads it, and the result holds what was merged."""
    load("extends: common.yaml\nname: b\ndata: {attributes: null}\n")
    (tmp_path / "eval/tables").mkdir()
    rows = "".join(f"{y},{s}\n" for y, s in [("no", 0.1), ("yes", 0.9), ("yes", 0.4), ("no", 0.2)] * 3)
    (tmp_path / "eval/tables/a.csv").write_text("label,score\n" + rows)
    words = ("--label", "label", "--scores", "score", "--output-kind", "probabilities", "--quiet")
    code, _, err = evalkit("score", "--spec", "eval/eval.yaml", "-o", "out", *words)
    assert code == 0, err
    document = json.loads((tmp_path / "out/result.json").read_text())
    assert (document["spec"]["metrics"]["interval"], document["spec"]["extends"]) == (0.9, None)
    assert document["spec"]["data"]["path"] == "tables/a.csv"
