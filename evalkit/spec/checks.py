"""What types cannot say: values of a specification that contradict each other, or could never be acted on."""

from collections.abc import Sequence
from math import inf
from typing import Any

from evalkit.catalogue import COUNTS, OF_RUN, Metric, find_metric
from evalkit.errors import SpecificationError
from evalkit.rules import DROP_JUDGES, LIMIT_JUDGES
from evalkit.spec.schema import (
    BaselineCheckpoint,
    GateSpec,
    PreprocessSpec,
    SliceSpec,
    Specification,
    ThresholdFrom,
)
from evalkit.spec.source import KeyPath, SourceMap

_COMPARING = ("max_drop", "min_gain")
PREDICTIONS = "predictions"
_OF_PREDICTIONS = ("prediction", "scores", "count", "labels_are", "ids")
_OF_SAMPLES = tuple("preprocess on_unreadable root image features collate train_manifest".split())
_OF_MODELS = tuple("factory args checkpoint weights sha256 select class_order valid_classes".split())


def check_gates(gates: Sequence[GateSpec], source: SourceMap, *, given: bool) -> None:
    """Refuse gates that could never judge: an empty list, an unknown metric, an impossible limit."""
    if given and not gates:
        raise source.error(("gates",), "expected at least one gate; leave the key out for none")
    if gates and all(gate.advisory for gate in gates):
        raise source.error(("gates",), "every gate is advisory, so none could fail")
    for index, gate in enumerate(gates):
        _check_gate(gate, ("gates", index), source)


def _check_gate(gate: GateSpec, path: KeyPath, source: SourceMap) -> None:
    try:
        metric = find_metric(gate.metric)
    except SpecificationError as error:
        raise source.error((*path, "metric"), error.message) from error
    rules = gate.rules()
    if not rules:
        raise source.error(path, "expected a limit: min, max, max_drop or min_gain")
    for name in rules:
        judges = DROP_JUDGES if name in _COMPARING else LIMIT_JUDGES
        if gate.judge is not None and gate.judge not in judges:
            raise source.error((*path, "judge"), f"{gate.judge} cannot judge {name}: {' or '.join(judges)}")
        if name in _COMPARING and metric.greater_is_better is None:
            raise source.error((*path, name), f"{metric.slug} has no direction, so it cannot drop")
        if name in _COMPARING and metric.needs in ("flips", "facts"):
            why = "compares by itself" if metric.needs == "flips" else "is no property of a model"
            other = "min" if metric.greater_is_better else "max"
            raise source.error((*path, name), f"{metric.slug} {why}: say {other}")
    _check_family(gate, rules, path, source)
    usual = "interval" if _is_family(gate) and gate.require is None else "point"
    if metric.slug in COUNTS and (gate.judge or usual) != "point" and not set(rules) & set(_COMPARING):
        what = "measured once" if metric.slug in OF_RUN else "a count"
        raise source.error(
            (*path, "judge"), f"{metric.slug} is {what}, which has no interval: say judge: point"
        )
    for name, limit in rules.items():
        low, high = _range(metric, drop=name in _COMPARING)
        if not low <= limit <= high:
            text = f"must be at least {low:g}" if high == inf else f"must be between {low:g} and {high:g}"
            raise source.error((*path, name), f"{text}, got {limit:g}{_percent_hint(limit, metric.upper)}")


def _check_family(gate: GateSpec, rules: dict[Any, float], path: KeyPath, source: SourceMap) -> None:
    """A family asks one question of all its rows, unless each is to answer for itself."""
    family = _is_family(gate)
    if gate.require is not None and not family:
        raise source.error((*path, "require"), "belongs to a family: class or slice *")
    if family and gate.require is None and gate.judge not in (None, "interval", "point"):
        raise source.error((*path, "judge"), f"{gate.judge} beside * needs require: each")
    if family and len(rules) != 1:
        raise source.error(path, "a family takes one limit")


def _is_family(gate: GateSpec) -> bool:
    return gate.class_ == "*" or "*" in (gate.slice or {}).values()


def _range(metric: Metric, *, drop: bool) -> tuple[float, float]:
    """Return between which limits a metric, or its drop, can lie."""
    low = -inf if metric.lower is None else metric.lower
    high = inf if metric.upper is None else metric.upper
    return (low - high, high - low) if drop else (low, high)


def _percent_hint(limit: float, upper: float | None) -> str:
    return f" (did you mean {limit / 100:g}?)" if upper == 1 and 1 < limit <= 100 else ""  # noqa: PLR2004


