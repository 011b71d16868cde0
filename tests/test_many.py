"""Several models in one command: each by itself, a row and a suite each, one exit code, and nothing lost."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from documents import result_of
from inprocess import in_process
from junitparser import JUnitXml
from told import check, github_commands, github_outputs, verdict
from toys import MODEL, Project

from evalkit.cli import children, main, many
from evalkit.cli.children import run_child
from evalkit.cli.exits import Terminated
from evalkit.cli.models import is_plain
from evalkit.cli.tally import Tally
from evalkit.errors import ExitCode
from evalkit.render.judged_run import JudgedRun

ROWS = [("a", "a")] * 45 + [("b", "b")] * 45 + [("a", "b")] * 6 + [("b", "a")] * 4
PASSING = {"metric": "accuracy", "min": 0.8}


@pytest.fixture
def quick(monkeypatch):
    """Children that need no process."""
    monkeypatch.setattr(many, "run_child", in_process)


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Write specifications of a table of predictions; `models(a=..., b=...)`, in a folder to start from."""
    monkeypatch.chdir(tmp_path)
    Path("eval").mkdir()
    Path("eval/table.csv").write_text("y_true,y_pred\n" + "".join(f"{y},{p}\n" for y, p in ROWS))

    def write(**specifications):
        paths = []
        for name, changes in specifications.items():
            spec = {"data": {"source": "predictions", "path": "table.csv"}, "gates": [PASSING], **changes}
            paths.append(Path(f"eval/{name}.yaml"))
            paths[-1].write_text(yaml.safe_dump(spec, sort_keys=False))
        return paths

    return write


