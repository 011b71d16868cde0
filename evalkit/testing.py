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
from evalkit.blessing import read_blessing
from evalkit.compare import Tables, pair
from evalkit.gates import judge, plan_gates
from evalkit.result import EvalResult as Document
from evalkit.result import read_result
from evalkit.rundir import LEDGER, is_blessed
from evalkit.spec import SourceMap, check_comparable, load_gate_file, validate_gates
from evalkit.verdict import Verdict

Run = EvalResult | Document | str | Path
Gates = Sequence[Mapping[str, Any]] | str | Path


def assert_gates(result: Run, gates: Gates, baseline: Run | None = None) -> None:
    """Raise AssertionError unless every gate passes; advisory ones have no say.

    Args:
        result: A result, or a run directory.
        gates: As in a specification, or a file of them.
        baseline: What comparing gates compare with; a file's own baseline is taken where it is left out.

    Raises:
        AssertionError: With the sentence of each gate that did not pass.
        EvalkitError: Gates that could never judge, or a run that cannot be read.
    """
    verdict = verdict_of(result, gates, baseline)
    open_ = [check for check in verdict.checks if check.outcome != "passed" and not check.advisory]
    if open_:
        raise AssertionError("\n".join(f"{check.outcome}: {check.sentence}" for check in open_))


def verdict_of(result: Run, gates: Gates, baseline: Run | None = None) -> Verdict:
    """Judge gates and return the verdict, as ``evalkit gate`` does; see :func:`assert_gates`."""
    document, directory = _document(result)
    found, source, named = _gates(gates)
    baseline = named if baseline is None else baseline
    if baseline is None:
        check_comparable(found, source, hint="Pass baseline=")
    data = document.spec.get("data") or {}
    slices = data.get("slices") or ()
    planned = plan_gates(found, document.class_names, source, task=document.task, slices=slices)
    compared = None
    if baseline is not None:
        old, old_directory = _document(baseline)
        tables = None
        if directory is not None and old_directory is not None:
            tables = Tables.of(directory / LEDGER, old_directory / LEDGER, document)
        compared = pair(document, old, tables=tables)
    return judge(
        document,
        planned,
        compared=compared,
        baseline_path=None,
        result_sha256=sha256(document.to_json()).hexdigest(),
    )


def _document(run: Run) -> tuple[Document, Path | None]:
    if isinstance(run, Document):
        return run, None
    if isinstance(run, EvalResult):
        return run.document, None
    if is_blessed(Path(run)):
        read_blessing(Path(run))
    return read_result(Path(run)), Path(run)


def _gates(gates: Gates) -> tuple[Any, SourceMap, Path | None]:
    if isinstance(gates, (str, Path)):
        file, source = load_gate_file(Path(gates))
        named = file.baseline if file.baseline not in (None, "none") else None
        return file.gates, source, None if named is None else Path(gates).parent / named
    source = SourceMap("gates")
    return validate_gates({"gates": [dict(gate) for gate in gates]}, source).gates, source, None
