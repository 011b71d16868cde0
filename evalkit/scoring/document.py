"""The document of predictions that evalkit did not make itself."""

from collections.abc import Mapping
from typing import Any

from evalkit.assemble import Question, assemble
from evalkit.findings import Findings
from evalkit.integrity import IntegrityLog
from evalkit.result import EvalResult, Status

NOT_RUN = "evalkit did not run the model"


def document(
    question: Question,
    found: Findings,
    *,
    digest: str,
    spec: dict[str, Any],
    data: dict[str, Any],
    provenance: dict[str, Any],
    scores: str | None = None,
    checked: Mapping[str, tuple[Status, str]] | None = None,
) -> EvalResult:
    """Build the document; checks of a model are marked as not run.

    Args:
        question: What was asked.
        found: The numbers.
        digest: Of samples and labels.
        spec: As it was declared.
        data: Facts; ``n_samples`` among them.
        provenance: Facts about machine and command.
        scores: The digest of bins beside the per-sample table; None for none.
        checked: What was looked at on the way, by check.
    """
    integrity = IntegrityLog(NOT_RUN)
    integrity.record("seen_once", "ok", "the counts sum to n")
    integrity.join(checked or {})
    return assemble(
        question,
        found,
        n_asked=data["n_samples"],
        n_excluded=0,
        digests={
            "data": digest,
            "inputs": None,
            "weights": None,
            **({} if scores is None else {"scores": scores}),
        },
        torch_version=None,
        dtype=None,
        integrity=integrity,
        spec=spec,
        model={"output": question.asked.decision.output},
        data=data,
        run={},
        provenance=provenance,
    )