@pytest.fixture
def job(tmp_path, monkeypatch):
    """An environment as in a job of GitHub's."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path


def rows(printed):
    """State and exit code of each model, as the table says."""
    lines = printed.split("report\n", 1)[1].strip("\n").splitlines()
    found = {}
    for line in lines:
        cells = [cell.strip() for cell in line.strip().split("  ") if cell.strip()]
        found[cells[1]] = (cells[0], next(int(cell) for cell in cells[2:] if cell.isdigit()))
    return found


# What is wrong with a specification -> its keys, and what its row says.
TWELVE = {
    "good": ({}, "passed", 0),
    "better": ({"name": "Better-1.0"}, "passed", 0),
    "bare": ({"gates": [{"metric": "mcc", "min": -1}]}, "passed", 0),
    "low": ({"gates": [{"metric": "accuracy", "min": 0.99}]}, "failed", 3),
    "unsure": (
        {"gates": [{"metric": "accuracy", "min": 0.9, "judge": "interval"}]}, "inconclusive", 7,
    ),
    "few": (
        {"gates": [{"metric": "recall", "class": "a", "min": 0.5, "min_support": 60}]}, "cannot be judged", 5,
    ),
    "typo": ({"mame": "x"}, "ended with an error", 2),
    "absent": ({"data": {"source": "predictions", "path": "no.csv"}}, "ended with an error", 4),
}  # fmt: skip


def test_twelve_models(models, quick, job, tmp_path, evalkit):
    """Red in every way, and each is told in each format; what comes first decides."""
    paths = models(**{name: keys for name, (keys, _, _) in TWELVE.items()})
    expected = {name: rest for name, (_, *rest) in TWELVE.items()}
    expected["Better-1.0"] = expected.pop("better")
    project = Project(tmp_path / "torch")
    project.write_model(MODEL.replace("return self.head(self.body(x))", "return self.head(self.body(x)) / 0"))
    project.spec["name"] = "nan"
    project.write_spec("nan.yaml")
    (project.path / "cut.pt").write_bytes((project.path / "weights.pt").read_bytes()[:900])
    project.spec["name"] = "cut"
    project.write_spec("cut.yaml", model__checkpoint="cut.pt")
    Path("eval/torn.yaml").write_text("a: [\n")
    (blessed,) = models(blessed={})
    assert evalkit("score", "--spec", blessed, "-o", "out/blessed", "--no-ci")[0] == 0
    Path("out/blessed/bless.json").write_text("{}")
    paths += [project.path / "nan.yaml", project.path / "cut.yaml", Path("eval/torn.yaml"), blessed]
    expected |= {
        "nan": ["invalid", 5],
        "cut": ["ended with an error", 4],
        "torn": ["ended with an error", 2],
        "blessed": ["ended with an error", 6],
    }
    files = ("--junit", "out/j.xml", "--openmetrics", "m.txt", "--markdown", "c.md")
    code, out, err = evalkit("run", *paths, "-o", "out", *files)
    assert code == 2
    assert {name: list(row) for name, row in rows(out.split("::error")[0]).items()} == expected
    assert err.splitlines()[-1].startswith("evalkit: error[specification]: 2 of 12 models: typo, torn.")
    assert f"{len(paths)} of {len(paths)}: blessed" in err
    assert "cut: evalkit: error[checkpoint]: " in err
    suites = {suite.name.removeprefix("evalkit."): suite for suite in JUnitXml.fromfile("out/j.xml")}
    assert set(suites) == set(expected)
    green = {name for name, suite in suites.items() if not (suite.failures or suite.errors)}
    assert green == {name for name, (_, code) in expected.items() if code == 0}
    (case,) = suites["cut"]
    assert case.result[0].message.startswith("error[checkpoint]: ")
    told = github_outputs((tmp_path / "github_output").read_text())
    assert (told["exit-code"], told["verdict"], told["gates-failed"]) == ("2", "error", "1")
    assert told["report"].splitlines()[0] == "out/good/report.html"
    assert {one[1].get("file") for one in github_commands(out)} >= {"eval/low.yaml"}
    assert len(Path("c.md").read_text().split("\n\n")[1].splitlines()) == 2 + 12
    page = Path("out/index.html").read_text()
    assert "12 runs: 9 in trouble" in page
    assert 'evalkit_exit_code{model="unsure"} 7' in Path("m.txt").read_text()


def test_one_document_with_all(models, quick, evalkit):
    """`--json`: a list, whose members are what a single run prints, and why others have no numbers."""
    code, out, _ = evalkit("run", *models(good={}, typo={"mame": 1}), "-o", "out", "--json", "--quiet")
    document = json.loads(out)
    assert (code, document["exit_code"], document["outcome"]) == (2, 2, "error")
    good, typo = document["runs"]
    assert (good["name"], good["state"], good["exit_code"], good["directory"]) == (
        "good",
        "passed",
        0,
        "out/good",
    )
    assert good["metrics"][0]["value"] == 0.9
    assert (typo["exit_code"], typo["directory"]) == (2, None)
    assert "mame: unknown key" in typo["problem"]


def judged(code, **changes):
    return JudgedRun("x", code, result_of(**changes), verdict(check()))


def test_precedence():
    """The first of 1, 2, 6, 5 of an invalid run, 4, 3, 5, 7, 0; in any order of the models."""
    invalid = judged(5, valid=False)
    gone = JudgedRun("x", 5, problem="error[invalid-run]: x")
    order = [judged(1), judged(2), judged(6), invalid, judged(4), judged(3), judged(5), judged(7), judged(0)]
    for first, second in itertools.combinations(order, 2):
        for runs in ([first, second], [second, first]):
            assert Tally(runs, [Path()] * 2).exit_code == first.exit_code
    assert Tally([gone, judged(4)], [Path()] * 2).exit_code == 5
    assert Tally([judged(0)] * 2, [Path()] * 2, further=[ExitCode.OUTPUT]).exit_code == 6


@pytest.mark.parametrize(
    "name",
    ["../up", "a/b", ".hidden", "index.html", "Index.HTML", "", "a b", "x" * 101, "a\n::error::b"]
    + ["con", "NUL", "NUL.", "aux.v1", "Com1", "LPT9.x.y", "a."],
)
def test_names_that_no_folder_should_have(name, models, quick, evalkit):
    """The file's name is taken, where that is one; nothing is written elsewhere."""
    code, out, err = evalkit("run", *models(one={"name": name}, two={}), "-o", "out")
    assert code == 0, err
    assert set(rows(out)) == {"one", "two"}
    assert {path.name for path in Path("out").iterdir()} == {"one", "two", "index.html"}
    Path("eval/a b.yaml").write_text(Path("eval/one.yaml").read_text())
    code, _, err = evalkit("run", "eval/a b.yaml", "eval/two.yaml", "-o", "other")
    assert (code, Path("other").exists()) == (2, False)
    assert "can be a folder's" in err
    assert "\n::" not in err


