"""What ``evalkit run`` does with a specification: score a table, do a rank's share, or evaluate a model."""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.cli.ci import Ended, judged_run
from evalkit.cli.judging import announce
from evalkit.cli.ranks import captain, check_single, tell_code
from evalkit.cli.stored import named_baseline
from evalkit.errors import ExitCode, SpecificationError
from evalkit.gates import Terms, plan_gates
from evalkit.reads import forget
from evalkit.rundir import LEDGER, open_run_directory
from evalkit.spec import PREDICTIONS, BaselineCheckpoint, Loaded
from evalkit.usercode import import_path

if TYPE_CHECKING:
    from evalkit.cli.job import Job
    from evalkit.expecting import Expectation
    from evalkit.opening import Opened
    from evalkit.ranks import Place

WHOLE = (1, 1)


@dataclass(frozen=True, slots=True)
class Call:
    """What the command line asks for.

    Attributes:
        loaded: The specification.
        output: Folder of the run.
        terms: How it is judged; the gates are the specification's.
        provenance: Facts about machine and command.
        place: Which of torchrun's ranks this is; None where there are none.
        limit: Only so many samples.
        shard: Which one of how many.
        expect: A number that was seen elsewhere, and its metric.
        trusted: The code of a checkpoint may run.
        resume, force: Go on, or compute again.
        as_json, quiet: How to print.
    """

    loaded: Loaded
    output: Path
    terms: Terms
    provenance: dict[str, Any]
    place: "Place | None"
    limit: int | None
    shard: tuple[int, int]
    expect: str | None
    trusted: bool
    resume: bool
    force: bool
    as_json: bool
    quiet: bool


def evaluate(call: Call) -> Ended:
    """Do it, whatever it is.

    Raises:
        EvalkitError: It cannot be done.
    """
    if call.loaded.spec.data.source == PREDICTIONS:
        return _score(call)
    if call.expect is not None and call.loaded.spec.run.ledger == "none":
        raise SpecificationError("--expect looks at single samples, which run.ledger: none does not keep")
    imported = frozenset(sys.modules)
    forget()
    if call.place is not None and call.place.rank:
        return _follow(call, call.place, imported)
    return _measure(call, imported)


def _score(call: Call) -> Ended:
    """Score predictions that are there already, as ``evalkit score`` does."""
    from evalkit.cli.score import score  # noqa: PLC0415 - arrow, not for --help

    check_single(call.place)
    said = {
        "--limit": call.limit,
        "--expect": call.expect,
        "--shard": None if call.shard == WHOLE else call.shard,
    }
    for flag, value in said.items():
        if value is not None:
            raise SpecificationError(f"{flag}: cannot be said of predictions that are there already")
    return score(
        call.loaded, call.output, call.terms, call.provenance, as_json=call.as_json, quiet=call.quiet
    )


def _follow(call: Call, place: "Place", imported: frozenset[str]) -> Ended:
    """Do the share of a rank that does not lead."""
    from evalkit.cli.follow import Asked, follow  # noqa: PLC0415 - torch
    from evalkit.opening import open_specification  # noqa: PLC0415
    from evalkit.sources import Sources  # noqa: PLC0415

    loaded = call.loaded

    def opened() -> "tuple[Opened, Opened | None]":
        return open_specification(loaded, trusted=call.trusted), _open_older(loaded)

    sources, timeout = Sources(loaded.base, imported), loaded.spec.run.rank_timeout
    return follow(place, Asked(call.output, opened, sources, loaded.base, call.limit, timeout))


def _measure(call: Call, imported: frozenset[str]) -> Ended:
    """Evaluate a model or a shard of its samples, alone or leading other ranks."""
    loaded, output, expected = call.loaded, call.output, None
    with captain(call.place, loaded) as crew, open_run_directory(output) as directory:
        if crew is not None:
            crew.share(directory)
        baseline = named_baseline(loaded)
        from evalkit.cli.job import prepare_job  # noqa: PLC0415 - torch, not for --help
        from evalkit.cli.session import Session  # noqa: PLC0415
        from evalkit.opening import open_specification  # noqa: PLC0415
        from evalkit.sources import Sources  # noqa: PLC0415

        number = None if call.expect is None else _expectation(call.expect, loaded)
        opened = open_specification(loaded, trusted=call.trusted)
        older = _open_older(loaded)
        session = Session(
            directory,
            replace(call.terms, planned=_planned(opened)),
            baseline,
            call.provenance,
            quiet=call.quiet,
            pictures=sys.stderr is not None and sys.stderr.isatty(),
            resume=call.resume,
            force=call.force,
            crew=crew,
        )
        # What the model prints is no data of ours; a forward pass may import, too.
        with redirect_stdout(sys.stderr), import_path(loaded.base):
            sources = Sources(loaded.base, imported)
            job = prepare_job(
                opened, older, limit=call.limit, shard=call.shard, sources=sources, place=call.place
            )
            if call.shard != WHOLE:
                session.shard(job)
                return Ended(ExitCode.OK)
            result, judgement, failure = session.whole(job)
            if number is not None and failure is None:
                expected = _compare(number, job, output / LEDGER)
    code = announce(result, judgement, output, as_json=call.as_json, quiet=call.quiet, expected=expected)
    tell_code(call.place, code, output)
    ended = Ended(code, error=failure or judgement.error)
    run = judged_run(result, judgement, ended=ended, directory=output, source=loaded.source)
    return replace(ended, runs=[run])


def _planned(opened: "Opened") -> Any:
    spec = opened.loaded.spec
    return plan_gates(
        spec.gates, opened.class_names, opened.loaded.source, task=spec.task, slices=spec.data.slices
    )


def _expectation(text: str, loaded: Loaded) -> "Expectation":
    from evalkit.expecting import parse_expectation  # noqa: PLC0415 - torch

    if loaded.spec.task == "multilabel" or loaded.spec.metrics.unit is not None:
        raise SpecificationError("--expect: is asked of samples with one class each")
    return parse_expectation(text)


def _compare(number: "Expectation", job: "Job", ledger: Path) -> dict[str, Any]:
    from evalkit.expecting import compare_with  # noqa: PLC0415 - torch

    return compare_with(
        number,
        job.setup,
        ledger,
        checkpoint=None if job.opened.trusted else job.opened.checkpoint,
        taken=job.setup.model_facts.get("weights"),
    )


def _open_older(loaded: Loaded) -> "Opened | None":
    """Open the baseline that is measured in the same command; None where it is none of that kind."""
    from evalkit.opening import open_specification  # noqa: PLC0415 - torch

    named = loaded.spec.baseline
    return open_specification(loaded.beside(named)) if isinstance(named, BaselineCheckpoint) else None
