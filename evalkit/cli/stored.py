"""What a run is judged by: gates, comparison and baseline of its specification, or of its result."""

from pathlib import Path

from evalkit.baselines import NO_BASELINE, BaselineRun, kept_baseline, read_baseline
from evalkit.errors import DocumentError, SpecificationError
from evalkit.gitref import PREFIX
from evalkit.result import EvalResult
from evalkit.spec import CompareSpec, GateSpec, Loaded, SourceMap, validate_gates


def stored_gates(result: EvalResult, directory: Path, source: SourceMap) -> tuple[GateSpec, ...]:
    """Return the gates; SpecificationError where there are none."""
    if not result.spec.get("gates"):
        raise SpecificationError(f"{directory}: the run has no gates", hint="Name a file with --gates")
    return validate_gates({"gates": result.spec["gates"]}, source).gates


def stored_compare(result: EvalResult) -> CompareSpec:
    """Return what the specification says of changed data."""
    stored = result.spec.get("compare")
    try:
        return CompareSpec.model_validate(stored) if isinstance(stored, dict) else CompareSpec()
    except ValueError as error:
        raise DocumentError(f"spec.compare: {str(error).splitlines()[0]}") from error


def stored_baseline(result: EvalResult, directory: Path) -> BaselineRun | None:
    """Read the specification's baseline: where it was, or what was measured beside the run."""
    stored, base = result.spec.get("baseline"), result.provenance.get("base")
    if isinstance(stored, dict):
        return kept_baseline(directory)
    if not isinstance(stored, str) or not isinstance(base, str):
        return None
    return read_baseline(stored, base=directory / Path(base).expanduser())


def named_baseline(loaded: Loaded) -> BaselineRun | None:
    """Read the baseline that a specification names; None where it is to be measured, or there is none."""
    named = loaded.spec.baseline
    if not isinstance(named, str):
        return None
    plain = named == NO_BASELINE or named.startswith(PREFIX)
    return read_baseline(named if plain else str(loaded.resolve(named).absolute()), base=loaded.base)
