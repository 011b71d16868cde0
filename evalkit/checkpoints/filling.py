"""A model with the weights of a checkpoint in it, whoever builds it: the user, or a library."""

from pathlib import Path
from typing import Any

import torch

from evalkit.checkpoints.factory import build_model
from evalkit.checkpoints.libraries import library_model
from evalkit.checkpoints.library import head_width
from evalkit.checkpoints.loading import file_facts, load_weights
from evalkit.checkpoints.reader import Checkpoint
from evalkit.checkpoints.transformers_models import TransformersModel
from evalkit.checkpoints.tree import tensor_sets


def filled_model(
    checkpoint: Checkpoint,
    factory: str,
    args: dict[str, Any],
    *,
    weights: str | None,
    base: Path,
    n_classes: int | None = None,
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Build a model and load a checkpoint into it.

    Args:
        checkpoint: The file.
        factory, args, weights: As of a specification.
        base: Where the factory's module is looked for first.
        n_classes: What a library's model is built for, by default what the checkpoint's head has.

    Returns:
        The model, and what a document says about where its weights come from.

    Raises:
        ModelError, CheckpointError: It cannot be built, or the weights do not fit.
    """
    library = library_model(factory, base=base)
    if isinstance(library, TransformersModel):
        model, casts = library.load(checkpoint, args)
        return model, {**file_facts(checkpoint), "casts": casts}
    n_classes = n_classes or width_of(checkpoint)
    # Library models are told their number of classes; other factories get what the specification says.
    if library is not None and n_classes is not None:
        args = {"num_classes": n_classes, **args}
    model = build_model(factory, args, base=base)
    return model, load_weights(model, checkpoint, weights=weights).facts()


def width_of(checkpoint: Checkpoint) -> int | None:
    """Return the outputs of the head that a checkpoint holds, where its key is a usual one."""
    return head_width(held.tensors for held in tensor_sets(checkpoint.contents.tree))
