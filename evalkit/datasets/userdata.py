"""Samples from a map-style Dataset of the user's, with the user's own collate function."""

import math
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from evalkit.classes import name_list
from evalkit.datasets.source import Batch, Inputs
from evalkit.errors import DataError, EvalkitError, ModelError, SpecificationError, listed, reason_of
from evalkit.labels import check_range, class_indices, integral_labels, label_sets
from evalkit.ledger import reserved
from evalkit.parts import Unreadable

_LABEL_KEYS = ("label", "labels", "target", "y")
_ITEM_SIZES = (2, 3)


@dataclass(frozen=True, slots=True)
class UserData:
    """A Dataset whose items are (x, y), (x, y, attributes) or a mapping.

    ``x`` is a tensor (``model(x)``), a tuple (``model(*x)``) or a mapping (``model(**x)``).

    Attributes:
        dataset: Sized and indexed.
        collate: Joins items as the training loop does; None for torch's default.
        inputs, labels, attributes: Keys of a mapping item; ``labels`` defaults to label, labels, target or y,
            ``inputs`` to every tensor that is left.
        name: For messages.
        class_names: In output order.
        multilabel: Whether labels are sets, one column a label.
        indices: The class index of each label of the data set's own, from :func:`own_indices`.
    """

    dataset: Any
    name: str
    class_names: tuple[str, ...]
    collate: Callable[[list[Any]], Any] | None = None
    inputs: Sequence[str] | None = None
    labels_key: str | None = None
    attribute_keys: Sequence[str] = ()
    indices: NDArray[np.int64] | None = None
    multilabel: bool = False

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def in_memory(self) -> bool:
        """Whether items are rows of tensors, which no code of the user's reads."""
        return type(self.dataset) is TensorDataset and self.collate is None

    def batch_bytes(self, size: int) -> float:
        """Return how large a batch of tensors in memory is; infinite where the user's code makes them."""
        if not self.in_memory:
            return math.inf
        return float(sum(tensor[:1].nbytes * size for tensor in self.dataset.tensors))

    def labels(self) -> None:
        """Return None: labels are known when items are read."""

    def batch(self, index: NDArray[np.int64]) -> Batch:
        """Read and join the items at some positions; tensors in memory are cut as a whole."""
        if self.in_memory:
            return self._cut(index)
        items, kept, lost = [], [], []
        for position in index.tolist():
            try:
                items.append(self.dataset[position])
                kept.append(position)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code, any fault
                lost.append(Unreadable(position, f"sample {position}", reason_of(error)))
        if not items:
            return Batch(np.array([], np.int64), (), np.array([], np.int64), unreadable=tuple(lost))
        return self._batch(self._joined(items, kept), kept, lost)

    def _cut(self, index: NDArray[np.int64]) -> Batch:
        """Copy rows of tensors: a model may change its inputs in place."""
        neighbours = bool((np.diff(index) == 1).all())
        rows: Any = slice(int(index[0]), int(index[-1]) + 1) if neighbours else torch.from_numpy(index)
        return self._batch([tensor[rows].clone() for tensor in self.dataset.tensors], index.tolist(), [])

    def _batch(self, joined: Any, kept: list[int], lost: list[Unreadable]) -> Batch:
        x, y, attributes = self._split(joined)
        y_true = self._labels(_array(y), f"{self.name}: samples {kept[0]} to {kept[-1]}")
        if len(y_true) != len(kept):
            raise DataError(f"{self.name}: {len(kept)} samples gave {len(y_true)} labels")
        return Batch(
            np.array(kept, np.int64),
            _inputs(x, self.name),
            y_true,
            attributes={
                str(name): _column(name, value, len(kept), self.name) for name, value in attributes.items()
            },
            unreadable=tuple(lost),
        )

    def identity(self) -> None:
        """Return None: what the user's code reads is not known."""

    def stamp(self) -> str:
        """Return the number of items."""
        return str(len(self.dataset))

    def facts(self) -> dict[str, Any]:
        """Return what the document says about the data."""
        return {
            "source": "factory",
            "dataset": f"{type(self.dataset).__module__}.{type(self.dataset).__qualname__}",
            "n_samples": len(self),
            "ids": "positional",
        }

    def _labels(self, y: NDArray[Any], where: str) -> NDArray[Any]:
        if self.multilabel:
            return label_sets(y, self.class_names, where=where)
        if self.indices is None or y.dtype.kind not in "iu":
            return class_indices(y, self.class_names, where=where)
        own = integral_labels(y, where=where)
        check_range(own, n_classes=len(self.indices), where=where)
        return self.indices[own]

    def _joined(self, items: list[Any], positions: list[int]) -> Any:
        try:
            return (self.collate or default_collate)(items)
        except EvalkitError:
            raise
        except (Exception, SystemExit) as error:
            where = f"samples {positions[0]} to {positions[-1]}"
            raise DataError(
                f"{self.name}: {where} cannot be joined: {reason_of(error)}",
                hint="Give items of one shape, or a collate function",
            ) from error

    def _split(self, batch: Any) -> tuple[Any, Any, Mapping[str, Any]]:
        if isinstance(batch, Mapping):
            return self._split_mapping(batch)
        if isinstance(batch, (tuple, list)) and len(batch) in _ITEM_SIZES:
            attributes = batch[2] if len(batch) == 3 else {}  # noqa: PLR2004
            if not isinstance(attributes, Mapping):
                raise DataError(f"{self.name}: the third part of an item must be a mapping of attributes")
            return batch[0], batch[1], attributes
        raise DataError(
            f"{self.name}: items must be (x, y), (x, y, attributes) or a mapping, got {type(batch).__name__}"
        )

    def _split_mapping(self, batch: Mapping[str, Any]) -> tuple[Any, Any, Mapping[str, Any]]:
        key = self.labels_key or next((name for name in _LABEL_KEYS if name in batch), None)
        if key is None or key not in batch:
            raise DataError(
                f"{self.name}: no label among the keys {sorted(batch)}", hint="Name it with labels="
            )
        absent = [name for name in self.attribute_keys if name not in batch]
        if absent:
            raise DataError(
                f"{self.name}: no attribute {absent[0]!r} among the keys {sorted(map(str, batch))}"
            )
        attributes = {name: batch[name] for name in self.attribute_keys}
        rest = {name: value for name, value in batch.items() if name != key and name not in attributes}
        wanted = self.inputs or [name for name, value in rest.items() if isinstance(value, torch.Tensor)]
        missing = [name for name in wanted if name not in rest]
        if missing or not wanted:
            raise DataError(f"{self.name}: no inputs {missing or ''} among the keys {sorted(batch)}")
        return {name: rest[name] for name in wanted}, batch[key], attributes


