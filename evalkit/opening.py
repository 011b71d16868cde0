"""A specification whose checkpoint was read and whose classes are known; nothing is built yet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.checkpoints.contract import (
    ClassContract,
    class_contract,
    value_in_checkpoint,
)
from evalkit.checkpoints.data import plain_values
from evalkit.checkpoints.declaration import Declaration, read_declaration, refuse_named_code
from evalkit.checkpoints.libraries import library_model, named_library
from evalkit.checkpoints.library import LibraryModel
from evalkit.checkpoints.reader import Checkpoint, read_checkpoint
from evalkit.checkpoints.tree import tensor_sets
from evalkit.datasets import check_data
from evalkit.deciding import positive_index
from evalkit.errors import nearest
from evalkit.spec import Loaded, ModelSpec


@dataclass(frozen=True, slots=True)
class Opened:
    """A specification whose checkpoint was read and whose classes are known; nothing is built yet.

    Attributes:
        loaded, checkpoint, contract: As they were found.
        trusted: Whether the model is what the checkpoint's own code makes of it, instead of a factory's.
    """

    loaded: Loaded
    checkpoint: Checkpoint
    contract: ClassContract
    trusted: bool = False

    @property
    def library(self) -> LibraryModel | None:
        """The library's model that the factory names."""
        return library_model(self.loaded.spec.model.factory, base=self.loaded.base)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names that count, in output order."""
        valid = valid_outputs(self.loaded, self.contract.names)
        return self.contract.names if valid is None else tuple(self.contract.names[k] for k in valid.tolist())


def open_specification(loaded: Loaded, *, trusted: bool = False) -> Opened:
    """Read the checkpoint as data, take over what it declares, and settle the class names.

    Args:
        loaded: The specification.
        trusted: Take the whole model that the file holds, without a factory.

    Raises:
        CheckpointError: The file is refused.
        SpecificationError: The factory or the names cannot be found.
    """
    if trusted and loaded.spec.model.factory is not None:
        raise loaded.source.error(
            ("model", "factory"), "builds the model: there is no code of the checkpoint to trust"
        )
    checkpoint = read_weights_file(loaded)
    loaded = _with_stored_preprocessing(loaded, checkpoint)
    loaded = loaded if trusted else _with_declaration(loaded, checkpoint)
    check_data(loaded)
    contract = class_contract(loaded, checkpoint)
    positive_index(loaded, contract.names)
    return Opened(loaded, checkpoint, contract, trusted)


def read_weights_file(loaded: Loaded) -> Checkpoint:
    """Read the checkpoint that the specification names, or that comes with a library's model."""
    return read_checkpoint(_weights_file(loaded), sha256=loaded.spec.model.sha256)


def _weights_file(loaded: Loaded) -> Path:
    declared = loaded.spec.model.checkpoint
    if declared is not None:
        return loaded.resolve(declared)
    library = library_model(loaded.spec.model.factory, base=loaded.base)
    found = None if library is None else library.weights_file()
    if found is None:
        raise loaded.source.error(("model", "checkpoint"), "is required")
    return found


def _with_stored_preprocessing(loaded: Loaded, checkpoint: Checkpoint) -> Loaded:
    """Fill in a preprocessing that ``checkpoint:KEY`` names."""
    named = loaded.spec.data.preprocess
    if not isinstance(named, str) or not named.startswith("checkpoint:"):
        return loaded
    found = value_in_checkpoint(checkpoint, named.removeprefix("checkpoint:"))
    if not isinstance(found, dict):
        raise loaded.source.error(("data", "preprocess"), f"{named} is no mapping")
    return loaded.updated({"data": {"preprocess": plain_values(found)}}, where=f"{checkpoint.path}: {named}")


def _with_declaration(loaded: Loaded, checkpoint: Checkpoint) -> Loaded:
    """Fill in what the specification leaves out and the file declares; named code is never imported."""
    spec, declared = loaded.spec, read_declaration(checkpoint)
    images = spec.data.source in ("folder", "table") and not spec.data.features
    if spec.model.factory is None and (declared is None or declared.factory is None):
        whole = any(held.module for held in tensor_sets(checkpoint.contents.tree))
        hint = "Say --model module:callable"
        hint += "; the file holds a whole model: --trust-checkpoint runs its code instead" if whole else ""
        raise loaded.source.error(("model", "factory"), "is required", hint=hint)
    if declared is None:
        return loaded
    model: dict[str, Any] = {}
    data: dict[str, Any] = {}
    if spec.model.factory is None:
        if named_library(declared.factory) is None:
            raise refuse_named_code(declared, checkpoint.path)
        model = {"factory": declared.factory}
    model |= _own_words(spec.model, declared)
    if spec.model.classes is None and declared.classes is not None:
        model["classes"] = declared.classes
    if spec.data.preprocess is None and declared.preprocess is not None and images:
        if isinstance(declared.preprocess, str) and declared.preprocess != "library":
            raise refuse_named_code(declared, checkpoint.path)
        data["preprocess"] = declared.preprocess
    return loaded.updated({"model": model, "data": data}, where=str(checkpoint.path))


def _own_words(spec: ModelSpec, declared: Declaration) -> dict[str, Any]:
    """Return what the file says of its own model, where that is meant and the specification is silent."""
    if spec.factory not in (None, declared.factory):
        return {}
    said = {"args": dict(declared.args or {}), "output": declared.output}
    return {key: value for key, value in said.items() if value and key not in spec.model_fields_set}


def valid_outputs(loaded: Loaded, names: tuple[str, ...]) -> NDArray[np.int64] | None:
    """Return the positions of the classes that count, in output order; None for all."""
    declared = loaded.spec.model.valid_classes
    if declared is None:
        return None
    path = ("model", "valid_classes")
    for name in declared:
        if name not in names:
            raise loaded.source.error(path, f"{name!r} is not a class name{nearest(name, names)}")
    return np.array([k for k, name in enumerate(names) if name in declared], np.int64)
