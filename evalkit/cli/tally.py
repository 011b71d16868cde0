"""The end of a command with several models: a row each, and the one exit code of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.cli.ci import Ended
from evalkit.cli.console import emit, emit_json, tell
from evalkit.cli.exits import decide_exit, stop_code
from evalkit.cli.judging import summary_of
from evalkit.display import visible
from evalkit.errors import EvalkitError, ExitCode, listed
from evalkit.render.cases import (
    WORDS,
    Account,
    accounts,
    accuracy_text,
    is_invalid,
    problem_slug,
    worst_state,
)
from evalkit.render.html import render_page
from evalkit.render.index import Run, index_view
from evalkit.render.judged_run import JudgedRun
from evalkit.render.summaries import gates_text
from evalkit.render.text import table
from evalkit.rundir import publish_file

_HEADER = ("", "model", "right", "gates", "exit", "report")
SLUGS = {
    ExitCode.INTERNAL: "internal",
    ExitCode.USAGE: "specification",
    ExitCode.GATE_FAILED: "gate-failed",
    ExitCode.INPUT: "document",
    ExitCode.CANNOT_JUDGE: "cannot-judge",
    ExitCode.OUTPUT: "output",
    ExitCode.INCONCLUSIVE: "inconclusive",
}


class ModelsError(EvalkitError):
    """Some of several models did not pass; slug and code are those of the first that decides."""

    def __init__(self, message: str, *, hint: str, slug: str, exit_code: ExitCode) -> None:
        super().__init__(message, hint=hint)
        self.slug = slug
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of several models.

    Attributes:
        runs: One a model, in the order of the command.
        folders: Where each one's documents are.
        further: Exit codes of what belongs to none of them.
    """

    runs: Sequence[JudgedRun]
    folders: Sequence[Path]
    further: Sequence[ExitCode] = ()

    @property
    def exit_code(self) -> ExitCode:
        """The first that applies, of all models."""
        codes = {*(ExitCode(run.exit_code) for run in self.runs), *self.further}
        return decide_exit(codes, valid=not any(map(is_invalid, self.runs)))

    def ended(self, *, as_json: bool) -> Ended:
        """Print a row a model, or one document with all of them, and say how the command ends."""
        if as_json:
            emit_json(self._document())
        else:
            emit(self.text())
        return Ended(self.exit_code, self.runs, self._error())

    def stopped(self, stop: BaseException, *, done: int, as_json: bool) -> Ended:
        """Say on the way out of a stopped command what was done."""
        tell(f"stopped after {done} of {len(self.runs)} models")
        if as_json:
            emit_json({**self._document(), "exit_code": stop_code(stop)})
        elif done:
            tell(Tally(self.runs[:done], self.folders[:done]).text().rstrip())
        return Ended(self.exit_code, self.runs, stop=stop)

    def text(self) -> str:
        """Return a row a model, and how many of them are in trouble."""
        found = accounts(self.runs)
        bad = sum(run.exit_code != 0 for run in self.runs)
        size = f"{len(found)} model{'s' if len(found) > 1 else ''}"
        heading = f"{size}: {bad or 'none'} in trouble"
        return f"{heading}\n{table(_HEADER, [_row(one) for one in found], numeric=False)}"

    def write_index(self, path: Path) -> None:
        """Write one page over the models of this command, whatever else lies beside it."""
        view = index_view([_on_page(one, path.parent) for one in self._placed()])
        publish_file(path, render_page("index.html.j2", templates=None, view=view))

    def _placed(self) -> list[tuple[Account, Path]]:
        return list(zip(accounts(self.runs), self.folders, strict=True))

    def _document(self) -> dict[str, Any]:
        return {
            "outcome": worst_state(accounts(self.runs)),
            "exit_code": int(self.exit_code),
            "runs": [_as_json(account, folder) for account, folder in self._placed()],
        }

    def _error(self) -> EvalkitError | None:
        """Say which models decide; None where there is no trouble but what was told already."""
        code = self.exit_code
        deciding = [run for run in self.runs if run.exit_code == code]
        if code is ExitCode.OK or not deciding:
            return None
        invalid = [run for run in deciding if is_invalid(run)]
        first, *_ = deciding = invalid or deciding
        slug = SLUGS[code] if first.problem is None else problem_slug(first.problem)
        names = listed(visible(run.name) for run in deciding)
        message = f"{len(deciding)} of {len(self.runs)} models: {names}"
        return ModelsError(message, hint="The table says more", slug=slug, exit_code=code)


def _row(account: Account) -> tuple[str, ...]:
    run = account.run
    said = accuracy_text(run.result).removesuffix(" right").replace(" right (", " (")
    report = "" if run.report is None else visible(run.report, limit=1_000)
    gates = "" if run.verdict is None else gates_text(account)
    return WORDS[account.state], account.name, said, gates, str(run.exit_code), report


def _as_json(account: Account, folder: Path) -> Mapping[str, Any]:
    run = account.run
    own = {"name": run.name, "state": account.state, "exit_code": run.exit_code, "problem": run.problem}
    if run.result is None or run.verdict is None:
        return {**own, "outcome": None, "directory": None, "report": None}
    found = summary_of(run.result, run.verdict, folder, ExitCode(run.exit_code))
    return {**found, **own, "report": run.report}


def _on_page(placed: tuple[Account, Path], base: Path) -> Run:
    account, folder = placed
    run = account.run
    name = folder.relative_to(base).as_posix()
    if account.state == "error" or run.result is None:
        return Run(name, None, problem=run.problem or WORDS["error"], word=WORDS["error"])
    return Run(name, run.result, run.verdict)
