"""From what a forward pass returned to one finite host array, shape (n, K); values are never guessed from."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.errors import InvalidRunError, ModelError, listed

# Of probabilities' sums; those of bfloat16 have three digits.
TOLERANCE, HALF_TOLERANCE = 1e-3, 2e-2
_EXACT_INTEGERS = 2**53


def selected(output: Any, select: int | str | None, default: str | None = None) -> torch.Tensor:
    """Take the tensor of class scores out of a model's output.

    Args:
        output: What the model returned.
        select: Index or key of the scores.
        default: The same where ``select`` is None and the output is no tensor.

    Raises:
        ModelError: The output is no tensor and ``select`` does not name one; the shapes are listed.
    """
    if select is None:
        if isinstance(output, torch.Tensor):
            return output
        if default is None:
            raise ModelError(f"the model returns {_shape(output)}", hint=_choices(output))
        select = default
    chosen = _pick(output, select)
    if not isinstance(chosen, torch.Tensor):
        raise ModelError(f"model.select: {select!r} is not a tensor in {_shape(output)}")
    return chosen


def host_array(output: torch.Tensor, *, n_samples: int, n_classes: int, single: bool = False) -> NDArray[Any]:
    """Copy scores to the host as float32, or float64 where the model computes in it.

    Args:
        output: What the model returned.
        n_samples, n_classes: Its expected shape.
        single: One column, of the positive class, is allowed too, shape (n, 1) or (n,).

    Raises:
        ModelError: The shape is not (n, K).
    """
    if single and output.ndim == 1:
        output = output[:, None]
    if output.ndim != 2 or output.shape[0] != n_samples:  # noqa: PLR2004 - (n, K)
        raise ModelError(
            f"the model returns shape {tuple(output.shape)}, expected ({n_samples}, {n_classes})"
        )
    if output.shape[1] != n_classes and not (single and output.shape[1] == 1):
        raise ModelError(
            f"the model has {output.shape[1]} outputs, but {n_classes} class names are declared",
            hint="Say task: binary" if output.shape[1] == 1 else None,
        )
    if output.is_complex() or output.layout != torch.strided:
        raise ModelError("the model returns complex numbers or a sparse tensor")
    # Integers are exact in float64 up to 2**53; float32 would merge neighbours from 2**24 on.
    exact = output.dtype == torch.float64 or not output.is_floating_point()
    if exact and not output.is_floating_point() and bool((output.long().abs() > _EXACT_INTEGERS).any()):
        raise ModelError("the model returns integers beyond 2**53, which no float keeps apart")
    dtype = torch.float64 if exact else torch.float32
    return np.asarray(output.detach().to("cpu", dtype).numpy())


def check_finite(outputs: NDArray[Any], index: NDArray[np.int64]) -> None:
    """Raise InvalidRunError with the positions of samples whose outputs are NaN or infinite."""
    if np.isfinite(outputs).all():
        return
    rows = index[~np.isfinite(outputs).all(axis=1)].tolist()
    raise InvalidRunError(
        f"the model's outputs are NaN or infinite for samples {listed(rows, limit=5)}", check="finite_outputs"
    )


def check_probabilities(
    outputs: NDArray[Any], index: NDArray[np.int64], *, exclusive: bool = True, tolerance: float = TOLERANCE
) -> None:
    """Raise InvalidRunError where probabilities are outside [0, 1] or, of exclusive classes, miss 1."""
    wide = outputs.astype(np.float64)
    outside: NDArray[np.bool_] = np.asarray(((wide < 0) | (wide > 1)).any(axis=1))
    sums = wide.sum(axis=1)
    several = exclusive and outputs.shape[1] > 1
    wrong = outside | (np.abs(sums - 1) > tolerance) if several else outside
    if not wrong.any():
        return
    row = int(np.flatnonzero(wrong)[0])
    what = "lie outside [0, 1]" if outside[row] else f"sum to {sums[row]:.4g}"
    raise InvalidRunError(
        f"declared probabilities {what} (sample {index[row]}, first of {int(wrong.sum())} in its batch)",
        check="probabilities",
        hint="Set model.output to logits or scores if that is what the model returns",
    )


def _pick(output: Any, select: int | str) -> Any:
    try:
        if isinstance(select, str) and not isinstance(output, dict):
            return output[select] if hasattr(output, "keys") else getattr(output, select)
        return output[select]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelError(
            f"model.select: {select!r} is not in {_shape(output)}", hint=_choices(output)
        ) from error


def _shape(output: Any) -> str:
    if isinstance(output, torch.Tensor):
        return f"a tensor {tuple(output.shape)}"
    if hasattr(output, "keys"):
        return "a mapping {" + listed(f"{key}: {_shape(output[key])}" for key in output) + "}"
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} ({listed(_shape(item) for item in output)})"
    return f"a {type(output).__name__}"


def _choices(output: Any) -> str:
    if hasattr(output, "keys"):
        keys = listed(repr(str(key)) for key in output)
        return f"Set model.select to one of {keys}"
    if isinstance(output, (tuple, list)):
        return f"Set model.select to an index from 0 to {len(output) - 1}"  # noqa: S608 - words, not SQL
    return "A model must return a tensor, or a tuple, list or mapping that holds one"
