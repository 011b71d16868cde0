"""samples/scale: what it says is run here with the variables that each system sets; the systems are not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import DIGITS, ROOT
from test_merge import same

SCALE = ROOT / "samples/scale"
SPEC = str(DIGITS / "eval.yaml")


def shell(*words, cwd, **env):
    """Run with `evalkit` on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=cwd, env={**os.environ, "PATH": path, **env}
    )
    assert done.returncode == 0, done.stderr
    return done


def merged(folder, digits_run):
    assert same(digits_run, folder)
    assert json.loads((folder / "verdict.json").read_text())["outcome"] == "passed"


@pytest.mark.skipif(shutil.which("bash") is None, reason="the sample is a script of bash")
def test_local(digits_run, tmp_path):
    """Side by side on one machine."""
    shell("bash", SCALE / "local.sh", SPEC, "out", "2", cwd=tmp_path)
    merged(tmp_path / "out/merged", digits_run)


@pytest.mark.skipif(shutil.which("bash") is None, reason="the sample is a script of bash")
def test_slurm(digits_run, tmp_path):
    """What sbatch would run, with what it would set."""
    script = (SCALE / "slurm.sh").read_text()
    assert script.startswith("#!/usr/bin/env bash\n")
    for task in ("2", "1"):
        env = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2"}
        shell("bash", SCALE / "slurm.sh", SPEC, "out", cwd=tmp_path, **env)
    shell("bash", SCALE / "slurm.sh", SPEC, "out", "merge", cwd=tmp_path)
    merged(tmp_path / "out/merged", digits_run)


def test_kubernetes(digits_run, tmp_path):
    """The containers' own commands; two pods stand for eight."""
    shards, merge = yaml.safe_load_all((SCALE / "kubernetes.yaml").read_text())
    assert shards["spec"]["completions"] == 8
    assert shards["spec"]["completionMode"] == "Indexed"
    for index in ("0", "1"):
        container(shards, tmp_path, JOB_COMPLETION_INDEX=index)
    container(merge, tmp_path)
    merged(tmp_path / "out/merged", digits_run)


def container(job, cwd, **env):
    (found,) = job["spec"]["template"]["spec"]["containers"]
    (script,) = found["args"]
    names = {one["name"] for one in found["env"]}
    values = {name: value for name, value in (("SPEC", SPEC), ("FOLDER", "out")) if name in names}
    shell(*found["command"], script.replace("$i/8", "$i/2"), cwd=cwd, **values, **env)


def test_github(digits_run, tmp_path):
    """The steps that call evalkit, with the matrix's variables; two jobs stand for four."""
    jobs = yaml.safe_load((SCALE / "github.yaml").read_text())["jobs"]
    assert jobs["shard"]["strategy"]["matrix"] == {"shard": [1, 2, 3, 4]}
    env = {"SPEC": SPEC, "FOLDER": "out"}
    for shard in ("1", "2"):
        for script in calls(jobs["shard"]):
            shell("bash", "-ec", script.replace("$SHARD/4", "$SHARD/2"), cwd=tmp_path, SHARD=shard, **env)
    for script in calls(jobs["merge"]):
        shell("bash", "-ec", script, cwd=tmp_path, **env)
    merged(tmp_path / "out/merged", digits_run)


def calls(job):
    found = [step["run"] for step in job["steps"] if step.get("run", "").startswith("evalkit ")]
    assert found
    return found
