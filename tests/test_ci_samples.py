"""samples/ci: its shell steps run here as a runner would run them; the services themselves do not."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from told import github_commands, github_outputs

from evalkit.cli import COMMANDS

CI = ROOT / "samples/ci"
FILES = sorted(path for path in CI.rglob("*") if path.is_file())
ACTION = yaml.safe_load((CI / "github/action.yml").read_text())
WORKFLOWS = {
    name: yaml.safe_load((CI / f"github/{name}.yaml").read_text()) for name in ("pull-request", "weekly")
}
EVALKIT = """#!{python}
import sys
sys.path.insert(0, {tests!r})
from inprocess import in_process
from evalkit.cli import main, many
many.run_child = in_process
sys.exit(main())
"""
# Says what it was called with, and ends as it is told.
STAND_IN = """#!/usr/bin/env bash
printf '%s\\0' "${0##*/}" "$@" >> "$CALLS"; printf '\\n' >> "$CALLS"
exit "${CODE:-0}"
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the samples are scripts of bash")


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A folder to work in, with a runner's variables and files, and a bin in front of the path."""
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "CALLS"):
        (tmp_path / name.lower()).touch()
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("work", "bin", "temp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path / "temp"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def program(job, name, text):
    path = job / "bin" / name
    path.write_text(text)
    path.chmod(0o755)


def calls(job):
    return [line.split("\0")[:-1] for line in (job / "calls").read_text().splitlines()]


def step(script, env=()):
    """Run a step as `shell: bash` does."""
    Path(os.environ["RUNNER_TEMP"], "step.sh").write_text(script)
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", os.environ["RUNNER_TEMP"] + "/step.sh"]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **dict(env)})


def action(**inputs):
    """Run the action's own steps with these inputs, and its defaults; gives the last one, and the outputs."""
    known = {name: str(declared.get("default", "")) for name, declared in ACTION["inputs"].items()}
    assert set(inputs) <= set(known)
    known |= {"install": "true"} | inputs
    done = None
    for one in ACTION["runs"]["steps"]:
        if "run" in one:
            env = {name: filled(value, known) for name, value in one.get("env", {}).items()}
            done = step(one["run"], env)
            if done.returncode:
                break
    text = Path(os.environ["GITHUB_OUTPUT"]).read_text()
    own = dict(re.findall(r"(?m)^([a-z-]+)=(.*)$", text))
    written = re.sub(r"(?m)^[a-z-]+=.*\n", "", text)
    return done, {**(github_outputs(written) if written else {}), **own}


def filled(value, inputs):
    (name,) = re.findall(r"^\$\{\{ inputs\.(\w+) \}\}$", value)
    return inputs[name]


def models(**gates):
    """Tables of predictions, a specification each."""
    Path("eval").mkdir()
    rows = [("a", "a")] * 45 + [("b", "b")] * 45 + [("a", "b")] * 6 + [("b", "a")] * 4
    Path("eval/table.csv").write_text("y_true,y_pred\n" + "".join(f"{y},{p}\n" for y, p in rows))
    for name, gate in gates.items():
        data = {"source": "predictions", "path": "table.csv"}
        Path(f"eval/{name}.yaml").write_text(json.dumps({"data": data, "gates": [gate]}))


GATES = {
    0: {"metric": "accuracy", "min": 0.8},
    3: {"metric": "accuracy", "min": 0.99},
    5: {"metric": "recall", "class": "a", "min": 0.5, "min_support": 60},
    7: {"metric": "accuracy", "min": 0.9, "judge": "interval"},
}
VERDICTS = {0: "passed", 3: "failed", 5: "cannot_judge", 7: "inconclusive"}


@pytest.mark.parametrize("code", GATES)
def test_the_action(code, job):
    """Two models, of which one decides: exit code, outputs, summary, annotations and files."""
    program(job, "evalkit", EVALKIT.format(python=sys.executable, tests=str(ROOT / "tests")))
    models(one=GATES[0], two=GATES[code])
    done, outputs = action(specifications="eval/*.yaml", output="out/", arguments="--strict\n--quiet")
    assert done.returncode == (0 if code == 7 else code), done.stderr
    assert (outputs["exit-code"], outputs["verdict"]) == (str(code), VERDICTS[code])
    assert outputs["report"].splitlines() == ["out/one/report.html", "out/two/report.html"]
    assert set(ACTION["outputs"]) <= set(outputs)
    told = [(name, properties["title"]) for name, properties, _ in github_commands(done.stdout)]
    assert (("warning", "evalkit inconclusive") in told) == (code == 7)
    assert any(name == "error" for name, _ in told) == (code not in (0, 7))
    assert "two" in (job / "github_step_summary").read_text()
    assert sorted(path.name for path in Path().iterdir()) == [
        "eval",
        "out",
        "out.comment.md",
        "out.junit.xml",
    ]
    assert Path("out/index.html").is_file()


@pytest.mark.parametrize(("other", "code"), [(0, 0), (3, 3)])
def test_most_changes_leave_most_models_as_they_are(other, code, job, evalkit):
    """A model that is its own baseline is green, and a warning says so; the other decides, and is named."""
    program(job, "evalkit", EVALKIT.format(python=sys.executable, tests=str(ROOT / "tests")))
    models(same=GATES[0], two=GATES[other])
    assert evalkit("score", "--spec", "eval/same.yaml", "-o", "kept", "--no-ci")[0] == 0
    unchanged = json.loads(Path("eval/same.yaml").read_text())
    unchanged["gates"].append({"metric": "accuracy", "max_drop": 0.01})
    Path("eval/same.yaml").write_text(json.dumps({**unchanged, "baseline": "../kept"}))
    done, outputs = action(specifications="eval/*.yaml")
    assert (done.returncode, outputs["verdict"]) == (code, VERDICTS[other]), done.stderr
    assert outputs["gates-undecided"] == "0"
    told = [data for _, _, data in github_commands(done.stdout)]
    assert any(data.startswith("Nothing was compared: the baseline is the same model") for data in told)
    assert done.stderr.splitlines()[-1].startswith(
        "evalkit: error[gate-failed]: 1 of 2 models: two."
    ) == bool(code)


def test_every_sample_lets_a_model_stay_as_it_is():
    """What a service calls for every change says --allow-same-model; a first baseline has nothing to say."""
    judging = [(path, line) for path, line in commands() if line.startswith(("run ", "gate "))]
    assert {path.split("/")[0] for path, _ in judging} == {"README.md", "dvc", "github", "gitlab", "jenkins"}
    for path, line in judging:
        assert ("--allow-same-model" in line) != ("--baseline=none" in line), (path, line)


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [(7, "success", 0), (7, "fail", 3), (3, "fail", 3), (5, "success", 5), (1, "success", 1), (7, "Fail", 2)],
)
def test_what_a_job_makes_of_exit_codes(code, said, expected, job, monkeypatch):
    """There is no third colour: 7 is what the input says, and nothing else is green."""
    program(job, "evalkit", STAND_IN)
    monkeypatch.setenv("CODE", str(code))
    done, outputs = action(specifications="a.yaml", on_inconclusive=said)
    assert done.returncode == expected
    levels = [
        name for name, properties, _ in github_commands(done.stdout) if "inconclusive" in properties["title"]
    ]
    assert levels == ([] if code != 7 or said == "Fail" else ["error" if said == "fail" else "warning"])
    assert outputs.get("exit-code") == (None if said == "Fail" else str(code))


