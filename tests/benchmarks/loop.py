"""Whole evaluations against bare loops that only count what is right, and Lightning's: interleaved, medians.

Everything is included: reading, inference, the ledger and the numbers; of ``evalkit run`` also loading the
weights and writing the documents. Peak memory is that of processes of their own.
``python -m tests.benchmarks loop``; EVALKIT_BENCH_SHARE=0.1 takes a tenth of the samples,
EVALKIT_BENCH_ROUNDS=1 one round, EVALKIT_BENCH_RACES=cnn,mlp some races.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import evalkit
from evalkit.cli import main

ROUNDS = int(os.environ.get("EVALKIT_BENCH_ROUNDS", "3"))
BATCH = 256
SHARE = float(os.environ.get("EVALKIT_BENCH_SHARE", "1"))
RACES = os.environ.get("EVALKIT_BENCH_RACES", "cnn,mlp,resnet").split(",")
CLASSES = [str(k) for k in range(10)]
# What a process of its own does once torch is there: the same data, half of them, and the peak in MB.
CHILD = """
import re, sys
from pathlib import Path
import numpy as np, torch
from torch.utils.data import DataLoader, TensorDataset
model, path, batch, kind = sys.argv[1:]
model = torch.load(model, weights_only=False)
found = np.load(path)
n = len(found["y"]) // 2
data = TensorDataset(torch.from_numpy(found["x"][:n]), torch.from_numpy(found["y"][:n]))
if kind == "bare":
    with torch.inference_mode():
        print(sum(int((model(x).argmax(1) == y).sum()) for x, y in DataLoader(data, batch_size=int(batch))))
else:
    import evalkit
    names = [str(k) for k in range(10)]
    evalkit.evaluate(model, data, class_names=names, batch_size=int(batch), precision=kind)
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(int(peak[1]) / 1024)
"""


@dataclass(frozen=True)
class Race:
    """One row of the table: what is run, over which data, and what it must reach."""

    name: str
    model: nn.Module
    path: Path
    batch: int
    must: dict[str, str]

    def data(self) -> TensorDataset:
        """Read the archive."""
        found = np.load(self.path)
        return TensorDataset(torch.from_numpy(found["x"]), torch.from_numpy(found["y"]))

    def bare(self) -> int:
        """Count what is right in a hand-written loop."""
        right = 0
        with torch.inference_mode():
            for x, y in DataLoader(self.data(), batch_size=self.batch):
                right += int((self.model(x).argmax(1) == y).sum())
        return right

    def ours(self, precision: str) -> int:
        """Evaluate; the number of right predictions."""
        return int(np.trace(np.array(self.result(precision).document.counts)))

    def result(self, precision: str) -> evalkit.EvalResult:
        """Evaluate in this process."""
        return evalkit.evaluate(
            self.model, self.data(), class_names=CLASSES, batch_size=self.batch, precision=precision
        )

    def command(self, *words: str) -> int:
        """Evaluate with ``evalkit run``, into a folder beside the data."""
        torch.save(self.model.state_dict(), self.path.with_suffix(".pt"))
        kept, model = self.path.parent / "built.py", self.path.with_suffix(".whole.pt")
        torch.save(self.model, model)
        kept.write_text(f"import torch\ndef build(): return torch.load({str(model)!r}, weights_only=False)")
        spec = {
            "name": "race",
            "model": {"factory": "built:build", "checkpoint": f"{self.path.stem}.pt", "classes": CLASSES},
            "data": {"source": "npz", "path": self.path.name},
            "run": {"batch_size": self.batch},
        }
        file = self.path.with_suffix(".yaml")
        file.write_text(yaml.safe_dump(spec))
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return main(["run", str(file), "-o", str(self.path.parent / "out"), "--force", "--quiet", *words])

    def peaks(self, *kinds: str) -> dict[str, float]:
        """Return the peak memory of processes that evaluate half of the data, in 2**20 bytes."""
        model = self.path.with_suffix(".whole.pt")
        torch.save(self.model, model)
        found = {}
        for kind in kinds:
            words = [sys.executable, "-c", CHILD, str(model), str(self.path), str(self.batch), kind]
            done = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
            found[kind] = float(done.stdout.split()[-1])
        return found

    def lightning(self) -> Callable[[], object] | None:
        """Return the same as a test of Lightning's with torchmetrics; None where they are not installed."""
        try:
            import lightning
            from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
        except ImportError:
            return None

        class Module(lightning.LightningModule):
            def __init__(self, model: nn.Module) -> None:
                super().__init__()
                self.model = model
                self.metrics = nn.ModuleList([MulticlassAccuracy(10), MulticlassF1Score(10)])

            def test_step(self, batch: list[torch.Tensor], _: int) -> None:
                outputs = self.model(batch[0])
                for metric in self.metrics:
                    metric(outputs, batch[1])
                    self.log(type(metric).__name__, metric)

        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}

        def test() -> object:
            trainer = lightning.Trainer(accelerator="cpu", enable_checkpointing=False, **quiet)
            loader = DataLoader(self.data(), batch_size=self.batch)
            return trainer.test(Module(self.model), loader, verbose=False)

        return test


