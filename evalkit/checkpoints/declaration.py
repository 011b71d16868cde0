"""What a checkpoint says about itself: training writes it once, evaluation reads it as data."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import safetensors
import safetensors.torch
import torch

from evalkit.checkpoints.data import plain_values
from evalkit.checkpoints.libraries import named_library
from evalkit.checkpoints.library import head_width
from evalkit.checkpoints.reader import Checkpoint
from evalkit.classes import check_class_names, name_list
from evalkit.errors import CheckpointError, OutputError, SpecificationError, listed, os_reason
from evalkit.ledger import Output
from evalkit.spec import validate_preprocess

KEY = "evalkit"
_NAMED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the metadata of a file declare.

    Attributes:
        factory, args: The model; only a library's name is acted on.
        classes: Names in output order.
        preprocess: A mapping or ``library`` is acted on, ``module:object`` is not.
        output: What the model returns.
    """

    factory: str | None = None
    args: Mapping[str, Any] | None = None
    classes: tuple[str, ...] | None = None
    preprocess: Mapping[str, Any] | str | None = None
    output: str | None = None

    def flags_to_paste(self) -> str:
        """Return the flags that name code which a file must not name itself."""
        flags = []
        if self.factory and named_library(self.factory) is None:
            flags.append(f"--model {self.factory}")
        if isinstance(self.preprocess, str) and self.preprocess != "library":
            flags.append(f"--preprocess {self.preprocess}")
        return " ".join(flags)


def save_checkpoint(
    path: str | Path,
    model: torch.nn.Module,
    *,
    factory: str,
    classes: Sequence[str],
    preprocess: Mapping[str, Any] | str | None = None,
    args: Mapping[str, Any] | None = None,
    output: str = "logits",
) -> None:
    """Write a model's weights as safetensors, with what an evaluation needs to know as JSON metadata.

    ``evalkit run --checkpoint best.safetensors --data data/val`` then needs nothing else where ``factory``
    and ``preprocess`` are a library's names or mappings.

    Args:
        path: The file.
        model: Its state_dict is written; shared tensors are written once each.
        factory: Such as ``torchvision:resnet18`` or ``module:callable``.
        classes: Names in output order.
        preprocess: As ``data.preprocess`` of a specification.
        args: The factory's keyword arguments.
        output: logits, probabilities or scores.

    Raises:
        SpecificationError: A declaration that no evaluation could follow; nothing is written then.
        OutputError: The file cannot be written.
    """
    declared = {
        "factory": _checked_factory(factory),
        "args": dict(args or {}),
        "classes": list(check_class_names(name_list(classes, where="classes"), where="classes")),
        "preprocess": _checked_preprocess(preprocess, factory),
        "output": output,
    }
    _check_rest(model, declared)
    state = {key: value.detach().clone().contiguous() for key, value in model.state_dict().items()}
    try:
        safetensors.torch.save_file(state, str(path), metadata={KEY: json.dumps(declared, allow_nan=False)})
    except (OSError, safetensors.SafetensorError) as error:
        raise OutputError(f"{path}: cannot be written: {os_reason(error)}") from error


def _checked_factory(factory: str) -> str:
    library = named_library(factory)
    if library is not None:
        library.check()
    elif not _NAMED.fullmatch(factory):
        raise SpecificationError(
            f"factory: expected module:callable, torchvision:NAME or timm:NAME, got {factory!r}"
        )
    return factory


def _checked_preprocess(declared: Mapping[str, Any] | str | None, factory: str) -> Any:
    if isinstance(declared, Mapping):
        plain = plain_values(dict(declared))
        validate_preprocess(plain, where="preprocess")
        return plain
    library = named_library(factory)
    if declared == "library" and (library is None or library.preprocessing() is None):
        raise SpecificationError(
            f"preprocess: the weights entries of {factory} differ, name one in factory",
            hint=None if library is None else f"One of {listed(library.entries())}",
        )
    named = _NAMED.fullmatch(str(declared)) and not str(declared).startswith("checkpoint:")
    if declared is not None and declared != "library" and not named:
        raise SpecificationError(
            f"preprocess: expected a mapping, library or module:object, got {declared!r}"
        )
    return declared


def _check_rest(model: torch.nn.Module, declared: dict[str, Any]) -> None:
    if declared["output"] not in get_args(Output):
        raise SpecificationError(
            f"output: expected logits, probabilities or scores, got {declared['output']!r}"
        )
    try:
        json.dumps(declared, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SpecificationError(f"args: cannot be written as JSON: {error}") from error
    width = head_width([model.state_dict()]) if named_library(declared["factory"]) else None
    if width is not None and width != len(declared["classes"]):
        raise SpecificationError(
            f"classes: the model's head has {width} outputs, got {len(declared['classes'])} names"
        )


def read_declaration(checkpoint: Checkpoint) -> Declaration | None:
    """Return what a file declares; None where it declares nothing.

    Raises:
        CheckpointError: The declaration is damaged.
    """
    text = checkpoint.contents.metadata.get(KEY)
    if text is None:
        return None
    try:
        found = json.loads(text)
        classes = found.get("classes")
        declaration = Declaration(
            factory=_text(found.get("factory")),
            args=dict(found.get("args") or {}),
            classes=None if classes is None else tuple(_text(name) or "" for name in classes),
            preprocess=found.get("preprocess"),
            output=_text(found.get("output")),
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{checkpoint.path}: its evalkit metadata is damaged") from error
    return declaration


def refuse_named_code(declaration: Declaration, path: Path) -> SpecificationError:
    """Build the error for code that a file names: it is never imported."""
    return SpecificationError(
        f"{path}: names code of yours, which a file cannot be trusted with",
        hint=f"If you do, paste: {declaration.flags_to_paste()}",
    )


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("expected text")
    return value