def test_inputs_are_words(job):
    """Whatever an input holds, it is a word of evalkit's; patterns are filled in for specifications alone."""
    program(job, "evalkit", STAND_IN)
    models(one=GATES[0], two=GATES[0])
    hostile = '"; touch pwned; $(touch pwned) `touch pwned`'
    Path("-v.yaml").touch()
    done, _ = action(
        specifications=f"eval/*.yaml\n{hostile}\n*.yaml\n",
        arguments=f"--name={hostile}\n--set=a=*",
        output="a b/c d",
    )
    assert done.returncode == 0, done.stderr
    assert calls(job) == [
        [
            "evalkit", "run", "--allow-same-model", "--output=a b/c d",
            "--junit=a b/c d.junit.xml", "--markdown=a b/c d.comment.md",
            f"--name={hostile}", "--set=a=*", "--", "eval/one.yaml", "eval/two.yaml", hostile, "-v.yaml",
        ]
    ]  # fmt: skip
    assert not Path("pwned").exists()


def test_installing(job):
    """A command that fails ends the action; an empty one is none."""
    program(job, "evalkit", STAND_IN)
    done, _ = action(specifications="a.yaml", install="false | true; echo never")
    assert (done.returncode, calls(job)) == (1, [])
    assert action(specifications="a.yaml", install="")[0].returncode == 0
    assert len(calls(job)) == 1


def runs(document):
    """Every step of a workflow or an action."""
    jobs = document["jobs"].values() if "jobs" in document else [document["runs"]]
    return [one for job in jobs for one in job["steps"]]


