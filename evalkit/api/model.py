"""A module and data of the user's own process."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from evalkit.api.result import EvalResult, Scratch
from evalkit.api.scores import provenance
from evalkit.asking import asked_of
from evalkit.assemble import Question
from evalkit.classes import check_class_names, name_list
from evalkit.errors import SpecificationError
from evalkit.integrity import IntegrityLog
from evalkit.ledger import Output
from evalkit.scoring import make_decision, metrics_error
from evalkit.spec import SlicesSpec, validate_metrics

if TYPE_CHECKING:
    from evalkit.datasets.userdata import UserData, Walked
    from evalkit.setup import Setup

# What Hugging Face writes where nobody named the classes.
_PLACEHOLDER = re.compile(r"LABEL_\d+")


def evaluate(
    model: Any,
    data: Any,
    *,
    class_names: Sequence[str] | None = None,
    task: str = "multiclass",
    threshold: float | None = None,
    output: Output = "logits",
    inputs: Sequence[str] | str | None = None,
    labels: str | None = None,
    attributes: Sequence[str] | str | None = None,
    select: int | str | None = None,
    positive_class: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    slices: Sequence[Any] = (),
    batch_size: int = 256,
    audit: Literal["standard", "full", "off"] = "standard",
    stochastic: bool = False,
    precision: Literal["exact", "amp", "fast"] = "exact",
    name: str = "model",
) -> EvalResult:
    """Evaluate a module on a Dataset or DataLoader; the module comes back as it was found.

    Args:
        model: On its device; measured in eval mode without gradients.
        data: A map-style Dataset, or a DataLoader whose data set is walked in order with its own collate
            function and workers.
        class_names: In output order; by default ``model.config.id2label``, then ``dataset.classes``.
        task: multiclass, binary or multilabel.
        threshold, positive_class: Of a binary task; the threshold also of a multilabel one.
        output: What the model returns: logits, probabilities or scores.
        inputs, labels, attributes: Keys, where items are mappings.
        select: Index or key of the scores in the model's output.
        metrics: What to compute, as the block of a specification: names, averages, interval, cluster, cost, …
        slices: Attributes to slice by, as in a specification.
        batch_size: For a Dataset; a DataLoader brings its own.
        audit: Ask the model again about samples of the first batch, of every batch (full), or not at all.
        stochastic: The model is meant to be random, so its answers are not compared.
        precision: exact, amp (bfloat16 autocast) or fast (the same, and full precision near decisions).
        name: Of the run.

    Raises:
        InvalidRunError: The run cannot give a number.
        EvalkitError: Whatever else is refused.
    """
    return result_of(
        module_setup(
            model,
            data,
            class_names=class_names,
            task=task,
            threshold=threshold,
            output=output,
            inputs=inputs,
            labels=labels,
            attributes=attributes,
            select=select,
            positive_class=positive_class,
            metrics=metrics,
            slices=slices,
            batch_size=batch_size,
            audit=audit,
            stochastic=stochastic,
            precision=precision,
            name=name,
        ),
        IntegrityLog(),
    )


def module_setup(
    model: Any,
    data: Any,
    *,
    class_names: Sequence[str] | None = None,
    task: str = "multiclass",
    threshold: float | None = None,
    output: Output = "logits",
    inputs: Sequence[str] | str | None = None,
    labels: str | None = None,
    attributes: Sequence[str] | str | None = None,
    select: int | str | None = None,
    positive_class: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    slices: Sequence[Any] = (),
    batch_size: int = 256,
    audit: Literal["standard", "full", "off"] = "standard",
    stochastic: bool = False,
    precision: Literal["exact", "amp", "fast"] = "exact",
    name: str = "model",
) -> "Setup":
    """Return what :func:`evaluate` runs, for callers that know more: which file the weights are from."""
    from evalkit.datasets.userdata import check_dataset, walk_loader  # noqa: PLC0415 - torch
    from evalkit.setup import Setup, check_module, model_device, module_facts  # noqa: PLC0415

    check_module(model)
    walked = walk_loader(data, batch_size)
    check_dataset(walked.dataset, "data")
    config = getattr(model, "config", None)
    names = _names_of(class_names, config, walked.dataset)
    decision = make_decision(
        names, task=task, output=output, threshold=threshold, positive_class=positive_class
    )
    measured, sliced = validate_metrics(dict(metrics or {}), slices, where="metrics")
    asked = asked_of(measured, sliced, class_names=names, decision=decision, scored=True, error=metrics_error)
    return Setup(
        question=Question(name, asked),
        model=model,
        weights_sha256=None,
        model_facts={**module_facts(model), "output": output},
        source=_source(
            walked,
            names,
            inputs=inputs,
            labels=labels,
            attributes=attributes,
            multilabel=task == "multilabel",
        ),
        where="data",
        select=select,
        default_select="logits" if hasattr(config, "id2label") else None,  # as Hugging Face calls its scores
        device=model_device(model),
        batch_size=walked.batch_size,
        workers=walked.workers,
        spec={
            "name": name,
            "task": task,
            "metrics": measured.model_dump(mode="json"),
            "data": SlicesSpec(slices=sliced).model_dump(mode="json"),
        },
        audit=audit,
        stochastic=stochastic,
        precision=precision,
        run={
            "batch_size": walked.batch_size,
            "workers": walked.workers,
            "audit": audit,
            "stochastic": stochastic,
            "precision": precision,
        },
    )


def result_of(setup: "Setup", integrity: IntegrityLog) -> EvalResult:
    """Run a setup in this process.

    Args:
        setup: From :func:`module_setup`.
        integrity: What is known before the run; filled with the outcome of every check.

    Raises:
        InvalidRunError: The run cannot give a number.
        EvalkitError: Whatever else is refused.
    """
    from evalkit.measure import Candidate, measure, share_of  # noqa: PLC0415 - torch
    from evalkit.work import Work  # noqa: PLC0415

    scratch = Scratch()
    with scratch.parts() as folder:
        work = Work(folder, scratch.ledger(), share_of(setup))
        (run,) = measure(
            [Candidate(setup, integrity, work)],
            clock=time.perf_counter,
            progress=lambda *_: None,
        )
        evaluation = run.evaluation(provenance())
    if evaluation.failure is not None:
        raise evaluation.failure
    return EvalResult(evaluation.result, scratch.ledger, scratch)


def _source(
    walked: "Walked",
    names: tuple[str, ...],
    *,
    inputs: Sequence[str] | str | None,
    labels: str | None,
    attributes: Sequence[str] | str | None,
    multilabel: bool,
) -> "UserData":
    from evalkit.datasets.userdata import UserData, own_indices  # noqa: PLC0415 - torch

    return UserData(
        walked.dataset,
        "data",
        names,
        walked.collate,
        _keys(inputs),
        labels,
        _keys(attributes),
        None if multilabel else own_indices(walked.dataset, names, "data"),
        multilabel=multilabel,
    )


def _names_of(class_names: Any, config: Any, dataset: Any) -> tuple[str, ...]:
    from evalkit.datasets.userdata import classes_of  # noqa: PLC0415 - torch

    found, where = class_names, "class_names"
    if found is None:
        found, where = getattr(config, "id2label", None) or None, "model.config.id2label"
    names = None if found is None else name_list(found, where=where)
    if class_names is None and (names is None or all(_PLACEHOLDER.fullmatch(name) for name in names)):
        names = classes_of(dataset) or names
    if names is None:
        raise SpecificationError(
            "class_names: nothing names the model's outputs", hint="Pass class_names=[...]"
        )
    return check_class_names(names, where=where)


def _keys(names: Sequence[str] | str | None) -> Sequence[str]:
    """Take one key, several, or none."""
    return (names,) if isinstance(names, str) else names or ()
