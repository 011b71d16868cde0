"""Whatever fails, and whenever: the right exit code, the last good report as it was, and nothing left behind."""

import errno
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_interruption import SPIN
from test_merge import same
from test_resume import change_weights

from evalkit import files

HERE = Path(__file__).parent


class Failing:
    """Makes the k-th write, flush or rename fail as a full disk does."""

    def __init__(self, monkeypatch, error=None):
        self.k = self.n = 0
        self.error = error or OSError(errno.ENOSPC, "No space left on device")
        for name in ("write", "flush", "rename"):
            monkeypatch.setattr(files, name, self._wrapped(getattr(files, name)))

    def _wrapped(self, function):
        def wrapped(*arguments):
            self.n += 1
            if self.n == self.k:
                raise self.error
            return function(*arguments)

        return wrapped

    def arm(self, k):
        self.k, self.n = k, 0


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def every_failure(monkeypatch, evalkit, words, watched, *, codes=(0,)):
    """Repeat a command with its first step failing, then its second, until it succeeds; gives the steps."""
    failing, before = Failing(monkeypatch), contents(watched)
    for k in range(1, 500):
        failing.arm(k)
        code, _, err = evalkit(*words)
        if failing.n < k:
            assert code in codes, err
            return k
        assert (code, "error[output]" in err, "No space left" in err) == (6, True, True), (k, err)
        assert contents(watched) == before, f"step {k} left something behind, or took something away"
    raise AssertionError("it never succeeded")


def test_every_step_of_a_run_fails(project, evalkit, monkeypatch, tmp_path):
    """The old report is what it was to the byte, whichever write, flush or rename fails."""
    out = tmp_path / "out"
    assert evalkit("run", project.path / "eval.yaml", "-o", out)[0] == 0
    change_weights(project)
    words = ("run", project.path / "eval.yaml", "-o", out, "--quiet")
    assert every_failure(monkeypatch, evalkit, words, out) > 25
    monkeypatch.undo()
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "again")[0] == 0
    assert same(out, tmp_path / "again")


def test_every_step_of_a_first_run_fails(project, evalkit, monkeypatch, tmp_path):
    """Nothing is there before, and nothing afterwards."""
    words = ("run", project.path / "eval.yaml", "-o", tmp_path / "new/out", "--quiet")
    (tmp_path / "new").mkdir()
    assert every_failure(monkeypatch, evalkit, words, tmp_path / "new") > 20
    assert (tmp_path / "new/out/report.html").exists()


def test_every_step_of_merge_and_gate_and_bless_fails(project, evalkit, monkeypatch, tmp_path):
    """The other commands that replace documents."""
    project.write_spec(run__batch_size=16, gates=[{"metric": "accuracy", "min": 0.99}])
    spec, out = project.path / "eval.yaml", tmp_path / "out"
    for index in (1, 2):
        assert evalkit("run", spec, "--shard", f"{index}/2", "-o", tmp_path / f"s{index}")[0] == 0
    assert evalkit("run", spec, "-o", out)[0] == 3
    words = ("merge", tmp_path / "s1", tmp_path / "s2", "-o", out, "--quiet")
    with monkeypatch.context() as patch:
        assert every_failure(patch, evalkit, words, out, codes=(3,)) > 20
    gates = tmp_path / "gates.yaml"
    gates.write_text("gates: [{metric: accuracy, min: 0.1}]")
    with monkeypatch.context() as patch:
        every_failure(patch, evalkit, ("gate", out, "--gates", gates), out)
    assert evalkit("bless", out, "-o", tmp_path / "blessed")[0] == 0
    with monkeypatch.context() as patch:
        every_failure(patch, evalkit, ("bless", out, "-o", tmp_path / "blessed"), tmp_path / "blessed")


