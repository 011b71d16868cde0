"""Words of the field, or of the clinic: they change what things are called and no number."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.catalogue import METRICS
from evalkit.result import EvalResult
from evalkit.rows import describe_params

_CLINICAL = {
    "recall": "Sensitivity",
    "precision": "PPV",
    "npv": "NPV",
    "fpr": "False positive rate",
    "fnr": "False negative rate",
    "average_recall": "Average sensitivity",
}
# What a binary page says in brackets, so that both kinds of reader find their word.
_BOTH = {"recall": "sensitivity", "precision": "PPV"}


@dataclass(frozen=True, slots=True)
class Terms:
    """What things are called.

    Attributes:
        metrics: Names that differ from the catalogue's.
        gate, gates: A rule that a run must satisfy, and several.
        slice, slices: A group of samples, and several.
    """

    metrics: Mapping[str, str] = field(default_factory=dict)
    gate: str = "gate"
    gates: str = "gates"
    slice: str = "slice"
    slices: str = "slices"

    def metric(
        self, slug: str, average: str | None = None, params: Mapping[str, object] | None = None
    ) -> str:
        """Name a metric with its average and parameters."""
        label = self.metrics.get(slug) or (METRICS[slug].label if slug in METRICS else slug)
        label = f"{label}, {average}" if average else label
        return f"{label} ({describe_params(dict(params))})" if params else label  # type: ignore[arg-type]


def terms_of(result: EvalResult) -> Terms:
    """Return the words that a run's specification asks for; a binary run names both kinds."""
    clinical = (result.spec.get("report") or {}).get("terms") == "clinical"
    binary = result.positive_class is not None
    if clinical:
        names = {slug: f"{name} ({METRICS[slug].label.lower()})" if binary and slug in _BOTH else name
                 for slug, name in _CLINICAL.items()}  # fmt: skip
        return Terms(names, "acceptance criterion", "acceptance criteria", "subgroup", "subgroups")
    names = {slug: f"{METRICS[slug].label} ({other})" for slug, other in _BOTH.items()} if binary else {}
    return Terms(names)
