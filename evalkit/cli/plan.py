"""``evalkit plan``: what margins so many samples can support, and gates to start from."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import yaml

from evalkit.cli.console import emit, emit_json
from evalkit.cli.numbers import Finite
from evalkit.display import show, visible
from evalkit.errors import InvalidRunError, SpecificationError
from evalkit.gates.judging import DEFAULT_ALPHA
from evalkit.gates.power import power_of_error, power_of_share
from evalkit.gates.suggest import Noise, Suggestion, clearable, suggest
from evalkit.render.text import table
from evalkit.result import FILE_NAME, EvalResult, read_result
from evalkit.rows import describe
from evalkit.uncertainty import normal_quantile, wilson
from evalkit.uncertainty.power import Design, Disagreement, Normal
from evalkit.verdict import Check, Power, Verdict, read_verdict

_MARGIN, _LEAST_ALPHA, _MOST = 0.01, 1e-9, 10**9
_JUDGES = ("guard", "interval")


@click.command("plan")
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@click.option(
    "--n", "n_samples", type=click.IntRange(min=1, max=_MOST), help="Plan for so many samples, without a run."
)
@click.option("--accuracy", type=Finite(0, 1), help="That both models have on them.")
@click.option("--disagreement", type=Finite(0, 1), help="Share that one model has right, the other not.")
@click.option("--margin", type=Finite(0, 1), help="The drop that would be allowed; 0.01 unless said.")
@click.option(
    "--alpha",
    type=Finite(_LEAST_ALPHA, 0.5, max_open=True),
    help="One-sided; what the gates say, else 0.025.",
)
@click.option("--suggest", "suggesting", is_flag=True, help="Print gates to edit and commit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    *,
    directory: Path | None,
    n_samples: int | None,
    accuracy: float | None,
    disagreement: float | None,
    margin: float | None,
    alpha: float | None,
    suggesting: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by the catcher
) -> int:
    """Say which drops the samples of the run in DIRECTORY, or --n samples, can show."""
    allowed, level = _MARGIN if margin is None else margin, alpha or DEFAULT_ALPHA
    if suggesting and (directory is None or margin is not None or alpha is not None):
        raise click.UsageError("--suggest is for a run directory, and takes no --margin and no --alpha")
    if directory is None:
        _print(_from_nothing(n_samples, accuracy, disagreement, allowed, level), as_json=as_json)
        return 0
    if n_samples is not None or accuracy is not None:
        raise click.UsageError("--n and --accuracy belong to a plan without a run directory")
    result = read_result(directory)
    if not result.valid or result.partial is not None:
        raise InvalidRunError(
            f"{directory}: the run is {'partial' if result.valid else 'invalid'}", check="run"
        )
    if _clustered(result) and disagreement is not None:
        raise click.UsageError(f"--disagreement says nothing of dependent samples, as in {directory}")
    verdict = read_verdict(directory, result_sha256=sha256((directory / FILE_NAME).read_bytes()).hexdigest())
    noise = _noise(result, verdict, disagreement)
    if suggesting:
        _print_gates(suggest(result, noise), as_json=as_json, known=noise is not None)
        return 0
    if noise is None:
        raise SpecificationError(
            f"{directory}: was compared with no baseline, so how far two models disagree is not known",
            hint="Judge it with --baseline first"
            if _clustered(result)
            else "Say --disagreement 0.05, or judge it with --baseline first",
        )
    checks = [] if verdict is None or margin is not None else _comparing(verdict)
    found = [plan for check in checks if (plan := _again(check, disagreement, alpha)) is not None]
    _print(found or _of_right(result, noise, allowed, level), as_json=as_json)
    return 0


Plan = tuple[str, Power]


def _comparing(verdict: Verdict) -> list[Check]:
    return [check for check in verdict.checks if check.rule in ("max_drop", "min_gain")]


def _clustered(result: EvalResult) -> bool:
    return bool((result.spec.get("metrics") or {}).get("cluster"))


def _noise(result: EvalResult, verdict: Verdict | None, disagreement: float | None) -> Noise | None:
    """Return how far two models' shares right differ by chance: what was said, or what was compared.

    A share of flips says nothing of dependent samples: the error of the comparison does.
    """
    compared = (verdict.comparison if verdict else None) or {}
    flips = compared.get("flips") or {}
    if _clustered(result):
        if flips.get("low") is None:
            return None
        return Normal((flips["high"] - flips["low"]) / (2 * normal_quantile(compared["level"])))
    if disagreement is None:
        if not flips or not flips["n_samples"]:
            return None
        disagreement = (flips["only_candidate"] + flips["only_baseline"]) / flips["n_samples"]
    return Disagreement(result.n_samples, disagreement)


def _again(check: Check, disagreement: float | None, alpha: float | None) -> Plan | None:
    """Return what a check can see, at another disagreement or level where one was said.

    A family, and a row that is no share of independent samples, has no disagreement that could be another.
    """
    power = check.power
    if power is None:
        return None
    named = describe(check.key)
    title = f"gate {check.gate + 1}: {visible(named)} {check.rule} {check.limit:g}, by {check.judge}"
    if disagreement is None and alpha is None:
        return title, power
    if power.n_samples is None or power.disagreement is None or check.members:
        return None
    level = alpha or (DEFAULT_ALPHA if check.level is None else (1 - check.level) / 2)
    allowed = check.limit if check.rule == "max_drop" else -check.limit
    share = power.disagreement if disagreement is None else disagreement
    return title, power_of_share(power.n_samples, share, Design(check.judge, level), allowed)


def _of_right(result: EvalResult, noise: Noise, margin: float, alpha: float) -> list[Plan]:
    """Plan for the share of samples that are right."""
    metric = "subset_accuracy" if result.task == "multilabel" else "accuracy"
    found = []
    for judge in _JUDGES:
        design = Design(judge, alpha)
        if isinstance(noise, Disagreement):
            power = power_of_share(noise.n, noise.share, design, margin)
        else:
            power = power_of_error(noise.error, design, margin)
        found.append((f"{metric} max_drop {margin:g}, by {judge}", power))
    return found


def _from_nothing(
    n: int | None, accuracy: float | None, disagreement: float | None, margin: float, alpha: float
) -> list[Plan]:
    if n is None or accuracy is None or disagreement is None:
        raise click.UsageError("expected a run directory, or --n, --accuracy and --disagreement")
    most = 2 * min(accuracy, 1 - accuracy)
    if disagreement > most + 1e-12:
        raise click.UsageError(
            f"--disagreement: two models of accuracy {accuracy:g} disagree on at most {most:g} of the samples"
        )
    hits = round(accuracy * n)
    low, high = (float(bound) for bound in wilson(hits, n, level=1 - 2 * alpha))
    text = (
        f"{hits} of {n} right is {show(hits / n)} ({show(low)} to {show(high)}); "
        f"a model as good clears a floor of {show(clearable(hits, n))} 99 times in 100"
    )
    nothing = dict.fromkeys(("error", "margin", "drop", "gain", "most_errors"))
    floor = Power(n_samples=n, disagreement=disagreement, sentence=text, **nothing)
    plans = [
        (
            f"accuracy max_drop {margin:g}, by {judge}",
            power_of_share(n, disagreement, Design(judge, alpha), margin),
        )
        for judge in _JUDGES
    ]
    return [("accuracy", floor), *plans]


def _print(plans: list[Plan], *, as_json: bool) -> None:
    if as_json:
        emit_json({"plans": [{"check": title, **power.model_dump(mode="json")} for title, power in plans]})
        return
    header = ["", "samples", "disagreement", "equal passes from", "drop found from", "errors"]
    lines = [
        [
            title,
            *(
                "" if value is None else show(value) if isinstance(value, float) else str(value)
                for value in (
                    power.n_samples,
                    power.disagreement,
                    power.margin,
                    power.drop,
                    power.most_errors,
                )
            ),
        ]
        for title, power in plans
    ]
    sentences = "\n".join(f"  {title}\n    {power.sentence}" for title, power in plans)
    emit(f"{table(header, lines)}\n{sentences}\n")


def _print_gates(found: list[Suggestion], *, as_json: bool, known: bool) -> None:
    if as_json:
        emit_json({"gates": [{"gate": one.gate, "reason": one.reason} for one in found]})
        return
    if not found:
        emit("# nothing to suggest: no number of this run leaves room for a limit\n")
        return
    lines = ["gates:"]
    for one in found:
        lines += [f"  # {visible(one.reason, limit=400)}", f"  - {_flow(one.gate)}"]
    if not known:
        lines.append("  # a margin for max_drop needs a baseline: compare with one, or say --disagreement")
    emit("\n".join(lines) + "\n")


def _flow(gate: dict[str, Any]) -> str:
    """Write a gate on one line."""
    return yaml.safe_dump(gate, default_flow_style=True, sort_keys=False, width=10_000).strip()
