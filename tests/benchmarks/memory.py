"""Peak memory of ``evalkit run`` over ever more samples, which a data set makes as they are asked for."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import torch
import yaml

SIZES = (10_000, 100_000, 1_000_000)
CLASSES = 10
MODEL = """
import numpy as np
from torch import nn

def build(n_out):
    return nn.Linear(8, n_out)

class Samples:
    def __init__(self):
        import os
        self.n = int(os.environ["N"])
        self.classes = [str(k) for k in range(%d)]

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return np.sin(np.arange(8, dtype=np.float32) * (i + 1)), i %% len(self.classes)
"""
CHILD = r"""
import json, re, sys
from pathlib import Path
from evalkit import running, concluding, measure
seen = {}
def peak():
    # Not getrusage, which remembers the parent's.
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
prepared, joined = measure._run_all, concluding.join
def run_all(runs, progress):
    seen["before"] = peak()
    prepared(runs, progress)
    seen["loop"] = peak()
def join(*words, **more):
    found = joined(*words, **more)
    seen["join"] = peak()
    return found
measure._run_all, concluding.join = run_all, join
from evalkit.cli import main
code = main(sys.argv[1:])
seen["all"] = peak()
sys.stderr.write("\n" + json.dumps(seen))
sys.exit(code)
"""


def run() -> None:
    """Print peaks in MB, and what each further sample costs."""
    print(f"{CLASSES} classes, explicit ids: no; peak MB after preparing, the loop, joining, everything")
    before = None
    for n in SIZES:
        found = _peaks(n)
        line = "  ".join(f"{name} {found[name]:,.0f}" for name in ("before", "loop", "join", "all"))
        print(f"{n:>9,} samples: {line}")
        if before is not None:
            step = n - before[0]
            costs = {name: (found[name] - before[1][name]) * 2**20 / step for name in ("loop", "join", "all")}
            print(
                "           each further sample: " + ", ".join(f"{k} {v:.0f} bytes" for k, v in costs.items())
            )
        before = n, found


def _peaks(n: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "made.py").write_text(textwrap.dedent(MODEL % CLASSES))
        torch.manual_seed(0)
        torch.save(torch.nn.Linear(8, CLASSES).state_dict(), base / "weights.pt")
        spec = {
            "name": "made",
            "model": {
                "factory": "made:build",
                "args": {"n_out": CLASSES},
                "checkpoint": "weights.pt",
                "classes": "data",
            },
            "data": {"source": "factory", "path": "made:Samples"},
            "run": {"batch_size": 1024},
            "report": {"samples": "none"},
        }
        spec["model"]["classes"] = [str(k) for k in range(CLASSES)]
        (base / "eval.yaml").write_text(yaml.safe_dump(spec))
        done = subprocess.run(
            [sys.executable, "-c", CHILD, "run", str(base / "eval.yaml"), "-o", str(base / "out"), "--quiet"],
            capture_output=True, text=True, check=False, env={**os.environ, "N": str(n)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        peaks: dict[str, float] = json.loads(done.stderr.splitlines()[-1])
        return peaks