def test_stopped_at_every_step(project, evalkit, monkeypatch, tmp_path):
    """Control-C between two renames, too: all old documents, and what was done goes on."""
    out, spec = tmp_path / "out", project.path / "eval.yaml"
    assert evalkit("run", spec, "-o", out)[0] == 0
    before = documents(out)
    change_weights(project)
    assert evalkit("run", spec, "-o", tmp_path / "whole")[0] == 0
    failing = Failing(monkeypatch, KeyboardInterrupt())
    for k in range(1, 500):
        failing.arm(k)
        code = evalkit("run", spec, "-o", out, "--quiet", "--resume")[0]
        if code == 0:
            break
        assert code == 130
        assert documents(out) == before, f"step {k}"
    assert k > 20
    assert same(out, tmp_path / "whole")
    assert sorted(contents(out)) == sorted(contents(tmp_path / "whole"))


def documents(folder):
    """What a reader looks at."""
    found = contents(folder)
    return {name: found[name] for name in found if name != "run.json" and not name.startswith("parts")}


def test_a_full_disk_keeps_the_parts_of_a_long_run(project, evalkit, monkeypatch, tmp_path):
    """Hours are not lost because the page could not be written."""
    monkeypatch.setattr("evalkit.running.PART_SECONDS", 0)
    monkeypatch.setattr("evalkit.running.LOST_SHARE", 0)
    monkeypatch.setattr("evalkit.running.CHECK_SHARE", float("inf"))
    project.write_spec(run__batch_size=16)
    words = ("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    with monkeypatch.context() as patch:
        failing = Failing(patch)
        failing.arm(20)
        code, _, err = evalkit(*words)
        assert (code, "--resume goes on" in err) == (6, True)
    assert list((tmp_path / "out/parts").iterdir())
    assert evalkit(*words, "--resume")[0] == 0
    assert evalkit(*words[:-1], tmp_path / "whole")[0] == 0
    assert same(tmp_path / "whole", tmp_path / "out")


def test_fifty_kills(project, evalkit, tmp_path):
    """kill -9 in the middle of anything: the documents of one run, old or new, and in the end the unbroken one's."""
    project.write_spec(run__batch_size=8)
    spec = project.path / "eval.yaml"
    assert evalkit("run", spec, "-o", tmp_path / "old")[0] == 0
    change_weights(project)
    assert evalkit("run", spec, "-o", tmp_path / "whole")[0] == 0
    words = [spec, tmp_path / "old", tmp_path / "out", 0, 50]
    done = subprocess.run(
        [sys.executable, HERE / "killing.py", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    weights = [
        json.loads((tmp_path / name / "result.json").read_text())["digests"]["weights"]
        for name in ("old", "whole")
    ]
    assert {found[0] for found in told["found"]} == set(weights)
    assert len({str(found) for found in told["found"]}) == 2  # never a table of one and a result of another
    assert told["last"][0] == weights[1]
    assert told["left"] == sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert same(tmp_path / "whole", tmp_path / "out")


def test_two_runs_into_one_folder(project, evalkit, tmp_path):
    """The second is refused while the first one writes, and the folder is the first one's."""
    command = [
        sys.executable,
        "-m",
        "evalkit",
        "run",
        str(project.path / "eval.yaml"),
        "-o",
        str(tmp_path / "out"),
    ]
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")[0] == 0
    before = contents(tmp_path / "out")
    project.write_model(SPIN)
    project.save(
        {"weight": project.model.head.weight[:, :4].clone(), "bias": project.model.head.bias.clone()}
    )
    first = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert any("spinning" in line for line in first.stderr)
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (second.returncode, "another evalkit command is writing there" in second.stderr) == (6, True)
        # Reading needs no lock.
        shown = subprocess.run(
            [*command[:3], "report", str(tmp_path / "out"), "-o", str(tmp_path / "page.html")],
            capture_output=True, check=False,
        )  # fmt: skip
        assert shown.returncode == 0
    finally:
        first.kill()
        first.communicate()
    found = contents(tmp_path / "out")
    assert {name: found[name] for name in before if name != "run.json"} == {
        name: content for name, content in before.items() if name != "run.json"
    }


OUT_OF_MEMORY = """
import torch
from torch import nn

class Net(nn.Linear):
    def __init__(self, n_out, largest, message):
        super().__init__(4, n_out)
        self.largest, self.message = largest, message

    def forward(self, x):
        if len(x) > self.largest:
            raise (torch.OutOfMemoryError if self.message is None else RuntimeError)(self.message or "CUDA out of memory")
        return super().forward(x)

def build(n_out, largest=3, message=None):
    return Net(n_out, largest, message)
"""


@pytest.fixture
def hungry(project):
    """A model for which memory runs out above some batch size."""

    def write(**args):
        project.write_model(OUT_OF_MEMORY)
        torch.manual_seed(0)
        project.save(torch.nn.Linear(4, 3).state_dict())
        return project.write_spec(model__args={"n_out": 3, **args}, run__batch_size=16)

    return write


@pytest.mark.parametrize(
    "message", [None, "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"]
)
def test_out_of_memory_halves_the_batch(message, hungry, evalkit, tmp_path):
    """Recorded; each sample counts once; the batch list stays, so that the document does, too."""
    spec = hungry(largest=100)
    assert evalkit("run", spec, "-o", tmp_path / "roomy")[0] == 0
    spec = hungry(largest=3, message=message)
    code, _, err = evalkit("run", spec, "-o", tmp_path / "out", "--audit", "off")
    assert code == 0, err
    found, roomy = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("out", "roomy"))
    assert found["run"]["halved_batches"] == 1  # the others keep the size that fitted
    assert found["run"]["smallest_batch"] == 2
    assert found["counts"] == roomy["counts"]
    assert found["n_samples"] == 60
    assert "2 samples at a time" in (tmp_path / "out/report.html").read_text()


def test_out_of_memory_with_the_audit(hungry, evalkit, tmp_path):
    """Asking again is cut in the same way, and raises no alarm."""
    assert evalkit("run", hungry(largest=3), "-o", tmp_path / "out", "--strict")[0] == 0


def test_a_single_sample_does_not_fit(hungry, evalkit, tmp_path):
    """Exit 5."""
    code, _, err = evalkit("run", hungry(largest=0), "-o", tmp_path / "out")
    assert (code, "memory ran out for a single sample of batch 0" in err) == (5, True)


HANGING = """
import threading
import numpy as np

class Samples:
    classes = ["class 0", "class 1", "class 2"]

    def __len__(self):
        return 60

    def __getitem__(self, i):
        if i == 40:
            threading.Event().wait()
        return np.ones(4, np.float32) * i, i % 3
"""


def test_a_worker_that_hangs(project, process, tmp_path):
    """One line naming the batch and its samples; no process stays."""
    (project.path / "samples.py").write_text(HANGING)
    project.write_spec(
        data={"source": "factory", "path": "samples:Samples"},
        run={"batch_size": 16, "workers": 2, "worker_timeout": 2},
    )
    done = process("run", project.path / "eval.yaml", "-o", tmp_path / "out", "--quiet")
    assert done.returncode == 5, done.stderr
    assert "a loader worker hangs while batch 2 (samples 32 to 47) was awaited" in done.stderr


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from evalkit.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="the system limits no file sizes")
def test_files_that_may_not_grow(project, evalkit, tmp_path):
    """The page is larger than the limit: exit 6, and the report of before."""
    out = tmp_path / "out"
    assert evalkit("run", project.path / "eval.yaml", "-o", out)[0] == 0
    before = contents(out)
    change_weights(project)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "run", str(project.path / "eval.yaml"), "-o", str(out), "--quiet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 6, done.stderr
    assert contents(out) == before


ODD = {
    "no home": {"HOME": "", "TMPDIR": "/nowhere/at/all"},
    "narrow and ASCII": {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "COLUMNS": "20", "NO_COLOR": "1"},
    "seed, threads and clock": {
        "PYTHONHASHSEED": "7",
        "OMP_NUM_THREADS": "2",
        "SOURCE_DATE_EPOCH": "0",
        "TZ": "Pacific/Kiritimati",
    },
}


def test_odd_surroundings(project, evalkit, process, tmp_path):
    """The same document."""
    assert evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "plain")[0] == 0
    for name, env in ODD.items():
        done = process("run", project.path / "eval.yaml", "-o", tmp_path / name, env=env)
        assert done.returncode == 0, done.stderr
        assert same(tmp_path / "plain", tmp_path / name), name


