"""The decision rule of predictions that Python code hands over."""

import math
from collections.abc import Sequence

from evalkit.decide import Decision
from evalkit.errors import SpecificationError, nearest
from evalkit.ledger import Output
from evalkit.spec import KeyPath, format_path


def make_decision(
    class_names: Sequence[str],
    *,
    task: str,
    output: Output,
    threshold: float | None,
    positive_class: str | None,
    scored: bool = True,
) -> Decision:
    """Build the decision rule; SpecificationError where it lacks what it needs."""
    if task not in ("multiclass", "binary", "multilabel"):
        raise SpecificationError(f"task: expected multiclass, binary or multilabel, got {task!r}")
    if output not in ("logits", "probabilities", "scores"):
        raise SpecificationError(f"output: expected logits, probabilities or scores, got {output!r}")
    if task == "multiclass":
        if threshold is not None or positive_class is not None:
            raise SpecificationError("threshold and positive_class belong to task: binary")
        return Decision(task, output)
    if scored and threshold is None and output == "scores":
        raise SpecificationError("threshold: is required for output: scores, in the score's own units")
    _check_threshold(threshold, output)
    value = 0.5 if threshold is None else float(threshold)
    if task == "multilabel":
        if positive_class is not None:
            raise SpecificationError("positive_class belongs to task: binary")
        return Decision(task, output, None, value)
    if len(class_names) != 2:  # noqa: PLR2004 - binary
        raise SpecificationError(f"task: binary has 2 classes, got {len(class_names)}")
    if positive_class is not None and positive_class not in class_names:
        raise SpecificationError(
            f"positive_class: {positive_class!r} is no class{nearest(positive_class, class_names)}"
        )
    positive = 1 if positive_class is None else list(class_names).index(positive_class)
    return Decision(task, output, positive, value)


def _check_threshold(threshold: float | None, output: Output) -> None:
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not math.isfinite(threshold):
        raise SpecificationError(f"threshold: must be a finite number, got {threshold!r}")
    if output != "scores" and not 0 <= threshold <= 1:
        raise SpecificationError(f"threshold: must be between 0 and 1, got {threshold!r}")


def metrics_error(path: KeyPath, message: str) -> SpecificationError:
    """Build the error for a key of ``metrics`` or ``slices`` that Python code gave."""
    return SpecificationError(f"{format_path(path)}: {message}")
