"""From a specification to a setup: checkpoint, class names, model and data, each checked before the loop."""

from dataclasses import dataclass
from typing import Any

import torch

from evalkit.assemble import Question
from evalkit.checkpoints.contract import (
    ClassContract,
    class_contract,
    positive_index,
    value_in_checkpoint,
)
from evalkit.checkpoints.data import plain_values
from evalkit.checkpoints.declaration import Declaration, read_declaration, refuse_named_code
from evalkit.checkpoints.factory import build_model
from evalkit.checkpoints.library import head_width, is_library, library_entries, library_preprocessing
from evalkit.checkpoints.loading import LoadedWeights, load_weights
from evalkit.checkpoints.reader import Checkpoint, read_checkpoint
from evalkit.datasets import Source, check_data, open_source
from evalkit.datasets.preprocess import Preprocessing
from evalkit.decide import Decision
from evalkit.errors import ModelError
from evalkit.inference import pick_device
from evalkit.integrity import IntegrityLog
from evalkit.measure import Setup, module_facts
from evalkit.metrics import Policy
from evalkit.metrics.prevalence import stated_shares
from evalkit.rows import Measures, asked_metric, default_metrics
from evalkit.spec import Loaded, ModelSpec

DEFAULT_THRESHOLD = 0.5
_INTEGRITY = {
    "crc_verified": ("ok", "the file's checksums hold"),
    "crc_not_recorded": ("warn", "the file carries no checksums"),
    "not_verifiable": ("warn", "this format has no checksums"),
}


@dataclass(frozen=True, slots=True)
class Opened:
    """A specification whose checkpoint was read and whose classes are known; nothing is built yet."""

    loaded: Loaded
    checkpoint: Checkpoint
    contract: ClassContract


def open_specification(loaded: Loaded) -> Opened:
    """Read the checkpoint as data, take over what it declares, and settle the class names.

    Raises:
        CheckpointError: The file is refused.
        SpecificationError: The factory or the names cannot be found.
    """
    spec = loaded.spec.model
    assert spec.checkpoint is not None  # the specification's own check
    checkpoint = read_checkpoint(loaded.resolve(spec.checkpoint), sha256=spec.sha256)
    loaded = _with_declaration(_with_stored_preprocessing(loaded, checkpoint), checkpoint)
    check_data(loaded)
    contract = class_contract(loaded, checkpoint)
    positive_index(loaded, contract.names)
    return Opened(loaded, checkpoint, contract)


def _with_stored_preprocessing(loaded: Loaded, checkpoint: Checkpoint) -> Loaded:
    """Fill in a preprocessing that ``checkpoint:KEY`` names."""
    named = loaded.spec.data.preprocess
    if not isinstance(named, str) or not named.startswith("checkpoint:"):
        return loaded
    found = value_in_checkpoint(checkpoint, named.removeprefix("checkpoint:"))
    if not isinstance(found, dict):
        raise loaded.source.error(("data", "preprocess"), f"{named} is no mapping")
    return loaded.updated({"data": {"preprocess": plain_values(found)}}, where=f"{checkpoint.path}: {named}")


def _with_declaration(loaded: Loaded, checkpoint: Checkpoint) -> Loaded:
    """Fill in what the specification leaves out and the file declares; named code is never imported."""
    spec, declared = loaded.spec, read_declaration(checkpoint)
    images = spec.data.source in ("folder", "table") and not spec.data.features
    if spec.model.factory is None and (declared is None or declared.factory is None):
        raise loaded.source.error(("model", "factory"), "is required", hint="Say --model module:callable")
    if declared is None:
        return loaded
    model: dict[str, Any] = {}
    data: dict[str, Any] = {}
    if spec.model.factory is None:
        if not is_library(declared.factory or ""):
            raise refuse_named_code(declared, checkpoint.path)
        model = {"factory": declared.factory}
    model |= _own_words(spec.model, declared)
    if spec.model.classes is None and declared.classes is not None:
        model["classes"] = declared.classes
    if spec.data.preprocess is None and declared.preprocess is not None and images:
        if isinstance(declared.preprocess, str) and declared.preprocess != "library":
            raise refuse_named_code(declared, checkpoint.path)
        data["preprocess"] = declared.preprocess
    return loaded.updated({"model": model, "data": data}, where=str(checkpoint.path))


def _own_words(spec: ModelSpec, declared: Declaration) -> dict[str, Any]:
    """Return what the file says of its own model, where that is meant and the specification is silent."""
    if spec.factory not in (None, declared.factory):
        return {}
    said = {"args": dict(declared.args or {}), "output": declared.output}
    return {key: value for key, value in said.items() if value and key not in spec.model_fields_set}


