"""A callback for Lightning's Trainer: when training ends, the best checkpoint is evaluated and saved.

A LightningModule is evaluated by its ``forward``; values that ``validation_step`` logged are never used.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "evalkit.lightning needs lightning: pip install 'torch-evalkit[lightning]'", name=missing.name
    ) from missing

from evalkit.api import EvalResult
from evalkit.checkpoints.reader import Checkpoint, read_checkpoint
from evalkit.errors import CheckpointError, EvalkitError, ModelError, SpecificationError
from evalkit.trained import Trained, check_asked, load_exactly, named, part_of, run_apart

_STATE = "state_dict"
OnError = Literal["raise", "warn"]


class SaveRun(Callback):  # Lightning takes no other callbacks
    """Evaluate the best checkpoint when ``fit`` ends, on rank 0, and save the run.

    Module, trainer and random numbers are left as they are: a copy is filled with the weights that the first
    ModelCheckpoint holds for the best, read as data. Where there are none, the copy has the weights of the
    end of training, and the document says so. Buffers that no checkpoint holds are those of the end, too.

    Args:
        data: A Dataset, a DataLoader, or a callable that returns one, such as ``datamodule.test_dataloader``.
        directory: Of the run; new, empty, or a run, which is replaced.
        module: Takes the (filled) LightningModule and returns what to call; by default itself.
        name: Of the run; by default the directory's.
        on_error: ``raise`` an EvalkitError out of ``fit``, or ``warn`` and leave the directory as it was.
        **options: Those of :func:`evalkit.evaluate`: class_names, output, select, metrics, slices, ...

    Attributes:
        result: The EvalResult; None before the end, after an error, and on other ranks.

    Raises:
        TypeError, EvalkitError: An argument that could not be acted on after training.
    """

    def __init__(
        self,
        data: Any,
        directory: str | Path,
        *,
        module: Callable[[Any], torch.nn.Module] | None = None,
        name: str | None = None,
        on_error: OnError = "raise",
        **options: Any,
    ) -> None:
        if on_error not in ("raise", "warn"):
            raise SpecificationError(f"on_error: expected raise or warn, got {on_error!r}")
        self._data, self._directory, self._module, self._on_error = data, Path(directory), module, on_error
        self._options = {**options, "name": named(directory, name)}
        check_asked(directory, self._options)
        self.result: EvalResult | None = None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate and save; other ranks have nothing to do, and wait for nobody."""
        self.result = None
        if not trainer.is_global_zero:
            return
        try:
            self.result = self._run(trainer, pl_module)
        except EvalkitError as error:
            if self._on_error == "raise":
                raise
            warnings.warn(f"evalkit: {error} ({self._directory} is as it was)", stacklevel=2)

    def _run(self, trainer: Trainer, trained: LightningModule) -> EvalResult:
        def prepare(copied: torch.nn.Module) -> Trained:
            path, origin = _best(trainer)
            checkpoint = None if path is None else read_checkpoint(path)
            facts = {} if checkpoint is None else _load(copied, checkpoint)
            called = copied if self._module is None else self._part(copied)
            return Trained(called.to(trainer.strategy.root_device), origin, checkpoint, facts)

        # A rehearsal of one batch replaces no run, as it writes no checkpoint.
        rehearsed = trainer.fast_dev_run  # type: ignore[attr-defined] # set by a function of Lightning's
        return run_apart(
            trained,
            self._data,
            prepare=prepare,
            options=self._options,
            directory=None if rehearsed else self._directory,
        )

    def _part(self, copied: torch.nn.Module) -> torch.nn.Module:
        """Return what ``module`` gives; ModelError where that is nothing that was filled."""
        assert self._module is not None
        part = self._module(copied)
        own = {id(value) for value in copied.parameters()}
        if not isinstance(part, torch.nn.Module) or any(id(value) not in own for value in part.parameters()):
            raise ModelError(
                "module: gave something else than a part of the module that it was given",
                hint="Take it from the argument: module=lambda m: m.net",
            )
        return part


def _best(trainer: Trainer) -> tuple[Path | None, str]:
    """Return the checkpoint that the trainer holds for the best, and what it is in words."""
    callback: Any = trainer.checkpoint_callback
    path = getattr(callback, "best_model_path", "")
    if not path:
        return None, "the weights of the end of training, because the trainer has no best checkpoint"
    if callback.monitor is None:
        return Path(
            path
        ), f"the last checkpoint, {Path(path).name}: no monitored value says which is the best"
    score = float(callback.best_model_score)
    return Path(path), f"the best checkpoint by {callback.monitor} ({score:.6g}), {Path(path).name}"


def _load(copied: torch.nn.Module, checkpoint: Checkpoint) -> dict[str, object]:
    tree = checkpoint.contents.tree
    if not isinstance(tree, dict) or not isinstance(tree.get(_STATE), dict):
        raise CheckpointError(f"{checkpoint.path}: has no {_STATE}, as Lightning writes it")
    return {**load_exactly(copied, part_of(checkpoint, tree[_STATE])), "weights": _STATE}
