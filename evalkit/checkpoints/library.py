"""What a library's model is to evalkit: built offline and random, with the facts that its library has."""

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import torch

from evalkit.checkpoints.data import TensorData
from evalkit.errors import ModelError, nearest, reason_of

_EXTRAS = {"torchvision": "vision", "timm": "timm", "transformers": "transformers"}
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


class LibraryModel(Protocol):
    """A model that a library knows."""

    @property
    def sized_by_classes(self) -> bool:
        """Whether it is built for as many classes as there are names (else for what its files say)."""

    @property
    def select(self) -> str | None:
        """Where the scores are in what it returns, unless that is a tensor."""

    def check(self) -> None:
        """Raise ModelError where the library has no such classifier, or is not installed."""

    def build(self, args: Mapping[str, Any]) -> Any:
        """Build it, without weights and without downloading anything."""

    def preprocessing(self) -> LibraryPreprocessing | None:
        """Return what its weights were trained with; None where several of them differ."""

    def entries(self) -> list[str]:
        """List weights entries that the factory could name, each with what tells it apart."""

    def class_names(self) -> list[str] | None:
        """Return the names of the library's own head."""

    def weights_file(self) -> Path | None:
        """Return the checkpoint that comes with it."""


def built(factory: str, model: LibraryModel, args: Mapping[str, Any]) -> torch.nn.Module:
    """Build a library's model.

    Raises:
        ModelError: The library is not installed, has no such classifier, or raises.
    """
    model.check()
    try:
        module = model.build(args)
    except Exception as error:
        raise ModelError(f"{factory}: raised {reason_of(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{factory}: is not a torch.nn.Module")
    return module


def imported(library: str) -> ModuleType:
    """Import a library; ModelError with the extra to install where it is missing."""
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ModelError(
            f"{library} is not installed", hint=f"pip install 'torch-evalkit[{_EXTRAS[library]}]'"
        ) from error


def check_known(library: str, name: str, known: list[str]) -> None:
    """Raise ModelError unless a library has a classifier of this name."""
    if name not in known:
        raise ModelError(f"{library}:{name}: {library} has no classifier {name!r}{nearest(name, known)}")


def head_width(sets: Iterable[Mapping[str, TensorData | torch.Tensor]]) -> int | None:
    """Return the outputs of the head in a checkpoint's sets of tensors, where its key is a usual one."""
    found: dict[str, set[int]] = {}
    for tensors in sets:
        for key, value in tensors.items():
            plain = _PREFIXES.sub("", key)
            if len(value.shape) and _HEAD.fullmatch(plain):
                found.setdefault(plain, set()).add(value.shape[0])
    # Of classifier.1 and classifier.4 the last is the head; a plain one goes first.
    last = max(found, key=lambda key: (not re.search(r"\d", key), _numbers(key)), default=None)
    widths = set() if last is None else found[last]
    return widths.pop() if len(widths) == 1 else None


def _numbers(key: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", key)]
