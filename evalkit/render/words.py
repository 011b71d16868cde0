"""The run in plain words: three to five sentences with whole numbers of cases."""

from collections.abc import Iterator
from typing import Any

from evalkit.display import percent, show, visible
from evalkit.metrics.prevalence import STATED
from evalkit.render.numbers import about, cases, digits_of, of_thousand
from evalkit.result import EvalResult
from evalkit.rows import MetricRow, row_key
from evalkit.verdict import Verdict

# Where nothing is said of how common the positive class will be.
_PREVALENCE = 0.05
_FEW = 10
_USUAL_THRESHOLD = 0.5


def plain_words(result: EvalResult, verdict: Verdict | None) -> tuple[str, ...]:
    """Say what the numbers mean in cases; nothing of an invalid run."""
    if not result.valid:
        return ()
    tasks = {"binary": _binary, "multiclass": _multiclass, "multilabel": _multilabel}
    return (*tasks[result.task](result), *_comparison(result, verdict), _silence(result))


def noun(result: EvalResult) -> str:
    """Call the samples what they are, where that is known."""
    return "images" if result.data.get("modes") or result.data.get("source") == "folder" else "samples"


def _binary(result: EvalResult) -> Iterator[str]:
    name, rows, what = visible(str(result.positive_class)), result.rows(), noun(result)
    recall = rows.get(row_key("recall", class_name=result.positive_class))
    specificity = rows.get(row_key("specificity", class_name=result.positive_class))
    if recall is not None and recall.value is not None:
        yield (
            f"Of 1,000 {what} that are {name} this model finds {about(recall.value)}"
            f"{_cases(recall)} and misses {about(1 - recall.value)}."
        )
    if specificity is None or specificity.value is None:
        return
    alarms = 1 - specificity.value
    low, high = specificity.low, specificity.high
    bounds = "" if low is None or high is None else _range(1 - high, 1 - low)
    yield f"Of 1,000 that are not, {about(alarms)}{bounds} get a false alarm."
    if recall is not None and recall.value is not None:
        yield _right_when_positive(result, recall, specificity)


def _right_when_positive(result: EvalResult, recall: MetricRow, specificity: MetricRow) -> str:
    """Say how often a positive answer is right, where so many cases are positive."""
    stated = (result.spec.get("metrics") or {}).get("prevalence")
    if isinstance(stated, dict):
        stated = stated.get(result.positive_class)
    share = float(stated) if isinstance(stated, (int, float)) else _PREVALENCE
    where = f"Where {share * 100:g} of 100 are {visible(str(result.positive_class))}"
    key = row_key("precision", class_name=result.positive_class, params=STATED)
    row = result.rows().get(key) if isinstance(stated, (int, float)) else None
    if row is not None and row.value is not None:
        bounds = "" if row.low is None or row.high is None else _between(row.low, row.high, 100)
        return f"{where}, a positive answer would be right {about(row.value, 100)} times in 100{bounds}."
    right = _ppv(share, float(recall.value or 0), 1 - float(specificity.value or 0))
    if right is None:
        return "It gives no positive answer."
    bounds = ""
    if _known(recall) and _known(specificity):
        least = _ppv(share, float(recall.low or 0), 1 - float(specificity.low or 0))
        most = _ppv(share, float(recall.high or 0), 1 - float(specificity.high or 0))
        bounds = "" if least is None or most is None else _between(least, most, 100)
    return f"{where}, a positive answer would be right {about(right, 100)} times in 100{bounds}."


def _ppv(share: float, recall: float, alarms: float) -> float | None:
    positive = share * recall + (1 - share) * alarms
    return share * recall / positive if positive > 0 else None


def _multiclass(result: EvalResult) -> Iterator[str]:
    rows, counts, what = result.rows(), result.confusion, noun(result)
    accuracy = rows.get(row_key("accuracy"))
    if accuracy is None or accuracy.value is None or counts is None:
        return
    support = counts.support
    commonest = visible(result.class_names[int(support.argmax())])
    trivial = float(support.max()) / max(result.n_samples, 1)
    yield (
        f"It names the right class for {of_thousand(accuracy.value)} of 1,000 {what}{_cases(accuracy)}; "
        f"always answering '{commonest}' would be right for {of_thousand(trivial)}."
    )
    enough = [k for k in range(counts.n_classes) if support[k] >= _FEW]
    if len(enough) > 1:
        worst = min(enough, key=lambda k: counts.tp[k] / support[k])
        if counts.tp[worst] < support[worst]:
            name = visible(result.class_names[worst])
            yield f"The class it finds worst is {name}: {counts.tp[worst]:,} of {support[worst]:,}."
    wrong = counts.matrix.copy()
    wrong[range(counts.n_classes), range(counts.n_classes)] = 0
    if wrong.max() > 0:
        true, said = divmod(int(wrong.argmax()), counts.n_classes)
        names = visible(result.class_names[true]), visible(result.class_names[said])
        times = f"{wrong.max():,} times" if wrong.max() > 1 else "once"
        yield f"The commonest mistake is {names[0]} taken for {names[1]} ({times})."