def test_a_file_that_would_be_the_folder_of_a_model(models, quick, evalkit):
    """Refused before any model runs, and nothing is written there."""
    Path("out").mkdir()
    code, _, err = evalkit("run", *models(one={}, two={}), "-o", "out", "--junit", "out/two")
    assert (code, "out/two: is the folder of a model" in err) == (6, True), err
    assert list(Path("out").iterdir()) == []


def test_names_that_a_folder_may_have():
    """What only looks like a device of Windows' is a name as any other."""
    assert all(map(is_plain, ("console", "v1.con", "com", "com10", "nul-1", "a.b", "_", "-x")))


@pytest.mark.parametrize("other", ["Same", "same"])
def test_two_of_one_name(other, models, quick, evalkit):
    """Refused before anything runs, also where only some file systems would mix them up."""
    paths = models(one={"name": "same"}, two={"name": other})
    code, _, err = evalkit("run", *paths, "-o", "out", "--junit", "j.xml")
    assert (code, Path("out").exists()) == (2, False)
    assert [suite.name for suite in JUnitXml.fromfile("j.xml")] == ["evalkit.out"]
    assert f"eval/two.yaml: is called {other}, as eval/one.yaml is" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", "x"], "--name: is for one specification, got 2"),
        (["--shard", "1/2"], "--shard: is for one"),
        (["--write-spec", "w.yaml"], "--write-spec: is for one"),
        (["--expect", "accuracy=0.9"], "--expect: is for one"),
        (["--resume", "--force"], "one of the two"),
        (["eval/*.yml"], "eval/*.yml: no file matches"),
        (["x" * 300 + "*"], "no file matches"),
        (["--min", "accuracy"], "--min accuracy: expected METRIC=LIMIT"),
    ],
)
def test_refused_before_anything_runs(words, message, models, evalkit):
    """What makes no sense for several, and what the shell did not fill in."""
    code, _, err = evalkit("run", *models(one={}, two={}), "-o", "out", *words)
    assert (code, Path("out").exists()) == (2, False)
    assert message in err


def test_flags_reach_every_model(models, quick, tmp_path, evalkit):
    """As they are; for predictions as the keys that they stand for; one that cannot is that model's error."""
    project = Project(tmp_path / "torch")
    words = (
        "--min",
        "mcc=-0.5",
        "--samples",
        "none",
        "--batch-size",
        "16",
        "--set",
        "metrics.interval=0.9",
        "--force",
    )
    code, _, err = evalkit("run", *models(one={}), project.path / "eval.yaml", "-o", "out", *words)
    assert code == 0, err
    for name in ("one", "toy"):
        spec = json.loads(Path(f"out/{name}/result.json").read_text())["spec"]
        assert (spec["report"]["samples"], spec["metrics"]["interval"]) == ("none", 0.9)
        assert spec["gates"][-1]["metric"] == "mcc"
    code, out, _ = evalkit(
        "run", Path("eval/one.yaml"), project.path / "eval.yaml", "-o", "out", "--limit", "9"
    )
    assert {name: code for name, (_, code) in rows(out).items()} == {"one": 2, "toy": 0}
    assert code == 2


