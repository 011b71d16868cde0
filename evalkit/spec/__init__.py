"""The validated specification: what to evaluate, on what, measured how, and judged by which gates."""

from evalkit.spec.checks import PREDICTIONS, check_comparable
from evalkit.spec.extending import extended_file
from evalkit.spec.load import (
    GateFile,
    Loaded,
    Override,
    SlicesSpec,
    load_gate_file,
    load_specification,
    validate_gates,
    validate_metrics,
    validate_preprocess,
)
from evalkit.spec.paths import resolve_path
from evalkit.spec.schema import (
    BaselineCheckpoint,
    CompareSpec,
    DataSpec,
    GateSpec,
    MetricsSpec,
    ModelSpec,
    PreprocessSpec,
    RunSpec,
    SliceSpec,
    Specification,
    ThresholdFrom,
)
from evalkit.spec.source import KeyPath, SourceMap, format_path

__all__ = [
    "PREDICTIONS",
    "BaselineCheckpoint",
    "CompareSpec",
    "DataSpec",
    "GateFile",
    "GateSpec",
    "KeyPath",
    "Loaded",
    "MetricsSpec",
    "ModelSpec",
    "Override",
    "PreprocessSpec",
    "RunSpec",
    "SliceSpec",
    "SlicesSpec",
    "SourceMap",
    "Specification",
    "ThresholdFrom",
    "check_comparable",
    "extended_file",
    "format_path",
    "load_gate_file",
    "load_specification",
    "resolve_path",
    "validate_gates",
    "validate_metrics",
    "validate_preprocess",
]