@pytest.mark.parametrize("document", [ACTION, *WORKFLOWS.values()], ids=["action", *WORKFLOWS])
def test_nothing_is_pasted_into_shell_text(document):
    """Inputs and names reach the shell as variables; foreign code is GitHub's own."""
    for one in runs(document):
        assert "${{" not in one.get("run", "")
        assert re.match(
            r"(actions/[a-z-]+@v\d+|\./\.github/actions/evalkit)$",
            one.get("uses", "./.github/actions/evalkit"),
        )
        if one.get("uses", "").startswith("./"):
            assert set(one["with"]) <= set(ACTION["inputs"])


def test_least_privilege():
    """Nothing by default; who runs the change's code may read, who may write runs none of it."""
    for workflow in WORKFLOWS.values():
        assert workflow["permissions"] == {}
        evaluate, other = workflow["jobs"].values()
        assert evaluate["permissions"] == {"contents": "read"}
        assert evaluate["steps"][0]["with"]["persist-credentials"] is False
        assert not re.search(r"evalkit (run|gate|bless)|python|pip", str(other["steps"]))
    (trigger,) = WORKFLOWS["pull-request"][True]  # YAML 1.1 reads `on` so
    assert trigger == "pull_request"
    comment = WORKFLOWS["pull-request"]["jobs"]["comment"]
    assert comment["permissions"] == {"pull-requests": "write"}
    assert not any(one.get("uses", "").startswith("actions/checkout") for one in comment["steps"])


def test_forks_get_no_comment():
    """Only where the branch is one of this repository's, and also where the gates failed."""
    condition = " ".join(WORKFLOWS["pull-request"]["jobs"]["comment"]["if"].split())
    assert condition == (
        "!cancelled() && needs.evaluate.result != 'skipped'"
        " && github.event.pull_request.head.repo.full_name == github.repository"
    )


GH = """#!/usr/bin/env bash
printf '%s\\0' gh "$@" >> "$CALLS"; printf '\\n' >> "$CALLS"
case $* in *--paginate*) printf '%s' "$FOUND" ;; esac
"""


@pytest.mark.parametrize(("found", "method"), [("", "POST"), ("12\n34\n", "PATCH")])
def test_one_comment_is_kept_up_to_date(found, method, job):
    """The first of ours is replaced; where there is none, one is written; without a file nothing is said."""
    program(job, "gh", GH)
    (one,) = [one for one in runs(WORKFLOWS["pull-request"]) if one.get("name") == "Comment"]
    env = {"REPOSITORY": "o/r", "NUMBER": "5", "COMMENT": one["env"]["COMMENT"], "FOUND": found}
    assert step(one["run"], env).returncode == 0
    assert calls(job) == []
    Path("out.comment.md").write_text("<!-- evalkit -->")
    assert step(one["run"], env).returncode == 0
    looked, wrote = calls(job)
    assert "<!-- evalkit -->" in looked[-1]
    where = "repos/o/r/issues/comments/12" if found else "repos/o/r/issues/5/comments"
    assert wrote == ["gh", "api", "--silent", "--method", method, where, "--field", "body=@out.comment.md"]