def test_what_others_extend_is_no_model(models, quick, evalkit):
    """Where it is none by itself; a whole specification is evaluated, and its mistakes are told."""
    paths = models(common={}, one={"extends": "common.yaml"})
    assert set(rows(evalkit("run", *paths, "-o", "out")[1])) == {"common", "one"}
    Path("eval/common.yaml").write_text("gates: [{metric: accuracy, min: 0.99}]\n")
    Path("eval/one.yaml").write_text("extends: common.yaml\ndata: {source: predictions, path: table.csv}\n")
    code, out, err = evalkit("run", *paths, "-o", "new")
    assert (code, rows(out)) == (3, {"one": ("failed", 3)})
    assert "eval/common.yaml: others extend it" in err
    Path("eval/common.yaml").write_text(
        "gates: [{metric: acuracy, min: 0.99}]\ndata: {source: predictions, path: x}\n"
    )
    assert evalkit("run", *paths, "-o", "new")[0] == 2


def test_output_folders(models, quick, evalkit):
    """New, empty, or with runs and an index of ours; a run itself and anything else are left alone."""
    paths = models(one={}, two={})
    assert evalkit("run", *paths, "-o", "out")[0] == 0
    assert evalkit("run", *paths, "-o", "out", "--junit", "out/j.xml")[0] == 0
    assert evalkit("run", *paths, "-o", "out", "--junit", "out/j.xml")[0] == 0
    code, _, err = evalkit("run", *paths, "-o", "out/one")
    assert (code, "is a run itself. Several models get a folder each below -o: remove this" in err) == (
        6,
        True,
    )
    code, _, err = evalkit("score", "--spec", paths[0], "-o", "out")
    assert (code, "out: holds runs of several models (one, two). One run is" in err) == (6, True)
    assert "say -o out/NAME" in err
    Path("site").mkdir()
    Path("site/index.html").write_text("<title>mine</title>")
    code, _, err = evalkit("run", *paths, "-o", "site")
    assert (code, "(index.html)" in err) == (6, True)
    assert Path("site/index.html").read_text() == "<title>mine</title>"
    assert evalkit("run", *paths, "-o", "eval/one.yaml")[0] == 6


def test_files_for_ci_stand_in_nobodys_way(models, quick, evalkit):
    """Those of an earlier command are left as they are, anything else is foreign; to `gate` they are no runs."""
    paths = models(one={}, two={})
    words = ("--junit", "out/j.xml", "--openmetrics", "out/m.txt", "--markdown", "out/c.md")
    assert evalkit("run", *paths, "-o", "out", *words)[0] == 0
    before = {name: Path(name).read_bytes() for name in words[1::2]}
    assert evalkit("run", *paths, "-o", "out")[0] == 0
    assert {name: Path(name).read_bytes() for name in before} == before
    Path("out/notes.txt").write_text("mine")
    code, out, err = evalkit("gate", *sorted(Path("out").iterdir()))
    assert (code, rows(out)) == (0, {"one": ("passed", 0), "two": ("passed", 0)})
    assert [line for line in err.splitlines() if "not judged" in line] == [
        f"out/{name}: is a file, and no run: not judged" for name in ("c.md", "j.xml", "m.txt", "notes.txt")
    ]
    assert evalkit("gate", "out/j.xml", "out/m.txt")[0] == 2
    code, _, err = evalkit("run", *paths, "-o", "out")
    assert (code, "(notes.txt)" in err) == (6, True)


