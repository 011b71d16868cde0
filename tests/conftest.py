"""Shared fixtures: seeded property tests, and two ways to call the command line."""

import os
import re
import subprocess
import sys
from pathlib import Path

# Side by side, each test process has one thread: several would wait for each other on the same cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# What tests print is no news to the job that runs them.
os.environ.pop("GITHUB_ACTIONS", None)

import pytest
from hypothesis import settings
from toys import Project

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "samples/digits"

settings.register_profile("evalkit", deadline=None, derandomize=True)
settings.load_profile("evalkit")


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="accept the current output as golden")
    parser.addoption("--fuzz-seed", type=int, default=0, help="seed of the damaged checkpoints")
    parser.addoption("--fuzz-rounds", type=int, default=2000, help="damaged checkpoints of each format")


@pytest.fixture
def project(tmp_path):
    """A specification of its own in a temporary folder."""
    return Project(tmp_path / "project")


@pytest.fixture
def readme_python():
    """Give the README's one Python block that holds a word."""

    def find(word):
        text = (ROOT / "README.md").read_text()
        (found,) = [block for block in re.findall(r"(?ms)^```python\n(.*?)^```$", text) if word in block]
        return compile(found, "README", "exec")

    return find


@pytest.fixture
def evalkit(capfd):
    """Call the command line in this process; gives (exit code, stdout, stderr)."""
    from evalkit.cli import main

    def call(*words):
        capfd.readouterr()
        code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def process(tmp_path):
    """Call the command line as a user does, in a process of its own."""

    def call(*words, cwd=None, env=None, timeout=120):
        return subprocess.run(
            [sys.executable, "-m", "evalkit", *map(str, words)],
            capture_output=True,
            text=True,
            cwd=cwd or tmp_path,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            check=False,
        )

    return call


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """A finished run of samples/digits, read-only by agreement."""
    from evalkit.cli import main

    out = tmp_path_factory.mktemp("runs") / "digits"
    assert main(["run", str(DIGITS / "eval.yaml"), "-o", str(out), "--quiet"]) == 0
    return out
