"""Reading a checkpoint of 100 MB: time against torch.load and a CRC pass, memory against the file."""

import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch

from evalkit.checkpoints.reader import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 9

_MEMORY = """
    import sys
    from pathlib import Path
    import torch
    from evalkit.checkpoints.loading import load_weights
    from evalkit.checkpoints.reader import read_checkpoint

    def memory(line):
        (found,) = [row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(line)]
        return int(found.split()[1]) * 1024

    path = Path(sys.argv[1])
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = memory("VmRSS")
    if sys.argv[2] == "ours":
        checkpoint = read_checkpoint(path)
        tensors = [checkpoint.tensor(v, name=k) for k, v in checkpoint.contents.tree.items()]
    elif sys.argv[2] == "model":
        checkpoint = read_checkpoint(path)
        model = torch.nn.ParameterDict({k: torch.empty(v.shape) for k, v in checkpoint.contents.tree.items()})
        load_weights(model, checkpoint)
    else:
        tensors = torch.load(path, weights_only=True)
    print((memory("VmHWM") - before) / path.stat().st_size)
"""


def run() -> None:
    """One file in each format, everything once a round."""
    torch.manual_seed(0)
    state = {f"layer{k}": torch.randn(512, 1024) for k in range(50)}
    with tempfile.TemporaryDirectory() as folder:
        zipped, legacy, tensors = (Path(folder, name) for name in ("zip.pt", "legacy.pt", "c.safetensors"))
        torch.save(state, zipped)
        torch.save(state, legacy, _use_new_zipfile_serialization=False)
        safetensors.torch.save_file(state, tensors)
        _times(zipped, legacy, tensors)
        for what, must in (("ours", "<= 2.2"), ("model", ""), ("torch.load", "")):
            ratios = [
                _memory(path, what) for path in (zipped, legacy, tensors)[: 1 if what == "torch.load" else 3]
            ]
            shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"peak memory / file, {what:12} {shown}" + (f"   must (zip): {must}" if must else ""))


def _times(zipped: Path, legacy: Path, tensors: Path) -> None:
    content = zipped.read_bytes()
    rows: dict[str, Callable[[], object]] = {
        "torch.load": lambda: torch.load(zipped, weights_only=True),
        "a CRC pass": lambda: zlib.crc32(content),
        "evalkit, zip": lambda: _read(zipped),
        "evalkit, legacy": lambda: _read(legacy),
        "evalkit, safetensors": lambda: _read(tensors),
        "evalkit, zip, digest": lambda: read_checkpoint(zipped).sha256,
    }
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, function in rows.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(found) for name, found in times.items()}
    limit = 1.5 * medians["torch.load"] + medians["a CRC pass"]
    print(f"{len(content) / 1e6:.0f} MB, medians of {ROUNDS} interleaved rounds")
    for name, median in medians.items():
        print(f"{name:22}{median * 1000:8.0f} ms")
    print(f"evalkit, zip / (1.5 torch.load + CRC): {medians['evalkit, zip'] / limit:.2f}   must: <= 1")


def _read(path: Path) -> object:
    checkpoint = read_checkpoint(path)
    return [checkpoint.tensor(value, name=key) for key, value in checkpoint.contents.tree.items()]


def _memory(path: Path, what: str) -> float:
    words = [sys.executable, "-c", textwrap.dedent(_MEMORY), str(path), what]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
