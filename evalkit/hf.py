"""For the Trainer of Hugging Face transformers: the best checkpoint is evaluated and saved after training.

Values of ``compute_metrics`` are never used; batches are made as the Trainer makes them.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from evalkit.api import EvalResult
from evalkit.checkpoints.data import TensorData
from evalkit.checkpoints.library import imported
from evalkit.checkpoints.loading import file_facts
from evalkit.checkpoints.reader import Checkpoint, read_checkpoint
from evalkit.checkpoints.transformers_models import TransformersModel, load_pretrained
from evalkit.errors import CheckpointError, SpecificationError
from evalkit.trained import Trained, check_asked, load_exactly, named, part_of, run_apart

# As the Trainer calls them before its collator does.
_LABELS = ("label", "label_ids", "labels")


def save_run(
    trainer: Any, data: Any, directory: str | Path, *, name: str | None = None, **options: Any
) -> EvalResult | None:
    """Evaluate a Trainer's best checkpoint, on rank 0, and save the run.

    Trainer, model and random numbers are left as they are: a copy is filled with the weights of
    ``trainer.state.best_model_checkpoint``, read as data. Where there is none, the copy has the weights of
    the moment, and the document says so.

    Args:
        trainer: A :class:`transformers.Trainer`, after ``train``.
        data: A map-style Dataset, which the trainer's collator joins; a DataLoader, which brings its own; or
            a callable that returns one of them.
        directory: Of the run; new, empty, or a run, which is replaced.
        name: Of the run; by default the directory's.
        **options: Those of :func:`evalkit.evaluate`. Class names are the model's ``id2label``, labels are
            ``labels``, and batches are as large as the trainer's for evaluation, unless they are said.

    Returns:
        The result; None on other ranks.

    Raises:
        TypeError, EvalkitError: An argument that cannot be meant, or whatever else is refused.
    """
    options = {"labels": "labels", **options, "name": named(directory, name)}
    check_asked(directory, options)
    if not isinstance(trainer, imported("transformers").Trainer):
        raise SpecificationError(f"trainer: expected a transformers.Trainer, got a {type(trainer).__name__}")
    if not trainer.is_world_process_zero():
        return None
    folder = trainer.state.best_model_checkpoint

    def opened() -> Any:
        given = data() if callable(data) and not hasattr(data, "__getitem__") else data
        return given if isinstance(given, DataLoader) else _loader(trainer, given, options)

    def prepare(copied: torch.nn.Module) -> Trained:
        if folder is None:
            return Trained(copied, "the current weights, because the trainer has no best checkpoint")
        checkpoint = read_checkpoint(_weights_file(Path(folder)))
        origin = f"the best checkpoint by {trainer.args.metric_for_best_model} ({trainer.state.best_metric})"
        return Trained(copied, f"{origin}, {Path(folder).name}", checkpoint, _load(copied, checkpoint))

    return run_apart(trainer.model, opened, prepare=prepare, options=options, directory=directory)


@dataclass(frozen=True, slots=True)
class _Collate:
    """Joins items as the Trainer does, and keeps the attributes beside what the model is fed.

    Attributes:
        collate: The trainer's own.
        columns: What the model takes; None for all that the items have.
        attributes: Further columns, which the model does not see.
    """

    collate: Callable[[list[Any]], Any]
    columns: frozenset[str] | None
    attributes: tuple[str, ...]

    def __call__(self, items: list[Any]) -> Any:
        joined = self.collate([self._fed(item) for item in items])
        beside = {name: np.asarray([item[name] for item in items]) for name in self.attributes}
        return {**joined, **beside} if beside else joined

    def _fed(self, item: Any) -> Any:
        if not isinstance(item, Mapping):
            return item
        columns = item.keys() if self.columns is None else self.columns
        return {key: item[key] for key in item if key in columns and key not in self.attributes}


def _loader(trainer: Any, data: Any, options: Mapping[str, Any]) -> DataLoader[Any]:
    columns = None
    if trainer.args.remove_unused_columns:
        inside = getattr(trainer.model, "get_base_model", lambda: trainer.model)()  # of an adapter of PEFT
        taken = inspect.signature(inside.forward).parameters
        columns = frozenset([*taken, *_LABELS, *trainer.label_names, options["labels"]])
    names: str | Sequence[str] = options.get("attributes") or ()
    attributes = (names,) if isinstance(names, str) else tuple(names)
    return DataLoader(
        data,
        batch_size=options.get("batch_size", trainer.args.per_device_eval_batch_size),
        collate_fn=_Collate(trainer.data_collator, columns, attributes),
        num_workers=trainer.args.dataloader_num_workers,
    )


def _weights_file(folder: Path) -> Path:
    found = TransformersModel(folder).weights_file()
    if found is None:
        raise CheckpointError(
            f"{folder}: holds no weights of a whole model",
            hint="Adapters, and the shards of FSDP or DeepSpeed, must be merged first",
        )
    return found


def _load(copied: torch.nn.Module, checkpoint: Checkpoint) -> dict[str, object]:
    """Load by the model's own names, or where its class writes others, as that class reads them."""
    checkpoint = _with_shared_names(checkpoint, copied)
    tree, architecture = checkpoint.contents.tree, type(copied)
    own = isinstance(tree, dict) and tree.keys() == copied.state_dict().keys()
    if own or not issubclass(architecture, imported("transformers").PreTrainedModel):
        return load_exactly(copied, checkpoint)
    filled, casts = load_pretrained(architecture, copy.deepcopy(copied.config), checkpoint, {})
    try:
        copied.load_state_dict(filled.state_dict(), strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{checkpoint.path}: the weights do not fit the model that was trained"
        ) from error
    return {**file_facts(checkpoint), "casts": casts}


def _with_shared_names(checkpoint: Checkpoint, model: torch.nn.Module) -> Checkpoint:
    """Name a tensor that the model holds under several names by all of them: safetensors holds it once."""
    tree = checkpoint.contents.tree
    if not isinstance(tree, dict):
        return checkpoint
    held: dict[Any, TensorData] = {}
    state = {key: _place(value) for key, value in model.state_dict().items() if value.numel()}
    for key, place in state.items():
        if isinstance(tree.get(key), TensorData):
            held.setdefault(place, tree[key])
    shared = {key: held[place] for key, place in state.items() if key not in tree and place in held}
    return part_of(checkpoint, {**tree, **shared})


def _place(value: torch.Tensor) -> tuple[object, ...]:
    return value.data_ptr(), value.dtype, tuple(value.shape), value.stride()