def test_an_older_run_says_nothing_of_this_one(models, quick, evalkit):
    """Its documents are left, and no row, page or report repeats them."""
    paths = models(one={}, two={})
    assert evalkit("run", *paths, "-o", "out")[0] == 0
    before = Path("out/one/result.json").read_bytes()
    Path("eval/one.yaml").write_text(Path("eval/one.yaml").read_text().replace("table.csv", "gone.csv"))
    code, out, _ = evalkit("run", *paths, "-o", "out", "--json")
    assert code == 4
    assert json.loads(out)["runs"][0]["report"] is None
    assert Path("out/one/result.json").read_bytes() == before
    assert "2 runs: 1 in trouble" in Path("out/index.html").read_text()


def child(script):
    return [sys.executable, "-c", script]


@pytest.mark.parametrize(
    ("script", "code", "problem"),
    [
        ("", 0, None),
        ("import os; os.kill(os.getpid(), 9)", 1, "error[internal]: the process was killed by SIGKILL"),
        ("import os; os.abort()", 1, "error[internal]: the process was killed by SIGABRT"),
        ("import sys; sys.exit(99)", 1, "error[internal]: the process ended with exit code 99"),
        ("import sys; print('evalkit: error[data]: x', file=sys.stderr); sys.exit(4)", 4, "error[data]: x"),
        ("import sys; print('evalkit: error[gate-failed]: x', file=sys.stderr); sys.exit(3)", 3, None),
    ],
)
def test_how_children_end(script, code, problem, capfd):
    """Killed, or with a code that is none of ours, counts as 1; the last error that it told is kept."""
    found = run_child(child(script), label="x", verbose=False)
    assert (found.code, found.problem) == (code, problem)


def test_what_children_say(capfd):
    """Every line has the model's name in front, none is a command to a runner; data is shown if asked for."""
    script = (
        "import sys; print('data'); sys.stderr.buffer.write(b'a\\xff\\n\\n::error::b\\nc\\r::add-mask::d\\n')"
    )
    run_child(child(script), label="m", verbose=False)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "m: a\\xff"
    assert github_commands(err) == []
    assert "data" not in err
    run_child(child(script), label="m", verbose=True)
    out, err = capfd.readouterr()
    assert (out, "m: data" in err) == ("", True)


STUBBORN = """
import signal, sys, time
def stop(number, frame):
    open("stopped", "w").write(str(int(number)))
    sys.exit(130)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
print("ready", file=sys.stderr, flush=True)
signal.pause()
"""


