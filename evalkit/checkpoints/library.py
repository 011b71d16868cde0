"""Models of torchvision and timm by name: always offline, random until the checkpoint is loaded."""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from evalkit.checkpoints.data import TensorData
from evalkit.errors import ModelError, SpecificationError, listed, nearest, reason_of

_LIBRARIES = ("torchvision", "timm")
_EXTRAS = {"torchvision": "vision", "timm": "timm"}
# What training wraps around a model's own keys.
_PREFIXES = re.compile(r"^((module|model|_orig_mod|net)\.)+")
_HEAD = re.compile(r"(fc|classifier|classifier\.\d+|head|head\.fc|heads\.head)\.weight")


@dataclass(frozen=True, slots=True)
class LibraryPreprocessing:
    """What a library says its weights were trained with.

    Attributes:
        transform: From a Pillow image to a tensor, shape (C, H, W).
        text: The same in one line.
        named: True where the factory names the weights that it belongs to, not the architecture alone.
    """

    transform: Callable[[Any], torch.Tensor]
    text: str
    named: bool


def is_library(factory: str) -> bool:
    """Return whether a factory names a library's model."""
    return factory.partition(":")[0] in _LIBRARIES


def build_library_model(factory: str, args: Mapping[str, Any]) -> torch.nn.Module:
    """Build ``torchvision:NAME[/WEIGHTS_ENTRY]`` or ``timm:NAME`` without downloading anything.

    Raises:
        ModelError: The extra is not installed, the name is unknown, or the constructor raises.
    """
    check_library_name(factory)
    library, name, _ = _parts(factory)
    module = _library(library)
    try:
        if library == "timm":
            model = module.create_model(name, pretrained=False, **args)
        else:
            model = module.models.get_model(name, weights=None, **args)
    except Exception as error:
        raise ModelError(f"{factory}: raised {reason_of(error)}") from error
    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"{factory}: is not a torch.nn.Module")
    return model


def check_library_name(factory: str) -> None:
    """Refuse what is no classifier of the library: other models, and places that would be downloaded from.

    Raises:
        ModelError: The extra is not installed, or the name is unknown.
    """
    library, name, _ = _parts(factory)
    module = _library(library)
    if library == "timm":
        known, plain = module.list_models(), name.partition(".")[0]
    else:
        known, plain = module.models.list_models(module=module.models), name
    if plain not in known:
        raise ModelError(f"{factory}: {library} has no classifier {name!r}{nearest(plain, known)}")


def library_preprocessing(factory: str) -> LibraryPreprocessing | None:
    """Return the preprocessing that the factory's weights entry, or timm's configuration, declares.

    None for a torchvision name without a weights entry.

    Raises:
        SpecificationError: The weights entry is unknown.
    """
    library, name, entry = _parts(factory)
    module = _library(library)
    if library == "timm":
        return _timm_preprocessing(module, name)
    if entry is None:
        return None
    transform = _weights_entry(module, name, entry).transforms()
    return LibraryPreprocessing(transform, " ".join(repr(transform).split()), named=True)


def library_entries(factory: str) -> list[str]:
    """List the weights entries of a torchvision model with their sizes and published accuracy."""
    library, name, _ = _parts(factory)
    if library != "torchvision":
        return []
    lines = []
    for weights in _library(library).models.get_model_weights(name):
        transform = weights.transforms()
        sizes = (
            f"resize {getattr(transform, 'resize_size', '?')}, crop {getattr(transform, 'crop_size', '?')}"
        )
        found = weights.meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1")
        published = "" if found is None else f", {found} % on ImageNet"
        lines.append(f"{factory.partition('/')[0]}/{weights.name} ({sizes}{published})")
    return lines


def library_class_names(factory: str) -> list[str] | None:
    """Return the class names of the library's own head, where a weights entry names them."""
    library, name, entry = _parts(factory)
    if library != "torchvision" or entry is None:
        return None
    categories = _weights_entry(_library(library), name, entry).meta.get("categories")
    return None if categories is None else list(categories)


def head_width(tree: Any) -> int | None:
    """Return the outputs of the head in a checkpoint's tree or a state_dict, where its key is a usual one."""
    found: dict[str, set[int]] = {}
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        for key, value in node.items() if isinstance(node, dict) else ():
            plain = _PREFIXES.sub("", str(key))
            if isinstance(value, (TensorData, torch.Tensor)) and _HEAD.fullmatch(plain):
                found.setdefault(plain, set()).add(value.shape[0])
            elif isinstance(value, dict):
                waiting.append(value)
    # Of classifier.1 and classifier.4 the last is the head; a plain one goes first.
    last = max(found, key=lambda key: (not re.search(r"\d", key), _numbers(key)), default=None)
    widths = set() if last is None else found[last]
    return widths.pop() if len(widths) == 1 else None


def _numbers(key: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", key)]


def _weights_entry(module: ModuleType, name: str, entry: str) -> Any:
    weights = module.models.get_model_weights(name)
    names = [item.name for item in weights]
    if entry not in names:
        raise SpecificationError(
            f"torchvision:{name} has no weights entry {entry!r}{nearest(entry, names)}",
            hint=f"It has: {listed(names)}",
        )
    return weights[entry]


def _timm_preprocessing(module: ModuleType, name: str) -> LibraryPreprocessing:
    data = importlib.import_module("timm.data")
    config = data.resolve_data_config(module.get_pretrained_cfg(name).to_dict())
    transform = data.create_transform(**config)
    return LibraryPreprocessing(transform, " ".join(repr(transform).split()), named="." in name)


def _parts(factory: str) -> tuple[str, str, str | None]:
    library, _, rest = factory.partition(":")
    name, slash, entry = rest.partition("/")
    return library, name, entry if slash else None


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(
            f"{name} is not installed", hint=f"pip install 'torch-evalkit[{_EXTRAS[name]}]'"
        ) from error
