"""JUnit XML: what Jenkins and GitLab read of it, and that a command which fails early still writes it."""

import json
from xml.etree import ElementTree as ET

import pytest
from documents import result_of
from junitparser import Error, Failure, JUnitXml, Skipped
from test_gates import verdict_of
from told import check, keys, member, verdict

from evalkit.errors import ExitCode, OutputError
from evalkit.render.judged_run import JudgedRun
from evalkit.render.junit import render_junit


def parsed(*runs):
    """The suites, by name."""
    return {suite.name: suite for suite in JUnitXml.fromstring(render_junit(runs))}


def cases(run):
    (suite,) = parsed(run).values()
    return {case.name: case for case in suite}


def test_names_stay_and_messages_say():
    """A case is named by row and rule, not by what came out; message and text hold the check's own sentence."""
    result = result_of(class_names=("tabby cat", "dog", "hen"))
    judged = verdict_of(
        result,
        {"metric": "recall", "class": "tabby cat", "min": 0.99},
        {"metric": "f1", "average": "macro", "min": 0.5, "judge": "lower"},
        {"metric": "accuracy", "max": 0.1, "advisory": True},
    )
    found = cases(JudgedRun("toy", 3, result, judged, report="out/report.html"))
    assert list(found) == ["recall of 'tabby cat' min 0.99", "macro f1 min 0.5, by lower", "accuracy max 0.1"]
    failed, passed, skipped = found.values()
    (outcome,) = failed.result
    assert isinstance(outcome, Failure)
    assert outcome.message == judged.checks[0].sentence
    assert outcome.text.splitlines()[0] == outcome.message
    assert outcome.text.splitlines()[-1] == "report out/report.html#gate-1"
    assert passed.result == []
    assert isinstance(skipped.result[0], Skipped)
    assert skipped.result[0].message == f"advisory: {judged.checks[2].sentence}"
    assert {case.classname for case in found.values()} == {"evalkit.toy"}
    written = ET.fromstring(render_junit([JudgedRun("toy", 3, result, judged)]))
    groups = [one.get("value") for one in written.iter("property") if one.get("name") == "group"]
    assert groups == ["classes", "overall", "overall"]


def test_a_number_that_failed_does_not_read_as_its_limit():
    """As many digits as it takes, in the detail as in the sentence."""
    run = JudgedRun("toy", 3, result_of(), verdict(check(value=0.899999, low=0.7, high=0.99, level=0.95)))
    (case,) = cases(run).values()
    assert "value 0.899999" in case.result[0].text.splitlines()


def test_what_is_not_decided_is_an_error():
    """An inconclusive check is no failure and no pass."""
    (case,) = cases(JudgedRun("toy", 7, result_of(), verdict(check("inconclusive")))).values()
    assert isinstance(case.result[0], Error)


def test_equal_checks_are_told_apart():
    """Two checks of one name, and one that is called as the second would be: three keys."""
    twin = check("passed")
    found = keys(render_junit([JudgedRun("toy", 0, result_of(), verdict(twin, twin, twin))]))
    assert [name for _, name in found] == ["accuracy min 0.9", "accuracy min 0.9 (2)", "accuracy min 0.9 (3)"]


def test_members_of_a_family():
    """Members in trouble stand in the detail; those with too few samples are skipped, of twenty at most."""
    few = [member(f"c{k}", None, support=3) for k in range(25)]
    bad = [member(f"b{k}", "failed") for k in range(22)]
    judged = verdict(check(metric="recall", class_name="*", judge="interval", members=(*bad, *few)))
    found = cases(JudgedRun("toy", 3, result_of(), judged))
    family, *rest = found.values()
    assert family.name == "recall of '*' min 0.9"
    assert len(rest) == 20
    assert rest[0].result[0].message == "3 samples are too few, and it is outside the verdict"
    lines = family.result[0].text.splitlines()
    assert "recall of 'b0' min 0.9: failed, value 0.5000, 50 samples" in lines
    assert "and 2 more in the report" in lines
    assert "outside the verdict: 25 of 47" in lines


def test_only_the_documents_speak():
    """Properties, time and timestamp come from the run; the same run gives the same bytes."""
    result = result_of()
    run = JudgedRun("toy", 0, result, verdict(outcome="none"), seconds=1.5)
    (suite,) = parsed(run).values()
    properties = {one.name: one.value for one in suite.properties()}
    assert properties["signature"] == result.signature
    assert properties["result_sha256"] == "0" * 64
    assert (suite.timestamp, suite.time) == (result.provenance["started"], 1.5)
    assert render_junit([run]) == render_junit([run])


def test_a_run_writes_it(digits_run, evalkit, tmp_path):
    """`gate` and its file agree, passed or failed."""
    (tmp_path / "gates.yaml").write_text(
        "gates: [{metric: accuracy, min: 0.999}, {metric: accuracy, min: 0.1}]\n"
    )
    code, _, _ = evalkit(
        "gate", digits_run, "--gates", tmp_path / "gates.yaml", "--junit", tmp_path / "j.xml"
    )
    (suite,) = JUnitXml.fromfile(str(tmp_path / "j.xml"))
    assert (code, suite.tests, suite.failures, suite.errors) == (3, 2, 1, 0)
    evalkit("gate", digits_run)  # as it was