def prepare(opened: Opened, integrity: IntegrityLog) -> Setup:
    """Build the model, load its weights and open the data.

    Raises:
        ModelError, CheckpointError, DataError: Whatever cannot be built or is refused.
    """
    loaded, names = opened.loaded, opened.contract.names
    spec = loaded.spec
    decision, device = _decision(loaded, names), pick_device(spec.run.device)
    torch.manual_seed(spec.run.seed)
    factory = spec.model.factory or ""
    model = build_model(factory, _arguments(opened), base=loaded.base)
    weights = load_weights(model, opened.checkpoint, weights=spec.model.weights)
    _record_integrity(integrity, weights, pinned=spec.model.sha256 is not None)
    source, preprocessing = _open_source(opened, names)
    return Setup(
        question=Question(
            name=spec.name,
            class_names=names,
            decision=decision,
            measures=_measures(loaded, names),
            classes_assumed=opened.contract.assumed,
        ),
        model=model.to(device),
        weights_sha256=opened.checkpoint.sha256,
        model_facts={
            "factory": factory,
            **module_facts(model),
            "output": spec.model.output,
            "preprocessing": preprocessing.text,
            "classes_from": opened.contract.origin,
            **weights.facts(),
        },
        source=source,
        where=str(loaded.resolve(spec.data.path)),
        select=spec.model.select,
        device=device,
        batch_size=spec.run.batch_size,
        workers=spec.run.workers,
        exclude=spec.data.on_unreadable == "exclude",
        spec=loaded.document(),
        run=spec.run.model_dump(mode="json"),
    )


def _measures(loaded: Loaded, names: tuple[str, ...]) -> Measures:
    """Say what to compute: the defaults, what the specification adds, and every gate's metric."""
    spec = loaded.spec
    asked = default_metrics(spec.task, len(names), scored=True)
    asked += [asked_metric(name) for name in (() if spec.metrics.names == "default" else spec.metrics.names)]
    asked += [asked_metric(gate.metric, k=gate.k, beta=gate.beta) for gate in spec.gates]
    unique = {(slug, tuple(params.items())): (slug, params) for slug, params in asked}
    kinds = [*spec.metrics.averages, *(gate.average for gate in spec.gates if gate.average)]
    return Measures(
        task=spec.task,
        asked=tuple(unique.values()),
        averages=tuple(dict.fromkeys(kinds)),
        policy=Policy(spec.metrics.classes, spec.metrics.zero_division),
        level=spec.metrics.interval,
        method=spec.metrics.interval_method,
        cost=_cost(loaded, names),
        prevalence=_prevalence(loaded, names),
    )


def _cost(loaded: Loaded, names: tuple[str, ...]) -> tuple[tuple[float, ...], ...] | None:
    declared = loaded.spec.metrics.cost
    if declared is None:
        return None
    if [len(row) for row in declared] != [len(names)] * len(names):
        raise loaded.source.error(
            ("metrics", "cost"), f"expected {len(names)} rows of {len(names)} numbers, in class order"
        )
    return tuple(tuple(float(str(value)) for value in row) for row in declared)


def _prevalence(loaded: Loaded, names: tuple[str, ...]) -> tuple[float, ...] | None:
    positive = positive_index(loaded, names)
    declared: Any = loaded.spec.metrics.prevalence
    try:
        return stated_shares(declared, names, None if positive is None else names[positive])
    except ValueError as error:
        raise loaded.source.error(("metrics", "prevalence"), str(error)) from error


def _arguments(opened: Opened) -> dict[str, Any]:
    """Give library models their number of classes; other factories get what the specification says."""
    spec, n_classes = opened.loaded.spec.model, len(opened.contract.names)
    if not is_library(spec.factory or ""):
        return spec.args
    width = head_width(opened.checkpoint.contents.tree)
    if width is not None and width != n_classes and "num_classes" not in spec.args:
        raise ModelError(
            f"the checkpoint's head has {width} outputs, but {n_classes} class names are declared "
            f"({opened.contract.origin})"
        )
    return {"num_classes": n_classes, **spec.args}


def _open_source(opened: Opened, names: tuple[str, ...]) -> tuple[Source, Preprocessing]:
    loaded = opened.loaded
    spec = loaded.spec
    factory = spec.model.factory or ""
    known = is_library(factory)
    library = library_preprocessing(factory) if known else None
    options = library_entries(factory) if known else []
    preprocessing = Preprocessing.declared(loaded, library=library, options=options)
    return open_source(loaded, names, preprocessing), preprocessing


def _record_integrity(integrity: IntegrityLog, weights: LoadedWeights, *, pinned: bool) -> None:
    status, text = _INTEGRITY[weights.checkpoint.integrity]
    if pinned:
        status, text = "ok", "the file's sha256 is the pinned one"
    integrity.record("file_integrity", "ok" if status == "ok" else "warn", text)


def _decision(loaded: Loaded, class_names: tuple[str, ...]) -> Decision:
    model, positive = loaded.spec.model, positive_index(loaded, class_names)
    if positive is None:
        return Decision(loaded.spec.task, model.output)
    threshold = DEFAULT_THRESHOLD if model.threshold is None else float(str(model.threshold))
    return Decision(loaded.spec.task, model.output, positive, threshold)