def test_blessing_and_proposing(job, tmp_path):
    """Every run becomes a baseline of its name; a change of them is a branch and a pull request, once."""
    program(job, "evalkit", STAND_IN)
    program(job, "gh", STAND_IN)
    steps = {one["name"]: one for one in runs(WORKFLOWS["weekly"]) if "name" in one}
    for name in ("a", "b c"):
        Path(f"out/{name}").mkdir(parents=True)
    Path("out/index.html").touch()
    assert step(steps["Bless"]["run"]).returncode == 0
    assert calls(job) == [
        ["evalkit", "bless", "out/a/", "--output=baselines/a"],
        ["evalkit", "bless", "out/b c/", "--output=baselines/b c"],
    ]
    git = ["git", "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "--quiet", "--bare", tmp_path / "origin"], check=True)
    subprocess.run([*git, "clone", "--quiet", tmp_path / "origin", "clone"], check=True, capture_output=True)
    os.chdir("clone")
    Path("baselines").mkdir()
    Path("baselines/a").write_text("1")
    env = {"BRANCH": "baselines-1", "TARGET": "main"}
    done = step(steps["Propose"]["run"], env)
    assert done.returncode == 0, done.stderr
    assert calls(job)[-1][:7] == ["gh", "pr", "create", "--base", "main", "--head", "baselines-1"]
    count = len(calls(job))
    assert step(steps["Propose"]["run"], {**env, "BRANCH": "baselines-2"}).returncode == 0
    assert len(calls(job)) == count


def test_blessing_the_only_model(job):
    """It lies in the folder itself, and is called as its file."""
    program(job, "evalkit", STAND_IN)
    models(digits=GATES[0])
    (one,) = [one for one in runs(WORKFLOWS["weekly"]) if one.get("name") == "Bless"]
    for name in ("out/result.json", "out/index.html"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    done = step(one["run"])
    assert done.returncode == 0, done.stderr
    assert calls(job) == [["evalkit", "bless", "out", "--output=baselines/digits"]]


def test_gitlab(job):
    """Its script, up to evalkit's exit code; 7 and no other is allowed."""
    document = yaml.safe_load((CI / "gitlab/.gitlab-ci.yml").read_text())["evaluate"]
    for name in ("git", "pip", "evalkit"):
        program(job, name, STAND_IN)
    models(one=GATES[0], two=GATES[0])
    done = step("\n".join(document["script"]), {"CI_DEFAULT_BRANCH": "main"})
    assert done.returncode == 0, done.stderr
    fetch, _, run = calls(job)
    assert fetch[-1] == "+refs/heads/main:refs/remotes/origin/main"
    assert run[2:4] == ["eval/one.yaml", "eval/two.yaml"]
    assert document["allow_failure"] == {"exit_codes": [7]}
    written = {f"--junit={document['artifacts']['reports']['junit']}", "--openmetrics=metrics.txt"}
    assert written <= set(run)
    assert document["artifacts"]["when"] == "always"
    assert [f"--output={path}" for path in document["artifacts"]["paths"]] == ["--output=out"]


@pytest.mark.parametrize(
    ("merged_into", "source"),
    [(None, "origin"), ("https://host/own", "origin"), ("https://host/target", "https://host/target")],
)
def test_gitlab_asks_the_project_that_is_merged_into(merged_into, source, job):
    """A fork's pipeline runs in the fork: its `main` is no judge. Within a project, origin has the credentials."""
    document = yaml.safe_load((CI / "gitlab/.gitlab-ci.yml").read_text())["evaluate"]
    for name in ("git", "pip", "evalkit"):
        program(job, name, STAND_IN)
    env = {"CI_DEFAULT_BRANCH": "main", "CI_PROJECT_URL": "https://host/own"}
    env |= {} if merged_into is None else {"CI_MERGE_REQUEST_PROJECT_URL": merged_into}
    done = step("\n".join(document["script"]), env)
    assert done.returncode == 0, done.stderr
    (fetched,) = [call for call in calls(job) if call[:2] == ["git", "fetch"]]
    assert fetched[-2:] == [source, "+refs/heads/main:refs/remotes/origin/main"]


def test_jenkins():
    """The report that is written is the one that is read; 7 is unstable, anything else but 0 an error."""
    text = (CI / "jenkins/Jenkinsfile").read_text()
    for opening, closing in ("{}", "()", "[]"):
        assert text.count(opening) == text.count(closing)
    assert "--junit=junit.xml" in text
    assert "junit testResults: 'junit.xml'" in text
    assert re.search(r"code == 7\) \{\s+unstable\(.*\s+\} else if \(code != 0\) \{\s+error\(", text)


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (3, 0), (7, 0), (4, 4), (5, 5)])
def test_dvc(code, expected, job):
    """A verdict is recorded; a run that could not be measured or judged fails the stage."""
    stage = yaml.safe_load((CI / "dvc/dvc.yaml").read_text())["stages"]["evaluate"]["do"]
    program(job, "evalkit", STAND_IN.replace('exit "', '[ "$1" = export ] || exit "'))
    command = stage["cmd"].replace("${item}", "digits")
    assert step(command, {"CODE": str(code)}).returncode == expected
    (metrics,) = stage["metrics"][0]
    exported = [["evalkit", "export", "dvc", "out/digits", f"--output={metrics}"]]
    assert [[word.replace("digits", "${item}") for word in call] for call in calls(job)[1:]] == [
        [word.replace("digits", "${item}") for word in call] for call in (exported if expected == 0 else [])
    ]


def commands():
    """Every command line of evalkit's in the samples, also in sentences."""
    found = []
    for path in FILES:
        text = path.read_text().replace("\\\n", " ")
        lines = re.findall(rf"evalkit ((?:{'|'.join(COMMANDS)})\b[^`|;&'\n]*)", text)
        found += [(str(path.relative_to(CI)), line) for line in lines]
    return found


def test_flags_exist(evalkit):
    """What the samples say, `--help` knows."""
    found = commands()
    assert {path.split("/")[0] for path, _ in found} == {"README.md", "dvc", "github", "gitlab", "jenkins"}
    helps = {name: evalkit(name, "--help")[1] for name in {line.split()[0] for _, line in found}}
    for path, line in found:
        name, *words = shlex.split(line.replace('"', ""))
        for word in words:
            flag = re.match(r"--?[a-z][a-z-]*", word)
            assert flag is None or re.search(rf"(?m)[ ,]{flag[0]}\b", helps[name]), (path, line)