@pytest.mark.parametrize(
    ("number", "code", "passed_on"),
    [
        (signal.SIGINT, 130, signal.SIGINT),
        (signal.SIGTERM, 143, signal.SIGTERM),
        (signal.SIGHUP, 129, signal.SIGTERM),
    ],
)
def test_interrupted(number, code, passed_on, models, monkeypatch, capfd):
    """The child is ended first, what was done is told, and the rest is not run."""

    def second(words, *, label, verbose):
        one = in_process if label == "a" else run_child
        return one(words if label == "a" else child(STUBBORN), label=label, verbose=verbose)

    def tell(text):
        if text.endswith("ready"):
            os.kill(os.getpid(), number)

    monkeypatch.setattr(many, "run_child", second)
    monkeypatch.setattr(children, "tell", tell)
    paths = models(a={}, b={}, c={})
    assert main(["run", *map(str, paths), "-o", "out"]) == code
    assert Path("stopped").read_text() == str(int(passed_on))
    out, err = capfd.readouterr()
    assert out == ""
    assert "stopped after 1 of 3 models" in err
    assert rows(err.split("\nevalkit:")[0]) == {"a": ("passed", 0)}
    assert "3 runs: 2 in trouble" in Path("out/index.html").read_text()


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_ci_is_told_of_what_was_done(stop, code, models, job, monkeypatch, evalkit):
    """Files, summary, outputs and document, with what was not evaluated as errors; then the command ends so."""

    def second(words, *, label, verbose):
        if label == "b":
            raise stop
        return in_process(words, label=label, verbose=verbose)

    monkeypatch.setattr(many, "run_child", second)
    words = ("--junit", "j.xml", "--openmetrics", "/dev/full", "--markdown", "c.md", "--json")
    found, out, err = evalkit("run", *models(a={}, b={}, c={}), "-o", "out", *words)
    document = json.loads(out)
    assert found == document["exit_code"] == code
    assert [run["state"] for run in document["runs"]] == ["passed", "error", "error"]
    suites = {suite.name: suite for suite in JUnitXml.fromfile("j.xml")}
    assert [suite.errors for suite in suites.values()] == [0, 1, 1]
    assert "error[interrupted]: was not evaluated" in {case.result[0].message for case in suites["evalkit.c"]}
    told = github_outputs((job / "github_output").read_text())
    assert (told["exit-code"], told["verdict"], told["report"]) == (str(code), "error", "out/a/report.html")
    assert "| passed | a |" in (job / "github_step_summary").read_text()
    assert "| passed | a |" in Path("c.md").read_text()
    assert "/dev/full: cannot be written" in err


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit(130)", "ended with exit code 130, as SIGINT does it"),
        ("import sys; sys.exit(143)", "ended with exit code 143, as SIGTERM does it"),
        ("import os; os.kill(os.getpid(), 15)", "was killed by SIGTERM"),
        ("import os; os.kill(os.getpid(), 2)", "was killed by SIGINT"),
    ],
)
def test_a_model_that_is_stopped_alone(script, said, models, monkeypatch, evalkit):
    """By itself or by somebody else: that is its own error, and the others run."""

    def second(words, *, label, verbose):
        one = run_child if label == "b" else in_process
        return one(child(script) if label == "b" else words, label=label, verbose=verbose)

    monkeypatch.setattr(many, "run_child", second)
    paths = models(a={}, b={}, c={})
    code, out, _ = evalkit("run", *paths, "-o", "out", "--junit", "j.xml")
    passed = ("passed", 0)
    assert (code, rows(out)) == (1, {"a": passed, "b": ("ended with an error", 1), "c": passed})
    (case,) = {suite.name: suite for suite in JUnitXml.fromfile("j.xml")}["evalkit.b"]
    assert case.result[0].message == f"error[internal]: the process {said}"


def test_a_child_without_documents(models, monkeypatch, evalkit):
    """An exit code alone proves nothing."""
    monkeypatch.setattr(many, "run_child", lambda words, **rest: run_child(child(""), **rest))
    code, out, _ = evalkit("run", *models(a={}, b={}), "-o", "out")
    assert (code, rows(out)["a"]) == (1, ("ended with an error", 1))


ENDS = {"metric": "accuracy", "min": 0.99}
UNSURE = {"metric": "accuracy", "min": 0.9, "judge": "interval"}


@pytest.mark.parametrize(
    ("gate", "ended", "code", "slug"),
    [
        (ENDS, 0, 3, "gate-failed"),
        (UNSURE, 0, 7, "inconclusive"),
        (UNSURE, 3, 7, "inconclusive"),
        (PASSING, 5, 5, "cannot-judge"),
        (PASSING, 6, 6, None),
        (ENDS, 4, 4, None),
        (ENDS, 6, 6, None),
    ],
)
def test_a_process_that_ends_as_its_documents_do_not_say(
    gate, ended, code, slug, models, monkeypatch, evalkit
):
    """What was judged counts, never is such a model passed, and why is told; other codes stay."""

    def otherwise(words, **rest):
        in_process(words, **rest)
        return children._ended(ended, None)

    monkeypatch.setattr(many, "run_child", otherwise)
    found, out, err = evalkit("run", *models(a={"gates": [gate]}, b={"gates": [gate]}), "-o", "out", "--json")
    (one, _) = json.loads(out)["runs"]
    problem = f"error[{slug}]: the process ended with exit code {ended}, its documents say"
    assert (found, one["exit_code"]) == (code, code)
    assert (one["problem"] or "").startswith(problem) == (slug is not None)
    assert err.splitlines()[-1].startswith(f"evalkit: error[{slug or 'output' if code != 4 else 'document'}]")


