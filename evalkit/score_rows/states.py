"""What score rows need of samples: taken from arrays, or summed piece by piece where they are too many.

Sums are of integers, so the pieces and their order cannot change them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.calibration import Confidences, width_bins, width_edges
from evalkit.metrics.ranked import Ordered, Ranked
from evalkit.samples import Samples
from evalkit.scores import ScoreBins, ScoreSums, score_keys

Ints = NDArray[np.int64]
_UNIT = 2.0**32
_BINS = 16  # more than there are bins of equal width


@dataclass(frozen=True, slots=True)
class ScoreStates:
    """All that is known of a run's scores.

    Attributes:
        n: Samples.
        support: Those of each class, or with each label, int64, shape (K,).
        exclusive: False for label sets.
        probable: Whether the scores are probabilities.
        sums: Of log losses and Brier scores, binary ones of the positive class alone; None without either.
        ranks: How many samples have which rank of the true class, int64, shape (K,); None where unknown.
        confidences: Of the positive class, or of the predicted one; None where unknown.
        ranked: Gives the samples in the order of a class's score, or the groups that stand in for them; None
            where its scores were not stored.
        samples: The samples themselves; None where they are too many to be held.
    """

    n: int
    support: Ints
    exclusive: bool
    probable: bool
    sums: ScoreSums | None
    ranks: Ints | None
    confidences: Confidences | None
    ranked: Callable[[int], Ordered | Ranked | None]
    samples: Samples | None = None

    @classmethod
    def of(cls, samples: Samples, n_classes: int, positive: int | None) -> "ScoreStates":
        """Take samples that are held."""
        found = confidences(samples, positive)
        return cls(
            len(samples),
            _support(samples, n_classes),
            samples.y_true.ndim == 1,
            samples.probable,
            _sums(samples, positive),
            _ranks(samples, n_classes),
            None if found is None else Confidences.of(*found),
            samples.ranked,
            samples,
        )

    @classmethod
    def of_pieces(
        cls,
        pieces: Iterable[Samples],
        n_classes: int,
        positive: int | None,
        bins: Mapping[int, ScoreBins],
    ) -> "ScoreStates":
        """Sum pieces of the samples of exclusive classes; one is held at a time.

        Args:
            pieces: At least one.
            n_classes: K.
            positive: The positive class of a binary task.
            bins: Of classes whose scores the pieces do not hold.
        """
        found = _Summing(n_classes, positive)
        for piece in pieces:
            found.add(piece)
        return found.result(bins)


class _Summing:
    """Adds pieces up."""

    def __init__(self, n_classes: int, positive: int | None) -> None:
        self._n_classes, self._positive = n_classes, positive
        self._n, self._support, self._probable = 0, np.zeros(n_classes, np.int64), True
        self._sums, self._ranks = ScoreSums.empty(), np.zeros(n_classes, np.int64)
        self._confident, self._unknown = ConfidenceSums(), set[str]()
        self._bins: dict[int, ScoreBins] = {}

    def add(self, piece: Samples) -> None:
        self._n += len(piece)
        self._support += _support(piece, self._n_classes)
        self._probable &= piece.probable
        sums, ranks = _sums(piece, self._positive), _ranks(piece, self._n_classes)
        confident = confidences(piece, self._positive)
        parts = {"sums": sums, "ranks": ranks, "confident": confident}
        self._unknown |= {name for name, part in parts.items() if part is None}
        if sums is not None:
            self._sums += sums
        if ranks is not None:
            self._ranks += ranks
        if confident is not None:
            self._confident.add(*confident)
        for k in range(0 if piece.scores is None else self._n_classes):
            self._add_bins(k, piece)

    def _add_bins(self, k: int, piece: Samples) -> None:
        assert piece.scores is not None
        found = ScoreBins.from_scores(
            piece.positive(k), piece.scores[:, k], kind="probability" if piece.probable else "score"
        )
        self._bins[k] = self._bins[k] + found if k in self._bins else found

    def result(self, bins: Mapping[int, ScoreBins]) -> ScoreStates:
        found = {**bins, **self._bins}
        return ScoreStates(
            self._n,
            self._support,
            exclusive=True,
            probable=self._probable,
            sums=None if "sums" in self._unknown else self._sums,
            ranks=None if "ranks" in self._unknown else self._ranks,
            confidences=None if "confident" in self._unknown else self._confident.result(),
            ranked=lambda k: Ranked.of_bins(found[k]) if k in found else None,
        )


class ConfidenceSums:
    """Groups samples by the bin of their confidence, and by the bin of equal width that cuts it."""

    def __init__(self) -> None:
        none = np.zeros(0, np.int64)
        self._rows = (none, none, none, none)

    def add(self, confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> None:
        """Take samples, each of shape (n,)."""
        wide = np.clip(confidence.astype(np.float64), 0, 1)
        codes = score_keys(wide, "probability") * _BINS + width_bins(wide, width_edges())
        found, place = np.unique(codes, return_inverse=True)
        n, hits = np.bincount(place), np.bincount(place[right], minlength=len(found))
        units = np.bincount(place, np.rint(wide * _UNIT))  # exact: far below 2**53 in a piece
        self._rows = _merged(self._rows, (found, n, hits, units.astype(np.int64)))

    def result(self) -> Confidences:
        """Return the groups."""
        _, n, right, units = self._rows
        return Confidences(units / (n * _UNIT), n, right, units / _UNIT)


def _merged(ours: tuple[Ints, ...], theirs: tuple[Ints, ...]) -> tuple[Ints, Ints, Ints, Ints]:
    codes = np.concatenate([ours[0], theirs[0]])
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    columns = (
        np.add.reduceat(np.concatenate([mine, other])[order], starts)
        for mine, other in zip(ours[1:], theirs[1:], strict=True)
    )
    n, right, units = columns
    return codes[order][starts], n, right, units


def confidences(
    samples: Samples, positive: int | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """Return confidences and whether they were right: of the positive class, or of the predicted one."""
    if not samples.probable or samples.y_true.ndim != 1:
        return None
    if positive is not None and samples.scores is not None:
        return samples.scores[:, positive], samples.y_true == positive
    if samples.confidence is None:
        return None
    if positive is not None:
        sure = samples.y_pred == positive
        return np.where(sure, samples.confidence, 1 - samples.confidence), samples.y_true == positive
    return samples.confidence, samples.y_true == samples.y_pred


def _support(samples: Samples, n_classes: int) -> Ints:
    if samples.y_true.ndim == 1:
        return np.bincount(samples.y_true, minlength=n_classes)
    return np.asarray(samples.y_true.sum(axis=0), np.int64)


def _sums(samples: Samples, positive: int | None) -> ScoreSums | None:
    if samples.log_loss is None or samples.brier is None:
        return None
    return ScoreSums.of(samples.log_loss, brier_of(samples, positive), samples.log_loss)


def brier_of(samples: Samples, positive: int | None) -> NDArray[np.float64]:
    """Return each sample's Brier score; a binary one is of the positive class alone."""
    assert samples.brier is not None
    return samples.brier / 2 if positive is not None else samples.brier


def _ranks(samples: Samples, n_classes: int) -> Ints | None:
    return None if samples.true_rank is None else np.bincount(samples.true_rank, minlength=n_classes)