def classes_of(dataset: Any) -> list[str] | None:
    """Return the names that a data set, or the one it is a subset of, has for its labels."""
    for holder in (dataset, getattr(dataset, "dataset", None)):
        found = getattr(holder, "classes", None)
        if found is not None and not callable(found):
            return name_list(found, where="the data set's classes")
    return None


def own_indices(dataset: Any, class_names: Sequence[str], name: str) -> NDArray[np.int64] | None:
    """Match the data set's own names to the model's, by name; None where it has none.

    Raises:
        SpecificationError: The data set has a class that the model does not have.
    """
    own = classes_of(dataset)
    if own is None:
        return None
    unknown = [label for label in own if label not in class_names]
    if unknown:
        raise SpecificationError(
            f"{name}: {listed(map(repr, unknown), limit=3)} of the data set are no classes of the model, "
            f"which has {listed(map(repr, class_names), limit=3)}",
            hint="Give both the same names",
        )
    position = {label: k for k, label in enumerate(class_names)}
    return np.array([position[label] for label in own], np.int64)


def check_dataset(dataset: Any, name: str) -> None:
    """Refuse what cannot be walked exactly once, with the ways out.

    Raises:
        DataError: Iterable, without a length, or not indexable.
    """
    ways = "Use a map-style Dataset, evalkit score with a table of predictions, or evalkit.Accumulator"
    if isinstance(dataset, IterableDataset):
        raise DataError(
            f"{name}: an iterable dataset, of which nobody can say that each sample came once", hint=ways
        )
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise DataError(f"{name}: a {type(dataset).__name__} without length and index", hint=ways)


@dataclass(frozen=True, slots=True)
class Walked:
    """A data set and how its loader would have read it."""

    dataset: Any
    batch_size: int
    workers: int
    collate: Callable[[list[Any]], Any] | None


def walk_loader(data: Any, batch_size: int) -> Walked:
    """Take a DataLoader apart, or a Dataset as it is.

    A shuffling loader's data set is walked in order: no metric depends on the order, and ids do.

    Raises:
        DataError: The loader drops, repeats or shares out samples.
    """
    if not isinstance(data, DataLoader):
        return Walked(data, batch_size, 0, None)
    check_dataset(data.dataset, "data")
    batches = data.batch_sampler
    if batches is None:
        _check_sampler(data.sampler, len(cast("Sized", data.dataset)))
        return Walked(data.dataset, batch_size, data.num_workers, None)
    if type(batches) is not BatchSampler:
        raise _decides(batches)
    if batches.drop_last:
        raise DataError("data: the loader drops its last batch", hint="Set drop_last=False")
    _check_sampler(batches.sampler, len(cast("Sized", data.dataset)))
    return Walked(data.dataset, batches.batch_size, data.num_workers, data.collate_fn)


def _check_sampler(sampler: Any, n_samples: int) -> None:
    """Refuse a sampler unless it gives every sample once."""
    if type(sampler) not in (RandomSampler, SequentialSampler):
        raise _decides(sampler)
    if getattr(sampler, "replacement", False) or len(sampler) != n_samples:
        raise DataError(
            "data: the loader's sampler draws with replacement, or not every sample", hint="Pass the Dataset"
        )


def _decides(sampler: Any) -> DataError:
    return DataError(
        f"data: a {type(sampler).__name__} decides which samples are read", hint="Pass the Dataset"
    )


def build_dataset(function: Any, name: str) -> Any:
    """Call the user's ``module:callable``; ModelError where it raises."""
    if not callable(function):
        raise ModelError(
            f"{name}: is a {type(function).__name__}, expected a callable that returns a Dataset"
        )
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise ModelError(f"{name}: raised {reason_of(error)}") from error


def _inputs(x: Any, name: str) -> Inputs:
    if isinstance(x, torch.Tensor):
        return (x,)
    if isinstance(x, Mapping) and all(isinstance(value, torch.Tensor) for value in x.values()):
        return dict(x)
    if isinstance(x, (tuple, list)) and all(isinstance(value, torch.Tensor) for value in x):
        return tuple(x)
    raise DataError(f"{name}: x must be a tensor, or a tuple or mapping of tensors, got {type(x).__name__}")


def _array(value: Any) -> NDArray[Any]:
    return value.numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _column(name: object, value: Any, n_samples: int, where: str) -> NDArray[Any]:
    column = _array(value)
    if not isinstance(name, str) or reserved(name) or column.shape != (n_samples,):
        raise DataError(
            f"{where}: the attribute {name!r} must hold one value a sample under a name of its own"
        )
    return column