@pytest.mark.parametrize(("gate", "code"), [(PASSING, 0), (ENDS, 3), (TWELVE["few"][0]["gates"][0], 5)])
def test_a_line_that_looks_like_an_error(gate, code, models, monkeypatch, evalkit):
    """Whatever a model prints, the documents of a run that ended as they say are all that is told."""

    def forged(words, **rest):
        in_process(words, **rest)
        return children._ended(code, "error[invalid-run]: forged")

    monkeypatch.setattr(many, "run_child", forged)
    found, out, _ = evalkit(
        "run", *models(a={"gates": [gate]}, b={"gates": [gate]}), "-o", "out", "--json", "--junit", "j.xml"
    )
    assert (found, {run["problem"] for run in json.loads(out)["runs"]}) == (code, {None})
    assert "forged" not in Path("j.xml").read_text()
    assert sum(suite.tests for suite in JUnitXml.fromfile("j.xml")) == 2


def test_an_invalid_run_stays_one():
    """Whatever the process ended with."""
    invalid = result_of(valid=False)
    found = many._settled(children.Child(ExitCode.OK), invalid, None)
    assert found == (5, "error[invalid-run]: the process ended with exit code 0, its documents say 5")
    assert many._settled(children.Child(ExitCode.INPUT, "error[data]: x"), invalid, None)[0] == 5
    assert many._settled(children.Child(ExitCode.CANNOT_JUDGE, "error[invalid-run]: x"), invalid, None) == (
        5,
        "error[invalid-run]: x",
    )


PARENT = """
import sys
from evalkit.cli import main
code = main(sys.argv[1:])
print("LOADED", code, sorted({"torch", "sklearn", "pandas", "scipy.stats", "pyarrow"} & set(sys.modules)), file=sys.stderr)
"""


def test_processes_of_their_own(models):
    """Real ones; the command itself needs neither torch nor what reads tables."""
    paths = models(one={}, two={"gates": [{"metric": "accuracy", "min": 0.99}]})
    done = subprocess.run(
        [sys.executable, "-c", PARENT, "run", *map(str, paths), "-o", "out"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rows(done.stdout) == {"one": ("passed", 0), "two": ("failed", 3)}
    assert done.stderr.splitlines()[-1] == "LOADED 3 []", done.stderr
    assert "two: evalkit: error[gate-failed]" in done.stderr


def test_gate_of_several(models, quick, job, evalkit):
    """In this process, by the names of the folders; an index beside them is no run."""
    paths = models(a={"name": "x/y"}, b={"gates": [{"metric": "accuracy", "min": 0.99}]})
    evalkit("run", *paths, "-o", "out", "--no-ci")
    Path("out/c").mkdir()
    Path("out/c/result.json").write_text("{}")
    words = ("out/a", "out/b", "out/c", "out/index.html", "--junit", "j.xml")
    code, out, err = evalkit("gate", *words)
    expected = {"a": ("passed", 0), "b": ("failed", 3), "c": ("ended with an error", 4)}
    assert (code, rows(out.split("::error")[0])) == (4, expected)
    assert err.splitlines()[-1].startswith("evalkit: error[document]: 1 of 3 models: c.")
    assert [suite.name for suite in JUnitXml.fromfile("j.xml")] == ["evalkit.a", "evalkit.b", "evalkit.c"]
    Path("gates.yaml").write_text("gates: [{metric: accuracy, min: 0.5}]\n")
    code, out, _ = evalkit("gate", "out/a", "out/b", "--gates", "gates.yaml", "--json", "--no-ci")
    assert (code, [run["outcome"] for run in json.loads(out)["runs"]]) == (0, ["passed", "passed"])
    assert evalkit("gate", "out/a", "out/../out/a", "--no-ci")[0] == 2
    assert evalkit("gate", "out/*x", "--no-ci")[0] == 2
