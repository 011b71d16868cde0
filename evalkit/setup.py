"""What is evaluated, and how: everything that the trunk needs, and what a document says of a module."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.assemble import Question
from evalkit.checkpoints.data import dtype_name
from evalkit.datasets import Source
from evalkit.datasets.userdata import UserData
from evalkit.errors import ModelError, SpecificationError
from evalkit.inference import Predictor
from evalkit.manifest import Manifest
from evalkit.parts import Observed
from evalkit.samples import DEFAULT_MEMORY

_OWN_SOURCES = frozenset({"npz", "folder", "table"})
_SMALL = 1 << 22


@dataclass(frozen=True, slots=True)
class Setup:
    """What is evaluated, and how: everything that the trunk needs to know.

    Attributes:
        question: What is asked.
        model: On its device, weights loaded.
        weights_sha256: Of the checkpoint file; None where the model came without one.
        model_facts: What the document says about the model.
        source: The samples.
        where: Names the data in messages.
        select: Which part of the model's output holds the scores.
        default_select: The same where ``select`` is None and the output is no tensor.
        device, batch_size, workers: How to run.
        worker_timeout: Seconds after which a loader process is taken to hang.
        exclude: Leave unreadable samples out instead of refusing.
        audit: ``standard`` asks the model again about the first samples, ``full`` about some of every batch,
            ``off`` not at all.
        stochastic: The model is meant to be random: its answers are not compared.
        precision: ``exact``, ``amp`` (bfloat16 where torch takes that to be harmless) or ``fast`` (the same,
            and full precision for every sample that it could decide otherwise).
        compiles: Let ``torch.compile`` make what computes in half precision of ``fast``.
        seed: Draws the samples that ``fast`` is compared on.
        trained_on: What the training set looks like to the model.
        n_outputs: Of the model; by default as many as there are class names.
        valid: The outputs that count, as indices into all that the model has; None for all.
        memory: How many bytes of scores may be held at once.
        chosen_on: Digest of the data that the threshold was chosen on.
        spec: The resolved specification without ``run``; run: that block.
        source_names: The class names that the source's labels are indices of.
        order: The output of each of the data's classes, where these come in another order; else None.
    """

    question: Question
    model: torch.nn.Module
    weights_sha256: str | None
    model_facts: dict[str, Any]
    source: Source
    where: str
    select: int | str | None
    device: torch.device
    batch_size: int
    workers: int
    worker_timeout: float = 600
    exclude: bool = False
    default_select: str | None = None
    valid: NDArray[np.int64] | None = None
    memory: int = DEFAULT_MEMORY
    chosen_on: str | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    audit: Literal["standard", "full", "off"] = "standard"
    stochastic: bool = False
    precision: Literal["exact", "amp", "fast"] = "exact"
    compiles: bool = False
    seed: int = 0
    trained_on: Manifest | None = None
    n_outputs: int = 0
    source_names: tuple[str, ...] = ()
    order: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Take the number of class names where nothing else is said.

        Raises:
            SpecificationError: ``fast`` of a model that is meant to be random: answers cannot be compared;
                or a compiled model whose answers are not.
        """
        if self.precision == "fast" and self.stochastic:
            raise SpecificationError(
                "run.precision: fast compares answers, and run.stochastic says that they are random",
                hint="Set run.precision to exact or amp",
            )
        if self.compiles and self.precision != "fast":
            raise SpecificationError(
                f"run.compile: changes answers a little, and run.precision {self.precision} compares none",
                hint="Set run.precision to fast",
            )
        if not self.n_outputs:
            object.__setattr__(self, "n_outputs", len(self.question.asked.class_names))

    @property
    def reads_ahead(self) -> bool:
        """Whether a thread reads samples while the model works.

        Not where the user's code reads them; nor large ones from memory, which are there at once.
        """
        small = isinstance(self.source, UserData) and self.source.batch_bytes(self.batch_size) <= _SMALL
        own = small or self.source.facts().get("source") in _OWN_SOURCES
        return own and self.workers == 0 and not self.stochastic


def predictor_of(setup: Setup, state: Observed, model: torch.nn.Module | None = None) -> Predictor:
    """Return what answers a setup's question: its own model, or another in its place."""
    asked = setup.model if model is None else model
    return Predictor(
        asked,
        setup.question.asked.decision,
        setup.n_outputs,
        setup.select,
        setup.device,
        floating_dtype(asked),
        setup.exclude,
        state,
        default_select=setup.default_select,
        valid=setup.valid,
        order=setup.order,
    )


def check_module(model: object) -> None:
    """Raise ModelError unless it is a torch module."""
    if not isinstance(model, torch.nn.Module):
        raise ModelError(
            f"model: expected a torch.nn.Module, got a {type(model).__name__}",
            hint="Predictions of anything else go to evalkit.score",
        )


def check_apart(candidate: torch.nn.Module, baseline: torch.nn.Module) -> None:
    """Raise ModelError where two models hold one tensor: loading the second changed the first."""
    shared = memory_of(candidate) & memory_of(baseline)
    if shared:
        raise ModelError(
            f"the factory gives the candidate and the baseline {len(shared)} tensors in common, so that "
            "loading one's weights changes the other's",
            hint="Let it build a new model at each call, without a cache or global modules",
        )


def memory_of(model: torch.nn.Module) -> set[tuple[str, int]]:
    """Return where a model's tensors are stored, to see whether two models share any."""
    tensors = [*model.parameters(), *model.buffers()]
    held = [value for value in tensors if value.layout == torch.strided and value.numel()]
    return {(str(value.device), value.untyped_storage().data_ptr()) for value in held if not value.is_meta}


def floating_dtype(model: torch.nn.Module) -> torch.dtype | None:
    """Return the model's floating type, which floating inputs take; None where it has none."""
    return next((value.dtype for value in model.parameters() if value.is_floating_point()), None)


def module_facts(model: torch.nn.Module) -> dict[str, Any]:
    """Return what a document says about any module."""
    return {
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": dtype_name(floating_dtype(model) or "none"),
    }


def model_device(model: torch.nn.Module) -> torch.device:
    """Return the device that a model's tensors are on; the CPU where it has none."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
