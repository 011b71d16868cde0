"""One model's run, as CI is told of it: what every writer of a CI format takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.result import EvalResult
from evalkit.verdict import Verdict


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """One model's run, as CI is told of it.

    Attributes:
        name: Unique among the runs of one command.
        exit_code: Of this run alone.
        result: None where the command ended before there was one.
        verdict: The same.
        problem: ``error[slug]: what, where, what to do``, where it ended with an error.
        report: The page's path as a CI job would name it.
        gates_at: Position of a gate in its list, to the file and line where it was written.
        seconds: How long it took; None where nobody knows.
    """

    name: str
    exit_code: int
    result: EvalResult | None = None
    verdict: Verdict | None = None
    problem: str | None = None
    report: str | None = None
    gates_at: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    seconds: float | None = None
