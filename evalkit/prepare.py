"""From an opened specification to a setup: model and data, each checked before the loop."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.asking import asked_of
from evalkit.assemble import Question
from evalkit.checkpoints.contract import names_held
from evalkit.checkpoints.filling import filled_model, width_of
from evalkit.checkpoints.loading import file_facts
from evalkit.checkpoints.reader import Checkpoint
from evalkit.checkpoints.trusted import load_trusted
from evalkit.datasets import Source, open_source
from evalkit.datasets.preprocess import Preprocessing
from evalkit.deciding import decision_of, memory_of
from evalkit.display import quoted, visible
from evalkit.errors import ModelError, nearest
from evalkit.findings import Asked
from evalkit.inference import pick_device
from evalkit.integrity import IntegrityLog
from evalkit.manifest import Manifest, read_manifest
from evalkit.opening import Opened, valid_outputs
from evalkit.setup import Setup, module_facts
from evalkit.spec import KeyPath, Loaded

_INTEGRITY = {
    "crc_verified": ("ok", "the file's checksums hold"),
    "crc_not_recorded": ("warn", "the file carries no checksums"),
    "not_verifiable": ("warn", "this format has no checksums"),
}


def prepare(
    opened: Opened,
    integrity: IntegrityLog,
    *,
    beside: Setup | None = None,
    local_rank: int | None = None,
) -> Setup:
    """Build the model, load its weights and open the data.

    Args:
        opened: The specification.
        integrity: Filled with what is known of the file.
        beside: A candidate whose data this baseline is run over.
        local_rank: Which of several processes on this machine.

    Raises:
        ModelError, CheckpointError, DataError: Whatever cannot be built or is refused.
    """
    loaded, names = opened.loaded, opened.contract.names
    spec, device = loaded.spec, pick_device(loaded.spec.run.device, local_rank=local_rank)
    valid, kept = valid_outputs(loaded, names), opened.class_names
    decision, chosen_on = decision_of(loaded, kept)
    asked = asked_of(
        spec.metrics,
        spec.data.slices,
        class_names=kept,
        decision=decision,
        gates=spec.gates,
        scored=True,
        error=loaded.source.error,
    )
    memory = memory_of(loaded)
    torch.manual_seed(spec.run.seed)
    model, facts = _model(opened)
    record_integrity(integrity, opened.checkpoint, pinned=spec.model.sha256 is not None)
    _record_order(integrity, opened)
    if beside is None:
        source, preprocessing = _open_source(opened, names)
        _check_attributes(loaded, source, asked)
        fed, source_names = preprocessing.text, names
    else:
        source, fed = beside.source, beside.model_facts["preprocessing"]
        source_names = beside.source_names
    return Setup(
        question=Question(spec.name, asked, opened.contract.assumed),
        model=model.to(device),
        weights_sha256=opened.checkpoint.sha256,
        model_facts={
            "factory": spec.model.factory,
            **module_facts(model),
            "output": spec.model.output,
            "preprocessing": fed,
            "classes_from": opened.contract.origin,
            **facts,
        },
        source=source,
        where=str(loaded.resolve(spec.data.path)),
        select=spec.model.select,
        default_select=None if opened.library is None else opened.library.select,
        device=device,
        batch_size=spec.run.batch_size,
        workers=spec.run.workers,
        worker_timeout=spec.run.worker_timeout,
        audit=spec.run.audit,
        stochastic=spec.run.stochastic,
        precision=spec.run.precision,
        compiles=spec.run.compile,
        seed=spec.run.seed,
        trained_on=_trained_on(loaded, fed),
        exclude=spec.data.on_unreadable == "exclude",
        valid=valid,
        n_outputs=len(names),
        memory=memory,
        chosen_on=chosen_on,
        spec=loaded.document(),
        run=spec.run.model_dump(mode="json"),
        source_names=source_names,
        order=_order(loaded, source_names, names),
    )


def _trained_on(loaded: Loaded, fed: str) -> Manifest | None:
    """Read the training set's prints; SpecificationError where they were made of other inputs."""
    declared = loaded.spec.data.train_manifest
    if declared is None:
        return None
    manifest = read_manifest(loaded.resolve(declared))
    if manifest.preprocessing != fed:
        raise loaded.source.error(
            ("data", "train_manifest"),
            f"was made with another preprocessing ({manifest.preprocessing})",
            hint="Make it again: evalkit manifest DATA --like this specification",
        )
    return manifest


