"""Stopped by hand or by a scheduler: the exit code says so, nothing is left half done, nobody stays behind."""

import os
import signal
import subprocess
import sys

import pytest

SPIN = """
import os, sys
from torch import nn

class Net(nn.Linear):
    def __init__(self, n_out):
        super().__init__(4, n_out)

    def forward(self, x):
        print("spinning", file=sys.stderr, flush=True)
        while True:
            super().forward(x)

def build(n_out):
    return Net(n_out)
"""


@pytest.fixture
def spinning(project, tmp_path):
    """Start a run whose model never answers; gives a function that starts it and waits until it spins."""
    first = run(project, tmp_path)
    first.communicate(timeout=120)
    assert first.returncode == 0
    project.write_model(SPIN)
    project.save(
        {"weight": project.model.head.weight[:, :4].clone(), "bias": project.model.head.bias.clone()}
    )
    started = []

    def start(*words):
        process = run(project, tmp_path, *words)
        started.append(process)
        for line in process.stderr:
            if "spinning" in line:
                return process
        raise AssertionError("it ended before it was stopped")

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.stderr.close()


def run(project, tmp_path, *words):
    command = [
        sys.executable,
        "-m",
        "evalkit",
        "run",
        project.path / "eval.yaml",
        "-o",
        tmp_path / "out",
        *words,
    ]
    return subprocess.Popen(
        [str(word) for word in command], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_runs(number, code, workers, spinning, tmp_path):
    """Within five seconds; the last good run survives to the byte, no temporary file, no process."""
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    process = spinning("--workers", workers, "--quiet")
    os.kill(process.pid, number)
    assert process.wait(5) == code
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_new_folder_is_not_left_behind(spinning, project, tmp_path):
    """What was made for the run goes with it."""
    process = spinning("-o", tmp_path / "fresh", "--quiet")
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(5) == 143
    assert not (tmp_path / "fresh").exists()


def test_nohup():
    """Who starts a command by it means SIGHUP to do nothing; otherwise it is taken, and given back."""
    from evalkit import cli

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert cli.main(["--version"]) == 0
        assert list(cli._ending()) == [signal.SIGTERM]
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert list(cli._ending()) == [signal.SIGTERM, signal.SIGHUP]
        assert cli.main(["--version"]) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
