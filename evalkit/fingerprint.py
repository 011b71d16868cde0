"""What a run is made of, as digests: equal digests, equal numbers."""

import json
from hashlib import sha256
from typing import Any

import numpy as np

from evalkit.inference import Fed
from evalkit.inference.unchanged import model_digest
from evalkit.provenance import versions
from evalkit.runfile import RunFile
from evalkit.setup import Setup
from evalkit.sources import own_source, packages
from evalkit.work import Share

# How something is read or shown, not what is measured.
_FREE = frozenset({"workers", "worker_timeout", "rank_timeout", "world_size"})
N_LOOKED_AT = 64
_MEASURING = ("task", "model", "data")


def fingerprint(setup: Setup, share: Share, *, beside: Setup | None = None) -> RunFile:
    """Say what a run is made of, apart from its code.

    Args:
        setup: What is evaluated.
        share: Which batches.
        beside: A baseline that is measured over the same batches.
    """
    run = {key: value for key, value in setup.run.items() if key not in _FREE}
    identity = setup.source.identity()
    measuring = {
        **{key: setup.spec.get(key) for key in _MEASURING},
        "run": run,
        "device": setup.device.type,  # which one of several is said in `run`, where it was asked for
    }
    hashes = {
        "weights": _digest([setup.weights_sha256, model_digest(setup.model)]),
        "data": _digest([None if identity is None else identity.content, setup.source.facts()]),
        "samples": _some_of(setup) if identity is None and "world_size" in setup.run else "",
        "files": "" if identity is None else identity.stamp,
        "preprocessing": _digest(setup.model_facts.get("preprocessing")),
        "question": _digest([_question(setup), None if beside is None else _question(beside)]),
        "measuring": _digest(measuring),
        "specification": _digest([setup.spec, run]),
        "software": _digest([versions(), own_source()]),
        "baseline_weights": ""
        if beside is None
        else _digest([beside.weights_sha256, model_digest(beside.model)]),
    }
    return RunFile(
        hashes=hashes,
        code={},
        n_samples=share.n_samples,
        batch_size=share.batch_size,
        shard=(share.index, share.count),
        repeatable=identity is not None and not setup.stochastic,
        packages=packages(),
    )


def _some_of(setup: Setup) -> str:
    """Digest samples here and there, of data that nothing but reading tells apart; not of random ones.

    They show that another rank sees the data in another order, or otherwise.
    """
    n_samples = len(setup.source)
    if setup.stochastic or not n_samples:
        return ""
    digest, looked_at = sha256(), np.unique(np.linspace(0, n_samples - 1, N_LOOKED_AT).astype(np.int64))
    for start in range(0, len(looked_at), setup.batch_size):
        batch = setup.source.batch(looked_at[start : start + setup.batch_size])
        digest.update(repr([batch.index.tolist(), np.asarray(batch.y_true).tolist(), batch.ids]).encode())
        digest.update(Fed.of(batch, None).codes.tobytes())
    return digest.hexdigest()


def _question(setup: Setup) -> list[Any]:
    asked, trained_on = setup.question.asked, setup.trained_on
    manifest = None if trained_on is None else sha256(trained_on.prints.tobytes()).hexdigest()
    order = None if setup.order is None else setup.order.tolist()
    valid = None if setup.valid is None else setup.valid.tolist()
    decision = repr(asked.decision)
    return [asked.class_names, decision, asked.binned, setup.chosen_on, manifest, order, valid]


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