def test_a_current_folder_that_is_gone(project, digits_run, tmp_path):
    """One line; torch itself would end the process without one. What needs no torch works."""
    gone = tmp_path / "gone"
    script = (
        "import os, sys; os.rmdir(os.getcwd()); from evalkit.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    for words, code in (
        (("run", str(project.path / "eval.yaml"), "-o", str(tmp_path / "out")), 2),
        (("report", str(digits_run), "-o", str(tmp_path / "page.html")), 0),
    ):
        gone.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False, cwd=gone,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert ("the current folder is gone" in done.stderr) == (code == 2)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="the system has no unshare")
def test_without_any_network(project, tmp_path):
    """Nothing is fetched, nothing is asked for."""
    words = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("the system lets nobody have a network of their own")
    done = subprocess.run(
        [*words, sys.executable, "-m", "evalkit", "run", str(project.path / "eval.yaml"), "-o", str(tmp_path / "o")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


GROWING = """
import numpy as np

class Samples:
    classes = ["class 0", "class 1", "class 2"]

    def __init__(self):
        self.read = 0

    def __len__(self):
        return 60 - 30 * (self.read > 40)

    def __getitem__(self, i):
        self.read += 1
        if self.read > 40 and i >= 30:
            raise IndexError(f"there is no sample {i} any more")
        return np.ones(4, np.float32) * i, i % 3
"""


def test_data_that_shrink_under_way(project, evalkit, tmp_path):
    """Invalid, never left out silently."""
    (project.path / "samples.py").write_text(GROWING)
    project.write_spec(data={"source": "factory", "path": "samples:Samples"}, run__batch_size=16)
    code, _, err = evalkit("run", project.path / "eval.yaml", "-o", tmp_path / "out")
    assert (code, "samples came, went or were written again" in err, "no sample" in err) == (5, True, True), (
        err
    )


def test_pictures_that_go_under_way(evalkit, tmp_path, monkeypatch):
    """The same of files; also one that is written again after it was read."""
    from pictures import write_project
    from test_resume import pictures

    write_project(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path / "pictures")
    victim = tmp_path / "pictures/data/val/red/5.png"
    from evalkit import running
    from evalkit.datasets.pictures import Pictures

    take, read = running.Run.take, Pictures.batch

    def remove_and_read(source, index):
        if index[0] > 0:  # samples are read ahead of the model
            victim.unlink(missing_ok=True)
        return read(source, index)

    monkeypatch.setattr(Pictures, "batch", remove_and_read)
    code, _, err = evalkit(
        "run", *pictures(tmp_path / "pictures"), "--batch-size", "4", "-o", tmp_path / "out"
    )
    assert (code, "samples came, went or were written again" in err, "red/5.png" in err) == (5, True, True), (
        err
    )
    monkeypatch.setattr(Pictures, "batch", read)
    write_project(tmp_path / "pictures")
    first = tmp_path / "pictures/data/val/blue/0.png"

    def take_and_write(run, position, batch):
        if position == 3:
            first.write_bytes(first.read_bytes() + b"x")
        take(run, position, batch)

    monkeypatch.setattr(running.Run, "take", take_and_write)
    code, _, err = evalkit(
        "run", *pictures(tmp_path / "pictures"), "--batch-size", "4", "-o", tmp_path / "out"
    )
    assert (code, "samples came, went or were written again" in err) == (5, True), err
