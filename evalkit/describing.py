"""What a document says of one model's pass: facts about data and run, and warnings beside the numbers."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from evalkit.assemble import assemble
from evalkit.datasets import Inputs
from evalkit.datasets.images import truncated_allowed
from evalkit.digests import DataDigest
from evalkit.findings import Findings
from evalkit.inference import Inference
from evalkit.inference.anatomy import anatomy
from evalkit.inference.mode import flags
from evalkit.inference.repeats import Repeats
from evalkit.integrity import IntegrityLog
from evalkit.result import EvalResult
from evalkit.setup import Setup, floating_dtype

SHOWN_UNREADABLE = 100


@dataclass(slots=True)
class Pass:
    """What a pass over the data left behind, beside counts and ledger.

    Attributes:
        state: What the loop learned.
        data: The digest of who was asked about.
        n_asked, n_evaluated: Samples that were to be run, and that were.
        seconds: By what they were spent on.
        few: Inputs of the first samples.
        repeats: What occurs more than once.
        n_trained_on: How many inputs are in the training set; None where that was not asked.
        parameters: SHA-256 of the model's parameters and buffers, whatever file they came from.
    """

    state: Inference
    data: DataDigest
    n_asked: int
    n_evaluated: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"inference": 0.0, "audit": 0.0})
    few: Inputs = ()
    repeats: Repeats = field(default_factory=Repeats)
    n_trained_on: int | None = None
    parameters: str = ""


def record_warnings(setup: Setup, ran: Pass, integrity: IntegrityLog) -> None:
    """Record what does not make a run invalid, but a reader must know."""
    repeats = ran.repeats
    doubts = {
        "images_complete": (
            truncated_allowed(),
            "LOAD_TRUNCATED_IMAGES is set: pictures may be cut off",
        ),
        "inputs_differ": (repeats.n_duplicates, f"{repeats.n_duplicates} inputs equal an earlier one"),
        "labels_agree": (
            repeats.n_conflicting,
            f"{repeats.n_conflicting} samples have an input that also occurs with another label",
        ),
    }
    if setup.trained_on is not None:
        shared = ran.n_trained_on = setup.trained_on.n_shared(np.concatenate(ran.state.prints))
        text = f"{shared} of {ran.n_evaluated} inputs are in the training set"
        doubts["not_trained_on"] = (shared, text)
    for check, (found, text) in doubts.items():
        if found:
            integrity.record(check, "warn", text)
    integrity.ok(list(doubts))


def document(
    setup: Setup, ran: Pass, found: Findings | None, *, integrity: IntegrityLog, provenance: dict[str, Any]
) -> EvalResult:
    """Write down what was found; without findings the run is invalid and holds no number."""
    state = ran.state
    n_samples = ran.n_asked if found is None else ran.n_evaluated
    complete = state.inputs.n_items == n_samples
    return assemble(
        setup.question,
        found,
        n_asked=ran.n_asked,
        n_available=len(setup.source),
        n_excluded=len(state.unreadable),
        digests={
            "data": ran.data.hexdigest() if complete else None,
            "inputs": state.inputs.hexdigest() if complete else None,
            "weights": setup.weights_sha256,
            "parameters": ran.parameters,
        },
        torch_version=torch.__version__.partition("+")[0],
        dtype=state.output_dtype,
        integrity=integrity,
        spec=setup.spec,
        model={
            **setup.model_facts,
            "output_dtype": state.output_dtype or None,
            "architecture": None if found is None else _architecture(setup, ran.few),
        },
        data=_data_facts(setup, ran),
        run=_run_facts(setup, ran, n_samples),
        provenance=provenance,
    )


def _architecture(setup: Setup, few: Inputs) -> dict[str, Any]:
    """Look at the layers once everything is counted: nothing that this does can change a number."""
    return anatomy(setup.model, few, setup.device, floating_dtype(setup.model))


def _data_facts(setup: Setup, ran: Pass) -> dict[str, Any]:
    state = ran.state
    return {
        **setup.source.facts(),
        "n_evaluated": ran.n_evaluated,
        "n_unreadable": len(state.unreadable),
        "unreadable": [f"{lost.name}: {lost.reason}" for lost in state.unreadable[:SHOWN_UNREADABLE]],
        "duplicate_inputs": ran.repeats.n_duplicates,
        "conflicting_labels": ran.repeats.n_conflicting,
        "in_training_set": ran.n_trained_on,
        "modes": dict(sorted(state.modes.items())),
        "classes_assumed": setup.question.classes_assumed,
        "input_cast": state.input_cast,
        "input_statistics": state.statistics.summary(),
        "n_ties": state.n_ties,
    }


def _run_facts(setup: Setup, ran: Pass, n_samples: int) -> dict[str, Any]:
    seconds = ran.seconds["inference"]
    return {
        **setup.run,
        "used_device": str(setup.device),
        **flags(),
        "seconds": dict(ran.seconds),
        "samples_per_second": n_samples / seconds if seconds else None,
    }
