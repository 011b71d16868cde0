"""What a run is made of, as digests: equal digests, equal numbers."""

import json
import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from evalkit.inference.unchanged import model_digest
from evalkit.provenance import portable_path, versions
from evalkit.runfile import RunFile
from evalkit.setup import Setup
from evalkit.work import Share

# How something is read or shown, not what is measured.
_FREE = frozenset({"workers", "worker_timeout"})
_MEASURING = ("task", "model", "data")
_PACKAGE = Path(__file__).parent


def fingerprint(setup: Setup, share: Share, *, beside: Setup | None = None) -> RunFile:
    """Say what a run is made of, apart from its code.

    Args:
        setup: What is evaluated.
        share: Which batches.
        beside: A baseline that is measured over the same batches.
    """
    run = {key: value for key, value in setup.run.items() if key not in _FREE}
    identity = setup.source.identity()
    measuring = {**{key: setup.spec.get(key) for key in _MEASURING}, "run": run, "on": str(setup.device)}
    hashes = {
        "weights": _digest([setup.weights_sha256, model_digest(setup.model)]),
        "data": _digest(len(setup.source)) if identity is None else identity.content,
        "files": "" if identity is None else identity.stamp,
        "preprocessing": _digest(setup.model_facts.get("preprocessing")),
        "question": _digest([*_question(setup), *([] if beside is None else _question(beside))]),
        "measuring": _digest(measuring),
        "specification": _digest([setup.spec, run]),
        "software": _digest([versions(), _own_source()]),
    }
    if beside is not None:
        hashes["baseline_weights"] = _digest([beside.weights_sha256, model_digest(beside.model)])
    return RunFile(
        hashes=hashes,
        code={},
        n_samples=share.n_samples,
        batch_size=share.batch_size,
        shard=(share.index, share.count),
        data_known=identity is not None,
    )


def code_files(base: Path, loaded_before: frozenset[str], known: Iterable[str] = ()) -> dict[str, str]:
    """Return the source files of the user's modules, by path from a folder, with their SHA-256.

    Args:
        base: The specification's folder: what is imported from there is the user's.
        loaded_before: Other modules that are left out: what the process had imported before.
        known: Paths of an earlier run, which may not be imported yet.
    """
    folder, installed = base.resolve(), _installed()
    inside = f"{folder}{os.sep}"
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):  # thousands
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py") or file.startswith(installed):
            continue
        own = name not in loaded_before or file.startswith(inside)
        if own and os.path.isfile(file):  # noqa: PTH113 - some modules only claim to have one
            found[portable_path(Path(file), base=folder)] = _of_file(Path(file))
    return found | {name: _of_file(folder / name) for name in known if name not in found}


def _question(setup: Setup) -> list[Any]:
    asked, trained_on = setup.question.asked, setup.trained_on
    manifest = None if trained_on is None else sha256(trained_on.prints.tobytes()).hexdigest()
    order = None if setup.order is None else setup.order.tolist()
    valid = None if setup.valid is None else setup.valid.tolist()
    decision = repr(asked.decision)
    return [asked.class_names, decision, asked.binned, setup.chosen_on, manifest, order, valid]


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _of_file(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


@cache
def _installed() -> tuple[str, ...]:
    paths: Mapping[str, str] = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
    return tuple({f"{folder}{os.sep}" for folder in (*(paths[name] for name in names), _PACKAGE)})


@cache
def _own_source() -> str:
    digest = sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