def check_values(spec: Specification, source: SourceMap) -> None:
    """Refuse what a specification says that contradicts itself or that this version cannot act on."""
    if "samples" in spec.metrics.averages and spec.task != "multilabel":
        raise source.error(("metrics", "averages"), "samples belongs to task: multilabel")
    check_slices(spec.data.slices, ("data", "slices"), source)
    _check_valid(spec, source)
    _check_predictions(spec, source)
    predictions = spec.data.source == PREDICTIONS
    if (
        not predictions
        and spec.model.checkpoint is None
        and not (spec.model.factory or "").startswith("transformers:")
    ):
        raise source.error(("model", "checkpoint"), "is required")
    _check_threshold(spec, source)
    _check_preprocess(spec, source)
    _check_names(spec, source)


def check_slices(slices: Sequence[SliceSpec], path: KeyPath, source: SourceMap) -> None:
    """Refuse bins without increasing edges, and a crossing of a column with itself."""
    for index, by in enumerate(slices):
        here = (*path, index)
        if isinstance(by, dict):
            if len(by) != 1:
                raise source.error(here, "expected one column with the edges of its bins")
            edges = [float(str(edge)) for edge in next(iter(by.values()))]
            if not edges or sorted(set(edges)) != edges:
                raise source.error(here, f"expected increasing edges, got {edges}")
        elif not isinstance(by, str) and len(set(by)) != len(by):
            raise source.error(here, "names a column twice")


def _check_valid(spec: Specification, source: SourceMap) -> None:
    valid, path = spec.model.valid_classes, ("model", "valid_classes")
    if valid is None:
        return
    if spec.task == "binary":
        raise source.error(path, "belongs to task: multiclass or multilabel")
    if len(set(valid)) != len(valid) or len(valid) < 2:  # noqa: PLR2004
        raise source.error(path, "expected two or more different names")


def check_comparable(gates: Sequence[GateSpec], source: SourceMap, *, hint: str) -> None:
    """Refuse gates that compare, where there is no baseline."""
    for index, gate in enumerate(gates):
        if gate.compares:
            name = next((name for name in _COMPARING if getattr(gate, name) is not None), "metric")
            raise source.error(("gates", index, name), "needs a baseline", hint=hint)


def _check_preprocess(spec: Specification, source: SourceMap) -> None:
    """Refuse a normalisation that no image of the mode could take."""
    if isinstance(spec.data.preprocess, PreprocessSpec):
        check_normalisation(spec.data.preprocess, ("data", "preprocess"), source)


def check_normalisation(declared: PreprocessSpec, path: KeyPath, source: SourceMap) -> None:
    """Refuse a mean or standard deviation that no image of the mode could take."""
    channels = 3 if declared.mode == "RGB" else 1
    for key, values in (("mean", declared.mean), ("std", declared.std)):
        if values is not None and len(values) not in (1, channels):
            text = f"expected {channels} numbers for mode {declared.mode}, got {len(values)}"
            raise source.error((*path, key), text)
    if any(value <= 0 for value in declared.std or ()):
        raise source.error((*path, "std"), "must be greater than 0")


def _check_predictions(spec: Specification, source: SourceMap) -> None:
    """Refuse keys of a model where predictions are scored, and keys of a table of predictions elsewhere."""
    here = spec.data.source == PREDICTIONS
    refused = [("data", key) for key in (_OF_SAMPLES if here else _OF_PREDICTIONS)]
    refused += [("model", key) for key in _OF_MODELS if here]
    for block, key in refused:
        if key in getattr(spec, block).model_fields_set:
            what = "belongs to a model that is run" if here else f"belongs to source: {PREDICTIONS}"
            raise source.error((block, key), what)
    if here and isinstance(spec.baseline, BaselineCheckpoint):
        raise source.error(("baseline",), "a checkpoint needs a model that is run: name a run directory")


def _check_names(spec: Specification, source: SourceMap) -> None:
    for index, name in enumerate(spec.metrics.names if spec.metrics.names != "default" else ()):
        try:
            metric = find_metric(name)
        except SpecificationError as error:
            raise source.error(("metrics", "names", index), error.message) from error
        if metric.needs in ("flips", "facts"):
            of = "two runs" if metric.needs == "flips" else "the data, not of the model"
            raise source.error(("metrics", "names", index), f"{name} is of {of}: gate it instead")


def _check_threshold(spec: Specification, source: SourceMap) -> None:
    model, path = spec.model, ("model", "threshold")
    if model.positive_class is not None and spec.task != "binary":
        raise source.error(("model", "positive_class"), f"belongs to task: binary, not to {spec.task}")
    if spec.task == "multiclass":
        if model.threshold is not None:
            raise source.error(path, "belongs to task: binary or multilabel, not to multiclass")
        return
    if isinstance(model.threshold, ThresholdFrom):
        if spec.task != "binary":
            raise source.error(path, "a threshold from another run belongs to task: binary")
        return
    if model.output == "scores" and model.threshold is None:
        raise source.error(path, "is required for output: scores, in the score's own units")
    if model.output != "scores" and not 0 <= float(str(model.threshold or 0)) <= 1:
        raise source.error(path, f"must be between 0 and 1, got {model.threshold}")
