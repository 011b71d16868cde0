"""Start-up times of the command line against a bare interpreter."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import evalkit

ROOT = Path(__file__).parents[2]
ROUNDS = 9
ROWS = 10**6
EVALKIT = (sys.executable, "-m", "evalkit")


def seconds(command: tuple[str, ...]) -> float:
    """Time one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def run() -> None:
    """Run everything once a round, so that a busy moment hits all rows alike."""
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"
        subprocess.run(
            (*EVALKIT, "run", f"{ROOT}/samples/digits/eval.yaml", "-o", run), check=True, capture_output=True
        )
        rows = {
            "python -c pass": (sys.executable, "-c", "pass"),
            "evalkit --help": (*EVALKIT, "--help"),
            "evalkit report": (*EVALKIT, "report", run),
            "evalkit gate": (*EVALKIT, "gate", run),
            "evalkit run (digits)": (*EVALKIT, "run", f"{ROOT}/samples/digits/eval.yaml", "-o", run),
        }
        times: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(ROUNDS):
            for name, command in rows.items():
                times[name].append(seconds(command))
    bare = statistics.median(times["python -c pass"])
    _print(times, bare)
    comparing()


def comparing() -> None:
    """Compare two ledgers of a million rows, the whole command."""
    rng = np.random.default_rng(0)
    for n_classes, must in ((10, "<= 2.5 s"), (1000, "<= 4 s")):
        with tempfile.TemporaryDirectory() as folder:
            y = rng.integers(0, n_classes, ROWS)
            for name in ("old", "new"):
                pred = np.where(rng.random(ROWS) < 0.9, y, rng.integers(0, n_classes, ROWS))
                evalkit.score(y, pred, class_names=[f"c{k}" for k in range(n_classes)]).save(
                    f"{folder}/{name}"
                )
            command = (*EVALKIT, "compare", f"{folder}/old", f"{folder}/new")
            median = statistics.median(seconds(command) for _ in range(3))
            print(f"evalkit compare, 2 x {ROWS:,} rows, K = {n_classes}: {median:.2f} s   must: {must}")


def _print(times: dict[str, list[float]], bare: float) -> None:
    print(f"{'command':24}{'median':>10}{'ratio':>8}   ({ROUNDS} interleaved rounds)")
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:24}{median * 1000:8.0f} ms{median / bare:7.1f}x")