def compete(race: Race, precisions: tuple[str, ...] = ("exact",), *, commands: bool = False) -> None:
    """Run everybody in turn, and print medians of seconds and their ratio to the bare loop's."""
    runners: dict[str, Callable[[], object]] = {"bare loop": race.bare}
    runners |= {f"evalkit {kind}": lambda kind=kind: race.ours(kind) for kind in precisions}
    if commands:
        runners["evalkit run"] = race.command
        runners["evalkit run, no ledger"] = lambda: race.command("--set", "run.ledger=none")
    peer = race.lightning()
    if peer is not None:
        runners["Lightning + torchmetrics"] = peer
    wall: dict[str, list[float]] = {name: [] for name in runners}
    cpu: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(ROUNDS):
        for name, run in runners.items():
            start, used = time.perf_counter(), time.process_time()
            run()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - used)
    bare = statistics.median(wall["bare loop"])
    bare_cpu = statistics.median(cpu["bare loop"])
    print(f"{race.name}   (load {os.getloadavg()[0]:.1f})")
    for name in runners:
        seconds, used = statistics.median(wall[name]), statistics.median(cpu[name])
        must = race.must.get(name, "")
        print(
            f"  {name:26}{seconds:8.2f} s  {seconds / bare:5.2f}x its time"
            f"   CPU {used:8.2f} s  {used / bare_cpu:5.2f}x   {f'must: {must}' if must else ''}",
            flush=True,
        )
    peaks = race.peaks("bare", *precisions)
    more = ", ".join(f"evalkit {kind} {peaks[kind] - peaks['bare']:+.0f}" for kind in precisions)
    print(f"  peak memory of half the samples: bare loop {peaks['bare']:.0f} MB, {more}   must: <= +100")
    found = {kind: race.result(kind) for kind in precisions}
    for kind, result in found.items():
        parts = ", ".join(f"{name} {spent:.2f} s" for name, spent in result.document.run["breakdown"].items())
        fast = result.document.run.get("fast")
        again = f"; ran again {fast['ran_again']}, error {fast['largest_error']:.2g}" if fast else ""
        print(f"  {kind}: {parts}{again}")
    if "fast" in found:
        tables = [column(found[kind], "y_pred") for kind in ("exact", "fast")]
        n_changed = int((tables[0] != tables[1]).sum())
        print(f"  predictions changed by fast: {n_changed} of {len(tables[0])}   must: 0")


def column(result: evalkit.EvalResult, name: str) -> np.ndarray:
    """Return a column of a result's table."""
    import pyarrow.parquet as pq

    return np.array(pq.read_table(result.ledger(), columns=[name])[name])


def archive(folder: Path, name: str, shape: tuple[int, ...], n: int) -> Path:
    """Write random samples whose class shows in their mean."""
    rng = np.random.default_rng(0)
    n = max(int(n * SHARE), 64)
    y = rng.integers(0, 10, n)
    x = rng.random((n, *shape), dtype=np.float32)
    x.reshape(n, -1)[np.arange(n), y] += 3
    np.savez(folder / name, x=x, y=y)
    return folder / f"{name}.npz"


def fitted_resnet(folder: Path) -> tuple[nn.Module, Path]:
    """Return a ResNet-18 whose head was fitted to part of its data, so that margins are realistic."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model = resnet18(num_classes=10).eval()
    n = max(int(2_000 * SHARE), 64)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, n)
    coarse = torch.from_numpy(rng.normal(size=(10, 3, 7, 7)).astype(np.float32))
    noise = torch.from_numpy(rng.normal(size=(n, 3, 224, 224)).astype(np.float32))
    x = noise + 0.6 * nn.functional.interpolate(coarse[y], size=224)
    np.savez(folder / "resnet", x=x.numpy(), y=y)
    head, model.fc = model.fc, nn.Identity()
    with torch.no_grad():
        features = torch.cat([model(part) for part in x[:200].split(50)])
        mean, std = features.mean(0), features.std(0) + 1e-6
    scaled = (features - mean) / std
    head = nn.Linear(512, 10)
    optimiser = torch.optim.AdamW(head.parameters(), 0.01, weight_decay=0.1)
    for _ in range(100):
        optimiser.zero_grad()
        nn.functional.cross_entropy(head(scaled), torch.from_numpy(y[:200])).backward()
        optimiser.step()
    with torch.no_grad():
        head.weight.div_(std)
        head.bias.sub_(head.weight @ mean)
    model.fc = head
    return model.eval(), folder / "resnet.npz"


def half_units() -> str:
    """Say whether this processor computes in bfloat16 itself."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "unknown"
    return ", ".join(name for name in ("amx_bf16", "avx512_bf16") if name in flags) or "none"


def run() -> None:
    """Run every race."""
    warnings.simplefilter("ignore")
    print(f"bfloat16 units: {half_units()}; torch threads: {torch.get_num_threads()}; share {SHARE:g}")
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        races = {"cnn": small_cnn, "mlp": mlp, "resnet": resnet}
        for race in RACES:
            races[race](folder)


def small_cnn(folder: Path) -> None:
    """Pictures that are cheap to compute."""
    cnn = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 49, 10),
    ).eval()  # fmt: skip
    path = archive(folder, "cnn", (1, 28, 28), 60_000)
    must = {"evalkit exact": "<= 1.10x", "evalkit fast": "<= 0.77x"}
    compete(Race("small CNN, 60,000 x 28 x 28", cnn, path, BATCH, must), ("exact", "fast"))


def mlp(folder: Path) -> None:
    """Features that cost nearly nothing."""
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).eval()
    path = archive(folder, "mlp", (64,), 10**6)
    must = {"evalkit exact": "<= 0.33x", "evalkit run": "<= 0.33x", "evalkit run, no ledger": "<= 0.125x"}
    compete(Race("MLP, 10^6 x 64 from npz", model, path, BATCH, must), commands=True)


def resnet(folder: Path) -> None:
    """Pictures that cost much more than anything else."""
    net, path = fitted_resnet(folder)
    must = {"evalkit exact": "<= 1.05x", "evalkit fast": "<= 0.50x"}
    compete(Race("ResNet-18, 224 x 224", net, path, 64, must), ("exact", "fast"))
