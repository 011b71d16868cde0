"""Rows a second and peak memory of ``evalkit score`` over Parquet tables that are made on the spot."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SMALL = 1_000_000
LARGE = int(float(os.environ.get("ROWS", "1e8")))
CLASSES = 10
PIECE = 1_000_000
CHILD = r"""
import re, sys
from pathlib import Path
from evalkit.cli import main
code = main(sys.argv[1:])
peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
sys.stderr.write(f"\npeak {peak}\n")
sys.exit(code)
"""


def run() -> None:
    """Print both sizes of each kind, one after another."""
    kinds = {
        "labels": (False, False, 2e7),
        "labels, ids trusted": (True, False, None),
        "labels, ids looked at": (True, False, 2e6),
        "probabilities of 2 classes": (False, True, None),
    }
    for kind, (ids, scores, wanted) in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            found = []
            for n in (SMALL, max(LARGE // 10, SMALL) if scores else LARGE):
                _make(base / "t.parquet", n, ids=ids, scores=scores)
                seconds, peak = _score(base, kind, ids=ids, scores=scores)
                found.append(peak)
                rate = f"{n / seconds:>12,.0f} rows/s"
                print(f"{kind:>28} {n:>12,} rows: {seconds:6.2f} s, {rate}, peak {peak:,.0f} MB", flush=True)
            must = "" if wanted is None else f"; must reach {wanted:,.0f} rows/s"
            more = found[1] - found[0]
            print(f"{'':>28} {more:+,.0f} MB for the further rows (must stay below 400){must}", flush=True)


def _make(path: Path, n: int, *, ids: bool, scores: bool) -> None:
    rng = np.random.default_rng(0)
    writer = None
    k = 2 if scores else CLASSES
    for start in range(0, n, PIECE):
        size = min(PIECE, n - start)
        true = rng.integers(0, k, size)
        columns = {"y_true": true}
        if scores:
            columns["p"] = np.clip(0.5 + (true - 0.5) * 0.6 + rng.normal(0, 0.2, size), 0, 1).astype(
                np.float32
            )
        else:
            columns["y_pred"] = np.where(rng.random(size) < 0.9, true, rng.integers(0, k, size))
        if ids:
            columns["id"] = pa.array(np.arange(start, start + size)).cast(pa.string())
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    writer.close()


def _score(base: Path, kind: str, *, ids: bool, scores: bool) -> tuple[float, float]:
    k = 2 if scores else CLASSES
    words = ["score", str(base / "t.parquet"), "-o", str(base / "out"), "--quiet", "--json"]
    words += ["--classes", json.dumps([str(i) for i in range(k)])]
    words += ["--id", "id", "--ids", "trust" if "trusted" in kind else "check"] if ids else []
    words += ["--task", "binary", "--scores", "p", "--output-kind", "probabilities"] if scores else []
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *words], capture_output=True, text=True, check=False
    )  # fmt: skip
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    return seconds, float(re.search(r"peak ([\d.]+)", done.stderr)[1])
