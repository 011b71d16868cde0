"""Gates as tests: in a test of one's own, or one test a gate by pytest's ``--evalkit-result``.

>>> import evalkit
>>> from evalkit.testing import assert_gates
>>> assert_gates(evalkit.score([0, 1, 1, 1], [0, 1, 1, 1]), [{"metric": "accuracy", "min": 0.9}])
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from evalkit.api import EvalResult
from evalkit.baselines import BaselineRun, kept_baseline, read_baseline
from evalkit.blessing import read_blessing
from evalkit.gates import Terms, judge_run, plan_gates, stored_slices
from evalkit.result import EvalResult as Document
from evalkit.result import read_result
from evalkit.rundir import LEDGER, is_blessed
from evalkit.spec import CompareSpec, GateFile, SourceMap, check_comparable, load_gate_file, validate_gates
from evalkit.verdict import Verdict

Run = EvalResult | Document | str | Path
Gates = Sequence[Mapping[str, Any]] | str | Path


def assert_gates(
    result: Run,
    gates: Gates,
    baseline: Run | None = None,
    *,
    compare: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> None:
    """Raise AssertionError unless every gate passes; advisory ones have no say.

    Args:
        result: A result, or a run directory.
        gates: As in a specification, or a file of them.
        baseline: What comparing gates compare with: a result, a run directory, or ``git:REF:PATH``; a file's
            own baseline is taken where it is left out.
        compare: As in a specification: on_changed_data and min_common.
        strict: A warning is a failure.

    Raises:
        AssertionError: With the sentence of each gate that did not pass.
        EvalkitError: Gates that could never judge, or a run that cannot be read.
    """
    verdict = verdict_of(result, gates, baseline, compare=compare, strict=strict)
    open_ = [check for check in verdict.checks if check.outcome != "passed" and not check.advisory]
    lines = [f"{check.outcome}: {check.sentence}" for check in open_]
    if verdict.warned:
        lines += [f"warning: {text}" for text in verdict.warnings]
    if lines:
        raise AssertionError("\n".join(lines))


def verdict_of(
    result: Run,
    gates: Gates,
    baseline: Run | None = None,
    *,
    compare: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> Verdict:
    """Judge gates and return the verdict, as ``evalkit gate`` does; see :func:`assert_gates`."""
    document, ledger = _document(result)
    file, source, base = _gates(gates, compare)
    named = file.baseline if baseline is None else baseline
    kept = None
    if named is None and ledger is not None:
        kept = kept_baseline(ledger.parent)
    if named is None and kept is None:
        check_comparable(file.gates, source, hint="Pass baseline=")
    planned = plan_gates(
        file.gates, document.class_names, source, task=document.task, slices=stored_slices(document)
    )
    terms = Terms(planned, file.compare or CompareSpec(), strict=strict)
    digest = sha256(document.to_json()).hexdigest()
    found = kept or _baseline(named, base if baseline is None else Path())
    return judge_run(document, terms, found, ledger=ledger, result_sha256=digest)[0]


def _document(run: Run) -> tuple[Document, Path | None]:
    """Return a result and where its per-sample table is."""
    if isinstance(run, Document):
        return run, None
    if isinstance(run, EvalResult):
        return run.document, run.ledger()
    if is_blessed(Path(run)):
        read_blessing(Path(run))
    return read_result(Path(run)), Path(run) / LEDGER


def _baseline(run: Run | None, base: Path) -> BaselineRun | None:
    if run is None or isinstance(run, (str, Path)):
        return read_baseline(None if run is None else str(run), base=base)
    document, ledger = _document(run)
    return BaselineRun(document, ledger, document.name)


def _gates(gates: Gates, compare: Mapping[str, Any] | None) -> tuple[GateFile, SourceMap, Path]:
    said = {} if compare is None else {"compare": dict(compare)}
    if isinstance(gates, (str, Path)):
        file, source = load_gate_file(Path(gates), changes=said)
        return file, source, Path(gates).parent
    source = SourceMap("gates")
    return validate_gates({"gates": [dict(gate) for gate in gates], **said}, source), source, Path()
