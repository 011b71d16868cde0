"""What a model answered to some samples, before it becomes rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Output = Literal["logits", "probabilities", "scores"]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """What one batch gave, as host arrays.

    Attributes:
        index: Positions in the data set, int64, shape (n,).
        y_true, y_pred: Class indices, int64, shape (n,); of a multilabel task booleans, shape (n, L).
        outputs: What the model returned, float32 or float64, shape (n, K); None where only classes are known.
        ids: Sample ids, as a list or an arrow array; None where samples are known by position.
        attributes: Further columns by name, each of shape (n,).
    """

    index: Ints
    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    outputs: NDArray[Any] | None
    ids: Any = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def kept(self) -> "PredictionBatch":
        """Return the same with outputs of its own: a model may give the same memory again."""
        return self if self.outputs is None else replace(self, outputs=self.outputs.copy())

    def kinds(self) -> tuple[str, ...] | None:
        """Return the names and types of the columns: batches that agree can be joined.

        Text is one type, of whatever length; None where there are objects, whose types numpy does not know.
        """
        types = {name: np.asarray(values).dtype for name, values in self.attributes.items()}
        if any(one.kind == "O" for one in types.values()):
            return None
        named = [f"{name}: {'U' if one.kind == 'U' else one.str}" for name, one in types.items()]
        wide = "" if self.outputs is None else self.outputs.dtype.str
        return (wide, type(self.ids).__name__, *named)


def joined_batch(batches: Sequence[PredictionBatch]) -> PredictionBatch:
    """Return the samples of batches that are alike as one."""
    first = batches[0]
    if len(batches) == 1:
        return first
    outputs = None if first.outputs is None else _joined([one.outputs for one in batches])
    columns = {
        name: _joined([getattr(one, name) for one in batches]) for name in ("index", "y_true", "y_pred")
    }
    return PredictionBatch(
        **columns,
        outputs=outputs,
        ids=_joined_ids([one.ids for one in batches]),
        attributes={name: _joined([one.attributes[name] for one in batches]) for name in first.attributes},
    )


def _joined(parts: Sequence[Any]) -> NDArray[Any]:
    return np.concatenate([np.asarray(part) for part in parts])


def _joined_ids(parts: Sequence[Any]) -> Any:
    if parts[0] is None:
        return None
    if isinstance(parts[0], pa.Array):
        return pa.concat_arrays(parts)
    return [name for part in parts for name in part]
