"""The conditions of a number as a short string, and the question that it answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.metrics import Policy
from evalkit.result import EvalResult

SHOWN_DIGITS = 12
# What a changed test set changes of the question.
SAMPLES = "set of samples and labels"


def signature(
    *,
    task: str,
    positive: str | None,
    class_names: Sequence[str],
    decide: str,
    policy: Policy,
    n_samples: int,
    n_excluded: int = 0,
    classes_assumed: bool = False,
    cluster: str | None = None,
    unit: str | None = None,
    digests: Mapping[str, str | None],
    torch_version: str | None,
    dtype: str | None,
) -> str:
    """Write the signature of a run; torch and dtype are shown and never compared."""
    parts = [
        "evalkit:1",
        f"task:{task}",
        f"k:{len(class_names)}",
        *(() if positive is None else (f"positive:{positive}",)),
        f"decide:{decide}",
        f"avg:{policy.classes}",
        f"zd:{policy.zero_division}",
        *(() if cluster is None else (f"cluster:{cluster}",)),
        *(() if unit is None else (f"unit:{unit}",)),
        f"n:{n_samples}",
        *((f"excluded:{n_excluded}",) if n_excluded else ()),
        *(("classes:assumed",) if classes_assumed else ()),
        *(f"{name}:{(digests.get(name) or 'none')[:SHOWN_DIGITS]}" for name in ("data", "inputs", "weights")),
        f"torch:{torch_version or 'none'}",
        f"dtype:{dtype or 'none'}",
    ]
    return "|".join(parts)


def question(result: EvalResult) -> dict[str, Any]:
    """Return what must agree before two results may be compared.

    The threshold's value comes with a model and may differ; so may preprocessing, seen as ``inputs``.
    """
    return {
        "task": result.task,
        "class names": sorted(result.class_names),
        "positive class": result.positive_class,
        "decision rule": "argmax" if result.threshold is None else "threshold",
        "averaging policy": (result.policy.classes, str(result.policy.zero_division)),
        "clusters or units": [(result.spec.get("metrics") or {}).get(name) for name in ("cluster", "unit")],
        SAMPLES: result.digests.get("data"),
    }
