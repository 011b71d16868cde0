"""samples/scale: its scripts run here with the variables that each system sets; the systems themselves do not."""

import json
import os
import shutil
import subprocess

import pytest
import yaml
from conftest import DIGITS, ROOT
from test_merge import same

SCALE = ROOT / "samples/scale"
SPEC = str(DIGITS / "eval.yaml")


STUB = """#!/usr/bin/env bash
# Takes down what it was asked for, and makes the folder that it was to write.
printf '%s\\0' "$@" >> "$CALLS"; printf '\\n' >> "$CALLS"
for word; do folder=$word; done
mkdir -p "$folder"
"""


@pytest.fixture
def shell(tmp_path, monkeypatch, evalkit):
    """Run a script with a stand-in for `evalkit`; then what it called, in this process."""
    (tmp_path / "bin").mkdir()
    stub = tmp_path / "bin/evalkit"
    stub.write_text(STUB)
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.chdir(tmp_path)

    def run(*words, **env):
        (tmp_path / "calls").write_text("")
        done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **env})
        assert done.returncode == 0, done.stderr
        called = (tmp_path / "calls").read_text().splitlines()
        assert called
        for call in sorted(called, reverse=True):  # shards side by side come in any order; merge stands last
            assert evalkit(*call.split("\0")[:-1])[0] == 0

    return run


def merged(folder, digits_run):
    assert same(digits_run, folder)
    assert json.loads((folder / "verdict.json").read_text())["outcome"] == "passed"


@pytest.mark.skipif(shutil.which("bash") is None, reason="the sample is a script of bash")
def test_local(shell, digits_run, tmp_path):
    """Side by side on one machine."""
    shell("bash", SCALE / "local.sh", SPEC, "out", "2")
    merged(tmp_path / "out/merged", digits_run)


@pytest.mark.skipif(shutil.which("bash") is None, reason="the sample is a script of bash")
def test_slurm(shell, digits_run, tmp_path):
    """What sbatch would run, with what it would set."""
    script = (SCALE / "slurm.sh").read_text()
    assert script.startswith("#!/usr/bin/env bash\n")
    for task in ("2", "1"):
        env = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2"}
        shell("bash", SCALE / "slurm.sh", SPEC, "out", **env)
    shell("bash", SCALE / "slurm.sh", SPEC, "out", "merge")
    merged(tmp_path / "out/merged", digits_run)


def test_kubernetes(shell, digits_run, tmp_path):
    """The containers' own commands; two pods stand for eight."""
    shards, merge = yaml.safe_load_all((SCALE / "kubernetes.yaml").read_text())
    assert shards["spec"]["completions"] == 8
    assert shards["spec"]["completionMode"] == "Indexed"
    for index in ("0", "1"):
        container(shell, shards, JOB_COMPLETION_INDEX=index)
    container(shell, merge)
    merged(tmp_path / "out/merged", digits_run)


def container(shell, job, **env):
    (found,) = job["spec"]["template"]["spec"]["containers"]
    (script,) = found["args"]
    names = {one["name"] for one in found["env"]}
    values = {name: value for name, value in (("SPEC", SPEC), ("FOLDER", "out")) if name in names}
    shell(*found["command"], script.replace("$i/8", "$i/2"), **values, **env)


def test_github(shell, digits_run, tmp_path):
    """The steps that call evalkit, with the matrix's variables; two jobs stand for four."""
    jobs = yaml.safe_load((SCALE / "github.yaml").read_text())["jobs"]
    assert jobs["shard"]["strategy"]["matrix"] == {"shard": [1, 2, 3, 4]}
    env = {"SPEC": SPEC, "FOLDER": "out"}
    for shard in ("1", "2"):
        for script in calls(jobs["shard"]):
            shell("bash", "-ec", script.replace("$SHARD/4", "$SHARD/2"), SHARD=shard, **env)
    for script in calls(jobs["merge"]):
        shell("bash", "-ec", script, **env)
    merged(tmp_path / "out/merged", digits_run)


def calls(job):
    found = [step["run"] for step in job["steps"] if step.get("run", "").startswith("evalkit ")]
    assert found
    return found
