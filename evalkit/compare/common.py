"""Two runs over what their data have in common: both results found again on the same samples."""

from dataclasses import replace

from evalkit.catalogue import METRICS
from evalkit.compare.aligned import Overlap
from evalkit.compare.joined import Joined, Tables, fixed, grouping_of
from evalkit.counts import counter_of
from evalkit.decide import Decision
from evalkit.findings import Asked, find
from evalkit.result import EvalResult
from evalkit.samples import Samples


def on_common(tables: Tables) -> tuple[Tables, Overlap]:
    """Return both runs as they are on the samples that both hold with the same id and label, and the overlap.

    Raises:
        DocumentError: A table is damaged.
    """
    joined, overlap = tables.common()
    if not len(joined):
        return tables, overlap
    candidate = tables.candidate
    new = _restricted(candidate, candidate, joined, joined.new)
    old = _restricted(tables.baseline, candidate, joined, joined.old)
    return fixed(replace(tables, candidate=new, baseline=old), joined), overlap


def regrouped(tables: Tables) -> Tables:
    """Return the runs with the baseline's numbers found again in the candidate's slices and units.

    The columns that make them are attributes of the data, which no digest covers: the baseline's may have
    been others, or it may not have kept them.

    Raises:
        DocumentError: A table is damaged.
    """
    ranked = any(METRICS[row.metric].needs == "scores" for row in tables.candidate.metrics)
    joined = tables.joined(scores=ranked and grouping_of(tables.candidate).unit is not None)
    found = _restricted(tables.baseline, tables.candidate, joined, joined.old)
    if grouping_of(tables.candidate).unit is None:
        kept = [row for row in tables.baseline.metrics if METRICS[row.metric].needs == "scores"]
        counted = [row for row in found.metrics if METRICS[row.metric].needs != "scores"]
        found = found.model_copy(update={"metrics": (*counted, *kept)})
    return replace(tables, baseline=found)


def _restricted(result: EvalResult, candidate: EvalResult, joined: Joined, samples: Samples) -> EvalResult:
    """Find a result's numbers again on some samples, asked and ordered as the candidate's."""
    counter = counter_of(candidate.task, len(candidate.class_names))
    counter.add(samples.y_true, samples.y_pred)
    found = find(_asked(candidate, scored=samples.scored), counter.result(), lambda: samples)
    return result.model_copy(
        update={
            "counts": None,
            "counts_sparse": None,
            **found.fields(),
            "class_names": candidate.class_names,
            "n_samples": len(joined),
        }
    )


def _asked(result: EvalResult, *, scored: bool) -> Asked:
    """Return what a document's rows were asked for."""
    rows = [row for row in result.metrics if "prevalence" not in row.params]
    positive = None if result.positive_class is None else result.class_names.index(result.positive_class)
    measures = replace(
        result.measures,
        asked=tuple({row.key[:2]: (row.metric, row.params) for row in rows}.values()),
        averages=tuple({row.average: None for row in rows if row.average}),
    )
    return Asked(
        result.class_names,
        Decision(result.task, "scores", positive, result.threshold),
        measures,
        replace(grouping_of(result), unit=None),  # units are one sample each already
        frozenset(row.metric for row in rows if row.slice is not None and row.class_name is not None),
        scored=scored,
    )
