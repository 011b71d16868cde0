"""Bins of single classes' scores, filled while the model runs: the table holds only the best of many."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import DocumentError, reason_of
from evalkit.ledger import MAX_SCORE_COLUMNS, Output, PredictionBatch
from evalkit.scores import Kind, ScoreBins

FILE_NAME = "scores.npz"


class ClassBins:
    """Takes batches and keeps the bins of some classes.

    Logits are binned as log-odds, which keep apart what probabilities near 1 do not.

    Args:
        classes: Indices of the classes.
        n_classes: K; up to 64 the table holds every score, and nothing is binned here.
        output: What the model returns.
    """

    def __init__(self, classes: Sequence[int], *, n_classes: int, output: Output) -> None:
        kept = classes if n_classes > MAX_SCORE_COLUMNS else ()
        kind: Kind = "probability" if output == "probabilities" else "score"
        self._output = output
        self._bins = {k: ScoreBins.empty(kind) for k in kept}

    def scores(self, batch: PredictionBatch) -> dict[int, NDArray[np.float64]]:
        """Return what is binned of a batch with its outputs, by class, each of shape (n,)."""
        found: dict[int, NDArray[np.float64]] = {}
        for k in self._bins:
            assert batch.outputs is not None
            outputs = batch.outputs.astype(np.float64)
            odds = self._output == "logits" and batch.y_true.ndim == 1
            found[k] = log_odds(outputs, k) if odds else outputs[:, k]
        return found

    def add(self, y_true: NDArray[Any], scores: Mapping[int, NDArray[np.float64]]) -> None:
        """Take labels, (n,) or (n, L), and what :meth:`scores` gave for them."""
        for k, score in scores.items():
            positive = y_true[:, k] if y_true.ndim == 2 else y_true == k  # noqa: PLR2004 - (n, L)
            bins = self._bins[k]
            self._bins[k] = bins + ScoreBins.from_scores(positive, score, kind=bins.kind)

    def result(self) -> Mapping[int, ScoreBins]:
        """Return the bins by class."""
        return self._bins

    @classmethod
    def holding(cls, bins: Mapping[int, ScoreBins], output: Output) -> "ClassBins":
        """Return the bins of another run."""
        made = cls((), n_classes=0, output=output)
        made._bins = dict(bins)
        return made

    def digest(self) -> str | None:
        """Return the SHA-256 of everything that is binned; None where nothing is."""
        if not self._bins:
            return None
        digest = sha256()
        for k, bins in sorted(self._bins.items()):
            digest.update(f"{k} {bins.kind} {len(bins.keys)}".encode())
            for array in (bins.keys, bins.positives, bins.negatives):
                digest.update(np.ascontiguousarray(array, "<i8").data)
        return digest.hexdigest()

    def write(self, path: Path) -> bool:
        """Write the bins as an npz file; False, and no file, where there are none."""
        arrays: dict[str, NDArray[Any]] = {}
        for k, bins in self._bins.items():
            arrays |= {f"{k}.{name}": array for name, array in bins.to_arrays().items()}
        if arrays:
            with path.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        return bool(arrays)


def read_bins(path: Path) -> dict[int, ScoreBins]:
    """Read what :meth:`ClassBins.write` wrote, by class; nothing where there is no such file.

    Raises:
        DocumentError: It is damaged.
    """
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            classes = {int(name.partition(".")[0]) for name in archive.files}
            parts = ("kind", "keys", "positives", "negatives")
            return {
                k: ScoreBins.from_arrays({name: archive[f"{k}.{name}"] for name in parts}) for k in classes
            }
    except Exception as error:  # a damaged archive can provoke any exception of zipfile, zlib or numpy
        raise DocumentError(f"{path}: is not what evalkit writes ({reason_of(error)})") from error


def log_odds(logits: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return log(p / (1 - p)) of one class of a softmax, shape (n,), exact where p itself rounds to 1."""
    others = np.delete(logits, k, axis=1)
    top = others.max(axis=1)
    return np.asarray(logits[:, k] - top - np.log(np.exp(others - top[:, None]).sum(axis=1)))
