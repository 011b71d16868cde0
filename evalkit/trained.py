"""After training: a copy of the model, with the weights of a checkpoint in it, is evaluated and saved."""

import copy
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evalkit.api import Accumulator, EvalResult
from evalkit.api.model import module_setup, result_of
from evalkit.checkpoints.loading import load_weights
from evalkit.checkpoints.reader import Checkpoint
from evalkit.datasets.userdata import build_dataset
from evalkit.display import portable_text
from evalkit.errors import CheckpointError, EvalkitError, ModelError, listed, reason_of
from evalkit.integrity import IntegrityLog
from evalkit.prepare import record_integrity
from evalkit.rundir import check_replaceable
from evalkit.setup import memory_of
from evalkit.spec import validate_metrics

_ASKED = ("class_names", "task", "threshold", "output", "positive_class", "metrics", "slices")


@dataclass(frozen=True, slots=True)
class Trained:
    """What is evaluated after training.

    Attributes:
        module: A copy, or a part of one.
        origin: Where its weights are from, in words of the document.
        checkpoint: The file that they are from; None where they are as training left them.
        facts: What else the document says of the file.
    """

    module: torch.nn.Module
    origin: str
    checkpoint: Checkpoint | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


def run_apart(
    module: torch.nn.Module,
    data: Any,
    *,
    prepare: Callable[[torch.nn.Module], Trained],
    options: Mapping[str, Any],
    directory: str | Path | None,
) -> EvalResult:
    """Evaluate a copy and save the run; the module, and what is drawn at random later, stay as they are.

    Args:
        module: What was trained.
        data: A Dataset, a DataLoader, or a callable that returns one.
        prepare: Gives the copy its weights.
        options: Keywords of :func:`evalkit.evaluate`.
        directory: Of the run; None saves nothing.

    Raises:
        EvalkitError: Whatever went wrong.
    """
    try:
        with _random_state_kept():
            copied = _copied(module)
            with _never_called(module):
                result = _result(prepare(copied), _opened(data), options)
        if directory is not None:
            result.save(directory)
    except EvalkitError:
        raise
    except Exception as error:
        raise EvalkitError(f"the evaluation after training failed: {reason_of(error)}") from error
    return result


def check_asked(directory: str | Path, options: Mapping[str, Any]) -> None:
    """Refuse before training what would be refused after it.

    Raises:
        TypeError: An option that :func:`evalkit.evaluate` does not have.
        SpecificationError: Metrics, a task, an output that do not exist, or do not fit the class names.
        OutputError: The folder holds anything but a run.
    """
    inspect.signature(module_setup).bind(None, None, **options)
    if options.get("class_names") is None:  # so long nobody knows what can be asked of them
        validate_metrics(dict(options.get("metrics") or {}), options.get("slices", ()), where="metrics")
    else:
        Accumulator(**{key: options[key] for key in _ASKED if key in options})
    check_replaceable(Path(directory))


def named(directory: str | Path, name: str | None) -> str:
    """Return the run's name: by default the folder's."""
    return portable_text((Path(directory).resolve().name or "model") if name is None else name)


def load_exactly(module: torch.nn.Module, checkpoint: Checkpoint) -> dict[str, object]:
    """Load a checkpoint that has the module's own keys, all of them and no others; return the facts.

    Raises:
        CheckpointError: A key is missing or left over, or a weight is refused.
    """
    loaded = load_weights(module, checkpoint)
    taken = loaded.weights
    odd = {
        "missing": taken.missing_counters,
        "unexpected": taken.outside,
        "under another name": [f"{taken.prefix}{key}" for key in taken.tensors] if taken.prefix else (),
    }
    text = "; ".join(f"{len(keys)} {what}: {listed(keys)}" for what, keys in odd.items() if keys)
    if text:
        raise CheckpointError(f"{checkpoint.path}: the weights do not fit the model: {text}")
    return loaded.facts()


def part_of(checkpoint: Checkpoint, tree: Any) -> Checkpoint:
    """Return the same file with nothing but one part of what it holds, or that under further names."""
    return replace(checkpoint, contents=replace(checkpoint.contents, tree=tree))


def _result(trained: Trained, data: Any, options: Mapping[str, Any]) -> EvalResult:
    setup, integrity = module_setup(trained.module, data, **options), IntegrityLog()
    file = trained.checkpoint
    if file is None:
        integrity.record("file_integrity", "warn", f"no checkpoint was read: {trained.origin}")
    else:
        record_integrity(integrity, file, pinned=False)
    setup = replace(
        setup,
        weights_sha256=None if file is None else file.sha256,
        model_facts={**setup.model_facts, "origin": portable_text(trained.origin), **trained.facts},
    )
    return result_of(setup, integrity)


def _opened(data: Any) -> Any:
    """Call what gives the data; a data set that can be called is one all the same."""
    return build_dataset(data, "data") if callable(data) and not hasattr(data, "__getitem__") else data


def _copied(module: torch.nn.Module) -> torch.nn.Module:
    try:
        copied = copy.deepcopy(module)
    except Exception as error:
        raise ModelError(
            f"the model cannot be copied: {reason_of(error)}",
            hint="Keep what copy.deepcopy refuses out of its attributes",
        ) from error
    if memory_of(copied) & memory_of(module):
        raise ModelError("the model's copy shares tensors with it, so that loading one changes the other")
    return copied


@contextmanager
def _never_called(module: torch.nn.Module) -> Iterator[None]:
    """Refuse a copy that calls what it was copied from, and so would answer with other weights.

    A function that was put in the place of a ``forward`` may hold the first module, whatever is copied.
    """

    def refuse(called: torch.nn.Module, _: Any) -> None:
        raise ModelError(
            f"the model's copy calls the {type(called).__name__} that was trained, "
            "which does not have the checkpoint's weights",
            hint="Replace no forward by a function that holds the model",
        )

    with ExitStack() as hooks:
        for part in module.modules():
            if not isinstance(part, torch.jit.ScriptModule):  # takes no hooks, and is copied with its code
                hooks.callback(part.register_forward_pre_hook(refuse).remove)
        yield


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Give back the state of every generator: what is drawn after training is as without the evaluation."""
    plain, host, torch_s = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - the global one, which user code draws from
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(host)  # noqa: NPY002 - as above
        torch.set_rng_state(torch_s)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)
