"""One model's pass in this process, whole or in shards, without a specification file."""

import json
import time
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from evalkit.asking import asked_of
from evalkit.assemble import Question
from evalkit.datasets import NpzSource
from evalkit.integrity import IntegrityLog
from evalkit.measure import Candidate, measure, share_of
from evalkit.merging import Shard
from evalkit.parts import CANDIDATE
from evalkit.runfile import HASHES, RunFile
from evalkit.scoring import make_decision, metrics_error
from evalkit.setup import Setup, module_facts
from evalkit.spec import SlicesSpec, validate_metrics
from evalkit.work import Work

NAMES = ("ant", "bee", "cat")


def source_of(n, *, seed=0, ids=False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    x[n // 2 :: 7] = x[n // 2 : n // 2 + 1]  # some occur twice, with whatever label
    names = [f"sample {i}" for i in range(n)] if ids else None
    return NpzSource(x, rng.integers(0, 3, n), names, {"site": np.arange(n) % 2})


def setup_of(source, *, model=None, batch_size=4, **changes):
    torch.manual_seed(0)
    model = model or nn.Linear(4, 3)
    metrics, slices = validate_metrics({}, ["site"], where="metrics")
    decision = make_decision(NAMES, task="multiclass", output="logits", threshold=None, positive_class=None)
    asked = asked_of(metrics, slices, class_names=NAMES, decision=decision, scored=True, error=metrics_error)
    spec = {
        "name": "toy",
        "task": "multiclass",
        "metrics": metrics.model_dump(mode="json"),
        "data": SlicesSpec(slices=slices).model_dump(mode="json"),
        "gates": [],
    }
    setup = Setup(
        question=Question("toy", asked),
        model=model,
        weights_sha256="0" * 64,
        model_facts=module_facts(model),
        source=source,
        where="data",
        select=None,
        device=torch.device("cpu"),
        batch_size=batch_size,
        workers=0,
        spec=spec,
        run={"batch_size": batch_size},
    )
    return replace(setup, **changes)


def measured(setup, folder, *, index=1, count=1, limit=None, done=()):
    """Run a pass, or a shard of it, into a folder."""
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    share = share_of(setup, limit=limit, index=index, count=count)
    work = Work(folder / "parts", folder / "table.parquet", share, done)
    (run,) = measure(
        [Candidate(setup, IntegrityLog(), work)], clock=time.perf_counter, progress=lambda *_: None
    )
    return run


def document(result):
    """What law 4 compares: everything but how long it took, and where."""
    return {
        key: value for key, value in json.loads(result.to_json()).items() if key not in ("run", "provenance")
    }


def shard_of(run, folder, hashes=None):
    """What `publish_shard` says of a pass, read back from JSON as `merge` does."""
    share = run.work.share
    stream = {
        "described": run.describe().to_json(),
        "findings": run.integrity.found,
        "parts": [part.path.name for part in run.parts],
        "provenance": {},
    }
    file = RunFile(
        hashes={**dict.fromkeys(HASHES, ""), **(hashes or {})},
        code={},
        n_samples=share.n_samples,
        batch_size=share.batch_size,
        shard=(share.index, share.count),
        complete=True,
        streams={CANDIDATE: stream},
    )
    (folder / "run.json").write_bytes(file.to_json())
    return Shard(folder, RunFile.read_from(folder))
