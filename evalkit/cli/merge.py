"""``evalkit merge``: put the shards of a run together."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from evalkit.cli.ci import Ended, judged_run, name_run, with_ci
from evalkit.cli.flags import with_verdict
from evalkit.cli.judging import announce
from evalkit.cli.kinds import CiOptions
from evalkit.cli.publishing import Concluded, flipped_ids, measured, publish_evaluation
from evalkit.cli.stored import stored_baseline, stored_compare, stored_gates
from evalkit.concluding import conclude
from evalkit.errors import DocumentError, OutputError, reason_of
from evalkit.gallery import GalleryRow
from evalkit.gates import Terms, plan_gates, stored_slices
from evalkit.merging import Shard, has_baseline, merged, read_shards
from evalkit.parts import BASELINE, CANDIDATE
from evalkit.picking import pick
from evalkit.provenance import portable_path
from evalkit.result import EvalResult, check_rows
from evalkit.rundir import LEDGER, PARTS, RUN, RunDirectory, open_run_directory
from evalkit.spec import SourceMap
from evalkit.verdict import Verdict

_FOREIGN = (
    ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


@click.command("merge")
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@with_verdict
@click.pass_obj
@with_ci
def command(
    words: list[str],
    /,
    *,
    shards: tuple[Path, ...],
    output: Path,
    allow_same_model: bool,
    strict: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
    ci: CiOptions,  # noqa: ARG001 - read by its decorator
) -> Ended:
    """Put the SHARDS of one run together, in any order, and judge it; needs neither model nor torch."""
    if any(output.resolve() == path.resolve() for path in shards):
        raise OutputError(f"{output}: is one of the shards", hint="Name another folder")
    found = read_shards(shards)
    with open_run_directory(output) as directory:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        gathered = _Gathered(found, directory, {"command": words, "started": started})
        candidate = gathered.concluded(CANDIDATE)
        result = candidate.evaluation.result
        name_run(result.name)
        baseline = stored_baseline(result, output)
        if has_baseline(found) and candidate.evaluation.failure is None:
            baseline = measured(gathered.concluded(BASELINE))
        source = SourceMap(str(found[0].path / RUN))
        gates = plan_gates(
            stored_gates(result, found[0].path, source) if result.spec.get("gates") else (),
            result.class_names,
            source,
            task=result.task,
            slices=stored_slices(result),
        )
        terms = Terms(gates, stored_compare(result), allow_same_model=allow_same_model, strict=strict)

        def gallery(verdict: Verdict) -> Sequence[GalleryRow]:
            if (result.spec.get("report") or {}).get("samples") == "none":
                return ()
            return pick(candidate.ledger, flipped_ids(verdict), candidate.evaluation.conflicting)[0]

        whole = found[0].run.of_whole(shard.run for shard in found)
        judgement = publish_evaluation(directory, candidate, terms, baseline, gallery, whole)
        if not (output / PARTS).is_symlink():
            shutil.rmtree(output / PARTS, ignore_errors=True)  # of a run that was stopped there
    code = announce(result, judgement, output, as_json=as_json, quiet=quiet)
    ended = Ended(code, error=candidate.evaluation.failure or judgement.error)
    return replace(ended, runs=[judged_run(result, judgement, ended=ended, directory=output)])


@dataclass(frozen=True, slots=True)
class _Gathered:
    """Shards of one run, and where they are put together."""

    shards: Sequence[Shard]
    directory: RunDirectory
    said: dict[str, Any]

    def concluded(self, stream: str) -> Concluded:
        """Compute the numbers of one model.

        Shards may come from other machines, and from people who wrote them by hand: what evalkit did not
        write is refused, whatever it provokes.
        """
        try:
            one = merged(self.shards, stream)
            ledger = self.directory.temporary(LEDGER)
            evaluation = conclude(
                one.described, one.parts, one.integrity, ledger=ledger, provenance=self._provenance()
            )
            content = evaluation.result.to_json()
            check_rows(EvalResult.model_validate_json(content))
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            MemoryError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            text = f"{self.shards[0].path}: {RUN} is not what evalkit writes ({reason_of(error)})"
            raise DocumentError(text) from error
        return Concluded(evaluation, ledger)

    def _provenance(self) -> dict[str, Any]:
        """Say of the run what the first shard says of its machine."""
        first = self.shards[0]
        provenance = dict(first.run.streams[CANDIDATE]["provenance"])
        for key in ("base", "specification"):
            if isinstance(provenance.get(key), str):
                path = first.path / Path(provenance[key]).expanduser()
                provenance[key] = portable_path(path, base=self.directory.path)
        return {**provenance, **self.said}
