"""Which library a factory names: ``torchvision:NAME``, ``timm:NAME`` or ``transformers:DIR``."""

from pathlib import Path

from evalkit.checkpoints.library import LibraryModel
from evalkit.checkpoints.timm_models import TimmModel
from evalkit.checkpoints.torchvision_models import TorchvisionModel
from evalkit.checkpoints.transformers_models import TransformersModel
from evalkit.spec import resolve_path

_NAMED = ("torchvision", "timm")
_FOLDER = "transformers"


def library_model(factory: str | None, *, base: Path) -> LibraryModel | None:
    """Return the library's model that a factory names; None for a factory of the user's own.

    Args:
        factory: As the specification has it.
        base: What a folder is relative to.
    """
    library, _, rest = (factory or "").partition(":")
    if library == "torchvision":
        name, slash, entry = rest.partition("/")
        return TorchvisionModel(name, entry if slash else None)
    if library == "timm":
        return TimmModel(rest)
    return TransformersModel(resolve_path(rest, base)) if library == _FOLDER else None


def named_library(factory: str | None) -> LibraryModel | None:
    """Return the model that a library has by name: what a checkpoint may name, too; else None."""
    library = (factory or "").partition(":")[0]
    return library_model(factory, base=Path()) if library in _NAMED else None
