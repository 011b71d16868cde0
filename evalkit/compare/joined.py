"""Two per-sample tables as one: the same samples in the same order, classes in the candidate's order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.compare.aligned import (
    Overlap,
    first_ids,
    in_class_order,
    positions_of,
    repeats,
    taken,
)
from evalkit.counts import counter_of
from evalkit.decide import Decision
from evalkit.errors import DocumentError
from evalkit.grouping import Grouping, SliceBy, Slicing, codes_of, combine, slicing
from evalkit.result import EvalResult
from evalkit.samples import Samples, as_numpy, read_samples
from evalkit.signature import question


@dataclass(frozen=True, slots=True)
class Joined:
    """The candidate's and the baseline's answers to the same samples, or units of samples.

    Attributes:
        new, old: What each said; row i is the same sample in both.
        ids: Of the samples, in the candidate's order.
        slicings: The slices of each entry of the specification.
        clusters: A number for each sample's cluster, or None where samples are independent.
    """

    new: Samples
    old: Samples
    ids: Any
    slicings: tuple[Slicing, ...] = ()
    clusters: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.new)

    def of_slice(self, wanted: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Return which samples are in a slice, shape (n,)."""
        for one in self.slicings:
            if wanted in one.names:
                return np.asarray(one.codes == one.names.index(dict(wanted)))
        return np.zeros(len(self), bool)


@dataclass(frozen=True)
class Tables:
    """The two runs' per-sample tables, read when they are first needed.

    Attributes:
        candidate, baseline: The two results.
        paths: Of their tables.
        written: The baseline's result that its table belongs to; ``baseline`` may be another one, found
            again in the candidate's order of classes.
    """

    candidate: EvalResult
    baseline: EvalResult
    paths: tuple[Path, Path]
    written: EvalResult
    _found: dict[bool, Joined] = field(default_factory=dict)

    @classmethod
    def of(cls, candidate: EvalResult, baseline: EvalResult, new: Path, old: Path) -> "Tables | None":
        """Return both tables; None where one is missing, or holds too little for what is judged as one."""
        if not (new.exists() and old.exists()):
            return None
        unit = grouping_of(candidate).unit
        if unit is not None and unit[1] in ("mean", "max") and not (_scored(new) and _scored(old)):
            return None
        return cls(candidate, baseline, (new, old), baseline)

    def are_one(self) -> bool:
        """Return whether two results without weights hold the same answers and scores for the same samples.

        Raises:
            DocumentError: A table is damaged.
        """
        weights = [side.digests.get("weights") for side in (self.candidate, self.baseline)]
        if weights != [None, None] or self.candidate.threshold != self.baseline.threshold:
            return False
        if question(self.candidate) != question(self.written):
            return False
        joined = self.joined()
        return _same_answers(joined.new, joined.old)

    @property
    def regroups(self) -> bool:
        """Whether the baseline's numbers depend on how the candidate's columns group samples."""
        grouping = grouping_of(self.candidate)
        return bool(grouping.slices) or grouping.unit is not None

    def joined(self, *, scores: bool = False) -> Joined:
        """Return the joined samples.

        Args:
            scores: Whether every score is needed.

        Raises:
            DocumentError: A table is damaged, or does not hold the samples of its result.
        """
        if scores not in self._found:
            if self._found.get(True) is not None:
                return self._found[True]
            new, old, ids = self._read(scores=scores)
            place = positions_of(*ids, where=str(self.paths[1]))
            old = old if place is None else taken(old, place)
            if new.y_true.shape != old.y_true.shape or not np.array_equal(new.y_true, old.y_true):
                raise DocumentError(f"{self.paths[1]}: holds other labels than its result")
            self._found[scores] = self._grouped(new, old, ids[0])
        return self._found[scores]

    def common(self) -> tuple[Joined, Overlap]:
        """Return the samples that both tables hold with the same id and label, and what else there is.

        Raises:
            DocumentError: A table is damaged.
        """
        new, old, ids = self._read(scores=True)
        place = as_numpy(pc.fill_null(pc.index_in(ids[0], value_set=ids[1].combine_chunks()), -1))
        here = np.flatnonzero(place >= 0)
        there = place[here].astype(np.int64)
        if repeats(there):
            raise DocumentError(f"{self.paths[0]}: holds a sample twice")
        same = new.y_true[here] == old.y_true[there]
        same = same.all(axis=1) if same.ndim == 2 else same  # noqa: PLR2004 - (n, L)
        gone = np.ones(len(old), bool)
        gone[there] = False
        others = (np.flatnonzero(place < 0), np.flatnonzero(gone), here[~same])
        overlap = Overlap(
            int(same.sum()),
            appeared=first_ids(ids[0], others[0]),
            gone=first_ids(ids[1], others[1]),
            relabelled=first_ids(ids[0], others[2]),
            counts=(len(others[0]), len(others[1]), len(others[2])),
        )
        kept = ids[0].take(pa.array(here[same]))
        return self._grouped(taken(new, here[same]), taken(old, there[same]), kept), overlap

    def _read(self, *, scores: bool) -> tuple[Samples, Samples, tuple[Any, Any]]:
        """Return both tables in the candidate's class order, and their ids."""
        grouping = grouping_of(self.candidate)
        scores = scores or (grouping.unit is not None and grouping.unit[1] in ("mean", "max"))
        try:
            new = _samples(self.candidate, self.paths[0], scores=scores, attributes=grouping.columns)
            old = _samples(self.written, self.paths[1], scores=scores, attributes=self._own_columns())
            ids = _ids(self.paths[0]), _ids(self.paths[1])
        except (OSError, pa.ArrowException, KeyError) as error:
            folder = self.paths[1].parent
            raise DocumentError(f"{folder}: a per-sample table cannot be read: {error}") from error
        _check(self.candidate, new, self.paths[0])
        _check(self.written, old, self.paths[1])
        names = self.written.class_names
        return new, in_class_order(old, [names.index(name) for name in self.candidate.class_names]), ids

    def _own_columns(self) -> tuple[str, ...]:
        """Return the column of the baseline's units, where its table kept it."""
        unit = grouping_of(self.written).unit
        return () if unit is None or unit[0] not in _columns(self.paths[1]) else (unit[0],)

    def _grouped(self, new: Samples, old: Samples, ids: Any) -> Joined:
        """Sort samples into slices and clusters by the candidate's columns; units become one sample each."""
        grouping = grouping_of(self.candidate)
        old = replace(old, attributes=new.attributes)
        if grouping.unit is not None:
            by, how = grouping.unit
            ids = pa.array([str(name) for name in codes_of(new.attributes[by])[0]])
            new = combine(new, by, how, _decision(self.candidate, self.candidate))
            old = combine(old, by, how, _decision(self.candidate, self.baseline))
        clusters = None if grouping.cluster is None else codes_of(new.attributes[grouping.cluster])[1]
        return Joined(new, old, ids, tuple(slicing(by, new) for by in grouping.slices), clusters)