def _order(loaded: Loaded, source: tuple[str, ...], names: tuple[str, ...]) -> NDArray[np.int64] | None:
    """Return the output of each of the data's classes; None where they are in order already."""
    if source == names:
        return None
    if sorted(source) != sorted(names):
        raise loaded.source.error(("baseline", "checkpoint"), "its model has other class names")
    return np.array([names.index(name) for name in source], np.int64)


def _model(opened: Opened) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Return the model with its weights, and what a document says about where they come from."""
    spec, base = opened.loaded.spec.model, opened.loaded.base
    if opened.trusted:
        model = load_trusted(opened.checkpoint, base=base, weights=spec.weights)
        return model, {**file_facts(opened.checkpoint), "trusted_code": True}
    n_classes, origin = len(opened.contract.names), opened.contract.origin
    width = width_of(opened.checkpoint)
    sized = opened.library is not None and opened.library.sized_by_classes
    if sized and width not in (None, n_classes) and "num_classes" not in spec.args:
        raise ModelError(
            f"the checkpoint's head has {width} outputs, but {n_classes} class names are declared ({origin})"
        )
    return filled_model(
        opened.checkpoint,
        spec.factory or "",
        spec.args,
        weights=spec.weights,
        base=base,
        n_classes=n_classes,
    )


def _open_source(opened: Opened, names: tuple[str, ...]) -> tuple[Source, Preprocessing]:
    loaded, library = opened.loaded, opened.library
    declared = loaded.spec.data.preprocess
    # What the specification says itself needs nothing of the library.
    asked = library is not None and declared in (None, "library")
    preprocessing = Preprocessing.declared(
        loaded,
        library=library.preprocessing() if library is not None and asked else None,
        options=[] if library is None else library.entries(),
    )
    return open_source(loaded, names, preprocessing), preprocessing


def record_integrity(integrity: IntegrityLog, checkpoint: Checkpoint, *, pinned: bool) -> None:
    """Record whether the file carries checksums, or is the pinned one."""
    status, text = _INTEGRITY[checkpoint.integrity]
    if pinned:
        status, text = "ok", "the file's sha256 is the pinned one"
    integrity.record("file_integrity", "ok" if status == "ok" else "warn", text)


def _record_order(integrity: IntegrityLog, opened: Opened) -> None:
    """Warn where the file holds the very same names in another order: one of the two is not the model's."""
    names = opened.contract.names
    for key, held in names_held(opened.checkpoint).items():
        moved = [name for name, own in zip(held, names, strict=False) if name != own]
        if moved and sorted(held) == sorted(names):
            text = f"the checkpoint's own {visible(key)} has {len(moved)} of {len(names)} names elsewhere"
            integrity.record("class_order", "warn", f"{text}, such as {quoted(moved[0])}")


def _check_attributes(loaded: Loaded, source: Source, asked: Asked) -> None:
    """Refuse columns that the data do not have, where that is known before they are read."""
    known = source.facts().get("attributes")
    if known is None:
        return
    for name in asked.grouping.columns:
        if name not in known:
            unit = loaded.spec.metrics.unit
            key: KeyPath = ("data", "slices")
            if name == loaded.spec.metrics.cluster:
                key = ("metrics", "cluster")
            elif unit is not None and name == unit.by:
                key = ("metrics", "unit", "by")
            raise loaded.source.error(key, f"the data have no attribute {name!r}{nearest(name, known)}")
