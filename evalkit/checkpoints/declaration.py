"""What a checkpoint says about itself: training writes it once, evaluation reads it as data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from evalkit.checkpoints.library import is_library
from evalkit.checkpoints.reader import Checkpoint
from evalkit.errors import CheckpointError, SpecificationError

KEY = "evalkit"


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
        if self.factory and not is_library(self.factory):
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
    """
    declared = {
        "factory": factory,
        "args": dict(args or {}),
        "classes": [str(name) for name in classes],
        "preprocess": dict(preprocess) if isinstance(preprocess, Mapping) else preprocess,
        "output": output,
    }
    state = {key: value.detach().clone().contiguous() for key, value in model.state_dict().items()}
    safetensors.torch.save_file(state, str(path), metadata={KEY: json.dumps(declared, allow_nan=False)})


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
