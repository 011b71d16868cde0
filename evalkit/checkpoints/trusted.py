"""Loads a whole model by running the code that its file names: only where the command line says so.

This is the one place of evalkit that calls ``torch.load``.
"""

import io
from pathlib import Path
from typing import Any

import torch

from evalkit.checkpoints.loading import check_filled, check_finite
from evalkit.checkpoints.reader import Checkpoint
from evalkit.errors import CheckpointError, listed, reason_of
from evalkit.reads import noting
from evalkit.usercode import import_path


def load_trusted(checkpoint: Checkpoint, *, base: Path, weights: str | None = None) -> torch.nn.Module:
    """Unpickle the model that a file holds, from the very bytes that were read and hashed.

    Args:
        checkpoint: The file; whatever was refused while it was read as data stays refused.
        base: Where its modules are looked for first.
        weights: Which model, where the file holds a dictionary of several.

    Raises:
        CheckpointError: It holds no whole model, several, or its code raises.
    """
    if checkpoint.contents.format not in ("zip", "legacy"):
        raise CheckpointError(
            f"{checkpoint.path}: holds no whole model, but tensors alone ({checkpoint.contents.format})",
            hint="Name the model's code: --model module:callable",
        )
    try:
        with import_path(base), noting("built"):
            found = torch.load(io.BytesIO(checkpoint.data), map_location="cpu", weights_only=False)
    except (Exception, SystemExit) as error:
        raise CheckpointError(
            f"{checkpoint.path}: its code raised {reason_of(error)}",
            hint="Its modules are looked for beside the specification, or in the current folder",
        ) from error
    model = _the_model(found, checkpoint.path, weights)
    check_filled(model)
    check_finite(checkpoint.path, {key: v for key, v in model.state_dict().items() if v.is_floating_point()})
    return model


def _the_model(found: Any, path: Path, wanted: str | None) -> torch.nn.Module:
    if isinstance(found, torch.nn.Module):
        return found
    held = found if isinstance(found, dict) else {}
    models = {str(key): value for key, value in held.items() if isinstance(value, torch.nn.Module)}
    if wanted is not None and wanted in models:
        return models[wanted]
    if len(models) == 1 and wanted is None:
        return next(iter(models.values()))
    if models:
        raise CheckpointError(
            f"{path}: holds {len(models)} whole models", hint=f"Choose one: --weights {' | '.join(models)}"
        )
    kinds = listed(list(held)) or type(found).__name__
    raise CheckpointError(
        f"{path}: holds no whole model ({kinds})", hint="Name the model's code: --model module:callable"
    )
