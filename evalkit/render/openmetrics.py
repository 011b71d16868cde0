"""OpenMetrics text: headline metrics and what gates ask for, for GitLab's metrics report and for Prometheus.

GitLab cuts each line at ``#``, splits the rest as a shell does, and takes the first word for a name: labels
hold no ``#``, numbers no exponent, and no two names are equal.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalkit.catalogue import METRICS
from evalkit.display import MAX_TEXT, show, visible
from evalkit.render.cases import Account, accounts
from evalkit.render.judged_run import JudgedRun
from evalkit.render.tables import is_headline
from evalkit.rows import RowKey, describe_slice, row_key
from evalkit.verdict import Check

# Of a family with more members only those in trouble are written.
MAX_MEMBERS = 100
_DIGITS = 6
_SHARP = "\N{FULLWIDTH NUMBER SIGN}"
_OWN = {
    "samples": "Samples that were evaluated.",
    "gates": "Checks that count.",
    "gates_failed": "Checks that failed.",
    "gates_undecided": "Checks that cannot be judged, or are inconclusive.",
    "exit_code": "What the run alone ends with.",
}
Value = int | float


@dataclass(frozen=True, slots=True)
class _Sample:
    family: str
    labels: Mapping[str, str]
    value: Value


def render_openmetrics(runs: Sequence[JudgedRun]) -> str:
    """Return the text, all samples of a family together."""
    found = [sample for account in accounts(runs) for sample in _samples(account)]
    families: dict[str, list[_Sample]] = {}
    for sample in found:
        families.setdefault(sample.family, []).append(sample)
    lines = [line for family, samples in families.items() for line in _family(family, samples)]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _family(family: str, samples: Sequence[_Sample]) -> Iterator[str]:
    metric = METRICS.get(family)
    text = _OWN[family] if metric is None else f"{metric.label}: {metric.formula}."
    yield f"# TYPE evalkit_{family} gauge"
    yield f"# HELP evalkit_{family} {text}"
    seen: set[str] = set()
    for sample in samples:
        labels = _distinct(sample.labels, seen)
        written = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        yield f"evalkit_{family}{{{written}}} {show(sample.value, _DIGITS)}"


def _distinct(labels: Mapping[str, str], seen: set[str]) -> Mapping[str, str]:
    """Return labels that no earlier sample has, also without quotation marks; from now on they are seen."""
    found, count = labels, 1
    while (bare := ",".join(f"{name}={value}" for name, value in found.items())) in seen:
        count += 1
        found = {**labels, "nth": str(count)}
    seen.add(bare)
    return found


def _samples(account: Account) -> Iterator[_Sample]:
    for key, value in _numbers(account).items():
        if value is not None and key[0] in METRICS:
            yield _Sample(key[0], _labels(account.name, key), value)
    own: dict[str, Value] = {
        "gates": account.gates("passed", "failed", "cannot_judge", "inconclusive"),
        "gates_failed": account.gates("failed"),
        "gates_undecided": account.gates("cannot_judge", "inconclusive"),
        "exit_code": account.run.exit_code,
    }
    if account.run.result is not None:
        own = {"samples": account.run.result.n_samples, **own}
    for family, value in own.items():
        yield _Sample(family, _labels(account.name, row_key(family)), value)


def _numbers(account: Account) -> Mapping[RowKey, Value | None]:
    """Return what is shown first, and what gates ask for, once each."""
    result, verdict = account.run.result, account.run.verdict
    found: dict[RowKey, Value | None] = {
        row.key: row.value
        for row in (() if result is None else result.metrics)
        if row.class_name is None and row.slice is None and is_headline(row)
    }
    for check in verdict.checks if verdict else ():
        found.update(_gated(check))
    return found


def _gated(check: Check) -> Iterator[tuple[RowKey, Value | None]]:
    if not check.members:
        yield check.key, check.value
    every = len(check.members) <= MAX_MEMBERS
    for member in check.members:
        if every or member.outcome not in (None, "passed"):
            key = row_key(
                check.metric,
                params=check.params,
                average=check.average,
                class_name=member.class_name,
                slice_=member.slice,
            )
            yield key, member.value


def _labels(model: str, key: RowKey) -> Mapping[str, str]:
    _, params, average, class_name, slice_ = key
    named: dict[str, object] = {"model": model}
    named |= {re.sub(r"\W", "_", name, flags=re.ASCII): value for name, value in params}
    named |= {
        "model": model,
        "average": average,
        "class": None if class_name is None else visible(class_name),
        "slice": None if slice_ is None else describe_slice(dict(slice_)),
    }
    return {
        name: visible(str(value), limit=MAX_TEXT).replace("#", _SHARP)
        for name, value in named.items()
        if value is not None
    }


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