def _multilabel(result: EvalResult) -> Iterator[str]:
    rows, what = result.rows(), noun(result)
    whole = rows.get(row_key("subset_accuracy"))
    if whole is not None and whole.value is not None:
        yield f"Every label is right for {of_thousand(whole.value)} of 1,000 {what}{_cases(whole)}."
    for metric, text in (
        ("precision", "Of 1,000 labels that it gives, {} are right{}."),
        ("recall", "Of 1,000 labels that are there, it gives {}{}."),
    ):
        row = rows.get(row_key(metric, average="micro"))
        if row is not None and row.value is not None:
            yield text.format(about(row.value), _cases(row))
    support, hits = by_class(result, "support"), by_class(result, "tp")
    found = [name for name, n in support.items() if n >= _FEW]
    if len(found) > 1:
        worst = min(found, key=lambda name: hits[name] / support[name])
        if hits[worst] < support[worst]:
            yield f"The label it finds worst is {visible(worst)}: {hits[worst]:,} of {support[worst]:,}."


def by_class(result: EvalResult, metric: str) -> dict[str, int]:
    """Return a count of every class, or label."""
    return {
        row.class_name: int(row.value or 0)
        for row in result.metrics
        if row.metric == metric and row.class_name is not None and row.slice is None
    }


def _comparison(result: EvalResult, verdict: Verdict | None) -> Iterator[str]:
    flips: dict[str, Any] = ((verdict.comparison if verdict else None) or {}).get("flips") or {}
    if flips:
        yield (
            f"Of {flips['n_samples']:,} {noun(result)} that both models saw, the new one corrects "
            f"{flips['only_candidate']:,} and spoils {flips['only_baseline']:,}."
        )


def _silence(result: EvalResult) -> str:
    """Say what the numbers are not about."""
    text = (
        f"All of this is about {noun(result)} like the {result.n_samples:,} measured here; "
        "it says nothing about others, such as another source or a later time"
    )
    never = [name for name, n in by_class(result, "support").items() if n == 0]
    if not never:
        return f"{text}."
    names = ", ".join(visible(name) for name in never[:3])
    more = f" and {len(never) - 3} more classes" if len(never) > 3 else ""  # noqa: PLR2004
    return f"{text}, and nothing about {names}{more}, of which there was no sample."


def _cases(row: MetricRow) -> str:
    """Write a share's interval in cases of 1,000."""
    return _range(row.low, row.high) if _known(row) else ""


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else _between(low, high, 1000)


def _between(low: float, high: float, of: int) -> str:
    return f" ({cases(low, of)} to {cases(high, of)})"


def _known(row: MetricRow) -> bool:
    return row.low is not None and row.high is not None


def accuracy_words(result: EvalResult) -> str:
    """Say how much is right, for a heading."""
    row = next((row for row in result.metrics if row.metric in ("accuracy", "subset_accuracy")), None)
    if row is None or row.value is None:
        return "no accuracy"
    if row.low is None or row.high is None:
        return f"{percent(row.value)} right"
    digits = max(digits_of(row.low, row.high) - 2, 1)
    value, low, high = (percent(share, digits) for share in (row.value, row.low, row.high))
    return f"{value} right ({low} to {high})"


def threshold_words(result: EvalResult) -> str:
    """Say which threshold was in force, and where it was chosen."""
    if result.threshold is None:
        return ""
    declared = (result.spec.get("model") or {}).get("threshold")
    if isinstance(declared, dict):
        rule = str(declared.get("choose")).replace("_", " ")
        return f"{show(result.threshold)}, chosen by {rule} on {visible(str(declared.get('from')))}"
    usual = declared is None and result.threshold == _USUAL_THRESHOLD
    return f"{result.threshold!r}, {'the default' if usual else 'as it was given'}"
