"""The verdict document: what each gate asked, what was found, and what follows from it."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from evalkit.documents import format_json, read_json
from evalkit.errors import DocumentError, ExitCode
from evalkit.rows import RowKey, row_key

SCHEMA: Final = "evalkit.verdict/1"
FILE_NAME = "verdict.json"

Rule = Literal["min", "max", "max_drop", "min_gain"]
Outcome = Literal["passed", "failed", "inconclusive", "cannot_judge"]

# The worst first: one failed gate decides, whatever the others say.
_SEVERITY: tuple[Outcome, ...] = ("failed", "cannot_judge", "inconclusive", "passed")
_EXIT = {
    "failed": ExitCode.GATE_FAILED,
    "cannot_judge": ExitCode.CANNOT_JUDGE,
    "inconclusive": ExitCode.INCONCLUSIVE,
    "passed": ExitCode.OK,
}


class Member(BaseModel):
    """One row of a family that was judged together.

    Attributes:
        class_name, slice: Which.
        value, drop, support: What was found.
        p_value, adjusted: One-sided, of its being on the right side; alone, and by Holm for the family.
        outcome: None where it is outside the verdict.
        reason: Why it is.
    """

    model_config = ConfigDict(frozen=True)

    class_name: StrictStr | None
    slice: dict[StrictStr, bool | int | float | str] | None
    value: float | None
    support: int
    drop: float | None = None
    p_value: float | None = None
    adjusted: float | None = None
    outcome: Outcome | None = None
    reason: StrictStr = ""


class Power(BaseModel):
    """What a comparing check can see, whatever it saw this time.

    Attributes:
        n_samples, disagreement: Samples behind the row, and the share that one model has right and the other
            has not; None where the row is no share of independent samples.
        error: The standard error of the difference, there.
        margin: The smallest margin that an equally good candidate passes four times in five.
        drop: The smallest true drop that fails four times in five at the check's own limit.
        gain: The smallest true gain that passes four times in five, where a gain is demanded.
        most_errors: How many more errors pass at most.
        sentence: The same for people.
    """

    model_config = ConfigDict(frozen=True)

    n_samples: int | None
    disagreement: float | None
    error: float | None
    margin: float | None
    drop: float | None
    gain: float | None
    most_errors: int | None
    sentence: StrictStr


class Check(BaseModel):
    """One limit of one gate, judged.

    Attributes:
        gate: The position of the gate in its list, from 0.
        rule: min, max, max_drop or min_gain.
        limit: The limit.
        judge: Which quantity is held against it.
        metric, params, average, class_name, slice: The row.
        outcome: What came out.
        reason: A slug: clears, beyond_limit, undefined, missing, invalid_run, partial, …
        sentence: The same for people, with the numbers.
        value: The candidate's value; None where there is none.
        baseline_value, drop: Of a comparing check.
        members: Of a family; empty for a single row.
        power: Of a comparing check.
        low, high, level: The interval that was judged: of the value, or of the drop.
        advisory: True where the check has no say in the exit code.
    """

    model_config = ConfigDict(frozen=True)

    gate: int
    rule: Rule
    limit: float
    judge: str
    metric: StrictStr
    average: StrictStr | None
    class_name: StrictStr | None
    outcome: Outcome
    reason: StrictStr
    sentence: StrictStr
    value: float | None
    baseline_value: float | None
    drop: float | None
    advisory: bool
    params: dict[StrictStr, int | float | str] = {}
    slice: dict[StrictStr, bool | int | float | str] | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    members: tuple[Member, ...] = ()
    power: Power | None = None

    @property
    def key(self) -> RowKey:
        """The row that was judged."""
        return row_key(
            self.metric,
            params=self.params,
            average=self.average,
            class_name=self.class_name,
            slice_=self.slice,
        )


class Baseline(BaseModel):
    """What a candidate was compared with."""

    model_config = ConfigDict(frozen=True)

    name: str
    path: str
    signature: str
    digests: dict[str, str | None]


class Verdict(BaseModel):
    """All checks of a run; ``outcome`` is ``none`` where no gates were asked for.

    Where the caller was ``strict``, a warning is a failure. ``notes`` never are.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    schema_: Annotated[Literal["evalkit.verdict/1"], Field(alias="schema")] = SCHEMA
    name: StrictStr
    outcome: Outcome | Literal["none"]
    valid: bool
    checks: tuple[Check, ...]
    warnings: tuple[StrictStr, ...]
    signature: StrictStr
    result_sha256: StrictStr
    baseline: Baseline | None
    comparison: dict[str, Any] | None = None
    notes: tuple[StrictStr, ...] = ()
    strict: bool = False

    @property
    def warned(self) -> bool:
        """Whether a warning counts as a failure."""
        return self.strict and bool(self.warnings)

    def to_json(self) -> bytes:
        """Write the document."""
        document = self.model_dump(mode="json", by_alias=True)
        return format_json(document, line_lists=frozenset({"checks", "warnings", "notes"}))

    def counted(self, outcome: Outcome) -> int:
        """Return how many checks that count came out so."""
        return sum(check.outcome == outcome and not check.advisory for check in self.checks)


def worst(checks: tuple[Check, ...], *, warned: bool = False) -> Outcome | Literal["none"]:
    """Return the outcome that decides: the worst of the checks that are not advisory.

    Args:
        checks: All checks.
        warned: A warning counts as a failure.
    """
    found = {check.outcome for check in checks if not check.advisory}
    found |= {"failed"} if warned else set()
    return next((outcome for outcome in _SEVERITY if outcome in found), "none")


def exit_codes(verdict: Verdict) -> set[ExitCode]:
    """Return every exit code that applies to a verdict; precedence is decided elsewhere."""
    codes = {_EXIT[check.outcome] for check in verdict.checks if not check.advisory}
    codes |= {ExitCode.GATE_FAILED} if verdict.warned else set()
    return codes or {ExitCode.OK}


def read_verdict(directory: Path, *, result_sha256: str) -> Verdict | None:
    """Read a run's verdict; None where it has none.

    Raises:
        DocumentError: Damaged, newer, or made for another result than the one beside it.
    """
    path = directory / FILE_NAME
    if not path.exists():
        return None
    try:
        verdict = Verdict.model_validate(read_json(path, schema=SCHEMA))
    except ValidationError as error:
        raise DocumentError(f"{path}: {error.errors()[0]['msg']}") from error
    if verdict.result_sha256 != result_sha256:
        raise DocumentError(f"{path}: judges another result.json", hint=f"Run evalkit gate {directory}")
    return verdict
