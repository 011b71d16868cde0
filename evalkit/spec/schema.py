"""The keys of a specification, their types and defaults; a key that is none of them is an error."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from evalkit.catalogue import is_of_flips


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns only ValueError into a message
    return value


Number = Annotated[
    StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)], BeforeValidator(_refuse_bool)
]
Positive = Annotated[StrictInt, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
Scalar = StrictBool | StrictInt | Annotated[float, Field(strict=True)] | StrictStr


def _check_plain(value: Any) -> Any:
    """Refuse what a document could not hold, or would hold as something else: dates, bytes, NaN, odd keys."""
    if isinstance(value, dict):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise ValueError(f"keys must be text, got {odd[0]!r} (quote it)")
        for child in value.values():
            _check_plain(child)
    elif isinstance(value, list):
        for child in value:
            _check_plain(child)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("must be finite")
    elif value is not None and not isinstance(value, (str, int)):
        raise ValueError(
            f"must be text, a number, a list or a mapping, got a {type(value).__name__} (quote it)"
        )
    return value


Plain = Annotated[Any, BeforeValidator(_check_plain)]


class Block(BaseModel):
    """A mapping of the specification; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ThresholdFrom(Block):
    """A threshold chosen on another run."""

    from_: Annotated[StrictStr, Field(alias="from")]
    choose: Literal["max_f1"]