def fixed(tables: Tables, joined: Joined) -> Tables:
    """Return tables that are joined already."""
    return replace(tables, _found={True: joined, False: joined})


def grouping_of(result: EvalResult) -> Grouping:
    """Return how the samples of a run hang together, by its specification."""
    metrics, data = result.spec.get("metrics") or {}, result.spec.get("data") or {}
    unit = metrics.get("unit")
    return Grouping(
        tuple(_declared(by) for by in data.get("slices") or ()),
        metrics.get("cluster"),
        None if unit is None else (unit["by"], unit["combine"]),
    )


def _declared(by: Any) -> SliceBy:
    """Return an entry of the specification's slices as a document holds it."""
    if isinstance(by, dict):
        return {name: [float(str(edge)) for edge in edges] for name, edges in by.items()}
    return by if isinstance(by, str) else tuple(by)


def _decision(candidate: EvalResult, result: EvalResult) -> Decision:
    """Return a run's own rule, over the candidate's class order."""
    positive = candidate.positive_class
    output: Any = result.model.get("output") or "scores"
    index = None if positive is None else candidate.class_names.index(positive)
    return Decision(result.task, output, index, result.threshold)


def _check(result: EvalResult, samples: Samples, path: Path) -> None:
    """Refuse a table that does not give its result's counts; a slim one does not say what its units are."""
    counts, unit = result.confusion, grouping_of(result).unit
    if counts is None or (unit is not None and unit[0] not in samples.attributes):
        return
    if unit is not None:
        samples = combine(samples, *unit, _decision(result, result))
    counter = counter_of(result.task, len(result.class_names))
    counter.add(samples.y_true, samples.y_pred)
    if not np.array_equal(counter.result().matrix, counts.matrix):
        raise DocumentError(f"{path}: does not hold the samples that {path.parent / 'result.json'} counts")


def _same_answers(new: Samples, old: Samples) -> bool:
    """Return whether two models said the same, in classes and in what is known of their scores."""
    pairs = [(new.y_pred, old.y_pred)]
    for name in ("log_loss", "brier", "confidence", "true_rank"):
        mine, theirs = getattr(new, name), getattr(old, name)
        if mine is not None and theirs is not None:
            pairs.append((mine, theirs))
    return all(np.array_equal(mine, theirs) for mine, theirs in pairs)


def _columns(path: Path) -> list[str]:
    with path.open("rb") as file:
        return list(pq.ParquetFile(file).schema_arrow.names)


def _scored(path: Path) -> bool:
    return "score_0" in _columns(path)


def _samples(result: EvalResult, path: Path, *, scores: bool, attributes: Sequence[str] = ()) -> Samples:
    return read_samples(
        path, task=result.task, n_classes=len(result.class_names), attributes=attributes, scores=scores
    )


def _ids(path: Path) -> pa.ChunkedArray:
    with path.open("rb") as file:
        table = pq.ParquetFile(file)
        if "sample_id" in table.schema_arrow.names:
            return table.read(columns=["sample_id"])["sample_id"]
        return table.read(columns=["index"])["index"].cast(pa.string())  # known by position