def test_an_early_end_is_a_case(project, evalkit, tmp_path):
    """A specification that cannot be read, then a checkpoint that is refused: the exit code stays, the file is there."""
    path = tmp_path / "j.xml"
    code, _, err = evalkit("run", tmp_path / "missing.yaml", "-o", tmp_path / "out", "--junit", path)
    assert (code, keys(path.read_bytes())) == (2, [("evalkit.missing", "error[specification]")])
    (project.path / "weights.pt").write_bytes(b"no weights")
    code, _, err = evalkit("run", project.write_spec(name="x"), "-o", tmp_path / "out", "--junit", path)
    assert code == 4
    assert keys(path.read_bytes()) == [("evalkit.toy", "error[checkpoint]")]
    (case,) = next(iter(JUnitXml.fromfile(str(path))))
    assert case.result[0].message in err


def test_whole_runs_only(project, evalkit, tmp_path):
    """A shard judges nothing: it refuses the file, and merging writes it."""
    spec = project.write_spec(gates=[{"metric": "accuracy", "min": 0.0}])
    code, _, err = evalkit("run", spec, "-o", tmp_path / "s", "--shard", "1/1", "--junit", tmp_path / "j.xml")
    assert code == 0  # one of one is the whole
    code, _, err = evalkit(
        "run", spec, "-o", tmp_path / "s1", "--shard", "1/2", "--junit", tmp_path / "no.xml"
    )
    assert code == 2
    assert "a shard judges nothing" in err
    for k in (1, 2):
        assert evalkit("run", spec, "-o", tmp_path / f"s{k}", "--shard", f"{k}/2")[0] == 0
    shards = [tmp_path / "s1", tmp_path / "s2"]
    assert evalkit("merge", *shards, "-o", tmp_path / "m", "--junit", tmp_path / "m.xml")[0] == 0
    assert keys((tmp_path / "m.xml").read_bytes()) == [("evalkit.toy", "accuracy min 0")]
    one, two = (render.read_bytes() for render in (tmp_path / "j.xml", tmp_path / "m.xml"))
    assert keys(one) == keys(two)


def test_a_file_that_cannot_be_written(digits_run, evalkit, tmp_path):
    """Exit code 6 goes before the verdict's, both are said, and the other files are there."""
    (tmp_path / "gates.yaml").write_text("gates: [{metric: accuracy, min: 0.999}]\n")
    words = ("--junit", "/dev/full", "--openmetrics", tmp_path / "m.txt")
    code, _, err = evalkit("gate", digits_run, "--gates", tmp_path / "gates.yaml", *words)
    assert code == 6
    assert "error[output]" in err
    assert "error[gate-failed]" in err
    assert "evalkit_exit_code" in (tmp_path / "m.txt").read_text()
    code, _, err = evalkit("gate", tmp_path / "nothing", *words)
    assert code == 6
    assert "error[document]" in err
    evalkit("gate", digits_run)


def test_usage_goes_before_output(evalkit, tmp_path):
    """A specification that is wrong stays exit code 2, whatever cannot be written besides."""
    words = ("-o", tmp_path / "out", "--junit", "/dev/full")
    code, _, err = evalkit("run", tmp_path / "missing.yaml", *words)
    assert code == 2
    assert err.count("error[output]") == err.count("error[specification]") == 1
    assert OutputError.exit_code == ExitCode.OUTPUT


def test_invalid_run(project, evalkit, tmp_path):
    """An invalid run is an error, and so is every gate of it."""
    project.write_model(
        "import torch\nfrom torch import nn\n\n\ndef build(**args):\n    return Nan()\n\n\n"
        "class Nan(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.w = nn.Linear(4, 3)\n\n    def forward(self, x):\n        return self.w(x) * float('nan')\n"
    )
    import torch

    project.save(torch.nn.ModuleDict({"w": torch.nn.Linear(4, 3)}).state_dict())
    spec = project.write_spec(gates=[{"metric": "accuracy", "min": 0.1}])
    code, _, _ = evalkit("run", spec, "-o", tmp_path / "out", "--junit", tmp_path / "j.xml")
    (suite,) = JUnitXml.fromfile(str(tmp_path / "j.xml"))
    assert (code, suite.tests, suite.errors) == (5, 2, 2)
    assert json.loads((tmp_path / "out/verdict.json").read_text())["valid"] is False


@pytest.mark.parametrize("name", ["v1.2", "a b", "ä"])
def test_suites_are_named_by_their_runs(name):
    """What a person typed is what a person finds."""
    assert list(parsed(JudgedRun(name, 0, result_of(name=name), verdict(outcome="none")))) == [
        f"evalkit.{name}"
    ]
