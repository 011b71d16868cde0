"""Builds the model that the specification names: the user's ``module:callable``, or a library's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from evalkit.checkpoints.libraries import library_model
from evalkit.checkpoints.library import built
from evalkit.errors import ModelError, reason_of
from evalkit.reads import noting
from evalkit.usercode import find_object, import_path


def build_model(factory: str, args: Mapping[str, Any], *, base: Path) -> torch.nn.Module:
    """Import and call a factory.

    Args:
        factory: ``module:callable`` (a class or a function), or a library's model.
        args: Its keyword arguments.
        base: The folder of the specification, where the module is looked for first.

    Raises:
        ModelError: It cannot be imported, raises, or returns something other than a Module.
    """
    library = library_model(factory, base=base)
    if library is not None:
        with noting("built"):
            return built(factory, library, args)
    function = find_object(factory, base=base)
    if not callable(function):
        raise ModelError(f"{factory}: is {_kind(function)}, expected a callable that returns the model")
    try:
        with import_path(base), noting("built"):
            model = function(**args)
    except (Exception, SystemExit) as error:
        raise ModelError(f"{factory}: raised {reason_of(error)}") from error
    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"{factory}: returned {_kind(model)}, expected a torch.nn.Module")
    return model


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
