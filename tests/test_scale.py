"""samples/scale: its scripts run here with the variables that each system sets; the systems themselves do not."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import DIGITS, ROOT
from test_merge import same

SCALE = ROOT / "samples/scale"
SPEC = str(DIGITS / "eval.yaml")


STUB = """#!/usr/bin/env bash
# Takes down what it was asked for, in a file of its own, and makes the folder that it was to write.
printf '%s\\0' "$@" > "$CALLS/$$"
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
    (tmp_path / "calls").mkdir()
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.chdir(tmp_path)

    def run(*words, **env):
        for earlier in (tmp_path / "calls").iterdir():
            earlier.unlink()
        done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **env})
        assert done.returncode == 0, done.stderr
        called = [path.read_text() for path in (tmp_path / "calls").iterdir()]
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


RANKS = """#!/usr/bin/env bash
# torchrun of this Python, and what a node of SLURM has.
case ${0##*/} in
    scontrol) printf 'node1\\nnode2\\n' ;;
    srun) printf '%s\\n' "$*" > "$SRUN"; exec evalkit "${@:$(($(printf '%s\\n' "$@" | grep -nx evalkit | cut -d: -f1) + 1))}" ;;
    torchrun) exec "$PYTHON" -m torch.distributed.run --local-addr 127.0.0.1 "$@" ;;
esac
"""


@pytest.fixture
def cluster(tmp_path):
    """Put torchrun, srun and scontrol in front of others, in a folder that is given."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    for name in ("torchrun", "srun", "scontrol"):
        (folder / name).write_text(RANKS)
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.skipif(shutil.which("bash") is None, reason="the sample is a script of bash")
def test_two_nodes(cluster, digits_run, tmp_path):
    """Two torchruns side by side: only the first prints, and the document is the single run's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {
        **os.environ,
        "PATH": f"{cluster}{os.pathsep}{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "HEAD": "127.0.0.1",
        "PORT": port,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    words = ["bash", SCALE / "torchrun.sh", SPEC, tmp_path / "out", "1"]
    nodes = [
        subprocess.Popen(
            words, env={**env, "NODE": node}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for node in ("0", "1")
    ]
    printed = [node.communicate(timeout=120) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], printed
    assert ("all 3 gates passed" in printed[0][0], printed[1][0]) == (True, "")
    merged(tmp_path / "out", digits_run)


@pytest.mark.skipif(shutil.which("bash") is None, reason="the sample is a script of bash")
def test_slurm_with_ranks(shell, cluster, digits_run, tmp_path, monkeypatch):
    """What srun is given; the run itself is that of one process here."""
    monkeypatch.setenv("PATH", f"{cluster}{os.pathsep}{os.environ['PATH']}")
    env = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "7"}
    shell("bash", SCALE / "slurm-torchrun.sh", SPEC, "out", SRUN=str(tmp_path / "srun"), **env)
    words = (
        "torchrun --nnodes 2 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint node1:29500 --rdzv-id 7"
    )
    assert (tmp_path / "srun").read_text().startswith(f"{words} -m evalkit run")
    merged(tmp_path / "out", digits_run)


def sample(name):
    """Compile and load a sample; nothing of it runs."""
    spec = importlib.util.spec_from_file_location(name, SCALE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def digits(monkeypatch):
    """The arrays, and the model's folder as the samples put it into the path."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "model", raising=False)
    yield dict(np.load(DIGITS / "data/test.npz"))
    sys.modules.pop("model", None)


NAMES = json.dumps([str(k) for k in range(10)])


def counts_of(folder):
    return json.loads((folder / "result.json").read_text())["counts"]


def test_ray(digits, evalkit, digits_run, tmp_path):
    """What an actor makes of batches, written as Ray writes blocks, is a ledger that evalkit scores."""
    classify, out = sample("ray_score").Classify(), tmp_path / "ledger"
    out.mkdir()
    ids = np.array([f"{i}" for i in range(449)])
    for start in range(0, 449, 200):
        cut = slice(start, start + 200)
        rows = classify({"sample_id": ids[cut], "x": digits["x"][cut], "y": digits["y"][cut]})
        pd.DataFrame(rows).to_parquet(out / f"{start}.parquet")
    words = ("--output-kind", "logits", "--scores", "score_*", "--labels-are", "indices", "--classes", NAMES)
    code, _, err = evalkit("score", out, *words, "-o", tmp_path / "judged")
    assert code == 0, err
    assert counts_of(tmp_path / "judged") == counts_of(digits_run)


def test_spark(digits, evalkit, digits_run, tmp_path):
    """What a worker predicts, grouped and counted, is a table that evalkit scores."""
    predicted = sample("spark_counts").make_predict()(digits["x"].astype(np.float64))
    pairs = pd.DataFrame({"y_true": digits["y"], "y_pred": predicted})
    pairs.value_counts().reset_index(name="count").to_parquet(tmp_path / "counts.parquet")
    words = ("--count", "count", "--labels-are", "indices", "--classes", NAMES)
    code, _, err = evalkit("score", tmp_path / "counts.parquet", *words, "-o", tmp_path / "judged")
    assert code == 0, err
    assert counts_of(tmp_path / "judged") == counts_of(digits_run)