class ModelSpec(Block):
    """Which model: code that the user trusts, and a checkpoint that nobody has to."""

    factory: StrictStr | None = None
    args: dict[StrictStr, Plain] = {}
    checkpoint: StrictStr | None = None
    weights: StrictStr | None = None
    sha256: Annotated[StrictStr, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    output: Literal["logits", "probabilities", "scores"] = "logits"
    select: StrictInt | StrictStr | None = None
    classes: StrictStr | tuple[StrictStr, ...] | None = None
    class_order: Literal["torchvision", "natural"] | None = None
    valid_classes: tuple[StrictStr, ...] | None = None
    positive_class: StrictStr | None = None
    threshold: Number | ThresholdFrom | None = None


class PreprocessSpec(Block):
    """Image preprocessing as torchvision defines it."""

    resize: Positive | tuple[Positive, Positive] | None = None
    crop: Positive | tuple[Positive, Positive] | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    mean: tuple[Number, ...] | None = None
    std: tuple[Number, ...] | None = None
    mode: Literal["RGB", "L", "I16"] = "RGB"
    scale: Number | None = None
    exif: Literal["refuse", "ignore", "apply"] = "refuse"


SliceSpec = StrictStr | tuple[StrictStr, ...] | dict[StrictStr, tuple[Number, ...]]


class DataSpec(Block):
    """Which samples, or whose predictions."""

    source: Literal["npz", "folder", "table", "factory", "predictions"]
    path: StrictStr
    preprocess: PreprocessSpec | StrictStr | None = None
    attributes: StrictStr | tuple[StrictStr, ...] | None = None
    slices: tuple[SliceSpec, ...] = ()
    on_unreadable: Literal["refuse", "exclude"] = "refuse"
    root: StrictStr | None = None
    image: StrictStr | None = None
    features: tuple[StrictStr, ...] | None = None
    label: StrictStr | tuple[StrictStr, ...] | None = None
    id: StrictStr | None = None
    collate: StrictStr | None = None
    train_manifest: StrictStr | None = None
    prediction: StrictStr | tuple[StrictStr, ...] | None = None
    scores: StrictStr | tuple[StrictStr, ...] | None = None
    count: StrictStr | None = None
    labels_are: Literal["names", "indices"] | None = None
    ids: Literal["check", "trust"] = "check"


class RunSpec(Block):
    """How to run: nothing here may change a number, but for half precision within what is said of it."""

    batch_size: Positive = 256
    device: Annotated[StrictStr, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    workers: Annotated[StrictInt, Field(ge=0)] = 0
    worker_timeout: Positive = 600
    precision: Literal["exact", "amp", "fast"] = "exact"
    compile: StrictBool = False
    seed: Annotated[StrictInt, Field(ge=0, lt=1 << 63)] = 0
    audit: Literal["standard", "full", "off"] = "standard"
    stochastic: StrictBool = False
    ledger: Literal["full", "none"] = "full"
    rank_timeout: Positive = 600


class UnitSpec(Block):
    """Samples that are judged together, such as the images of one patient."""

    by: StrictStr
    combine: Literal["mean", "max", "any", "majority"]


class MetricsSpec(Block):
    """Which metrics, and what an average means."""

    names: Literal["default"] | tuple[StrictStr, ...] = "default"
    averages: tuple[Literal["micro", "macro", "weighted", "samples"], ...] = ("micro", "macro", "weighted")
    interval: Annotated[float, Field(gt=0, le=0.999999)] = 0.95
    interval_method: Literal["closed", "bootstrap"] = "closed"
    classes: Literal["present", "declared", "supported"] = "present"
    zero_division: Literal[0, "nan"] = 0
    cluster: StrictStr | None = None
    cost: tuple[tuple[Number, ...], ...] | None = None
    prevalence: Number | dict[StrictStr, Number] | None = None
    unit: UnitSpec | None = None
    score_memory: Positive | StrictStr = "512 MiB"


class BaselineCheckpoint(Block):
    """A baseline to be measured in the same command: other weights, and what else its model has of its own.

    A key that is left out is the candidate's; ``weights`` and ``sha256`` belong to one file each.
    """

    checkpoint: StrictStr
    factory: StrictStr | None = None
    args: dict[StrictStr, Plain] | None = None
    weights: StrictStr | None = None
    sha256: Annotated[StrictStr, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    output: Literal["logits", "probabilities", "scores"] | None = None
    select: StrictInt | StrictStr | None = None
    threshold: Number | None = None


Rule = Literal["min", "max", "max_drop", "min_gain"]


class GateSpec(Block):
    """One rule that a run must satisfy."""

    metric: StrictStr
    min: Number | None = None
    max: Number | None = None
    max_drop: Number | None = None
    min_gain: Number | None = None
    class_: Annotated[StrictStr | None, Field(alias="class")] = None
    average: Literal["micro", "macro", "weighted", "samples"] | None = None
    slice: dict[StrictStr, Scalar] | None = None
    k: Positive | None = None
    beta: Number | None = None
    bins: Literal["mass", "width"] | None = None
    prevalence: Literal["stated"] | None = None
    judge: Literal["point", "guard", "lower", "upper", "interval"] | None = None
    min_support: Positive | None = None
    alpha: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    require: Literal["each"] | None = None
    on_inconclusive: Literal["exit", "fail"] | None = None
    advisory: StrictBool = False

    @property
    def compares(self) -> bool:
        """Whether a limit is one on the distance from a baseline, or on flips."""
        return self.max_drop is not None or self.min_gain is not None or is_of_flips(self.metric)

    def rules(self) -> dict[Rule, float]:
        """Return the limits that are set."""
        limits: dict[Rule, float | None] = {
            "min": self.min,
            "max": self.max,
            "max_drop": self.max_drop,
            "min_gain": self.min_gain,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}


class CompareSpec(Block):
    """When two runs may be compared."""

    on_changed_data: Literal["refuse", "common"] = "refuse"
    min_common: Annotated[float, Field(gt=0, le=1)] = 0.9


class DocumentSpec(Block):
    """The cover block of a controlled document."""

    id: StrictStr | None = None
    version: StrictStr | None = None
    intended_use: StrictStr | None = None
    prepared_by: StrictStr | None = None


class ReportSpec(Block):
    """What the page shows and in which words."""

    samples: Literal["none", "ids", "thumbnails"] | None = None
    terms: Literal["ml", "clinical"] = "ml"
    document: DocumentSpec | None = None
    signoff: tuple[StrictStr, ...] = ()


class Specification(Block):
    """A whole specification."""

    name: StrictStr = "model"
    task: Literal["binary", "multiclass", "multilabel"] = "multiclass"
    extends: StrictStr | None = None
    model: ModelSpec = ModelSpec()
    data: DataSpec
    run: RunSpec = RunSpec()
    metrics: MetricsSpec = MetricsSpec()
    baseline: StrictStr | BaselineCheckpoint | None = None
    compare: CompareSpec = CompareSpec()
    gates: tuple[GateSpec, ...] = ()
    report: ReportSpec = ReportSpec()
